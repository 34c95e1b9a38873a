//! Dumps that are written: they hold what the image held, and nothing else.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod files;
mod minidumps;
#[path = "../support/mod.rs"]
mod support;
#[path = "../synth/mod.rs"]
mod synth;

use kgdbserver::dump::{self, Abi, Format, Packing, Settings, Written};
use kgdbserver::image::Addr;
use kgdbserver::image::overlay::LIMIT;
use kgdbserver::kvm::{Kvm, Options};
use kgdbserver::{Result, describe, report};
use kgdbserver_arch::{Fault, Pa};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use support::linux::guests;
use support::{Saved, open};
use synth::elfcore::ProgramHeader;
use synth::freebsd::{Full, Kernphys};
use synth::kdump::PACKINGS;
use synth::linux::{Linux, Shapes};
use synth::{Elf, ElfCore, Endian, Kdump, System};
use tempfile::TempDir;

const ELF: Format = Format::Elf(Abi::FreeBsd);
const FORMATS: [Format; 3] = [ELF, Format::Kdump(Packing::Zstd), Format::Kdump(Packing::Zlib)];

fn write_to(kvm: &Kvm, path: &Path, format: Format, replace: bool) -> Result<Written> {
    let (progress, stop) = (|_, _| (), AtomicBool::new(false));
    dump::write(kvm, path, &Settings { format, replace, progress: &progress, stop: &stop })
}

/// Writes a dump and opens it.
fn dumped(kvm: &Kvm, kernel: Option<&Path>, format: Format, folder: &TempDir) -> (Kvm, Written) {
    let path = folder.path().join("dump");
    let written = write_to(kvm, &path, format, true).unwrap();
    assert_eq!(path.metadata().unwrap().len(), written.file);
    (open(kernel, &path, false).unwrap(), written)
}

/// A page's bytes, or why there are none.
fn page(kvm: &Kvm, pa: u64) -> Result<Vec<u8>, String> {
    let mut bytes = vec![0; 4096];
    match kvm.image().memory.read(Addr::Phys(Pa(pa)), &mut bytes) {
        Ok(got) => Ok(bytes[..got].to_vec()),
        Err(why) => Err(describe(why)),
    }
}

/// Both images say the same of all of their pages, and of those around them.
#[track_caller]
fn check_pages(one: &Kvm, other: &Kvm) {
    let pages = |kvm: &Kvm| kvm.image().memory.pages().map(|pa| pa.0).collect::<Vec<_>>();
    let left_out = |kvm: &Kvm| kvm.image().memory.left_out().map(|pa| pa.0).collect::<Vec<_>>();
    assert_eq!(pages(one), pages(other));
    assert_eq!(left_out(one), left_out(other));
    let all: BTreeSet<u64> = pages(one).into_iter().chain(left_out(one)).collect();
    let behind: BTreeSet<u64> = all.iter().map(|pa| pa + 4096).collect();
    for pa in all.union(&behind) {
        assert!(page(one, *pa) == page(other, *pa), "{pa:#x}");
    }
}

/// What `info` says of the kernel, and not of the file.
fn about_the_kernel(kvm: &Kvm) -> Vec<(&'static str, String)> {
    const OF_THE_FILE: [&str; 6] = ["format", "size", "segments", "warning", "dump time", "pages"];
    report::info(kvm).into_iter().filter(|(name, _)| !OF_THE_FILE.contains(name)).collect()
}

#[test]
fn a_linux_dump_in_every_format() {
    for shapes in [Shapes::New, Shapes::Old] {
        let Some(built) = Linux::new(shapes) else { return };
        let (kernel, folder) = (built.kernel(), tempfile::tempdir().unwrap());
        let kvm = open(Some(&kernel), &built.save(), false).unwrap();
        for format in FORMATS {
            let (other, written) = dumped(&kvm, Some(&kernel), format, &folder);
            assert_eq!(written.lost, 0);
            check_pages(&kvm, &other);
            assert_eq!(other.linux().unwrap().info, kvm.linux().unwrap().info);
            assert_eq!(other.linux().unwrap().prstatus, kvm.linux().unwrap().prstatus);
            let threads = |kvm: &Kvm| format!("{:?}", kvm.threads().unwrap().items);
            assert_eq!(threads(&other), threads(&kvm));
            // And once more from what was written.
            let (third, _) = dumped(&other, Some(&kernel), ELF, &tempfile::tempdir().unwrap());
            check_pages(&kvm, &third);
        }
    }
}

/// One that crashed, and a healthy one of another machine.
#[test]
fn real_guests() {
    for guest in guests().iter().filter(|guest| ["amd64panic", "arm64"].contains(&guest.name.as_str())) {
        let folder = tempfile::tempdir().unwrap();
        let whole = folder.path().join("whole");
        for format in [ELF, Format::Kdump(Packing::Zstd)] {
            write_to(&guest.kvm, &whole, format, true).unwrap();
            let other = open(None, &whole, false).unwrap();
            let processes = |kvm: &Kvm| format!("{:?}", kvm.processes().unwrap().items);
            assert_eq!(processes(&other), processes(&guest.kvm), "{} {format:?}", guest.name);
            assert_eq!(other.threads().unwrap().items, guest.kvm.threads().unwrap().items, "{}", guest.name);
            for thread in &other.threads().unwrap().items {
                assert_eq!(other.registers(thread).ok(), guest.kvm.registers(thread).ok(), "{}", guest.name);
            }
        }
    }
}

/// What was left out of a kdump stays so in the ELF core that is made of it, and back.
#[test]
fn what_was_left_out_stays_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut source = Kdump::new(10_000);
    for (number, packing) in (3..).zip(PACKINGS) {
        source.page(number, &format!("page {number:x}"), packing);
    }
    source.page(9000, "page 2328", PACKINGS[1]);
    source.excluded.extend([1, 8, 9, 400]);
    let path = folder.path().join("source");
    std::fs::write(&path, source.build().0).unwrap();
    let kvm = open(None, &path, false).unwrap();
    let (core, written) = dumped(&kvm, None, ELF, &folder);
    assert_eq!((written.memory, written.lost), (6 * 4096, 0));
    check_pages(&kvm, &core);
    assert_eq!(page(&core, 0x8000), Err(describe(Fault::Excluded(Pa(0x8000)))));
    assert_eq!(page(&core, 0xa000), Err(describe(Fault::NotInImage(Pa(0xa000)))));
}

/// A file that ends early, and a page that does not unpack: counted, left out, and an error for who reads them.
#[test]
fn what_cannot_be_read_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let text = |byte: u8| vec![byte; 0x3000];
    let headers = vec![ProgramHeader::load(0x1000, &text(1)), ProgramHeader::load(0x8000, &text(2))];
    let mut bytes = ElfCore::linux(62, Endian::Little, headers).build();
    bytes.truncate(bytes.len() - 0x1001);
    let path = folder.path().join("source");
    std::fs::write(&path, &bytes).unwrap();
    let kvm = open(None, &path, false).unwrap();
    let (core, written) = dumped(&kvm, None, ELF, &folder);
    assert_eq!((written.memory, written.lost), (0x4000, 0x2000));
    assert_eq!(page(&core, 0x8000), Ok(vec![2; 4096]));
    assert_eq!(page(&core, 0x9000), Err(describe(Fault::NotInImage(Pa(0x9000)))));

    let mut source = Kdump::new(100);
    (3..6).for_each(|number| source.page(number, "page", PACKINGS[1]));
    let (mut bytes, layout) = source.build();
    let second = layout.descriptors + synth::kdump::DESCRIPTOR;
    let at = u64::from_le_bytes(bytes[second..second + 8].try_into().unwrap()) as usize;
    bytes[at..at + 4].fill(0xff);
    std::fs::write(&path, &bytes).unwrap();
    let kvm = open(None, &path, false).unwrap();
    assert!(page(&kvm, 0x4000).is_err());
    let (core, written) = dumped(&kvm, None, ELF, &folder);
    assert_eq!((written.memory, written.lost), (0x2000, 0x1000));
    assert_eq!(page(&core, 0x5000), page(&kvm, 0x5000));
    assert_eq!(page(&core, 0x4000), Err(describe(Fault::NotInImage(Pa(0x4000)))));
}

/// More segments than the header's 16 bits can count.
#[test]
fn every_other_page() {
    let folder = tempfile::tempdir().unwrap();
    let mut source = Kdump::new(140_000);
    (0..70_000).for_each(|number| source.page(2 * number, "page", PACKINGS[0]));
    let path = folder.path().join("source");
    std::fs::write(&path, source.build().0).unwrap();
    let (core, _) = dumped(&open(None, &path, false).unwrap(), None, ELF, &folder);
    assert_eq!(core.census().dumped, 70_000);
    assert!(page(&core, 139_998 << 12).unwrap().starts_with(b"page\0"));
}

mod freebsd {
    use super::*;

    fn full() -> Saved {
        let full = Full {
            loaded_at: 0x260_0000,
            kernphys: Kernphys::Variable,
            five_levels: false,
            high_memory: true,
        };
        Saved::new(System { full: Some(full), ..System::small() }.build())
    }

    #[test]
    fn raw_memory_becomes_a_full_dump() {
        let (saved, kvm) = files::memory();
        let (other, _) = dumped(&kvm, Some(&saved.kernel), ELF, &saved.folder);
        check_pages(&kvm, &other);
        assert_eq!(about_the_kernel(&other), about_the_kernel(&kvm));
        assert_eq!(other.threads().unwrap().items, kvm.threads().unwrap().items);
    }

    #[test]
    fn where_the_kernel_was_loaded_is_told_again() {
        let saved = full();
        let memory = &saved.built.memory.as_ref().unwrap().pages;
        let core = ElfCore::of_pages(62, Endian::Little, true, memory);
        let core = core.with_delta(0xffff_ffff_8000_0000, 0x260_0000, 2 << 20);
        let image = saved.write("full", &core.build());
        let kvm = open(Some(&saved.kernel), &image, false).unwrap();
        let (other, _) = dumped(&kvm, Some(&saved.kernel), ELF, &saved.folder);
        let delta = |kvm: &Kvm| kvm.image().plain.as_ref().unwrap().delta;
        assert_eq!(delta(&other), delta(&kvm));
        assert!(delta(&other).is_some());
        assert_eq!(about_the_kernel(&other), about_the_kernel(&kvm));
    }

    #[test]
    fn what_a_format_cannot_hold_is_refused() {
        let saved = full();
        let says = |image: &Path, format, text: &str| {
            let kvm = open(None, image, true).or_else(|_| open(Some(&saved.kernel), image, false)).unwrap();
            let error = write_to(&kvm, &saved.path("dump"), format, false).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
            assert!(!saved.path("dump").exists());
        };
        says(&saved.vmcore, Format::Kdump(Packing::Zlib), "only Linux has kdump-compressed dumps");
        let image = saved.write("raw", &synth::tables::raw(saved.built.memory.as_ref().unwrap()));
        says(&image, Format::Kdump(Packing::Zstd), "only Linux has kdump-compressed dumps");
        says(&image, Format::Minidump, "only a minidump is written as one, and this is a raw memory");
        let mut core = ElfCore::new(21, Endian::Big, true);
        let stored =
            ProgramHeader { vaddr: 0xc000_0000_0000_0000, ..ProgramHeader::load(u64::MAX, &[1; 0x1000]) };
        core.headers.push(stored);
        says(&saved.write("powerpc", &core.build()), ELF, "tells virtual addresses only");
    }
}
