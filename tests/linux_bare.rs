//! Dumps that QEMU made of real Linux kernels, without what these kernels tell of themselves.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod support;
mod synth;

use kgdbserver::kernel::linux::Origin;
use kgdbserver::kvm::Kvm;
use memchr::memmem;
use std::path::Path;
use support::linux::{Guest, guests};
use support::open;

/// Bytes into QEMU's note of a CPU: its third control register.
const CR3: usize = 416;

/// A dump without VMCOREINFO, in its notes as in memory.
fn silenced(guest: &Guest) -> Vec<u8> {
    let mut dump = std::fs::read(guest.folder.join("elf.dump")).expect("a dump");
    for word in ["VMCOREINFO\0", "OSRELEASE="] {
        let places: Vec<usize> = memmem::find_iter(&dump, word).collect();
        assert!(places.len() > 1, "{}: {word}", guest.name);
        places.iter().for_each(|place| dump[*place..][..word.len()].fill(b'x'));
    }
    dump
}

fn open_bytes(path: &Path, dump: &[u8]) -> Kvm {
    std::fs::write(path, dump).expect("written");
    open(None, path, false).expect("an image")
}

/// What a debugger is shown of the threads, and names of the kernel.
fn shown(kvm: &Kvm) -> Vec<String> {
    let threads = kvm.threads().expect("threads").items;
    let show = |thread: &kgdbserver::kernel::Thread| {
        let registers = kvm.registers(thread).expect("registers");
        let frames: Vec<_> = kvm.backtrace(&registers).iter().map(|frame| frame.pc).collect();
        // cr3 is what the test takes away.
        let values: Vec<_> = registers.known().filter(|(name, _)| *name != "cr3").collect();
        format!("{thread:?} {values:x?} {frames:x?}")
    };
    let names = ["init_task", "linux_banner", "runqueues"].map(|name| format!("{:?}", kvm.symbol(name)));
    threads.iter().map(show).chain(names).collect()
}

#[test]
fn the_registers_of_a_cpu_lead_to_the_kernel() {
    let has_registers = |guest: &&Guest| guest.kvm.image().notes().iter().any(|note| note.name == "QEMU");
    let needs_no_file = |guest: &&Guest| guest.kvm.symbols().file().is_none();
    for guest in guests().iter().filter(has_registers).filter(needs_no_file) {
        let expected = shown(&guest.kvm);
        let mut dump = silenced(guest);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("vmcore");
        let notes = guest.kvm.image().notes();
        let cpus = notes.iter().filter(|note| note.name == "QEMU");
        for (cpu, note) in cpus.enumerate() {
            let kvm = open_bytes(&path, &dump);
            let told =
                kvm.linux().unwrap_or_else(|| panic!("{}: CPU {cpu}: {:?}", guest.name, kvm.located()));
            let release = guest.kvm.linux().unwrap().info.release();
            assert_eq!(
                (told.info.release(), &told.origin),
                (release, &Origin::Registers(cpu)),
                "{}",
                guest.name
            );
            assert_eq!(shown(&kvm), expected, "{}: by CPU {cpu}", guest.name);
            // The next one must do.
            dump[note.contents.start as usize + CR3..][..8].fill(0);
        }
        let why =
            open_bytes(&path, &dump).located().expect("memory").expect_err("no page tables").to_string();
        assert!(why.contains("give the kernel file"), "{}: {why}", guest.name);
    }
}
