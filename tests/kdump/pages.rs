//! Pages: how they are packed, and how they are read.

use super::synth::Kdump;
use super::synth::kdump::{DESCRIPTOR, PACKINGS, Packing};
use super::{CUT_OFF, at, check_pages, dump, open};
use kgdbserver::image::{Addr, Image};
use kgdbserver_arch::{Fault, Pa};

#[test]
fn pages_of_every_size() {
    for block in [4096, 8192, 16384, 65536] {
        let mut dump = Kdump { block, ..Kdump::new(10_000) };
        for (number, packing) in (3..).zip(PACKINGS) {
            dump.page(number, &format!("page {number:x}"), packing);
        }
        dump.page(9000, "page 2328", Packing::Zstd);
        dump.excluded.extend([8, 9]);
        let image = open(&dump.build().0).unwrap();
        assert_eq!(1 << image.page_shift, block);
        check_pages(&image);
    }
}

/// QEMU dumps arm64 in blocks of 64 KiB, whatever the kernel's page is.
#[test]
fn a_block_may_be_several_pages() {
    let vmcoreinfo = b"OSRELEASE=6.1.0\nPAGESIZE=4096\n".to_vec();
    let mut dump = Kdump { block: 65536, vmcoreinfo, ..Kdump::new(100) };
    dump.page(2, "block 2", Packing::Zlib);
    dump.page(7, "block 7", Packing::Zlib);
    let (file, _) = dump.build();
    let image = open(&file).unwrap();
    assert_eq!(image.page_shift, 12);
    let pages: Vec<u64> = image.memory.pages().map(|pa| pa.0).collect();
    let expected: Vec<u64> =
        [0x20000, 0x70000].into_iter().flat_map(|pa| (pa..pa + 0x10000).step_by(4096)).collect();
    assert_eq!(pages, expected);
    assert_eq!([at(&image, 0x20), at(&image, 0x70)], ["block 2", "block 7"]);
    let mut bytes = [0; 1];
    assert_eq!(image.memory.read(Addr::Phys(Pa(0x7_ffff)), &mut bytes), Ok(1));
    assert_eq!(bytes[0], dump.pages[&7].0[0xffff]);
    let census = open(&file[..file.len() - 1]).unwrap().memory.census();
    assert_eq!((census.dumped, census.cut_off), (32, 16));
}

/// Where nothing tells the kernel's page, each that there may be is listed.
#[test]
fn a_block_of_qemus_may_be_several_pages() {
    let kdump = |sysname| {
        let mut dump = Kdump { block: 65536, ..Kdump::new(100) };
        dump.utsname[0] = sysname;
        dump.page(2, "block 2", Packing::Zlib);
        let image = open(&dump.build().0).unwrap();
        (image.page_shift, image.memory.census().dumped)
    };
    assert_eq!([kdump("Linux"), kdump("")], [(16, 1), (12, 16)]);
}

/// What VMCOREINFO says of the page size counts only if it can be.
#[test]
fn nonsense_of_a_page_size_is_not_believed() {
    for size in ["0", "1024", "5000", "131072", "-4096", "99999999999999999999"] {
        let vmcoreinfo = format!("PAGESIZE={size}\n").into_bytes();
        let image = open(&Kdump { vmcoreinfo, ..dump() }.build().0).unwrap();
        assert_eq!(image.page_shift, 12, "{size}");
    }
}

/// makedumpfile and QEMU write a page of zeros once.
#[test]
fn pages_may_share_their_bytes() {
    let mut dump = dump();
    dump.page(4000, "", Packing::Zlib);
    let (mut file, layout) = dump.build();
    let fourth = layout.descriptors + 4 * DESCRIPTOR;
    file.copy_within(fourth..fourth + DESCRIPTOR, fourth - DESCRIPTOR);
    let image = open(&file).unwrap();
    assert_eq!([at(&image, 6), at(&image, 7)], ["page 7", "page 7"]);
}

/// Where each byte tells its address.
fn numbered(packing: Packing, pages: u64) -> Image {
    let mut dump = Kdump::new(2 * pages);
    for number in (0..pages).filter(|number| number % 50 != 49) {
        let words = (number * 4096..(number + 1) * 4096).step_by(8);
        dump.pages.insert(number, (words.flat_map(u64::to_le_bytes).collect(), packing));
    }
    dump.excluded.extend((0..pages).filter(|number| number % 50 == 49));
    open(&dump.build().0).unwrap()
}

fn is_right(at: u64, bytes: &[u8]) -> bool {
    let word = |address: u64| (address / 8 * 8).to_le_bytes()[(address % 8) as usize];
    bytes.iter().zip(at..).all(|(byte, address)| *byte == word(address))
}

#[test]
fn a_read_goes_on_to_the_first_page_that_is_not_there() {
    for packing in PACKINGS {
        let image = numbered(packing, 100);
        for (start, len, expected) in [
            (0, 8, 8),
            (4090, 100, 100),
            (5, 10 * 4096, 10 * 4096),
            (40 * 4096 + 1, 20 * 4096, 9 * 4096 - 1),
            (98 * 4096, 8192, 4096),
            (7, 0, 0),
        ] {
            let mut bytes = vec![0xaa; len];
            assert_eq!(
                image.memory.read(Addr::Phys(Pa(start)), &mut bytes),
                Ok(expected),
                "{packing:?} {start:#x}"
            );
            assert!(is_right(start, &bytes[..expected]), "{packing:?} {start:#x}");
            assert!(bytes[expected..].iter().all(|byte| *byte == 0xaa));
        }
    }
}

/// One page after the other, so that a helper goes ahead; and by several readers at once.
#[test]
fn readers_and_their_helper_agree() {
    for packing in [Packing::Zlib, Packing::Zstd] {
        // More than the cache holds.
        let image = numbered(packing, 6000);
        let read = |start: u64| {
            for number in (0..6000).map(|number| (number + start) % 6000) {
                let mut page = [0; 4096];
                let expected =
                    if number % 50 == 49 { Err(Fault::Excluded(Pa(number * 4096))) } else { Ok(4096) };
                assert_eq!(image.memory.read(Addr::Phys(Pa(number * 4096)), &mut page), expected);
                assert!(expected.is_err() || is_right(number * 4096, &page), "page {number}");
            }
        };
        std::thread::scope(|scope| {
            for start in [0, 0, 3000] {
                scope.spawn(move || read(start));
            }
        });
    }
}

#[test]
fn where_a_page_lies() {
    let (file, layout) = dump().build();
    let image = open(&file).unwrap();
    assert_eq!(image.memory.locate(Pa(0x3123)), Ok(layout.data as u64 + 0x123), "stored");
    assert_eq!(image.memory.locate(Pa(0x4123)), Ok(layout.data as u64 + 4096), "packed: its first byte");
    assert_eq!(image.memory.locate(Pa(0x8000)), Err(Fault::Excluded(Pa(0x8000))));
    assert_eq!(image.memory.locate(Pa(0xa000)), Err(Fault::NotInImage(Pa(0xa000))));
}

#[test]
fn memory_is_physical_and_the_file_can_be_read_to_its_end() {
    let (file, _) = dump().build();
    let image = open(&file).unwrap();
    let mut bytes = vec![0; 100];
    let memory = &image.memory;
    assert_eq!(memory.read(Addr::Virt(kgdbserver_arch::Va(0x3000)), &mut bytes), Err(Fault::NoRegion));
    assert_eq!(memory.read(Addr::File(file.len() as u64 - 60), &mut bytes), Ok(60));
    assert_eq!(bytes[..60], file[file.len() - 60..]);
    let end = file.len() as u64;
    assert_eq!(memory.read(Addr::File(end), &mut bytes), Err(Fault::CutOff(Pa(end))));
}

/// A disk that was full: the flag is set, and the last descriptors were never written.
#[test]
fn an_incomplete_dump() {
    let (mut file, layout) = Kdump { status: 1 | 8, ..dump() }.build();
    file[layout.descriptors + 4 * DESCRIPTOR..layout.data].fill(0);
    let image = open(&file).unwrap();
    assert_eq!([at(&image, 6), at(&image, 7), at(&image, 9000)], ["page 6", CUT_OFF, CUT_OFF]);
    let census = image.memory.census();
    assert_eq!((census.dumped, census.cut_off), (6, 2));
    let [incomplete, missing] = &image.warnings[..] else { panic!("{:?}", image.warnings) };
    assert!(incomplete.contains("not all pages could be written"), "{incomplete}");
    assert!(missing.contains("2 of 6 pages are missing"), "{missing}");
}

#[test]
fn the_status_tells_of_what_is_odd() {
    for (status, words) in [(0x20, None), (0x10, Some("unused pages")), (0x40, Some("does not know"))] {
        let image = open(&Kdump { status, ..dump() }.build().0).unwrap();
        check_pages(&image);
        assert_eq!(image.warnings.len(), usize::from(words.is_some()), "{:?}", image.warnings);
        assert!(words.is_none_or(|words| image.warnings[0].contains(words)), "{:?}", image.warnings);
    }
}
