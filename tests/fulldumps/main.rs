//! Dumps of all memory: ELF full dumps and raw memory, and the search for the kernel in them.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod found;
mod raw;
mod segments;
#[path = "../support/mod.rs"]
mod support;
#[path = "../synth/mod.rs"]
mod synth;
mod walks;

use kgdbserver::image::RawMemory;
use kgdbserver::kvm::{Kvm, Options};
use kgdbserver::pages::Page;
use kgdbserver::{Error, Result, report};
use kgdbserver_arch::{Pa, Va};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use synth::elf::{Elf, Symbol};
use synth::elfcore::{EM_X86_64, ElfCore, ProgramHeader};
use synth::freebsd::{Built, Full, Kernphys, System, only_of_stopped};
use synth::tables::Physical;
use synth::{Endian, elfcore};

const KERNBASE: u64 = 0xffff_ffff_8000_0000;

const SUPERPAGE: u64 = 2 << 20;

const NOT_MOVED: u64 = SUPERPAGE;

const MOVED: u64 = 0x260_0000;

/// A folder that has the files of one case.
struct Case {
    _folder: tempfile::TempDir,
    kernel: PathBuf,
    image: PathBuf,
}

impl Case {
    fn new(kernel: &[u8], image: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (kernel_path, image_path) = (folder.path().join("kernel"), folder.path().join("image"));
        std::fs::write(&kernel_path, kernel).unwrap();
        std::fs::write(&image_path, image).unwrap();
        Self { _folder: folder, kernel: kernel_path, image: image_path }
    }

    fn open(&self) -> Result<Kvm> {
        self.open_as(None)
    }

    fn open_as(&self, raw_memory: Option<&str>) -> Result<Kvm> {
        let raw_memory = raw_memory.map(|text| text.parse::<RawMemory>().unwrap());
        let options = Options { kernel: Some(self.kernel.clone()), raw_memory, ..Options::default() };
        Kvm::open_with(&self.image, options)
    }
}

fn amd64(full: Full) -> Built {
    System { full: Some(full), ..System::small() }.build()
}

fn built(loaded_at: u64, kernphys: Kernphys) -> Built {
    amd64(Full { loaded_at, kernphys, five_levels: false, high_memory: true })
}

fn memory(built: &Built) -> &Physical {
    built.memory.as_ref().unwrap()
}

fn core(built: &Built) -> ElfCore {
    ElfCore::of_pages(EM_X86_64, Endian::Little, true, &memory(built).pages)
}

/// A line of `info`.
fn info(kvm: &Kvm, name: &str) -> String {
    let facts = report::info(kvm);
    facts.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value).unwrap_or_default()
}

/// Everything that the system's facts tell is found: processes, threads, their registers.
fn check_system(kvm: &Kvm, built: &Built) {
    let mut pids: Vec<u32> = kvm.processes().unwrap().items.iter().map(|process| process.pid).collect();
    pids.sort_unstable();
    let mut expected = built.facts.pids.clone();
    expected.sort_unstable();
    assert_eq!(pids, expected);
    let threads = kvm.threads().unwrap();
    assert!(threads.problems.is_empty(), "{:?}", threads.problems);
    assert_eq!(threads.items.len(), built.facts.threads.len());
    assert!(threads.items[0].crashed);
    let names = kvm.space().machine.arch.regs;
    for thread in &threads.items {
        let facts = built.facts.thread(u32::try_from(thread.tid).unwrap());
        let registers = kvm.registers(thread).unwrap();
        for (name, value) in &facts.registers {
            let index = names.iter().position(|reg| reg.name == *name).unwrap();
            // A context switch leaves the bases in a pcb stale.
            let expected = (thread.on_cpu.is_some() || !only_of_stopped(name)).then_some(*value);
            assert_eq!(registers.get(index), expected, "{name} of {}", thread.name);
        }
    }
}

/// The kernel is found at a place, for a reason, and all is read through its page tables.
fn check(built: &Built, image: &[u8], raw: Option<&str>, expected: &str) -> Kvm {
    let kvm = Case::new(&built.kernel, image).open_as(raw).unwrap();
    assert_eq!(info(&kvm, "kernel at"), expected);
    check_system(&kvm, built);
    kvm
}

/// Nothing is believed: virtual memory is not there, physical memory is, and the reason is said.
fn check_lost(built: &Built, image: &[u8], reason: &str) {
    let kvm = Case::new(&built.kernel, image).open().unwrap();
    let warnings = kvm.image().warnings.join("\n");
    assert!(warnings.contains("only physical memory can be read") && warnings.contains(reason), "{warnings}");
    assert_eq!(info(&kvm, "kernel at"), "not found: only physical memory can be read");
    assert!(kvm.read2(built.facts.symbol("version"), &mut [0; 8]).is_err());
    let first = kvm.image().memory.pages().next().unwrap();
    assert!(kvm.image().memory.locate(first).is_ok());
}

/// The physical address of a variable of a kernel loaded at `loaded_at`.
fn physical(built: &Built, name: &str, loaded_at: u64) -> u64 {
    built.facts.symbol(name) - KERNBASE + loaded_at - SUPERPAGE
}

fn word(memory: &Physical, pa: u64) -> u64 {
    let page = &memory.pages[&(pa & !0xfff)];
    let at = (pa % 4096) as usize;
    u64::from_le_bytes(page[at..at + 8].try_into().unwrap())
}

/// The same memory, with other bytes at some places.
fn patched(built: &Built, patches: &[(u64, u64)]) -> Vec<u8> {
    let mut memory = memory(built).clone();
    for (pa, value) in patches {
        memory.write(*pa, &value.to_le_bytes());
    }
    ElfCore::of_pages(EM_X86_64, Endian::Little, true, &memory.pages).build()
}

/// The published minidump as a full dump: its own pages where they were, and page tables that map what its own map.
#[test]
fn a_real_system_is_found_in_a_full_dump_made_of_it() {
    let Some(real) = support::real::amd64() else {
        return eprintln!("skipped: no published image");
    };
    let mini = support::open(Some(&real.kernel), &real.vmcore, false).unwrap();
    let (mut memory, mut rows) = (Physical::default(), Vec::new());
    mini.walk_pages(|page| {
        rows.push(*page);
        true
    });
    for row in rows.iter().filter(|row| row.offset.is_some()) {
        let mut bytes = vec![0; 4096];
        let read = mini.image().memory.read(kgdbserver::image::Addr::Phys(row.paddr), &mut bytes);
        // The published file ends within a page.
        if read.is_ok() {
            memory.pages.insert(row.paddr.0, bytes);
        }
    }
    let end = memory.pages.last_key_value().unwrap().0.next_multiple_of(1 << 30);
    let mut tables = synth::tables::Tables::amd64(4, end, end + 4096);
    for row in &rows {
        if let Some(va) = row.kmap_vaddr {
            tables.map(&mut memory, va.0, row.paddr.0, 3);
        }
    }
    let dmap = 0xffff_f800_0000_0000;
    tables.map_range(&mut memory, dmap..dmap + end, 0);
    let root = mini.symbols().address("KPML4phys").unwrap();
    let kgdbserver::image::Addr::Phys(at) = mini.space().translate(root).unwrap().at else {
        panic!("{root}")
    };
    assert_eq!(at.0, root.0 - KERNBASE, "this kernel was not moved");
    memory.write(at.0, &end.to_le_bytes());
    let dump = ElfCore::of_pages(EM_X86_64, Endian::Little, true, &memory.pages).build();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vmcore"), dump).unwrap();
    let full = support::open(Some(&real.kernel), &folder.path().join("vmcore"), false).unwrap();
    assert_eq!(info(&full, "kernel at"), "physical 0x200000, where this kernel is always loaded");
    let (ours, theirs) = (full.threads().unwrap(), mini.threads().unwrap());
    assert_eq!(ours.items, theirs.items);
    assert_eq!(ours.items.len(), 16);
    for thread in &ours.items {
        assert_eq!(full.registers(thread).ok(), mini.registers(thread).ok(), "{}", thread.name);
    }
}

/// Lengthens a file by a hole.
fn grow(path: &Path, len: u64) {
    std::fs::File::options().write(true).open(path).unwrap().set_len(len).unwrap();
}
