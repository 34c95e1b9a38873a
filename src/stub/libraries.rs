//! `qXfer:libraries` and `qXfer:libraries-svr4`: the symbol files of modules, and for lldb the kernel's.

use super::encode;
use super::front::{Reply, Session};
use crate::symbols::served::ModuleFile;
use std::fmt::Write;
use std::path::Path;

/// gdb's list: each file, and where its only segment begins. The kernel's file comes by `qXfer:exec-file`.
pub(super) fn gdb(session: &mut Session, arguments: &[u8]) -> Reply {
    let library = |file: &ModuleFile| {
        format!("<library name=\"{}\"><segment address=\"{}\"/></library>\n", name(&file.path), file.start)
    };
    let libraries: String = session.target.symbol_file.modules().iter().map(library).collect();
    Reply::xfer(format!("<library-list>\n{libraries}</library-list>\n").as_bytes(), arguments)
}

/// lldb's list: each file, and how far it is from where its own addresses say.
///
/// The kernel's is in it unless lldb has one of its own. It asks for `qOffsets` then, but only after it has read this list
/// for the first time; if it has loaded anything by then, it asks in any case. So at first nothing is listed.
pub(super) fn lldb(session: &mut Session, arguments: &[u8]) -> Reply {
    let listed = std::mem::replace(&mut session.target.client.listed, true);
    let target = &session.target;
    let slide = target.kvm.symbols().slide().wrapping_add(target.kvm.image().kerndisp);
    let file = target.kvm.symbols().file();
    let names = file.is_none_or(|file| file.symbols().any(|symbol| symbol.function));
    let kernel = (listed && names && !target.client.has_file).then(|| target.symbol_file.shared()).flatten();
    let modules = if listed { target.symbol_file.modules() } else { &[] };
    let files = kernel.map(|path| (path, slide)).into_iter();
    let files = files.chain(modules.iter().map(|file| (file.path.as_path(), 0)));
    let mut xml = String::from("<library-list-svr4 version=\"1.0\">\n");
    for (path, moved) in files {
        let name = name(path);
        // Writing to a String cannot fail. There is no link map: 0.
        let _ = writeln!(xml, "<library name=\"{name}\" lm=\"0x0\" l_addr=\"{moved:#x}\" l_ld=\"0x0\"/>");
    }
    Reply::xfer((xml + "</library-list-svr4>\n").as_bytes(), arguments)
}

fn name(path: &Path) -> String {
    encode::xml(&path.to_string_lossy())
}
