//! The machine that most sessions look at: `System::small()`, saved and served.

use crate::driver::{Server, Transcript, gdb, lldb};
use crate::expected::Machine;
use crate::synth::System;
use std::path::PathBuf;
use tempfile::TempDir;

/// Files of a dump, and what debuggers must show of it.
pub(crate) struct Scene {
    pub(crate) kernel: PathBuf,
    pub(crate) vmcore: PathBuf,
    pub(crate) machine: Machine,
    _folder: TempDir,
}

impl Scene {
    pub(crate) fn small() -> Self {
        Self::of(&System::small())
    }

    pub(crate) fn of(system: &System) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let built = system.build();
        let (kernel, vmcore) = built.save(folder.path());
        Self { kernel, vmcore, machine: Machine::synthetic(&built.facts), _folder: folder }
    }

    /// The server with both files.
    pub(crate) fn serve(&self) -> Server {
        Server::start(&[&self.kernel, &self.vmcore])
    }

    /// The server with the dump alone.
    pub(crate) fn serve_without_kernel(&self) -> Server {
        Server::start(&[&self.vmcore])
    }

    /// gdb as its user starts it: nothing but the port is typed.
    #[track_caller]
    pub(crate) fn gdb(&self, server: &Server, commands: &[&str]) -> Transcript {
        gdb(&[&[connect(server).as_str()], commands].concat())
    }

    /// gdb with a kernel file of the user's own.
    #[track_caller]
    pub(crate) fn gdb_with_file(&self, server: &Server, commands: &[&str]) -> Transcript {
        let file = format!("file {}", self.kernel.display());
        gdb(&[&["set osabi none", &file, &connect(server)], commands].concat())
    }

    /// lldb, which is always given the kernel file.
    #[track_caller]
    pub(crate) fn lldb(&self, server: &Server, commands: &[&str]) -> Transcript {
        let target = format!("target create {}", self.kernel.display());
        let connect = match server.port.starts_with('/') {
            true => format!("process connect unix-connect://{}", server.port),
            false => format!("gdb-remote {}", server.port),
        };
        lldb(&[&[target.as_str(), &connect], commands].concat())
    }
}

/// gdb's command to reach a server.
pub(crate) fn connect(server: &Server) -> String {
    let colon = if server.port.starts_with('/') { "" } else { ":" };
    format!("target remote {colon}{}", server.port)
}
