//! Files that bring a debugger to a server with nothing to be typed: for an IDE (`launch-json`), for gdb and for lldb.

mod ide;

pub(super) use self::ide::LaunchJson;

use super::connect::Connect;
use super::debugger;
use super::files::Files;
use super::{Failure, Named};
use kgdbserver::Kvm;
use kgdbserver::stub::serve::Address;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The server's first answers may take as long as the symbol files that it makes for them: seconds.
const PATIENCE: u32 = 60;

/// What such a file needs to say. All paths are absolute: nobody knows where it will be read.
pub(super) struct Ready {
    kvm: Arc<Kvm>,
    kernel: Option<PathBuf>,
    image: PathBuf,
    server: Connect,
}

impl Ready {
    pub(super) fn new(named: &Named, files: &Files, address: &Address) -> Result<Self, Failure> {
        let open = || Failure::Usage("name the port that the server listens on: 0 is any".into());
        let server = Connect::to(address).ok_or_else(open)?;
        let kvm = Arc::new(files.open(named)?);
        let kernel = kvm.symbols().file().map(|file| absolute(file.source().path())).transpose()?;
        let image = absolute(files.image.as_deref().unwrap_or(Path::new("")))?;
        Ok(Self { kvm, kernel, image, server })
    }

    /// For `gdb -x`. The server announces the kernel file.
    pub(super) fn gdb(&self) -> String {
        let before = debugger::before(&self.kvm).map(|command| format!("{command}\n")).unwrap_or_default();
        let (head, connect) = (self.head("gdb -x"), self.server.gdb());
        format!("{head}set remotetimeout {PATIENCE}\n{before}{connect}\n")
    }

    /// For `lldb -s`. What lldb has a file of is not announced.
    pub(super) fn lldb(&self) -> String {
        let kernel = self.kernel.as_ref().map(|kernel| format!("target create {}\n", lldb_word(kernel)));
        // An alias of it looks for the command "process plugin packet packet".
        let monitor = "command regex monitor 's/^(.*)$/process plugin packet monitor %1/'";
        let (head, kernel) = (self.head("lldb -s"), kernel.unwrap_or_default());
        format!("{head}{}\n{monitor}\n{kernel}{}\n", lldb_patience(), self.server.lldb)
    }

    fn head(&self, option: &str) -> String {
        let image = self.image.display();
        format!("# {option} THIS-FILE, while kgdbserver serves {image}\n")
    }
}

fn lldb_patience() -> String {
    format!("settings set plugin.process.gdb-remote.packet-timeout {PATIENCE}")
}

/// A path as an argument of lldb's commands.
fn lldb_word(path: &Path) -> String {
    let escape = |text: String, c: char| match c {
        '"' | '\\' | '`' => text + "\\" + c.encode_utf8(&mut [0; 4]),
        c => text + c.encode_utf8(&mut [0; 4]),
    };
    format!("\"{}\"", path.to_string_lossy().chars().fold(String::new(), escape))
}

fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let path =
        std::path::absolute(path).map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    // What stood behind a line's end in a file's name would be a command.
    match path.to_string_lossy().contains(char::is_control) {
        true => Err(Failure::Usage(format!("{path:?}: no command can hold this name"))),
        false => Ok(path),
    }
}
