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

/// lldb's list: each file, and how far it is from where its own addresses say. lldb asks for `qOffsets` before this where it
/// has a kernel file, unless the file has nothing in it; without one it gets ours, if that names any function.
pub(super) fn lldb(session: &mut Session, arguments: &[u8]) -> Reply {
    let target = &session.target;
    let slide = target.kvm.symbols().slide().wrapping_add(target.kvm.image().kerndisp);
    let file = target.kvm.symbols().file();
    let names = file.is_none_or(|file| file.symbols().any(|symbol| symbol.function));
    let kernel = (names && !target.client.has_file).then(|| target.symbol_file.shared()).flatten();
    let modules = target.symbol_file.modules().iter().map(|file| (file.path.as_path(), 0));
    let mut xml = String::from("<library-list-svr4 version=\"1.0\">\n");
    for (path, moved) in kernel.map(|path| (path, slide)).into_iter().chain(modules) {
        let name = name(path);
        // Writing to a String cannot fail. There is no link map: 0.
        let _ = writeln!(xml, "<library name=\"{name}\" lm=\"0x0\" l_addr=\"{moved:#x}\" l_ld=\"0x0\"/>");
    }
    Reply::xfer((xml + "</library-list-svr4>\n").as_bytes(), arguments)
}

fn name(path: &Path) -> String {
    encode::xml(&path.to_string_lossy())
}
