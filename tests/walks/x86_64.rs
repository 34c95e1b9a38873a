//! The forms of x86-64, and what all forms have in common.

use crate::{Tables, check, show};
use kgdbserver_arch::x86_64::FOUR_LEVEL;
use kgdbserver_arch::{Fault, Mapped, Pa, Radix, Step, Va};

const X86_64: &str = "
    0: 1067
    // the second GiB is one page, as is the third; the fourth leads to a table that is not there
    1000: 2067
    1008: 80000001c00000e7
    1010: 3c00000e7
    1018: 7777067
    // 2 MiB pages; in the third bit 12 (PAT) is set, in the fourth the entry is not valid
    2000: 3067
    2008: e000e7
    2010: 10010e7
    2018: e000e6
    // 4 KiB pages: read-only, writable, writable data, not valid, valid with a large physical address
    3000: a065
    3008: b067
    3010: 800000000000c067
    3018: d066
    3020: ffffffffff067
    // the kernel's half
    ff8: 4067
    4ff0: 5067
    5000: 2000e3
";

#[test]
fn x86_64_pages_of_every_size() {
    check(
        &FOUR_LEVEL,
        X86_64,
        "123: a123 r-x edd
        1fff: bfff rwx 1
        2000: c000 rw- 1000
        4008: ffffffffff008 rwx ff8
        200000: e00000 rwx 200000
        3fffff: ffffff rwx 1
        // the attribute bit 12 is no part of the frame
        412345: 1012345 rwx 1edcbb
        40000000: 1c0000000 rw- 40000000
        a1234567: 3e1234567 rwx 1edcba99
        ffffffff80000010: 200010 rwx 1ffff0",
    );
}

#[test]
fn x86_64_what_is_not_mapped() {
    check(
        &FOUR_LEVEL,
        X86_64,
        "3123: NotMapped
        600000: NotMapped
        // the entry itself is not in the image: that is another fault
        5000: NotInImage(pa 0x3028)
        800000: NotInImage(pa 0x2020)
        c0000000: NotInImage(pa 0x7777000)
        8000000000: NotInImage(pa 0x8)
        ffffffff80200000: NotInImage(pa 0x5008)",
    );
}

#[test]
fn x86_64_a_valid_bit_makes_all_the_difference() {
    // Every valid entry of a walk, each with an invalid twin.
    let entries = ["0: 1067", "1000: 2067", "2000: 3067", "3000: a067"];
    check(&FOUR_LEVEL, &entries.join("\n"), "123: a123 rwx edd");
    for (i, entry) in entries.iter().enumerate() {
        let mut twin = entries.map(str::to_owned);
        twin[i] = entry.replace("67", "66");
        check(&FOUR_LEVEL, &twin.join("\n"), "123: NotMapped");
    }
}

#[test]
fn a_minidump_goes_on_from_the_entry_that_it_kept() {
    let memory = Tables::new(&FOUR_LEVEL, "5008: 9063");
    let va = Va(0xffff_ffff_8000_1010);
    let from = |level, raw| show(FOUR_LEVEL.resume(&memory, level, raw, va));
    assert_eq!(from(1, 0x5063), "9010 rwx ff0");
    assert_eq!(from(1, 0x5062), "NotMapped");
    assert_eq!(from(1, 0x60_00e3), "601010 rwx 1feff0");
    assert_eq!(from(0, 0x9063), "9010 rwx ff0");
    assert_eq!(from(0, 0x9062), "NotMapped");
    assert_eq!(from(1, 0x6063), "NotInImage(pa 0x6008)");
}

/// The entries that a walk shows, `LEVEL @ADDRESS VALUE`, what it leads to, and how much the last of them decides.
fn shown(walk: impl FnOnce(&mut dyn FnMut(Step)) -> Result<Mapped, Fault>) -> String {
    let (mut text, mut last) = (String::new(), None);
    let found = walk(&mut |step| {
        let at = step.at.map_or("-".into(), |pa| format!("{:x}", pa.0));
        text += &format!("{} @{at} {:x}, ", step.level, step.raw);
        last = Some(step);
    });
    format!("{text}{}, decides {} bits", show(found), FOUR_LEVEL.decides(last))
}

#[test]
fn a_walk_shows_every_entry() {
    let memory = Tables::new(
        &FOUR_LEVEL,
        "0: 1067\n1000: 2067\n1008: 400000e7\n2000: 3067\n2008: 0\n3000: a067\n8: 9067",
    );
    let from_top = |va| shown(|mut show| FOUR_LEVEL.walk_showing(&memory, Pa(0), Va(va), &mut show));
    assert_eq!(
        from_top(0x123),
        "3 @0 1067, 2 @1000 2067, 1 @2000 3067, 0 @3000 a067, a123 rwx edd, decides 12 bits"
    );
    assert_eq!(from_top(0x4000_0000), "3 @0 1067, 2 @1008 400000e7, 40000000 rwx 40000000, decides 30 bits");
    assert_eq!(from_top(0x20_0000), "3 @0 1067, 2 @1000 2067, 1 @2008 0, NotMapped, decides 21 bits");
    // A table that is not in the image: nothing is known of all that its entry covers.
    assert_eq!(from_top(0x80_0000_0000), "3 @8 9067, NotInImage(pa 0x9000), decides 39 bits");
    assert_eq!(from_top(0x100_0000_0000), "NotInImage(pa 0x10), decides 39 bits");
    let kept = shown(|mut show| FOUR_LEVEL.resume_showing(&memory, 1, 0x3067, Va(0x123), &mut show));
    assert_eq!(kept, "1 @- 3067, 0 @3000 a067, a123 rwx edd, decides 12 bits");
}

#[test]
fn the_levels_of_a_tree_cover_what_they_should() {
    let shifts: Vec<u8> = (0..4).map(|level| FOUR_LEVEL.shift(level)).collect();
    assert_eq!(shifts, [12, 21, 30, 39]);
}

#[test]
fn a_table_below_the_lowest_level_is_no_table() {
    fn always_a_table(_: u64, _: usize) -> kgdbserver_arch::Entry {
        kgdbserver_arch::Entry::Table(Pa(0))
    }
    let endless = Radix { decode: always_a_table, ..FOUR_LEVEL };
    check(&endless, "0: 0", "0: NotMapped");
}
