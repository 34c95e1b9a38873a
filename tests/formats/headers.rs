//! Headers and what they describe.

use super::*;

#[test]
fn every_version_is_read_by_content() {
    for version in 1..=3 {
        let tables = u64::from(version > 1); // since version 2 a page table is a dumped page too
        check(
            version,
            "pages
            read low+0 10
            read low+2000 10
            read low+ffc 4
            read text+0 10
            read text+1000 10
            read dmap+1000 10
            read dmap+9e000 10
            read dmap+100000000 10
            read dmap+100000ffc 4
            physical 100001000",
            &format!(
                "pages: {} dumped, 0 missing
                read low+0 10: \"page 2000\", 0x10 bytes
                read low+2000 10: \"page 1000\", 0x10 bytes
                read low+ffc 4: \"end.\", 0x4 bytes
                read text+0 10: \"page 200000\", 0x10 bytes
                read text+1000 10: \"page 201000\", 0x10 bytes
                read dmap+1000 10: \"page 1000\", 0x10 bytes
                read dmap+9e000 10: \"page 9e000\", 0x10 bytes
                read dmap+100000000 10: \"page 100000000\", 0x10 bytes
                read dmap+100000ffc 4: \"end.\", 0x4 bytes
                physical 100001000: \"page 100001000\", 0x10 bytes",
                DUMPED.len() as u64 + tables
            ),
        );
    }
}

#[test]
fn the_header_is_told_as_it_is() {
    for version in 1..=3 {
        let (file, _) = dump(version);
        let saved = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(saved.path(), &file).unwrap();
        let kvm = open(None, saved.path(), false).unwrap();
        let image = kvm.image();
        assert_eq!((image.format, image.version), ("FreeBSD minidump", Some(version)));
        assert_eq!((image.size, image.page_shift), (file.len() as u64, 12));
        assert_eq!(image.machine.unwrap().arch.name, "x86_64");
    }
}

// The numbers are those of a list of inputs that were seen to break other readers. 28 (the walk over all pages) and
// 31 (broken lists of processes and threads) are in tests/kvm/threads.rs.

#[test]
fn case_2_a_bitmap_that_ends_within_a_word() {
    for size in ["1", "4", "c"] {
        let few = "corrupt FreeBSD minidump at byte 0x3000: the ranges of physical memory hold 20382 pages, \
                   the bitmap has fewer bits";
        check(3, &format!("bitmapsize {size}"), few);
    }
    // Before version 3 only the file's size tells that the bitmap is too small.
    check(
        2,
        "bitmapsize 4",
        "warning: the page bitmap ends within a word; the rest of the word counts as zero
        warning: the file is 0x27000 bytes longer than its page bitmap says: if memory looks wrong, so is the header",
    );
    check(
        2,
        "bitmapsize 20ffc
        read dmap+100000000 10",
        "warning: the page bitmap ends within a word; the rest of the word counts as zero
        read dmap+100000000 10: \"page 100000000\", 0x10 bytes",
    );
    check(
        3,
        "bitmapsize fff
        read dmap+100000000 10",
        "warning: the page bitmap ends within a word; the rest of the word counts as zero
        read dmap+100000000 10: \"page 100000000\", 0x10 bytes",
    );
    // One byte more and the next section begins a page later.
    check(
        3,
        "bitmapsize 1001
        pages",
        "warning: the page bitmap ends within a word; the rest of the word counts as zero
        warning: the file is cut off: 1 of 9 pages are missing
        pages: 9 dumped, 1 missing",
    );
}

#[test]
fn case_3_an_empty_bitmap() {
    refused("bitmapsize 0", "corrupt FreeBSD minidump at byte 0x0: the page bitmap is empty");
}

#[test]
fn case_4_holes_between_ranges_of_memory_are_errors() {
    // A reader that only looks for the end of the range gives another page's bytes here.
    check(
        3,
        "read dmap+a0000 10
        read dmap+9f000 10
        read dmap+fffff 1
        read dmap+0 10
        read dmap+4000000 10
        read dmap+101000000 10
        physical a0000",
        "read dmap+a0000 10: invalid address (0xfffff800000a0000): physical address 0xa0000 is not in the image
        read dmap+9f000 10: invalid address (0xfffff8000009f000): physical address 0x9f000 is not in the image
        read dmap+fffff 1: invalid address (0xfffff800000fffff): physical address 0xfffff is not in the image
        read dmap+0 10: invalid address (0xfffff80000000000): physical address 0x0 is not in the image
        read dmap+4000000 10: invalid address (0xfffff80004000000): physical address 0x4000000 is not in the image
        read dmap+101000000 10: invalid address (0xfffff80101000000): physical address 0x101000000 is not in the image
        physical a0000: physical address 0xa0000 is not in the image",
    );
}

#[test]
fn case_5_ranges_without_an_end() {
    check(3, "dumpavailsize 30", "corrupt FreeBSD minidump at byte 0x2000: dump_avail has no end");
    check(3, "dumpavailsize 8", "corrupt FreeBSD minidump at byte 0x2000: dump_avail has no end");
}

#[test]
fn case_6_ranges_that_cannot_be() {
    let list = |offset: u64| {
        format!(
            "corrupt FreeBSD minidump at byte {offset:#x}: dump_avail is not a sorted list of disjoint ranges"
        )
    };
    check(3, "range 0 9f000 1000", &list(0x2000));
    check(3, "range 0 1000 1000", &list(0x2000));
    check(3, "range 1 9e000 4000000", &list(0x2010)); // overlaps
    check(3, "range 1 100 200", &list(0x2010)); // unsorted
    check(3, "clear dump_avail", "corrupt FreeBSD minidump at byte 0x2000: dump_avail is empty");
    check(
        3,
        "range 2 100000000 ffffffffffffffff",
        "corrupt FreeBSD minidump at byte 0x3000: the ranges of physical memory hold 4503599626338205 pages, \
         the bitmap has fewer bits",
    );
}

#[test]
fn case_7_and_8_a_truncated_file_gives_what_it_has() {
    // Of the dumped pages in order of address the first two are whole, of the third a half is there. The walk: 512 pages
    // of text, and all others once; the page table of versions 2 and 3 is gone, so nothing is known below the text.
    for (version, dumped) in [(1, 8), (2, 9), (3, 9)] {
        check(
            version,
            "cut pages 2800
            pages
            read dmap+1000 10
            read dmap+9e000 10
            read dmap+9e7f0 20
            read dmap+9e800 10
            read dmap+100000 10
            walk",
            &format!(
                "warning: the file is cut off: {} of {dumped} pages are missing
                pages: {dumped} dumped, {} missing
                read dmap+1000 10: \"page 1000\", 0x10 bytes
                read dmap+9e000 10: \"page 9e000\", 0x10 bytes
                read dmap+9e7f0 20: \"\", 0x10 bytes
                read dmap+9e800 10: invalid address (0xfffff8000009e800): physical address 0x9e800 was dumped, but \
                the image file is cut off before it
                read dmap+100000 10: invalid address (0xfffff80000100000): physical address 0x100000 was dumped, but \
                the image file is cut off before it
                walk: 519 pages, 3 in the file",
                dumped - 2,
                dumped - 2,
            ),
        );
    }
}

#[test]
fn case_8_no_pages_at_all_and_no_tables() {
    check(
        3,
        "cut pages 0
        pages",
        "warning: the file is cut off: 9 of 9 pages are missing
        pages: 9 dumped, 9 missing",
    );
    let promise = "the header promises 0x803000 bytes before the first page, the file has";
    check(3, "cut 802fff", &format!("corrupt FreeBSD minidump at byte 0x802fff: {promise} 0x802fff"));
    check(3, "cut 1000", &format!("corrupt FreeBSD minidump at byte 0x1000: {promise} 0x1000"));
    check(3, "cut 30", "corrupt FreeBSD minidump at byte 0x40: the file ends within the header");
    check(3, "cut 10", &format!("FILE: {UNKNOWN}"));
}

#[test]
fn case_9_and_10_sizes_larger_than_the_file() {
    for (edit, promised) in [
        ("bitmapsize fffffff8", "0x100802000"),
        ("pmapsize fffff000", "0x100003000"),
        ("msgbufsize ffffffff", "0x100802000"),
        ("dumpavailsize fffff000", "0x100801000"),
    ] {
        let size = dump(3).0.len();
        check(
            3,
            edit,
            &format!(
                "corrupt FreeBSD minidump at byte {size:#x}: the header promises {promised} bytes before the first \
                 page, the file has {size:#x}"
            ),
        );
    }
}

#[test]
fn case_11_versions_that_do_not_exist() {
    for version in ["0", "4", "ffffffff"] {
        let text = format!(
            "corrupt FreeBSD minidump at byte 0x18: minidump version {}; supported are 1 to 3",
            hex(version)
        );
        refused(&format!("version {version}"), &text);
    }
}

#[test]
fn case_12_a_wrong_version_or_size_is_noticed() {
    // The sections move, and what is taken for the bitmap no longer fits the file's size.
    for script in ["version 2", "dumpavailsize 2000"] {
        let (mut file, layout) = dump(3);
        edit(&mut file, &layout, script);
        let saved = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(saved.path(), file).unwrap();
        let text = opened(saved.path(), &[]);
        assert!(text.starts_with("warning: the file is "), "{script}: {text}");
    }
    check(
        3,
        "append 2000",
        "warning: the file is 0x2000 bytes longer than its page bitmap says: if memory looks wrong, so is the header",
    );
}

#[test]
fn case_13_page_tables_that_cannot_be() {
    refused(
        "pmapsize c",
        "corrupt FreeBSD minidump at byte 0x0: the page-table section ends within an entry",
    );
    refused("kernbase 0", "corrupt FreeBSD minidump at byte 0x0: kernbase is 0");
    refused(
        "kernbase fffffe0000000001",
        "corrupt FreeBSD minidump at byte 0x0: kernbase is not page aligned",
    );
    refused("dmapend 1", "corrupt FreeBSD minidump at byte 0x0: the direct map ends before it begins");
    check(
        3,
        "pmapsize 0
        read text+0 10",
        "warning: the dump holds no page-table entries: only the direct map can be read
        warning: the file is 0x7ff000 bytes longer than its page bitmap says: if memory looks wrong, so is the header
        read text+0 10: invalid address (0xffffffff80200000): the image knows no mapping for this part of the address \
        space",
    );
}

#[test]
fn case_14_the_end_of_the_address_space() {
    for va in ["ffffffffffffffff", "ffffffffffffff00"] {
        let read = format!("read {va} 1000");
        let text = format!(
            "{read}: invalid address (0x{va}): the image knows no mapping for this part of the address space"
        );
        check(3, &read, &text);
    }
    // A direct map up to the last address: the sum of address and length wraps, the read does not.
    check(
        3,
        "dmapbase fffffffffffff000
        dmapend ffffffffffffffff
        read fffffffffffffffe 10",
        "read fffffffffffffffe 10: invalid address (0xfffffffffffffffe): physical address 0xffe is not in the image",
    );
}

#[test]
fn case_27_no_section_needs_the_hosts_page_alignment() {
    // Hosts with pages of 16 or 64 KiB map files at such offsets only; ours begin at multiples of 4 KiB.
    let (_, layout) = dump(3);
    assert_ne!(layout.sparse.start % 0x1_0000, 0);
    check(3, "read dmap+1000 10", "read dmap+1000 10: \"page 1000\", 0x10 bytes");
}

#[test]
fn case_29_a_read_into_a_hole_gives_what_comes_before_it() {
    for version in 1..=3 {
        check(
            version,
            "read low+ff0 20
            read dmap+1ff8 2000
            read low+1000 10
            read low+4000 10",
            "read low+ff0 20: \"\", 0x10 bytes
            read dmap+1ff8 2000: \"\", 0x1008 bytes
            read low+1000 10: invalid address (0xffffffff80001000): physical address 0x3000 is not in the image
            read low+4000 10: invalid address (0xffffffff80004000): the kernel's page tables map nothing here",
        );
    }
}

#[test]
fn magics_that_are_not_quite_right() {
    let unknown = &format!("FILE: {UNKNOWN}");
    refused("magic minidump FreeBSD/amd65", unknown);
    refused("magic MINIDUMP", unknown);
    refused("byte 16 41", unknown); // no NUL behind the name
    refused("byte 17 41", unknown); // the padding is not zero
}
