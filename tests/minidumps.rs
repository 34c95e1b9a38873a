//! Minidumps of every machine: what a reader finds in them, by content; and what it must refuse.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

mod synth;

use kgdbserver::kvm::Options;
use kgdbserver::{Kvm, Result};
use kgdbserver_arch::{Fault, Va};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use synth::freebsd::only_of_stopped;
use synth::machine::{self, ALL, Machine};
use synth::minidump::{Minidump, PAGE, Rights, SUPERPAGE};
use synth::{Built, Endian, System, put};

fn open(vmcore: &[u8], kernel: Option<&[u8]>) -> Result<Kvm> {
    let directory = tempfile::tempdir().expect("a directory");
    let (core, file) = (directory.path().join("vmcore"), directory.path().join("kernel"));
    std::fs::write(&core, vmcore).expect("write");
    let kernel = kernel.map(|bytes| {
        std::fs::write(&file, bytes).expect("write");
        file
    });
    Kvm::open_with(&core, Options { kernel, ..Options::default() })
}

/// Why an image is refused.
fn refused(vmcore: &[u8]) -> String {
    open(vmcore, None).err().expect("refused").to_string()
}

fn versions(machine: &Machine) -> std::ops::RangeInclusive<u32> {
    // DragonFly's own header begins with 2. The tables of 16 KiB pages came with arm64's third.
    let first = if machine.page != PAGE || *machine == machine::DRAGONFLY { machine.newest } else { 1 };
    first..=machine.newest
}

fn every_kind() -> impl Iterator<Item = (&'static Machine, u32)> {
    ALL.iter().flat_map(|machine| versions(machine).map(move |version| (*machine, version)))
}

/// A page's first bytes say its physical address.
fn label(pa: u64) -> Vec<u8> {
    format!("page {pa:#x}").into_bytes()
}

/// A dump whose pages name themselves: two that neighbours in virtual memory and not in physical, one that is mapped and
/// not dumped, one that is dumped and not mapped.
struct Labelled {
    dump: Minidump,
    near: u64,
    far: u64,
    absent: u64,
}

impl Labelled {
    fn new(machine: &'static Machine, version: u32) -> Self {
        let mut dump = Minidump::of(machine, version);
        let page = machine.page;
        let base = dump.kernbase + 0x20 * page;
        let (near, far) = (dump.memory[1].start + 0x10 * page, dump.memory[0].start);
        let (absent, unmapped) = (dump.memory[1].start + 0x20 * page, dump.memory[2].start);
        dump.map(base, near, page, Rights::Write);
        dump.map(base + page, far, page, Rights::Execute);
        dump.map(base + 2 * page, absent, page, Rights::Write);
        for pa in [near, far, unmapped] {
            dump.write_physical(pa, &label(pa));
        }
        Self { dump, near: base, far: base + page, absent: base + 2 * page }
    }
}

fn text_at(kvm: &Kvm, va: u64, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    kvm.space().read_exact(Va(va), &mut bytes).map(|()| bytes)
}

fn fault_at(kvm: &Kvm, va: u64) -> Fault {
    kvm.space()
        .translate(Va(va))
        .and_then(|place| kvm.image().memory.read(place.at, &mut [0; 1]))
        .expect_err("a fault")
}

#[test]
fn every_page_is_found_by_its_content() {
    for (machine, version) in every_kind() {
        let what = format!("{} version {version}", machine.name);
        let Labelled { dump, near, far, absent } = Labelled::new(machine, version);
        let (file, layout) = dump.build();
        let kvm = open(&file, None).unwrap_or_else(|error| panic!("{what}: {error}"));
        let at = kvm.space().machine;
        assert_eq!((at.arch.name, u64::from(at.ptr_bytes)), (machine.arch, machine.word), "{what}");
        assert_eq!(at.big_endian, machine.endian == Endian::Big, "{what}");
        assert_eq!(1u64 << kvm.image().page_shift, machine.page, "{what}");
        for va in [near, far] {
            let expected = label(layout.physical(va).expect("mapped"));
            assert_eq!(text_at(&kvm, va, expected.len()).expect("read"), expected, "{what}");
        }
        // Through the page's end into its neighbour, which lies elsewhere.
        let across = text_at(&kvm, far - 4, 8).expect("read");
        assert_eq!(across[4..], label(layout.physical(far).expect("mapped"))[..4], "{what}");
        assert!(matches!(fault_at(&kvm, absent), Fault::NotInImage(_)), "{what}");
        assert!(
            matches!(fault_at(&kvm, absent + machine.page), Fault::NotMapped | Fault::NoRegion),
            "{what}"
        );
        if machine.has_dmap() {
            for pa in layout.pages.keys().filter(|pa| **pa >= machine.dmap_phys) {
                let va = machine.dmap.start + (pa - machine.dmap_phys);
                let expected = &file[layout.pages[pa]..][..16];
                assert_eq!(text_at(&kvm, va, 16).expect("read"), expected, "{what}: {pa:#x}");
            }
            let first_hole = machine.dmap.start + (machine.ram + 0xa_0000 - machine.dmap_phys);
            assert!(matches!(fault_at(&kvm, first_hole), Fault::NotInImage(_)), "{what}");
        }
        let rights = |va| kvm.space().translate(Va(va)).expect("mapped").rights.expect("rights");
        assert!(rights(near).write && !rights(far).write && rights(far).execute, "{what}");
    }
}

#[test]
fn all_pages_are_walked_once() {
    for (machine, version) in every_kind() {
        let what = format!("{} version {version}", machine.name);
        let Labelled { dump, near, far, absent } = Labelled::new(machine, version);
        let (file, layout) = dump.build();
        let kvm = open(&file, None).expect("opens");
        let (mut mapped, mut rest) = (Vec::new(), Vec::new());
        assert!(kvm.walk_pages(|page| {
            match page.kmap_vaddr {
                Some(va) => mapped.push((va.0, page.paddr.0, page.offset.is_some())),
                None => rest.push((page.paddr.0, page.dmap_vaddr.map(|va| va.0), page.offset)),
            }
            assert_eq!(page.len, machine.page);
            true
        }));
        let expected = [near, far, absent].map(|va| (va, layout.physical(va).expect("mapped"), va != absent));
        assert_eq!(mapped, expected, "{what}");
        let others: Vec<_> =
            layout.pages.iter().filter(|(pa, _)| !mapped.iter().any(|(_, seen, _)| seen == *pa)).collect();
        let direct =
            |pa: u64| machine.has_dmap().then(|| machine.dmap.start + (pa.wrapping_sub(machine.dmap_phys)));
        let others: Vec<_> = others.iter().map(|(pa, at)| (**pa, direct(**pa), Some(**at as u64))).collect();
        assert_eq!(rest, others, "{what}");
    }
}

#[test]
fn a_large_page_is_one_mapping() {
    for (machine, version) in every_kind() {
        let mut dump = Minidump::of(machine, version);
        let va = dump.kernbase.next_multiple_of(SUPERPAGE) + 2 * SUPERPAGE;
        let pa = machine.ram + SUPERPAGE;
        let last = pa + SUPERPAGE - machine.page;
        dump.map(va, pa, SUPERPAGE, Rights::Write);
        dump.write_physical(last, &label(last));
        let kvm = open(&dump.build().0, None).expect("opens");
        let expected = label(last);
        let read = text_at(&kvm, va + (last - pa), expected.len());
        assert_eq!(read.expect("read"), expected, "{} version {version}", machine.name);
    }
}

/// The facts of a system are what the library says of it.
fn check(what: &str, system: &System) {
    let Built { kernel, vmcore, facts, .. } = system.build();
    let kvm = open(&vmcore, Some(&kernel)).unwrap_or_else(|error| panic!("{what}: {error}"));
    let list = kvm.threads().unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(list.problems.is_empty(), "{what}: {:?}", list.problems);
    let pids: Vec<u32> =
        kvm.processes().expect("processes").items.iter().map(|process| process.pid).collect();
    assert_eq!(pids, facts.pids, "{what}");
    assert_eq!(list.items.len(), facts.threads.len(), "{what}");
    for thread in &list.items {
        let expected = facts.thread(u32::try_from(thread.tid).expect("a tid"));
        let what = format!("{what}: thread {}", thread.tid);
        assert_eq!(thread.va.0, expected.address, "{what}");
        assert_eq!((thread.on_cpu, thread.crashed), (expected.on_cpu, expected.crashed), "{what}");
        assert_eq!(thread.saved.va().map(|va| va.0), expected.pcb, "{what}");
        let registers = kvm.registers(thread).expect("registers");
        let known: BTreeMap<&str, u64> = registers.known().collect();
        // A switch leaves in the pcb what only savectx writes.
        let stopped = thread.on_cpu.is_some();
        let saved =
            expected.registers.iter().filter(|(name, _)| stopped || !by_savectx_only(system.machine, name));
        assert_eq!(known, saved.copied().collect(), "{what}");
        let trace = kvm.backtrace(&registers);
        assert_eq!(trace.iter().map(|frame| frame.pc.0).collect::<Vec<_>>(), expected.backtrace, "{what}");
        for va in trace.into_iter().map(|frame| frame.pc) {
            let (symbol, distance) = kvm.symbol_at(va).expect("a function");
            assert!(symbol.function && distance < symbol.size, "{what}: {va}");
        }
    }
}

fn by_savectx_only(machine: &Machine, register: &str) -> bool {
    match machine.arch {
        "x86_64" => only_of_stopped(register),
        "riscv64" => matches!(register, "gp" | "tp"),
        "powerpc64" => register == "r13",
        _ => false,
    }
}

/// The machines that FreeBSD runs on.
fn freebsd() -> impl Iterator<Item = (&'static Machine, u32)> {
    every_kind().filter(|(machine, _)| **machine != machine::DRAGONFLY)
}

#[test]
fn threads_and_registers_are_found_on_every_machine() {
    for (machine, version) in freebsd() {
        check(
            &format!("{} version {version}", machine.name),
            &System { dump_version: version, ..System::on(machine) },
        );
    }
}

#[test]
fn ps_lists_the_threads_of_every_machine() {
    for machine in ALL.iter().filter(|machine| **machine != &machine::DRAGONFLY) {
        let built = System::on(machine).build();
        let folder = tempfile::tempdir().expect("a folder");
        let (kernel, vmcore) = built.save(folder.path());
        let mut ps = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
        let output = ps.args(["ps", "--threads", "--json"]).args([kernel, vmcore]).output().expect("runs");
        let list: Value = serde_json::from_slice(&output.stdout).expect(machine.name);
        let threads = list["threads"].as_array().expect("threads");
        assert_eq!(threads.len(), built.facts.threads.len(), "{}", machine.name);
        for thread in threads {
            let expected = built.facts.thread(thread["tid"].as_u64().expect("a tid") as u32);
            assert_eq!(thread["cpu"].as_u64(), expected.on_cpu.map(u64::from), "{}", machine.name);
            for name in [machine.pc, machine.sp, machine.fp] {
                let value = format!("{:#x}", expected.register(name).expect("saved"));
                assert_eq!(thread["registers"][name], value.as_str(), "{} {name}", machine.name);
            }
        }
    }
}

#[test]
fn saved_registers_are_where_each_release_has_them() {
    let releases = [
        (&machine::ARM64, &[1_200_000, 1_400_083, 1_400_084, 1_400_088, 1_400_089][..]),
        (&machine::I386, &[900_044, 1_000_510, 1_001_504, 1_001_505, 1_100_000, 1_300_000]),
        (&machine::RISCV64, &[1_200_000, 1_302_000, 1_400_097]),
        (&machine::ARM, &[1_100_000, 1_302_000]),
        (&machine::PPC64, &[1_302_000]),
        (&machine::AMD64, &[1_003_000, 1_100_000, 1_302_000]),
    ];
    for (machine, releases) in releases {
        for release in releases {
            check(&format!("{} {release}", machine.name), &System::on(machine).released(*release));
        }
    }
}

#[test]
fn an_old_byte_says_that_a_thread_is_on_no_cpu() {
    let system = System::on(&machine::I386).released(1_003_000);
    let Built { kernel, vmcore, .. } = system.build();
    let kvm = open(&vmcore, Some(&kernel)).expect("opens");
    let swapper = kvm.threads().expect("threads").items.into_iter().find(|thread| thread.tid == 100_000);
    assert_eq!(swapper.expect("swapper").on_cpu, None);
}

/// Kernels whose crashed thread went through a trap, and what is said of its stack.
fn trapped(machine: &'static Machine, release: u32) -> (Vec<u64>, Vec<u64>) {
    let built = System::on(machine).released(release).trapped().build();
    let kvm = open(&built.vmcore, Some(&built.kernel)).expect("opens");
    let crashed = kvm.threads().expect("threads").items.swap_remove(0);
    let trace = kvm.backtrace(&kvm.registers(&crashed).expect("registers"));
    (trace.iter().map(|frame| frame.pc.0).collect(), built.facts.thread(100_670).backtrace.clone())
}

#[test]
fn backtraces_go_through_traps() {
    for machine in ALL.iter().filter(|machine| **machine != &machine::DRAGONFLY) {
        for release in [1_302_001, 1_500_068].into_iter().filter(|release| (machine.trap)(*release).is_some())
        {
            let (found, expected) = trapped(machine, release);
            assert_eq!(found, expected, "{} {release}", machine.name);
        }
    }
}

#[test]
fn a_trap_of_a_kernel_of_unknown_release_is_the_end_where_layouts_differ() {
    let (found, expected) = trapped(&machine::ARM64, 0);
    assert_eq!(found, expected[..5], "up to the trap's entry");
    let (found, expected) = trapped(&machine::RISCV64, 0);
    assert_eq!(found, expected, "all releases have the same");
}

#[test]
fn a_mode_that_is_not_known_is_refused() {
    let with_mode = |machine: &'static Machine, mode: u32| {
        let mut dump = Labelled::new(machine, machine.newest).dump;
        dump.mode = Some(mode);
        refused(&dump.build().0)
    };
    assert!(with_mode(&machine::ARM64, 2).contains("page size"), "{}", with_mode(&machine::ARM64, 2));
    assert!(with_mode(&machine::ARM64_16K, 3).contains("page size"));
    assert!(with_mode(&machine::ARM, 4).contains("MMU format"));
    let mut dump = Labelled::new(&machine::PPC64, 2).dump;
    dump.mmu_name = Some("mmu_e500");
    assert!(refused(&dump.build().0).contains("\"mmu_e500\"; supported are mmu_g5, mmu_phyp, mmu_radix"));
}

#[test]
fn a_version_that_is_not_known_is_refused() {
    for machine in ALL {
        let (file, _) = Labelled::new(machine, machine.newest).dump.build();
        for version in [0, machine.newest + 1] {
            let mut file = file.clone();
            put(&mut file, if machine.magic_bytes == 32 { 64 } else { 24 }, &machine.endian.u32(version));
            let why = refused(&file);
            assert!(why.contains("minidump version"), "{}: {why}", machine.name);
        }
    }
}

#[test]
fn tables_of_impossible_sizes_are_refused() {
    let pmapsize = |machine: &'static Machine, size: u32| {
        let (mut file, _) = Labelled::new(machine, machine.newest).dump.build();
        put(&mut file, if machine.magic_bytes == 32 { 76 } else { 36 }, &machine.endian.u32(size));
        refused(&file)
    };
    assert!(pmapsize(&machine::PPC64, 0x3_0000).contains("power of two"));
    assert!(pmapsize(&machine::PPC64, 64).contains("power of two"));
    assert!(pmapsize(&machine::PPC64LE_RADIX, 0x8000).contains("not whole"));
    assert!(pmapsize(&machine::I386, 6).contains("within an entry"));
    assert!(pmapsize(&machine::ARM64, 12).contains("within an entry"));
    for machine in ALL.iter().filter(|machine| **machine != &machine::DRAGONFLY) {
        let why = pmapsize(machine, 0xffff_0000);
        assert!(why.contains("promises") || why.contains("power of two") || why.contains("whole"), "{why}");
    }
}

#[test]
fn a_dump_that_ends_before_its_pages_is_refused() {
    for (machine, version) in every_kind() {
        let (file, layout) = Labelled::new(machine, version).dump.build();
        for end in [layout.header.end - 1, layout.bitmap.end, layout.pmap.start + 8, layout.sparse.start - 1]
        {
            assert!(open(&file[..end], None).is_err(), "{} version {version}: {end:#x}", machine.name);
        }
        let cut = open(&file[..layout.sparse.start + machine.page as usize], None).expect("opens");
        assert_eq!(cut.census().cut_off, layout.pages.len() as u64 - 1, "{} version {version}", machine.name);
    }
}

#[test]
fn narrow_addresses_do_not_wrap() {
    for (machine, version) in every_kind().filter(|(machine, _)| machine.word == 4) {
        let Labelled { dump, near, .. } = Labelled::new(machine, version);
        let (file, layout) = dump.build();
        let kvm = open(&file, None).expect("opens");
        let what = format!("{} version {version}", machine.name);
        assert_eq!(fault_at(&kvm, near + (1 << 32)), Fault::NoRegion, "{what}");
        assert_eq!(fault_at(&kvm, u64::MAX), Fault::NoRegion, "{what}");
        // Widened with its sign, a high address is still the same; a low one has no sign.
        let widened = kvm.space().translate(Va(near | 0xffff_ffff_0000_0000));
        match near >> 31 {
            1 => assert_eq!(widened, kvm.space().translate(Va(near)), "{what}"),
            _ => assert_eq!(widened, Err(Fault::NoRegion), "{what}"),
        }
        assert!(layout.offset(near).is_some());
    }
}

/// Kernels that tag their pointers (arm64's KASAN) keep tags in the top byte.
#[test]
fn tags_are_no_part_of_an_address() {
    for (machine, version) in every_kind().filter(|(machine, _)| machine.word == 8) {
        let Labelled { dump, near, .. } = Labelled::new(machine, version);
        let kvm = open(&dump.build().0, None).expect("opens");
        let what = format!("{} version {version}", machine.name);
        let plain = kvm.space().translate(Va(near)).expect("mapped");
        let tagged = |bits: u64| kvm.space().translate(Va(near ^ bits)).ok() == Some(plain);
        assert_eq!(tagged(0x5a << 56), machine.arch == "aarch64", "{what}");
        assert!(!tagged(1 << 55), "{what}: what the tag stands for");
    }
}

#[test]
fn sixty_four_kib_pages_of_arm() {
    let mut dump = Minidump::of(&machine::ARM, 2);
    let (va, pa) = (dump.kernbase + 0x10_0000, dump.memory[1].start);
    let page = pa + 5 * PAGE;
    for offset in (0..0x1_0000).step_by(PAGE as usize) {
        dump.set_entry(va + offset, pa | 1); // sixteen equal entries
    }
    dump.set_entry(va + 0x1_0000, 0);
    dump.write_physical(page, &label(page));
    let kvm = open(&dump.build().0, None).expect("opens");
    assert_eq!(text_at(&kvm, va + 5 * PAGE, 16).expect("read")[..9], label(page)[..9]);
    assert_eq!(fault_at(&kvm, va + 0x1_0000), Fault::NotMapped);
    // Before v6 the third kind of entry was a tiny page.
    let mut dump = Minidump::of(&machine::ARM_V4, 2);
    dump.set_entry(va, pa | 3);
    dump.write_physical(pa, &label(pa));
    assert_eq!(fault_at(&open(&dump.build().0, None).expect("opens"), va), Fault::NotMapped);
}

#[test]
fn a_hashed_table_overflows_into_the_second_group() {
    for machine in [&machine::PPC64, &machine::PPC64LE] {
        let mut dump = Minidump::of(machine, 2);
        // Page numbers 2048 apart have the same hash: the ninth finds its group full.
        let pages: Vec<(u64, u64)> =
            (0..12).map(|i| (dump.kernbase + (i << 23), dump.memory[1].start + i * PAGE)).collect();
        for (va, pa) in &pages {
            dump.map(*va, *pa, PAGE, Rights::Write);
            dump.write_physical(*pa, &label(*pa));
        }
        let kvm = open(&dump.build().0, None).expect("opens");
        for (va, pa) in &pages {
            assert_eq!(text_at(&kvm, *va, label(*pa).len()).expect("read"), label(*pa), "{}", machine.name);
        }
        let mut seen = Vec::new();
        kvm.walk_pages(|page| page.kmap_vaddr.map(|va| seen.push((va.0, page.paddr.0))).is_some());
        assert_eq!(seen, pages, "{}", machine.name);
    }
}

#[test]
fn a_moved_kernel_is_read_at_both_addresses() {
    for machine in ALL.iter().filter(|machine| machine.moved != 0) {
        let Built { kernel, vmcore, facts, .. } = System::on(machine).build();
        let kvm = open(&vmcore, Some(&kernel)).expect("opens");
        assert_eq!(kvm.kerndisp().cast_unsigned(), machine.moved, "{}", machine.name);
        let linked = facts.symbol("panic");
        let moved = linked.wrapping_add(machine.moved);
        assert_eq!(text_at(&kvm, linked, 4).expect("read"), text_at(&kvm, moved, 4).expect("read"));
        assert_eq!(kvm.symbol_at(Va(moved + 4)).expect("a symbol").0.name, "panic");
        // What is linked lower or higher than the kernel is not the kernel.
        assert_eq!(fault_at(&kvm, 0xf_f000), Fault::NoRegion);
        assert_eq!(fault_at(&kvm, 0x1000_0000), Fault::NoRegion);
    }
}

#[test]
fn the_first_header_may_be_either_systems() {
    let format = |version| {
        let kvm = open(&Labelled::new(&machine::AMD64, version).dump.build().0, None).expect("opens");
        kgdbserver::report::info(&kvm)[0].1.clone()
    };
    assert_eq!(format(1), "FreeBSD minidump version 1 (DragonFly's look the same)");
    assert_eq!(format(2), "FreeBSD minidump version 2");
    let dragonfly = open(&Labelled::new(&machine::DRAGONFLY, 2).dump.build().0, None).expect("opens");
    assert_eq!(dragonfly.image().format, "DragonFly minidump");
}

#[test]
fn a_kernel_of_the_other_byte_order_is_not_the_images() {
    let little = System::on(&machine::PPC64LE).build();
    let big = System::on(&machine::PPC64).build();
    let why = open(&big.vmcore, Some(&little.kernel)).err().expect("a mismatch").to_string();
    assert!(why.contains("the machine"), "{why}");
}
