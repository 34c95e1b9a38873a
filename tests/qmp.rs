//! A QEMU guest seen from outside: its memory, and what its QEMU says of its CPUs.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod support;
mod synth;

use kgdbserver::dump::{self, Format, Packing, Settings};
use kgdbserver::kernel::Thread;
use kgdbserver::kvm::{Kvm, Options};
use kgdbserver_arch::Registers;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use support::linux::guests;
use support::{Saved, open};

/// A QEMU whose monitor shows these registers, to as many as ask.
fn qemu(folder: &Path, registers: String) {
    let listener = UnixListener::bind(folder.join("qmp")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            writeln!(stream.get_mut(), "{}", serde_json::json!({ "QMP": { "capabilities": [] } })).unwrap();
            let mut request = String::new();
            while stream.read_line(&mut request).is_ok_and(|got| got > 0) {
                let shown = if request.contains("info registers") { registers.as_str() } else { "" };
                writeln!(stream.get_mut(), "{}", serde_json::json!({ "return": shown })).unwrap();
                request.clear();
            }
        }
    });
}

fn on_cpu(kvm: &Kvm) -> Vec<Thread> {
    kvm.threads().unwrap().items.into_iter().filter(|thread| thread.on_cpu.is_some()).collect()
}

/// The registers that have values, but some. QEMU's monitor does not tell of `k_gs_base`, and the dumps that are written
/// here have no note for control registers.
fn values(registers: &Registers, but: &[&str]) -> Vec<(&'static str, u64)> {
    registers.known().filter(|(name, _)| !but.contains(name)).collect()
}

/// The registers of running tasks are those that QEMU's own dump of the same moment has, and go into dumps of ours.
#[test]
fn running_tasks_have_their_registers() {
    for guest in guests().iter().filter(|guest| guest.folder.join("registers.txt").exists()) {
        let (memory, folder) = (guest.folder.join("ram.img"), tempfile::tempdir().unwrap());
        let machine = guest.kvm.space().machine.arch.name;
        if !memory.exists() || !["x86_64", "aarch64"].contains(&machine) {
            continue;
        }
        qemu(folder.path(), std::fs::read_to_string(guest.folder.join("registers.txt")).unwrap());
        let options = Options { qmp: Some(folder.path().join("qmp")), ..Options::default() };
        let kvm = Kvm::open_with(&memory, options).unwrap();
        assert!(kvm.is_live() && !on_cpu(&kvm).is_empty(), "{}", guest.name);
        let path = folder.path().join("dump");
        let (progress, stop) = (|_, _| (), AtomicBool::new(false));
        let format = Format::Kdump(Packing::Zstd);
        let settings = Settings { format, replace: false, progress: &progress, stop: &stop };
        dump::write(&kvm, &path, &settings).unwrap();
        let dump = open(None, &path, false).unwrap();
        let idle = |thread: &Thread| thread.pid == 0;
        for thread in on_cpu(&guest.kvm) {
            let noted = guest.kvm.registers(&thread).unwrap();
            assert!(noted.pc().is_some(), "{}: {}", guest.name, thread.name);
            let live = kvm.registers(&thread).unwrap();
            assert_eq!(values(&live, &[]), values(&noted, &["k_gs_base"]), "{}: {}", guest.name, thread.name);
            let ours = dump.threads().unwrap().items.into_iter().find(|own| own.va == thread.va).unwrap();
            let ours = dump.registers(&ours).unwrap();
            let control = ["k_gs_base", "cr0", "cr2", "cr3", "cr4"];
            if !idle(&thread) || ours.pc().is_some() {
                assert_eq!(values(&ours, &[]), values(&noted, &control), "{}: {}", guest.name, thread.name);
            }
        }
    }
}

/// A task that ran when its CPU was asked, and not before, has none.
#[test]
fn registers_are_of_who_runs() {
    for guest in guests().iter().filter(|guest| guest.name == "amd64l4") {
        let folder = tempfile::tempdir().unwrap();
        qemu(folder.path(), "CPU#1\r\nRIP=0000000000000001\r\n".into());
        let options = Options { qmp: Some(folder.path().join("qmp")), ..Options::default() };
        let kvm = Kvm::open_with(&guest.folder.join("ram.img"), options).unwrap();
        for thread in on_cpu(&kvm) {
            let expected = (thread.on_cpu == Some(1)).then_some(1);
            assert_eq!(kvm.registers(&thread).ok().and_then(|registers| registers.pc()), expected);
        }
    }
}

#[test]
fn only_memory_is_a_guests() {
    let (saved, folder) = (Saved::small(), tempfile::tempdir().unwrap());
    qemu(folder.path(), String::new());
    let says = |socket: &str, text: &str| {
        let options = Options {
            kernel: Some(saved.kernel.clone()),
            qmp: Some(folder.path().join(socket)),
            ..Options::default()
        };
        let error = Kvm::open_with(&saved.vmcore, options).err().unwrap().to_string();
        assert!(error.contains(text), "{error}");
    };
    says("qmp", "a FreeBSD minidump is no memory of a guest that runs");
    says("nothing", "No such file");
}
