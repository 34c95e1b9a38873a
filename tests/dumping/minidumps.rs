//! Minidumps: as they are, and as cores that debuggers open by themselves.

use super::*;
use flate2::write::GzEncoder;
use goblin::elf::Elf as ElfFile;
use goblin::elf::program_header::{PT_LOAD, PT_NOTE};
use kgdbserver::pages::Page;
use std::collections::BTreeMap;
use std::io::Write;
use support::known_registers;
use synth::freebsd::ThreadFacts;
use synth::machine::{self, ALL, Machine};
use synth::{Device, System};

fn on(machine: &'static Machine) -> Saved {
    Saved::new(System::on(machine).build())
}

/// What the page walk tells, without places in the file, and whether each page is there.
fn walk(kvm: &Kvm) -> Vec<(Page, bool)> {
    let mut pages = Vec::new();
    assert!(kvm.walk_pages(|page| {
        pages.push((Page { offset: None, ..*page }, page.offset.is_some()));
        true
    }));
    pages
}

#[track_caller]
fn check_same(one: &Kvm, other: &Kvm) {
    check_pages(one, other);
    assert!(walk(one) == walk(other));
    assert_eq!(one.image().regions.len(), other.image().regions.len());
    assert_eq!(about_the_kernel(one), about_the_kernel(other));
    let (threads, others) = (one.threads().unwrap().items, other.threads().unwrap().items);
    assert_eq!(threads, others);
    assert!(!threads.is_empty());
    for thread in &threads {
        let registers = |kvm: &Kvm| kvm.registers(thread).unwrap();
        assert_eq!(registers(one), registers(other));
        assert_eq!(one.backtrace(&registers(one)), other.backtrace(&registers(other)));
    }
    assert_eq!(one.processes().unwrap().items, other.processes().unwrap().items);
}

/// Segments do not overlap, have the bytes that the kernel has at their addresses, and share those of the file.
fn check_segments(kvm: &Kvm, core: &[u8], memory: u64) {
    let elf = ElfFile::parse(core).unwrap();
    let (mut behind, mut stored) = (0, BTreeMap::new());
    for header in elf.program_headers.iter().filter(|header| header.p_type == PT_LOAD) {
        assert!(header.p_vaddr >= behind, "{header:?}");
        assert_eq!(header.p_filesz, header.p_memsz);
        behind = header.p_vaddr.saturating_add(header.p_memsz);
        let mut bytes = vec![0; header.p_filesz as usize];
        kvm.space().read_exact(kgdbserver_arch::Va(header.p_vaddr), &mut bytes).unwrap();
        assert!(bytes == core[header.p_offset as usize..][..bytes.len()], "{header:?}");
        let pages = (header.p_paddr..header.p_paddr + header.p_filesz).step_by(4096);
        stored.extend(pages.zip((header.p_offset..).step_by(4096)));
    }
    let places: BTreeSet<u64> = stored.values().copied().collect();
    assert_eq!(places.len(), stored.len(), "every page has one place");
    assert!(stored.len() as u64 * 4096 <= memory);
}

#[test]
fn every_machines_becomes_an_elf_core() {
    for machine in ALL {
        let saved = on(machine);
        let kvm = saved.open().unwrap();
        if machine.word == 4 && kvm.image().memory.pages().any(|pa| pa.0 > u32::MAX.into()) {
            let error = write_to(&kvm, &saved.path("dump"), ELF, false).unwrap_err().to_string();
            assert!(error.contains("no room for memory above 4 GiB"), "{}: {error}", machine.name);
            continue;
        }
        let (core, written) = dumped(&kvm, Some(&saved.kernel), ELF, &saved.folder);
        assert_eq!(written.lost, 0, "{}", machine.name);
        check_same(&kvm, &core);
        check_segments(&kvm, &std::fs::read(saved.path("dump")).unwrap(), written.memory);
    }
}

#[test]
fn a_core_becomes_another() {
    let saved = Saved::small();
    let kvm = saved.open().unwrap();
    let (core, _) = dumped(&kvm, Some(&saved.kernel), ELF, &saved.folder);
    let again = tempfile::tempdir().unwrap();
    check_same(&kvm, &dumped(&core, Some(&saved.kernel), Format::Elf(Abi::Linux), &again).0);
}

/// Where a note has these registers: bytes from its beginning, by the systems' headers.
type Places = &'static [(&'static str, usize)];

/// A note's owner and its length, where the thread's number is, and some registers.
static NOTES: &[(&Machine, Abi, &str, usize, usize, Places)] = &[
    (&machine::AMD64, Abi::FreeBsd, "FreeBSD", 224, 40, &[("rip", 184), ("rsp", 208), ("rbp", 128)]),
    (&machine::AMD64, Abi::Linux, "CORE", 336, 32, &[("rip", 240), ("rsp", 264), ("rbp", 144)]),
    (&machine::ARM64, Abi::FreeBsd, "FreeBSD", 320, 40, &[("pc", 304), ("sp", 296), ("x29", 280)]),
    (&machine::ARM64, Abi::Linux, "CORE", 392, 32, &[("pc", 368), ("sp", 360), ("x29", 344)]),
    (&machine::I386, Abi::FreeBsd, "FreeBSD", 104, 24, &[("eip", 80), ("esp", 92), ("ebp", 48)]),
    (&machine::RISCV64, Abi::FreeBsd, "FreeBSD", 312, 40, &[("pc", 296), ("sp", 56), ("fp", 136)]),
    (&machine::ARM, Abi::FreeBsd, "FreeBSD", 96, 24, &[("pc", 88), ("sp", 80), ("r11", 72)]),
    (&machine::PPC64, Abi::FreeBsd, "FreeBSD", 344, 40, &[("pc", 336), ("r1", 56), ("r31", 296)]),
];

#[test]
fn every_thread_has_a_note() {
    for (machine, abi, owner, len, tid_at, places) in NOTES {
        let saved = on(machine);
        dumped(&saved.open().unwrap(), None, Format::Elf(*abi), &saved.folder);
        let core = std::fs::read(saved.path("dump")).unwrap();
        let elf = ElfFile::parse(&core).unwrap();
        let notes: Vec<_> = elf.iter_note_headers(&core).unwrap().map(Result::unwrap).collect();
        let prstatus: Vec<&[u8]> = notes
            .iter()
            .filter(|note| note.name == *owner && note.n_type == 1)
            .map(|note| note.desc)
            .collect();
        let facts = &saved.built.facts;
        assert_eq!(prstatus.len(), facts.threads.len(), "{}", machine.name);
        let number = |bytes: &[u8]| match machine.endian {
            Endian::Little => bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            Endian::Big => bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        let tid = |note: &[u8]| number(&note[*tid_at..][..4]) as u32;
        let crashed = |thread: &&ThreadFacts| thread.crashed;
        assert_eq!(Some(tid(prstatus[0])), facts.threads.iter().find(crashed).map(|thread| thread.tid));
        for note in prstatus {
            assert_eq!(note.len(), *len, "{}", machine.name);
            let known: BTreeMap<&str, u64> = known_registers(facts.thread(tid(note))).into_iter().collect();
            for (name, at) in *places {
                let word = number(&note[*at..][..machine.word as usize]);
                assert_eq!(word, known.get(name).copied().unwrap_or(0), "{} {name}", machine.name);
            }
        }
        let names = notes.iter().filter(|note| note.name == "FreeBSD" && note.n_type == 7);
        let names: Vec<_> = names.map(|note| note.desc.split(|byte| *byte == 0).next().unwrap()).collect();
        let expected = if *abi == Abi::Linux { 0 } else { facts.threads.len() };
        assert_eq!(names.len(), expected);
        assert!(expected == 0 || names[0] == b"sysctl");
        assert_eq!(elf.program_headers.iter().filter(|header| header.p_type == PT_NOTE).count(), 1);
    }
}

/// What the file lacks is neither in the core nor zeros; of a page that it has a part of, that part is.
#[test]
fn what_a_file_lacks_is_left_out() {
    let saved = Saved::small();
    let whole = std::fs::read(&saved.vmcore).unwrap();
    let cut = saved.write("cut", &whole[..whole.len() - 0x3800]);
    let kvm = open(Some(&saved.kernel), &cut, false).unwrap();
    let (core, written) = dumped(&kvm, Some(&saved.kernel), ELF, &saved.folder);
    assert_eq!(written.lost, 0x3800);
    let last = kvm.image().memory.pages().collect::<Vec<_>>().into_iter().rev().nth(3).unwrap();
    assert_eq!(page(&core, last.0), page(&kvm, last.0));
    assert_eq!(page(&core, last.0).unwrap().len(), 0x800);
    assert_eq!(page(&core, last.0 + 0x800), Err(describe(Fault::NotInImage(Pa(last.0 + 0x800)))));
    let (copy, written) = dumped(&kvm, Some(&saved.kernel), Format::Minidump, &saved.folder);
    assert_eq!(written.lost, 4 * 4096);
    assert_eq!(copy.census(), kvm.census());
}

#[test]
fn a_minidump_comes_out_of_its_wrapping_as_it_was() {
    let saved = Saved::small();
    let vmcore = std::fs::read(&saved.vmcore).unwrap();
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&vmcore).unwrap();
    let packed = gzip.finish().unwrap();
    for (name, bytes) in
        [("plain", vmcore.clone()), ("packed.gz", packed), ("device", Device::with(&vmcore).build())]
    {
        let kvm = Kvm::open_with(
            &saved.write(name, &bytes),
            Options {
                image: kgdbserver::image::Settings {
                    cache: Some(saved.path("cache")),
                    ..kgdbserver::image::Settings::default()
                },
                ..Options::default()
            },
        );
        let written = write_to(&kvm.unwrap(), &saved.path("dump"), Format::Minidump, true).unwrap();
        assert!(std::fs::read(saved.path("dump")).unwrap() == vmcore, "{name}");
        assert_eq!((written.lost, written.file), (0, vmcore.len() as u64));
    }
}

#[test]
fn a_minidump_has_the_changes_of_an_overlay() {
    let saved = Saved::small();
    let hz = saved.built.facts.symbol("hz");
    let over = saved.open().unwrap().with_overlay(LIMIT);
    over.write(hz as usize, &[7]).unwrap();
    for format in [Format::Minidump, ELF] {
        let (other, _) = dumped(&over, Some(&saved.kernel), format, &saved.folder);
        assert_eq!(other.space().uint(kgdbserver_arch::Va(hz), 4).unwrap(), 7, "{format:?}");
    }
    let (mut expected, at) = (std::fs::read(&saved.vmcore).unwrap(), saved.built.layout.offset(hz).unwrap());
    expected[at] = 7;
    write_to(&over, &saved.path("dump"), Format::Minidump, true).unwrap();
    assert!(std::fs::read(saved.path("dump")).unwrap() == expected);
}

/// The published ones, of which one ends within a page.
#[test]
fn real_minidumps() {
    for real in [support::real::amd64(), support::real::arm64()].into_iter().flatten() {
        let folder = tempfile::tempdir().unwrap();
        let kvm = open(Some(&real.kernel), &real.vmcore, false).unwrap();
        let (core, _) = dumped(&kvm, Some(&real.kernel), ELF, &folder);
        let threads = core.threads().unwrap().items;
        assert_eq!(threads, kvm.threads().unwrap().items);
        assert_eq!(threads.len(), real.expected["threads"].as_array().unwrap().len());
        for thread in &threads {
            let registers = core.registers(thread).unwrap();
            assert_eq!(registers, kvm.registers(thread).unwrap());
            assert_eq!(core.backtrace(&registers), kvm.backtrace(&registers));
        }
        write_to(&kvm, &folder.path().join("dump"), Format::Minidump, true).unwrap();
        let same = std::fs::read(folder.path().join("dump")).unwrap() == std::fs::read(&real.vmcore).unwrap();
        assert!(same);
    }
}

/// A note that leads nowhere, and one that is too short.
#[test]
fn a_core_whose_note_is_wrong_is_refused() {
    let saved = Saved::small();
    dumped(&saved.open().unwrap(), None, ELF, &saved.folder);
    let core = std::fs::read(saved.path("dump")).unwrap();
    let name = core.windows(11).position(|bytes| bytes == b"kgdbserver\0").unwrap();
    let says = |at: usize, bytes: &[u8], text: &str| {
        let mut bad = core.clone();
        bad[at..at + bytes.len()].copy_from_slice(bytes);
        let error = open(None, &saved.write("bad", &bad), true).err().unwrap().to_string();
        assert!(error.contains(text), "{error}");
    };
    let contents = name + 12;
    says(contents, &u64::MAX.to_le_bytes(), "no magic");
    says(contents, &0x1000u64.to_le_bytes(), "no magic");
    says(contents + 8, &0x2000u64.to_le_bytes(), "the page tables go beyond their place");
}
