//! Minidumps that were written as cores: no server is needed for these.

use crate::driver::{Transcript, gdb, gdb_multiarch, lldb, server_program};
use crate::synth::machine::{self, Machine};
use crate::synth::{Built, System};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A dump as a core, beside its kernel.
fn core(machine: &'static Machine, format: &str) -> (TempDir, Built) {
    let folder = tempfile::tempdir().expect("a folder");
    let built = System::on(machine).build();
    let (kernel, vmcore) = built.save(folder.path());
    let files =
        [kernel.as_path(), vmcore.as_path(), Path::new("-o"), &at(&folder, "core")].map(Path::to_owned);
    let output = server_program(folder.path()).args(["dump", "--format", format]).args(files).output();
    let output = output.expect("run it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (folder, built)
}

fn at(folder: &TempDir, name: &str) -> PathBuf {
    folder.path().join(name)
}

#[test]
fn lldb_lists_threads_by_name() {
    for machine in [&machine::AMD64, &machine::ARM64] {
        let (folder, built) = core(machine, "elf");
        let open = format!(
            "target create {} --core {}",
            at(&folder, "kernel").display(),
            at(&folder, "core").display()
        );
        let session = lldb(&[&open, "thread list", "bt", "memory read -fd -s4 -c1 &hz"]);
        for thread in &built.facts.threads {
            session.has("thread list", &format!("tid = {}", thread.tid));
        }
        session.has("thread list", "name = 'sysctl'");
        for function in ["kdb_enter", "vpanic", "panic"] {
            session.has("bt", function);
        }
        session.has("memory read -fd -s4 -c1 &hz", ": 100");
    }
}

/// gdb's notes of Linux, and a kernel file of FreeBSD's that it is told to take for Linux's.
#[test]
fn any_gdb_lists_threads_of_a_core_with_linuxs_notes() {
    for (machine, gdb) in [
        (&machine::AMD64, gdb as fn(&[&str]) -> Transcript),
        (&machine::ARM64, gdb_multiarch as fn(&[&str]) -> Transcript),
    ] {
        let (folder, built) = core(machine, "elf-linux");
        let file = format!("file {}", at(&folder, "kernel").display());
        let core = format!("core {}", at(&folder, "core").display());
        let session = gdb(&["set osabi GNU/Linux", &file, &core, "info threads", "p *(int *)&hz", "bt 1"]);
        for thread in &built.facts.threads {
            session.has("info threads", &format!("LWP {}", thread.tid));
        }
        session.has("p *(int *)&hz", "= 100");
        session.has("bt 1", "kdb_enter");
    }
}
