//! Files that are cut off, damaged, or made to do harm.

use super::synth::kdump::{DESCRIPTOR, Packing};
use super::synth::{Kdump, put};
use super::{CUT_OFF, DAMAGED, at, dump, open};
use std::time::{Duration, Instant};

#[track_caller]
fn refused(file: &[u8], words: &str) {
    let error = open(file).expect_err("it was opened").to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn cut_off_anywhere() {
    let (file, layout) = dump().build();
    refused(&file[..300], "cut off in its header");
    for len in [512, 4096, 5000, layout.bitmaps, layout.bitmaps + 5000, layout.descriptors - 1] {
        refused(&file[..len], "cut off before its first page");
    }
    // In the third descriptor, behind all of them, in the last page.
    for (len, missing) in [
        (layout.descriptors + 2 * DESCRIPTOR + 5, 6),
        (layout.data, 6),
        (layout.data + 4096, 5),
        (file.len() - 1, 1),
    ] {
        let image = open(&file[..len]).unwrap();
        let pages = [3, 4, 5, 6, 7, 9000].map(|page| at(&image, page));
        let there = 6 - missing;
        assert_eq!(pages[..there], ["page 3", "page 4", "page 5", "page 6", "page 7"][..there], "{len:#x}");
        assert!(pages[there..].iter().all(|why| why == CUT_OFF), "{len:#x}: {pages:?}");
        assert_eq!(
            (image.memory.census().dumped, image.memory.census().cut_off),
            (6, missing as u64),
            "{len:#x}"
        );
        assert_eq!(image.warnings, [format!("the file is cut off: {missing} of 6 pages are missing")]);
    }
}

/// A whole file whose last pages are zeros, which lie in front.
#[test]
fn the_last_page_in_the_file_need_not_be_the_last_one_of_memory() {
    let (mut file, layout) = dump().build();
    let zeros = layout.descriptors..layout.descriptors + DESCRIPTOR;
    file.copy_within(zeros, layout.descriptors + 5 * DESCRIPTOR);
    let last = u64::from_le_bytes(file[layout.descriptors + 4 * DESCRIPTOR..][..8].try_into().unwrap());
    assert_eq!(open(&file).unwrap().warnings, [""; 0]);
    let image = open(&file[..last as usize + 10]).unwrap();
    assert_eq!(image.memory.census().cut_off, 1);
    assert_eq!([at(&image, 7), at(&image, 9000)], [CUT_OFF, "page 3"]);
}

/// The first page's descriptor, replaced.
fn with_descriptor(offset: impl Fn(u64) -> u64, size: u32, flags: u32) -> String {
    let dump = dump();
    let (mut file, layout) = dump.build();
    let descriptor = dump.descriptor(offset(layout.data as u64), size, flags);
    put(&mut file, layout.descriptors, &descriptor);
    let image = open(&file).unwrap();
    assert_eq!(at(&image, 4), "page 4", "a bad page loses itself only");
    at(&image, 3)
}

#[test]
fn descriptors_that_cannot_be() {
    let same = |data: u64| data;
    for (what, found, expected) in [
        ("as it should be", with_descriptor(same, 4096, 0), "page 3"),
        ("a stored page that is short", with_descriptor(same, 4095, 0), DAMAGED),
        ("a stored page that is long", with_descriptor(same, 4097, 0), DAMAGED),
        ("a packed page that is longer than a page", with_descriptor(same, 4097, 1), DAMAGED),
        ("no bytes", with_descriptor(same, 0, 1), DAMAGED),
        ("as many bytes as there can be", with_descriptor(same, u32::MAX, 1), DAMAGED),
        ("an unknown flag", with_descriptor(same, 4096, 0x40), DAMAGED),
        ("two flags", with_descriptor(same, 4096, 3), DAMAGED),
        ("not packed so", with_descriptor(same, 4096, 1), DAMAGED),
        ("not packed so", with_descriptor(same, 4096, 2), DAMAGED),
        ("not packed so", with_descriptor(same, 4096, 4), DAMAGED),
        ("not packed so", with_descriptor(same, 4096, 0x20), DAMAGED),
        ("never written", with_descriptor(|_| 0, 0, 0), CUT_OFF),
        ("in the header", with_descriptor(|_| 1, 4096, 0), DAMAGED),
        ("a little behind the end", with_descriptor(|data| data + 0x5000, 4096, 0), CUT_OFF),
        ("far behind the end", with_descriptor(|data| data + (1 << 30), 4096, 0), DAMAGED),
        ("at the end of all", with_descriptor(|_| u64::MAX - 100, 4096, 0), DAMAGED),
    ] {
        assert_eq!(found, expected, "{what}");
    }
}

/// What packs more, or less, than a page.
#[test]
fn pages_that_unpack_to_another_size() {
    for packing in [Packing::Zlib, Packing::Lzo, Packing::Snappy, Packing::Zstd] {
        for len in [0, 1, 4095, 4097, 100_000, 50_000_000] {
            if packing == Packing::Lzo && !(1..=100_000).contains(&len) {
                continue; // the packer is slow, and takes no 0
            }
            let bomb = packing.pack(&vec![7; len]);
            let mut dump = Kdump { block: 65536, ..Kdump::new(100) };
            dump.page(5, "page 5", Packing::Stored);
            let (mut file, layout) = dump.build();
            file.truncate(layout.data);
            let size = bomb.len().min(65536);
            file.extend(&bomb[..size]);
            let descriptor = dump.descriptor(layout.data as u64, size as u32, packing.flag());
            put(&mut file, layout.descriptors, &descriptor);
            let image = open(&file).unwrap();
            let start = Instant::now();
            assert_eq!(at(&image, 5), DAMAGED, "{packing:?} {len}");
            assert!(start.elapsed() < Duration::from_secs(2), "{packing:?} {len}");
        }
    }
}

/// Members of a 64-bit header and its sub-header: offset, bytes.
const MEMBERS: [(&str, usize, usize); 9] = [
    ("header_version", 8, 4),
    ("block_size", 428, 4),
    ("sub_hdr_size", 432, 4),
    ("bitmap_blocks", 436, 4),
    ("max_mapnr", 440, 4),
    ("split", 4096 + 12, 4),
    ("end_pfn_64", 4096 + 88, 8),
    ("start_pfn_64", 4096 + 80, 8),
    ("max_mapnr_64", 4096 + 96, 8),
];

/// The file with some members changed.
fn with(changes: &[(&str, u64)]) -> Vec<u8> {
    let (mut file, _) = dump().build();
    for (name, value) in changes {
        let (_, at, len) = MEMBERS.iter().find(|(member, ..)| member == name).unwrap();
        put(&mut file, *at, &value.to_le_bytes()[..*len]);
    }
    file
}

#[test]
fn headers_that_cannot_be() {
    const NONSENSE: &str = "no byte order and width of the writer make sense of the header";
    for (changes, words) in [
        (&[("block_size", 0)][..], NONSENSE),
        (&[("block_size", 512)], NONSENSE),
        (&[("block_size", 5000)], NONSENSE),
        (&[("block_size", 1 << 20)], NONSENSE),
        (&[("header_version", 1 << 20)], NONSENSE),
        (&[("sub_hdr_size", 0)], NONSENSE),
        (&[("bitmap_blocks", 0)], NONSENSE),
        (&[("max_mapnr", 1 << 31)], NONSENSE),
        (&[("sub_hdr_size", u32::MAX.into())], "cut off before its first page"),
        (&[("bitmap_blocks", u32::MAX.into())], "cut off before its first page"),
        (&[("block_size", 65536)], "cut off before its first page"),
        (&[("max_mapnr_64", 0)], "no pages"),
        (&[("max_mapnr_64", u64::MAX)], "pages, and a bitmap of"),
        (&[("max_mapnr_64", 70_000)], "pages, and a bitmap of"),
        (&[("split", 1)], "a part from page 0x0 to 0x0"),
        (&[("split", 1), ("start_pfn_64", 9), ("end_pfn_64", 5)], "a part from page 0x9 to 0x5"),
    ] {
        let error =
            open(&with(changes)).err().unwrap_or_else(|| panic!("{changes:?}: it was opened")).to_string();
        assert!(error.contains(words), "{changes:?}: {error}");
    }
}

/// Any byte of the headers and of the descriptors may be anything: an answer comes, and soon.
#[test]
fn any_byte_may_be_wrong() {
    let (file, layout) = dump().build();
    let start = Instant::now();
    let places = (0..12).chain(400..512).chain(4096..4096 + 120).chain(layout.descriptors..layout.data);
    for place in places {
        for value in [0, 1, 0x10, 0x7f, 0x80, 0xff] {
            let mut file = file.clone();
            file[place] = value;
            let Ok(image) = open(&file) else { continue };
            for number in [3, 4, 5, 6, 7, 9000] {
                let _ = at(&image, number);
            }
            let _ = (image.memory.census(), image.memory.locate(kgdbserver_arch::Pa(0x4000)));
        }
    }
    assert!(start.elapsed() < Duration::from_secs(60));
}
