//! The builders of synthetic images against other judges: binutils, gdb, and translations done by hand.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

mod synth;

use std::process::Command;
use synth::freebsd::{Built, ListEnd, StopPcbs, System};
use synth::minidump::{HUGEPAGE, Minidump, OLD_KERNBASE, PAGE, Rights, SUPERPAGE};

/// Runs a tool; `None` if it is not installed.
fn run(tool: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(tool).args(arguments).output().ok()?;
    assert!(output.stderr.is_empty(), "{tool}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).expect("text"))
}

fn word(file: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(file[at..at + 8].try_into().expect("eight bytes"))
}

fn int(file: &[u8], at: usize) -> usize {
    u32::from_le_bytes(file[at..at + 4].try_into().expect("four bytes")) as usize
}

/// A reader that takes nothing from the builder but the file.
struct Reader {
    file: Vec<u8>,
    version: usize,
    kernbase: u64,
    avail: usize,
    bitmap: usize,
    pmap: usize,
    sparse: usize,
}

impl Reader {
    fn new(file: Vec<u8>) -> Self {
        let page = |size: usize| size.div_ceil(4096) * 4096;
        let version = int(&file, 24);
        let avail = 4096 + page(int(&file, 28));
        let bitmap = avail + if version == 3 { page(int(&file, 64)) } else { 0 };
        let pmap = bitmap + page(int(&file, 32));
        let sparse = pmap + page(int(&file, 36));
        let kernbase = word(&file, 40);
        Self { file, version, kernbase, avail, bitmap, pmap, sparse }
    }

    fn translate(&self, va: u64) -> Option<u64> {
        const FRAME: u64 = 0x000f_ffff_ffff_f000;
        let entry = |shift: u32| word(&self.file, self.pmap + ((va - self.kernbase) >> shift) as usize * 8);
        let valid = |entry: u64| (entry & 1 == 1).then_some(entry);
        if self.version == 1 {
            return Some((valid(entry(12))? & FRAME) + va % 4096);
        }
        let pde = valid(entry(21))?;
        if pde & 0x80 != 0 {
            return Some((pde & FRAME & !0x1f_ffff) + va % (2 << 20));
        }
        let pte = word(&self.file, self.offset(pde & FRAME)? + ((va >> 12) & 511) as usize * 8);
        Some((valid(pte)? & FRAME) + va % 4096)
    }

    fn offset(&self, pa: u64) -> Option<usize> {
        let index = self.index(pa)?;
        let bit = |i: usize| self.file[self.bitmap + i / 8] & (1 << (i % 8)) != 0;
        let rank = (0..index).filter(|i| bit(*i)).count();
        bit(index).then_some(self.sparse + rank * 4096 + (pa % 4096) as usize)
    }

    fn index(&self, pa: u64) -> Option<usize> {
        if self.version < 3 {
            return Some((pa / 4096) as usize);
        }
        let mut before = 0;
        for pair in (self.avail..).step_by(16) {
            let (start, end) = (word(&self.file, pair), word(&self.file, pair + 8));
            if end == 0 {
                return None;
            }
            if (start..end).contains(&pa) {
                return Some((before + (pa - start) / 4096) as usize);
            }
            before += (end - start) / 4096;
        }
        None
    }
}

fn system(version: u32) -> Built {
    System { dump_version: version, ..System::small() }.build()
}

#[test]
fn every_version_translates_by_hand() {
    for version in 1..=3 {
        let built = system(version);
        let reader = Reader::new(built.vmcore.clone());
        let rsp = built.facts.thread(100_670).register("rsp").expect("rsp");
        for va in [built.facts.symbol("panic"), built.facts.symbol("version"), rsp] {
            let pa = reader.translate(va).unwrap_or_else(|| panic!("v{version}: {va:#x} is not mapped"));
            assert_eq!(Some(pa), built.layout.physical(va), "v{version}: {va:#x}");
            assert_eq!(reader.offset(pa), built.layout.offset(va), "v{version}: {va:#x}");
        }
        let panic = built.layout.offset(built.facts.symbol("panic")).expect("dumped");
        assert_eq!(&reader.file[panic..panic + 4], [0x55, 0x48, 0x89, 0xe5], "v{version}");
    }
}

#[test]
fn frame_pointers_lead_through_the_backtrace() {
    for version in 1..=3 {
        let built = system(version);
        let at = |va: u64| word(&built.vmcore, built.layout.offset(va).expect("dumped"));
        for thread in &built.facts.threads {
            let mut walked = vec![thread.register("rip").expect("rip")];
            let mut frame = thread.register("rbp").expect("rbp");
            while frame != 0 {
                walked.push(at(frame + 8));
                frame = at(frame);
            }
            assert_eq!(walked, thread.backtrace, "v{version}: {}", thread.name);
            assert_eq!(at(thread.pcb.expect("a pcb") + 56), walked[0]);
        }
    }
}

#[test]
fn the_newest_process_comes_first() {
    let facts = system(3).facts;
    assert_eq!(facts.pids, [800, 28, 11, 1, 0]);
    assert_eq!(facts.threads[0].name, "sysctl");
    assert_eq!(facts.threads[0].backtrace[2], facts.symbol("panic") + 0x43);
}

#[test]
fn huge_mappings_are_expanded() {
    let mut dump = Minidump::new(2);
    dump.map(dump.kernbase + HUGEPAGE, 0, HUGEPAGE, Rights::Write);
    dump.write_physical(0x30_0000, b"here");
    let (file, layout) = dump.build();
    let reader = Reader::new(file);
    let va = dump.kernbase + HUGEPAGE + 0x30_0000;
    assert_eq!(layout.pmap.len() as u64, 2 * PAGE);
    assert_eq!(reader.translate(va + 3 * SUPERPAGE), Some(0x30_0000 + 3 * SUPERPAGE));
    assert_eq!(reader.offset(reader.translate(va).expect("mapped")), layout.offset(va));
    assert_eq!(layout.offset(va + PAGE), None, "mapped, not dumped");
}

#[test]
fn a_near_kernbase_makes_a_small_dump() {
    let built = System { kernbase: Some(OLD_KERNBASE), ..System::small() }.build();
    assert!(built.vmcore.len() < 1 << 20, "{} bytes", built.vmcore.len());
}

#[test]
fn every_fault_can_be_built() {
    let mut system = System { stoppcbs: StopPcbs::Array, stopped_cpus: vec![0], ..System::small() };
    system.process_list_end = ListEnd::Hole;
    system.process(28).thread_list_end = ListEnd::Cycle;
    system.process(1).comm = "a name of more than twenty bytes".into();
    system.thread(100_000).pcb_unreadable = true;
    let facts = system.build().facts;
    assert_eq!(facts.thread(100_002).comm, "a name of more than ");
    assert!(facts.thread(100_000).registers.is_empty());
    assert_eq!(facts.thread(100_004).pcb, None, "CPU 1 did not stop");
    assert_eq!(facts.thread(100_003).pcb, Some(facts.symbol("stoppcbs")));
}

#[test]
fn readelf_accepts_the_kernel() {
    let directory = tempfile::tempdir().expect("a directory");
    let (kernel, _) = system(3).save(directory.path());
    let kernel = kernel.to_str().expect("a path");
    let Some(listing) = run("readelf", &["-hlSsnW", kernel]) else {
        return eprintln!("skipped: no readelf");
    };
    for line in ["UNIX - FreeBSD", "FUNC    GLOBAL DEFAULT    1 panic", "ABS kernbase", "Build ID: 6120"] {
        assert!(listing.contains(line), "{line} is not in\n{listing}");
    }
}

#[test]
fn gdb_accepts_the_kernel() {
    let directory = tempfile::tempdir().expect("a directory");
    let (kernel, _) = system(3).save(directory.path());
    let file = format!("file {}", kernel.display());
    let commands = ["set osabi none", &file, "info symbol panic", "x/2i panic", "x/s &version"];
    let arguments: Vec<&str> = commands.iter().flat_map(|command| ["-ex", command]).collect();
    let Some(output) = run("gdb", &[&["-nx", "-batch"], &arguments[..]].concat()) else {
        return eprintln!("skipped: no gdb");
    };
    for line in ["panic in section .text", "push   %rbp", "mov    %rsp,%rbp", "FreeBSD 15.0-RELEASE"] {
        assert!(output.contains(line), "{line} is not in\n{output}");
    }
}
