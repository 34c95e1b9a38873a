//! Dumps of all memory: ELF full dumps and raw memory, and the search for the kernel in them.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod support;
mod synth;

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

/// The same memory, with other bytes at some places.
fn patched(built: &Built, patches: &[(u64, u64)]) -> Vec<u8> {
    let mut memory = memory(built).clone();
    for (pa, value) in patches {
        memory.write(*pa, &value.to_le_bytes());
    }
    ElfCore::of_pages(EM_X86_64, Endian::Little, true, &memory.pages).build()
}

#[test]
fn a_kernel_that_cannot_move_lies_at_2_mib() {
    for kernphys in [Kernphys::Missing, Kernphys::Absolute] {
        let built = built(NOT_MOVED, kernphys);
        let kvm = check(
            &built,
            &core(&built).build(),
            None,
            "physical 0x200000, where this kernel is always loaded",
        );
        assert!(kvm.image().warnings.is_empty(), "{:?}", kvm.image().warnings);
        assert_eq!(info(&kvm, "format"), "ELF core");
        assert_eq!(info(&kvm, "segments"), core(&built).headers.len().to_string());
        assert!(info(&kvm, "kernel file").contains("verified by the build id"));
    }
}

#[test]
fn the_dump_says_where_the_kernel_lies() {
    for at in [NOT_MOVED, MOVED] {
        let built = built(at, Kernphys::Variable);
        let dump = core(&built).with_delta(KERNBASE, at, SUPERPAGE).build();
        check(&built, &dump, None, &format!("physical {at:#x}, as the dump says"));
    }
}

#[test]
fn a_moved_kernel_is_found_by_its_page_tables() {
    for at in [NOT_MOVED, MOVED] {
        let built = built(at, Kernphys::Variable);
        let kvm = check(
            &built,
            &core(&built).build(),
            None,
            &format!("physical {at:#x}, found by its page tables"),
        );
        assert_eq!(kvm.image().warnings, [""; 0], "what is proved is not odd");
    }
}

#[test]
fn a_dump_that_says_something_wrong_is_not_believed() {
    let built = built(MOVED, Kernphys::Variable);
    for (paddr, align) in [(MOVED + SUPERPAGE, SUPERPAGE), (MOVED, 0), (0, SUPERPAGE), (u64::MAX, 0)] {
        let dump = core(&built).with_delta(KERNBASE, paddr, align).build();
        check(&built, &dump, None, &format!("physical {MOVED:#x}, found by its page tables"));
    }
}

#[test]
fn what_an_earlier_kernel_left_is_not_taken_for_this_one() {
    let built = built(MOVED, Kernphys::Variable);
    let root = word(memory(&built), physical(&built, "KPML4phys", MOVED));
    // A copy of the variable further down: the page tables map it elsewhere.
    let decoy = physical(&built, "KPML4phys", 0x60_0000);
    let dump = patched(&built, &[(decoy, root)]);
    check(&built, &dump, None, &format!("physical {MOVED:#x}, found by its page tables"));
}

#[test]
fn two_kernels_that_both_prove_themselves_are_named() {
    let built = built(MOVED, Kernphys::Variable);
    let mut memory = memory(&built).clone();
    let here = physical(&built, "KPML4phys", MOVED);
    let there = 0x360_0000;
    let copy = physical(&built, "KPML4phys", there);
    // The other kernel's tables map just the page of the variable.
    let mut tables = synth::tables::Tables::amd64(4, 0x3f0_0000, 0x3f1_0000);
    tables.map(&mut memory, built.facts.symbol("KPML4phys") & !0xfff, copy & !0xfff, 3);
    memory.write(copy, &0x3f0_0000_u64.to_le_bytes());
    assert_ne!(word(&memory, here), word(&memory, copy));
    let dump = ElfCore::of_pages(EM_X86_64, Endian::Little, true, &memory.pages).build();
    let expected = format!("physical {MOVED:#x}, found by its page tables, and others at {there:#x}");
    let kvm = check(&built, &dump, None, &expected);
    assert!(kvm.image().warnings[0].contains("there is another one at 0x3600000"));
}

fn word(memory: &Physical, pa: u64) -> u64 {
    let page = &memory.pages[&(pa & !0xfff)];
    let at = (pa % 4096) as usize;
    u64::from_le_bytes(page[at..at + 8].try_into().unwrap())
}

#[test]
fn page_tables_that_do_not_lead_back_are_not_believed() {
    let built = built(NOT_MOVED, Kernphys::Absolute);
    let variable = physical(&built, "KPML4phys", NOT_MOVED);
    for root in [0, 0x1000, 0x300_0001, u64::MAX, 1 << 51] {
        check_lost(&built, &patched(&built, &[(variable, root)]), "KPML4phys");
    }
    let mut without = memory(&built).clone();
    without.pages.remove(&(variable & !0xfff));
    let dump = ElfCore::of_pages(EM_X86_64, Endian::Little, true, &without.pages).build();
    check_lost(&built, &dump, "KPML4phys cannot be read: physical address");
}

#[test]
fn without_a_kernel_file_physical_memory_is_served() {
    let built = built(NOT_MOVED, Kernphys::Absolute);
    let case = Case::new(&built.kernel, &core(&built).build());
    let kvm = Kvm::open_with(&case.image, Options::default()).unwrap();
    assert!(kvm.image().warnings[0].contains("without its symbol KPML4phys: give the kernel file"));
    let symbols = built.facts.symbols.clone();
    let kvm = kvm.with_resolver(std::sync::Arc::new(move |name| symbols.get(name).copied()));
    check_system(&kvm, &built);
}

#[test]
fn five_level_paging_reaches_the_direct_map() {
    let built =
        amd64(Full { loaded_at: MOVED, kernphys: Kernphys::Variable, five_levels: true, high_memory: true });
    let dump = core(&built).with_delta(KERNBASE, MOVED, SUPERPAGE).build();
    let kvm = check(&built, &dump, None, &format!("physical {MOVED:#x}, as the dump says"));
    let heap = kvm.threads().unwrap().items[0].va;
    assert_eq!(heap.0 >> 48, 0xff01, "the direct map lies where only five levels reach");

    // The twin: without a top table that proves itself nothing is mapped there.
    let top = physical(&built, "KPML5phys", MOVED);
    let dump = patched(&built, &[(top, 0x1000)]);
    let kvm = Case::new(&built.kernel, &dump).open().unwrap();
    assert!(kvm.read2(built.facts.symbol("version"), &mut [0; 8]).is_ok());
    assert!(kvm.read2(heap.0, &mut [0; 8]).unwrap_err().to_string().contains("knows no mapping"));
}

#[test]
fn a_page_names_its_own_address() {
    let built = built(MOVED, Kernphys::Variable);
    let mut memory = memory(&built).clone();
    for pa in [0x5000, 0x9e000, 0x3ff_f000] {
        memory.name_page(pa);
    }
    let dump = ElfCore::of_pages(EM_X86_64, Endian::Little, true, &memory.pages).build();
    let kvm = Case::new(&built.kernel, &dump).open().unwrap();
    let dmap = 0xffff_f800_0000_0000;
    for pa in [0x5000_u64, 0x9e000, 0x3ff_f000] {
        let mut page = vec![0; 4096];
        assert_eq!(kvm.read2(dmap + pa, &mut page).unwrap(), 4096);
        assert_eq!(page[4088..], (pa + 4088).to_le_bytes(), "{pa:#x}");
    }
    // The hole of the VGA memory is mapped by the direct map, and is not in the image.
    let error = kvm.read2(dmap + 0xa_0000, &mut [0; 8]).unwrap_err();
    assert!(error.to_string().contains("physical address 0xa0000 is not in the image"), "{error}");
}

/// All pages: how many rows, and that no mapping is reported twice.
fn walk(kvm: &Kvm) -> (Vec<Page>, bool) {
    let mut rows = Vec::new();
    let ended = kvm.walk_pages(|page| {
        rows.push(*page);
        true
    });
    let mut seen = HashSet::new();
    assert!(rows.iter().all(|row| seen.insert((row.kmap_vaddr, row.paddr))), "a page twice");
    (rows, ended)
}

#[test]
fn every_mapped_page_is_walked_once() {
    let mut built = built(MOVED, Kernphys::Variable);
    // The direct map's large pages go, so that the rows are few; one small mapping takes their place.
    let memory = built.memory.as_mut().unwrap();
    let root = word(memory, 0x300_0000 + 0x1fb * 8);
    assert_eq!(root, 0, "the kernel map is not the direct map");
    memory.write(0x300_0000 + 0x1f0 * 8, &[0; 8]);
    memory.name_page(0x9000);
    memory.pages.remove(&0x260_0000);
    let dump = core(&built).with_delta(KERNBASE, MOVED, SUPERPAGE).build();
    let kvm = Case::new(&built.kernel, &dump).open().unwrap();
    let started = std::time::Instant::now();
    let (rows, ended) = walk(&kvm);
    assert!(ended && started.elapsed().as_secs() < 20);
    let mapped: Vec<&Page> = rows.iter().filter(|row| row.kmap_vaddr.is_some()).collect();
    assert!(mapped.is_sorted_by_key(|row| row.kmap_vaddr));
    let stacks = 4 * built.facts.threads.len();
    assert!(mapped.len() >= 2 * 512 + stacks, "{} rows", mapped.len());
    for row in &mapped {
        let place = kvm.space().translate(row.kmap_vaddr.unwrap()).unwrap();
        assert_eq!((place.at, place.rights), (kgdbserver::image::Addr::Phys(row.paddr), row.rights));
    }
    let at = |va: u64| **mapped.iter().find(|row| row.kmap_vaddr == Some(Va(va))).unwrap();
    assert_eq!(at(KERNBASE + SUPERPAGE).offset, None, "mapped, and not in the image");
    let version = built.facts.symbol("version");
    let row = at(version & !0xfff);
    let offset = usize::try_from(row.offset.unwrap() + version % 4096).unwrap();
    assert_eq!(&dump[offset..offset + 7], b"FreeBSD");
    let unmapped = rows.iter().find(|row| row.paddr == Pa(0x9000)).unwrap();
    assert_eq!((unmapped.kmap_vaddr, unmapped.rights), (None, None));
    let mut pages = built.memory.as_ref().unwrap().pages.keys();
    assert!(pages.all(|pa| rows.iter().any(|row| row.paddr.0 == *pa)), "every page has a row");
}

#[test]
fn a_wide_direct_map_is_walked_too() {
    let built =
        amd64(Full { loaded_at: MOVED, kernphys: Kernphys::Variable, five_levels: true, high_memory: true });
    let kvm = Case::new(&built.kernel, &core(&built).build()).open().unwrap();
    let mut first = None;
    assert!(!kvm.walk_pages(|page| {
        first = Some(*page);
        false
    }));
    let first = first.unwrap();
    assert_eq!((first.kmap_vaddr, first.paddr), (Some(Va(0xff01_0000_0000_0000)), Pa(0)));
}

#[test]
fn page_tables_in_a_circle_end_no_later_than_the_caller_wants() {
    let built = built(NOT_MOVED, Kernphys::Absolute);
    // An entry of the top table leads back to it: what FreeBSD's recursive map is, at another place.
    let dump = patched(&built, &[(0x300_0000 + 256 * 8, 0x300_0003)]);
    let kvm = Case::new(&built.kernel, &dump).open().unwrap();
    let mut rows = 0;
    kvm.walk_pages(|_| {
        rows += 1;
        rows < 100
    });
    assert_eq!(rows, 100);
    check_system(&kvm, &built);
}

#[test]
fn raw_memory_is_recognised_by_the_kernel_in_it() {
    for (at, kernphys, how) in [
        (NOT_MOVED, Kernphys::Absolute, "where this kernel is always loaded"),
        (NOT_MOVED, Kernphys::Variable, "found by its page tables"),
        (MOVED, Kernphys::Variable, "found by its page tables"),
    ] {
        let built = low(at, kernphys);
        let raw = synth::tables::raw(memory(&built));
        for flag in [None, Some("0"), Some("0:64M")] {
            let kvm = check(&built, &raw, flag, &format!("physical {at:#x}, {how}"));
            assert_eq!(info(&kvm, "format"), "raw memory");
            assert_eq!(info(&kvm, "pages"), format!("{} of 4096 bytes", raw.len() / 4096));
        }
    }
}

/// A system whose memory ends at 64 MiB.
fn low(loaded_at: u64, kernphys: Kernphys) -> Built {
    amd64(Full { loaded_at, kernphys, five_levels: false, high_memory: false })
}

#[test]
fn raw_memory_without_a_kernel_is_an_unknown_format() {
    let built = low(MOVED, Kernphys::Variable);
    let mut broken = memory(&built).clone();
    broken.write(physical(&built, "KPML4phys", MOVED), &[0; 8]);
    let raw = synth::tables::raw(&broken);
    let case = Case::new(&built.kernel, &raw);
    let error = case.open().err().unwrap();
    assert!(matches!(&error, Error::UnknownFormat { .. }), "{error}");
    assert!(error.to_string().contains("raw memory: the kernel's page tables were not found"), "{error}");
    // Told that it is raw memory, it serves what there is.
    let kvm = case.open_as(Some("0")).unwrap();
    assert_eq!(info(&kvm, "kernel at"), "not found: only physical memory can be read");
    assert!(kvm.image().memory.locate(Pa(0x20_0000)).is_ok());
    // Without a kernel file nothing is guessed.
    let error = Kvm::open_with(&case.image, Options::default()).err().unwrap();
    assert!(matches!(error, Error::UnknownFormat { .. }), "{error}");
}

#[test]
fn a_vkernels_memory_image_says_what_it_lacks() {
    let built = low(MOVED, Kernphys::Variable);
    let raw = synth::tables::raw(memory(&built));
    let variable =
        |name: &str, address| Symbol { name: name.into(), address, size: 8, kind: 1, section: None };
    let mut vkernel = Elf::amd64();
    vkernel.symbols = vec![variable("KPML4phys", 0x81_0000), variable("MemImageFd", 0x81_0008)];
    let case = Case::new(&vkernel.build(), &raw);
    let reason = "the kernel file is a vkernel, whose variables are in the process that ran it";
    let error = case.open().err().unwrap();
    assert!(matches!(&error, Error::UnknownFormat { .. }), "{error}");
    assert!(error.to_string().contains(reason), "{error}");
    let kvm = case.open_as(Some("0")).unwrap();
    assert!(kvm.located().unwrap().unwrap_err().to_string().contains(reason));
    assert!(kvm.image().memory.locate(Pa(0x20_0000)).is_ok(), "physical memory is served");
    // The same image with a kernel that is no vkernel is searched.
    vkernel.symbols.truncate(1);
    let error = Case::new(&vkernel.build(), &raw).open().err().unwrap();
    assert!(error.to_string().contains("page tables"), "{error}");
}

#[test]
fn raw_memory_with_a_hole_is_put_in_its_place() {
    let built = built(MOVED, Kernphys::Variable);
    let split = |from: u64, to: u64| {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        for (pa, page) in memory(&built).pages.range(from..to) {
            synth::put(&mut bytes, usize::try_from(pa - from).unwrap(), page);
        }
        bytes
    };
    let raw = [split(0, 64 << 20), split(1 << 32, (1 << 32) + (16 << 20))].concat();
    let expected = format!("physical {MOVED:#x}, found by its page tables");
    for layout in ["0:64M,4G", "4G:16M@64M,0:0x4000000@0", "0,4G@64M"] {
        check(&built, &raw, Some(layout), &expected);
    }
    // Twin: with the upper part elsewhere, what lies there is not in the image.
    let kvm = Case::new(&built.kernel, &raw).open_as(Some("0:64M,5G")).unwrap();
    let rsp = built.facts.threads.iter().find_map(|thread| thread.register("rsp")).unwrap();
    let error = kvm.read2(rsp, &mut [0; 8]).unwrap_err().to_string();
    assert!(error.contains("page tables") || error.contains("not in the image"), "{error}");
    let short = Case::new(&built.kernel, &raw[..raw.len() - 4096]).open_as(Some("0:64M,4G:16M")).unwrap();
    assert!(short.image().warnings.iter().any(|text| text.contains("cut off: 1 of 20480 pages")));
}

#[test]
fn ranges_that_cannot_be_are_refused() {
    let built = low(NOT_MOVED, Kernphys::Absolute);
    let case = Case::new(&built.kernel, &synth::tables::raw(memory(&built)));
    for (layout, text) in
        [("0:8M,4M:8M", "lies in another one"), ("0,4G", "needs a length"), ("0@1T", "is empty")]
    {
        let error = case.open_as(Some(layout)).err().unwrap().to_string();
        assert!(error.contains(text), "{layout}: {error}");
    }
}

/// What a broken ELF core is answered with.
fn refused(core: &ElfCore, kernel: &[u8]) -> String {
    Case::new(kernel, &core.build()).open().err().unwrap().to_string()
}

#[test]
fn a_segment_that_cannot_be_is_refused_by_its_number() {
    let built = built(NOT_MOVED, Kernphys::Absolute);
    let good = core(&built);
    let broken = |change: &dyn Fn(&mut ProgramHeader)| {
        let mut core = good.clone();
        change(&mut core.headers[1]);
        refused(&core, &built.kernel)
    };
    // Case 18: a negative offset.
    let error = broken(&|header| header.offset = Some(u64::MAX - 4095));
    assert!(error.contains("segment 1 lies where no file reaches"), "{error}");
    let error = broken(&|header| header.paddr = u64::MAX - 4094);
    assert!(error.contains("segment 1 goes beyond the end of the address space"), "{error}");
    let mut empty = good.clone();
    empty.headers.iter_mut().for_each(|header| header.filesz = Some(0));
    assert!(refused(&empty, &built.kernel).contains("no segment holds memory"));
    let mut unknown = good.clone();
    unknown.machine = 0xfeed;
    assert!(refused(&unknown, &built.kernel).contains("a machine that this build does not know"));
    let mut far = good.build();
    synth::put(&mut far, 32, &u64::MAX.to_le_bytes());
    let error = Case::new(&built.kernel, &far).open().err().unwrap().to_string();
    assert!(error.contains("the program headers do not lie in the file"), "{error}");
    let mut narrow = good.build();
    synth::put(&mut narrow, 54, &[32]);
    let error = Case::new(&built.kernel, &narrow).open().err().unwrap().to_string();
    assert!(error.contains("program headers of 32 bytes"), "{error}");
}

#[test]
fn memory_that_the_file_lacks_is_not_zeros() {
    let built = built(NOT_MOVED, Kernphys::Absolute);
    let mut core = core(&built);
    // Case 17: more memory than bytes, and absurdly so.
    core.headers
        .push(ProgramHeader { memsz: Some(u64::MAX), ..ProgramHeader::load(0x1_8000_0000, &[7; 4096]) });
    core.headers
        .push(ProgramHeader { filesz: Some(0x1_0000), ..ProgramHeader::load(0x1_9000_0000, &[7; 4096]) });
    let kvm = check(&built, &core.build(), None, "physical 0x200000, where this kernel is always loaded");
    let read = |pa| kvm.image().memory.locate(Pa(pa)).map_err(kgdbserver::describe);
    assert!(read(0x1_8000_0fff).is_ok());
    assert_eq!(read(0x1_8000_1000).unwrap_err(), "physical address 0x180001000 is not in the image");
    assert_eq!(read(0x1_9000_1000).unwrap_err(), "physical address 0x190001000 is not in the image");
}

#[test]
fn a_file_cut_off_says_how_much_is_missing() {
    let built = built(NOT_MOVED, Kernphys::Absolute);
    let dump = core(&built).build();
    let kvm = Case::new(&built.kernel, &dump[..dump.len() - 3 * 4096 - 1]).open().unwrap();
    assert_eq!(kvm.census().cut_off, 4);
    let pages = memory(&built).pages.len();
    assert_eq!(kvm.image().warnings, [format!("the file is cut off: 4 of {pages} pages are missing")]);
    let last = *memory(&built).pages.last_key_value().unwrap().0;
    let why = kvm.image().memory.locate(Pa(last)).unwrap_err();
    assert!(kgdbserver::describe(why).contains("cut off before it"));
}

#[test]
fn program_headers_stand_anywhere_and_in_any_number() {
    let built = built(NOT_MOVED, Kernphys::Absolute);
    let how = "physical 0x200000, where this kernel is always loaded";
    let mut core = core(&built);
    core.headers_at = Some(192);
    check(&built, &core.build(), None, how);
    core.many = true;
    check(&built, &core.build(), None, how);
    // 100000 segments of 16 bytes each, in reverse order.
    let far = |i: u64| ProgramHeader {
        filesz: Some(16),
        memsz: Some(16),
        offset: Some(i % 64),
        paddr: (1 << 40) - i * 32,
        kind: elfcore::PT_LOAD,
        ..ProgramHeader::default()
    };
    core.headers.extend((0..100_000).map(far));
    let kvm = check(&built, &core.build(), None, how);
    assert!(info(&kvm, "segments").parse::<usize>().unwrap() > 100_000);
    // Twin: the count is nowhere.
    let mut file = core.build();
    synth::put(&mut file, 40, &[0; 8]);
    let error = Case::new(&built.kernel, &file).open().err().unwrap().to_string();
    assert!(error.contains("the number of program headers"), "{error}");
}

#[test]
fn the_first_of_overlapping_segments_counts() {
    let built = built(NOT_MOVED, Kernphys::Absolute);
    let mut core = core(&built);
    let version = physical(&built, "version", NOT_MOVED) & !0xfff;
    let other = ProgramHeader::load(version, &[0xee; 4096]);
    core.headers.push(other);
    check(&built, &core.build(), None, "physical 0x200000, where this kernel is always loaded");
    core.headers.rotate_right(1);
    let error = Case::new(&built.kernel, &core.build()).open().err().unwrap();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
}

#[test]
fn a_segment_of_more_than_2_gib_is_read_in_one_piece() {
    // Case 24: the run of bytes does not fit 31 bits.
    let built = built(NOT_MOVED, Kernphys::Absolute);
    let mut core = core(&built);
    let at = core.build().len() as u64;
    core.headers.push(ProgramHeader {
        kind: elfcore::PT_LOAD,
        paddr: 1 << 40,
        offset: Some(at),
        filesz: Some(3 << 30),
        memsz: Some(3 << 30),
        ..ProgramHeader::default()
    });
    let case = Case::new(&built.kernel, &core.build());
    grow(&case.image, at + (3 << 30));
    let kvm = case.open().unwrap();
    let mut bytes = vec![1; 8192];
    let read = |pa, bytes: &mut [u8]| kvm.image().memory.read(kgdbserver::image::Addr::Phys(Pa(pa)), bytes);
    assert_eq!(read((1 << 40) + (2 << 30) + 5, &mut bytes), Ok(8192));
    assert_eq!(read((1 << 40) + (3 << 30) - 5, &mut bytes), Ok(5));
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
