use super::synth::lime::{self, Lime};
use super::synth::{Endian, put};
use super::*;

/// The first 640 KiB end within a page.
fn machine() -> Lime {
    Lime::new(&[(0x1000, &pages("low")[..0x1c00]), (0x10_0000, &pages("high")), (1 << 32, &pages("above"))])
}

#[test]
fn every_range_is_where_its_header_says() {
    for endian in [Endian::Little, Endian::Big] {
        let image = open(&Lime { endian, ..machine() }.build()).unwrap();
        assert_eq!((image.format, image.version, image.machine), ("LiME", Some(1), None));
        assert_eq!((image.plain.as_ref().unwrap().segments, image.warnings.len()), (3, 0));
        for (pa, expected) in
            [(0x1000, "low"), (0x10_0000, "high"), (1 << 32, "above"), (0x1_0000_1ffc, "end.")]
        {
            assert_eq!(read(&image, pa), expected);
        }
        for pa in [0, 0xfff, 0x2c00, 0x10_2000, 0x1_0000_2000, u64::MAX] {
            assert_eq!(read(&image, pa), absent(pa));
        }
        assert_eq!((image.memory.census().dumped, image.memory.pages().count()), (6, 6));
    }
}

#[test]
fn of_overlapping_ranges_the_first_counts() {
    let image = open(&Lime::new(&[(0x2000, &pages("first")), (0x1000, &pages("second"))]).build()).unwrap();
    assert_eq!((read(&image, 0x1000), read(&image, 0x2000)), ("second".into(), "first".into()));
    assert_eq!(image.memory.census().dumped, 3);
}

#[test]
fn an_image_cut_off_anywhere_is_used_up_to_there() {
    let file = machine().build();
    let starts = [0, 32 + 0x1c00, 64 + 0x1c00 + 0x2000];
    for len in (1..file.len()).step_by(61).chain(starts).chain(starts.map(|at| at + 32)) {
        let cut = &file[..len];
        let inside = starts.iter().rev().find(|at| **at <= len).map_or(0, |at| len - at);
        match (len, inside) {
            (0, _) => {}
            (1..4, _) => assert!(refused(cut).contains("not a kernel image"), "{len}"),
            (4..32, _) => assert!(refused(cut).contains("the header is cut off"), "{len}"),
            (_, 0) => assert_eq!(open(cut).unwrap().warnings, [""; 0], "{len}"),
            (_, 1..32) => {
                let at = len - inside;
                let said = format!(
                    "the file is damaged at byte {at:#x}, it can be used up to there: the header is cut off"
                );
                assert_eq!(open(cut).unwrap().warnings, [said]);
            }
            _ => {
                let image = open(cut).unwrap();
                assert!(image.warnings[0].starts_with("the file is cut off"), "{len}: {:?}", image.warnings);
                let first = if len > 32 { "low".into() } else { cut_off(0x1000) };
                assert!(first.starts_with(&read(&image, 0x1000)), "{len}");
            }
        }
    }
}

#[test]
fn a_header_that_makes_no_sense_ends_the_ranges() {
    let no_range = "the range ends before it begins, or where no memory reaches";
    let no_header = "no header of version 1";
    for (magic, version, first, last, why) in [
        (0x4c69_4d45, 2, 0, 0xfff, no_header),
        (0x4c69_4d46, 1, 0, 0xfff, no_header),
        (0x4c69_4d45, 1, 1, 0, no_range),
        (0x4c69_4d45, 1, 0, u64::MAX, no_range),
        (0x4c69_4d45, 1, u64::MAX, u64::MAX, no_range),
        (0x4c69_4d45, 1, 0, i64::MAX as u64, no_range),
        (0x4c69_4d45, 1, u64::MAX - 1, 0, no_range),
    ] {
        let header = lime::header(Endian::Little, magic, version, first, last);
        let alone = [header.as_slice(), &[0; 64]].concat();
        if magic == 0x4c69_4d45 {
            assert_eq!(refused(&alone), format!("corrupt LiME at byte 0x0: {why}"));
        }
        let file = [machine().build(), header, machine().build()].concat();
        let image = open(&file).unwrap();
        let at = machine().build().len();
        let said = format!("the file is damaged at byte {at:#x}, it can be used up to there: {why}");
        assert_eq!((read(&image, 1 << 32), &image.warnings), ("above".into(), &vec![said]));
    }
}

#[test]
fn the_last_range_may_promise_more_than_the_file_has() {
    let header = lime::header(Endian::Little, 0x4c69_4d45, 1, 1 << 40, (1 << 40) + (1 << 62));
    let image = open(&[machine().build(), header, pages("begun")].concat()).unwrap();
    assert_eq!((read(&image, 1 << 40), read(&image, 1 << 41)), ("begun".into(), cut_off(1 << 41)));
    assert!(image.warnings[0].contains("pages are missing"));
}

// AVML

#[test]
fn avmls_packed_image_is_unpacked_to_lime() {
    let image = open(&machine().packed(3000)).unwrap();
    assert_eq!((image.format, image.facts.layers.as_slice()), ("LiME", ["AVML"].as_slice()));
    assert_eq!(everything(&image), everything(&open(&machine().build()).unwrap()));
    assert_eq!(image.warnings, [""; 0]);
}

#[test]
fn a_range_that_begins_where_a_buffer_ends_is_not_lost() {
    // 32 bytes of header, 10 of the stream's, 4 frames with 8 each (of which two are packed: 6 more), 8 behind it.
    let first = vec![3; (256 << 10) - 2 - 32 - 10 - 4 * 8 - 2 * 6 - 8];
    let image = Lime::new(&[(0, &first), (1 << 32, &pages("second"))]);
    let packed = image.packed(first.len() / 4);
    assert_eq!(packed[(256 << 10) - 2..][..4], *b"AVML");
    assert_eq!(everything(&open(&packed).unwrap()), everything(&open(&image.build()).unwrap()));
}

#[test]
fn a_packed_image_cut_off_anywhere_is_used_up_to_there() {
    let file = machine().packed(3000);
    for len in (32..file.len()).step_by(97) {
        match open(&file[..len]) {
            Ok(image) => {
                assert!(
                    image.warnings[0].starts_with("AVML image is cut off or damaged"),
                    "{:?}",
                    image.warnings
                );
                let low = read(&image, 0x1000);
                assert!(low == "low" || low == cut_off(0x1000), "{len}: {low}");
            }
            Err(error) => panic!("{len}: {error}"),
        }
    }
}

#[test]
fn a_packed_image_that_is_damaged_says_where() {
    let file = machine().packed(3000);
    for (at, bytes, why) in [
        (4, &[3][..], "no header of version 2"),
        (16, &[0; 8][..], "a range that ends before it begins"),
        (50, &[0xff][..], "checksum"),
        (42, &[2][..], "chunk type"),
        (32, b"x", "stream header"),
    ] {
        let mut file = file.clone();
        put(&mut file, at, bytes);
        let refused = refused(&file);
        assert!(refused.contains(why) && refused.contains("corrupt AVML image"), "{refused}");
    }
    // A frame with more than its range has: the rest of it is not taken for the next range.
    let mut odd = machine();
    let packed = |lime: &Lime| lime.packed(0x2000);
    let first = packed(&Lime { ranges: odd.ranges.split_off(1), ..odd.clone() });
    let mut longer = packed(&Lime::new(&[(0x1000, &pages("low"))]));
    put(&mut longer, 16, &0x1fff_u64.to_le_bytes());
    let image = open(&[longer, first].concat()).unwrap();
    assert_eq!((read(&image, 0x1000), read(&image, 0x10_0000)), ("low".into(), "high".into()));
}
