//! The forms that BSD images use.

use crate::{check, show};
use kgdbserver_arch::{HashTable, Radix, Va, aarch64, arm, i386, ppc64, riscv64};

/// A walk works, and with each of its entries made invalid in turn it does not.
#[track_caller]
fn check_twins(form: &Radix, entries: &[(&str, &str)], va: &str, expected: &str) {
    let all = |twin: usize| {
        let entry =
            |(i, (good, bad)): (usize, &(&str, &str))| if i == twin { *bad } else { *good }.to_owned() + "\n";
        entries.iter().enumerate().map(entry).collect::<String>()
    };
    check(form, &all(usize::MAX), &format!("{va}: {expected}"));
    for twin in 0..entries.len() {
        check(form, &all(twin), &format!("{va}: NotMapped"));
    }
}

#[test]
fn arm64_with_4_kib_pages() {
    let tree = [
        ("0: 1003", "0: 1002"),
        ("1000: 2003", "1000: 2000"),
        ("2000: 3003", "2000: 3002"),
        ("3008: 68000040001703", "3008: 68000040001701"),
    ];
    check_twins(&aarch64::PAGES_OF_4_KIB, &tree, "1234", "40001234 rw- dcc");
    check(
        &aarch64::PAGES_OF_4_KIB,
        "0: 1003
        1000: 2003
        // a block of 1 GiB, and one of 2 MiB that is read-only text
        1008: 40000080000701
        2008: 40000050200781",
        "40001000: 80001000 rwx 3ffff000
        212345: 50212345 r-x 1edcbb
        400000: NotInImage(pa 0x2010)",
    );
}

#[test]
fn arm64_with_16_kib_pages() {
    let tree = [
        ("0: 4003", "0: 4001"),
        ("4000: 8003", "4000: 8001"),
        ("8000: c003", "8000: c002"),
        ("c008: 60000040004703", "c008: 60000040004701"),
    ];
    check_twins(&aarch64::PAGES_OF_16_KIB, &tree, "5234", "40005234 rw- 2dcc");
    // A block of 32 MiB; there are none on the next level.
    check(
        &aarch64::PAGES_OF_16_KIB,
        "0: 4003
        4000: 8003
        4008: 50000701
        8008: 42000701",
        "2000004: 42000004 rwx 1fffffc
        1000000000: NotMapped",
    );
}

#[test]
fn riscv() {
    let tree = [
        ("0: 401", "0: 400"),
        ("1000: 801", "1000: 800"),
        ("2008: 40000000200004c7", "2008: 40000000200004c6"),
    ];
    check_twins(&riscv64::SV39, &tree, "1234", "80001234 rw- dcc");
    check(
        &riscv64::SV48,
        "0: 401
        1000: 801
        2000: c01
        // a page that only the processor may execute, one that leads on from the lowest level, a large one
        3000: 200004c9
        3008: 20000401
        2008: 200800cf",
        "123: 80001123 r-x edd
        1000: NotMapped
        200010: 80200010 rwx 1ffff0",
    );
}

#[test]
fn i386_without_and_with_pae() {
    let tree = [("8: 1063", "8: 1062"), ("1004: 400163", "1004: 400162")];
    check_twins(&i386::TWO_LEVEL, &tree, "801234", "400234 rwx dcc");
    check(&i386::TWO_LEVEL, "4: 8000e1", "412345: 812345 r-x 3edcbb");
    let tree = [
        ("18: 1001", "18: 1000"),
        ("1008: 2063", "1008: 2062"),
        ("2008: 8000000123456163", "2008: 8000000123456162"),
    ];
    check_twins(&i386::PAE, &tree, "c0201234", "123456234 rw- dcc");
    check(&i386::PAE, "18: 1001\n1000: 2000000e1", "c0012345: 200012345 r-x 1edcbb");
}

#[test]
fn arm_of_every_format() {
    let tree = [("3000: 5001", "3000: 5000"), ("5004: 20001053", "5004: 20001050")];
    check_twins(&arm::V6, &tree, "c0001234", "20001234 rw- dcc");
    check(
        &arm::V6,
        "3000: 5001
        // small text, sixteen equal entries of a large page, a section
        5008: 20003252
        5050: 20040001
        3004: 20100402",
        "c0002000: 20003000 r-x 1000
        c0014018: 20044018 rwx bfe8
        c0112345: 20112345 rwx edcbb",
    );
    let tree = [("3000: 5001", "3000: 5003"), ("5004: 2000155e", "5004: 2000155f")];
    check_twins(&arm::V4, &tree, "c0001234", "20001234 rwx dcc");
    let tree = [
        ("18: 1003", "18: 1001"),
        ("1000: 2003", "1000: 2002"),
        ("2008: 40000120001703", "2008: 40000120001701"),
    ];
    check_twins(&arm::LPAE, &tree, "c0001234", "120001234 rw- dcc");
    check(&arm::LPAE, "18: 1003\n1008: 120200781", "c0312345: 120312345 r-x edcbb");
}

#[test]
fn powerpc_radix() {
    let tree = [
        ("8000: 8000000000010009", "8000: 10009"),
        ("10000: 8000000000011009", "10000: 11009"),
        ("11000: 8000000000012009", "11000: 12009"),
        ("12008: c00000000123418e", "12008: 8000000001234186"),
    ];
    check_twins(&ppc64::RADIX, &tree, "c008000000001234", "1234234 rw- dcc");
    check(
        &ppc64::RADIX,
        "8000: 8000000000010009
        10008: c00000004000018d
        10000: 8000000000011009
        11008: c00000000120018f",
        "c008000040000010: 40000010 r-x 3ffffff0
        c008000000212345: 1212345 rwx 1edcbb
        c008008000000000: NotInImage(pa 0x8008)",
    );
}

/// A hashed table with one valid entry.
fn hashed(va: u64, group: u64, high: u64, low: u64) -> String {
    let table = HashTable::new(1 << 18, true).expect("a table");
    let read = |at: u64, bytes: &mut [u8; HashTable::GROUP]| {
        bytes.fill(0);
        if at == group * 128 {
            bytes[48..56].copy_from_slice(&high.to_be_bytes());
            bytes[56..64].copy_from_slice(&low.to_be_bytes());
        }
        Ok(())
    };
    show(table.find(Va(va), read))
}

#[test]
fn powerpc_hash() {
    // The segment of 0xe000000000000000: ((0xe00000000 << 8 | 0xe) * 0x13bb) mod 2^36, and the kernel's bit.
    const SEGMENT: u64 = 0x10_0011_43a0;
    const VA: u64 = 0xe000_0000_0000_5123;
    let (group, high) = ((SEGMENT ^ 5) % 2048, SEGMENT << 12 | 1);
    assert_eq!(hashed(VA, group, high, 0x1234_5002), "12345123 rwx edd");
    assert_eq!(hashed(VA, group, high, 0x1234_5007), "12345123 r-- edd");
    assert_eq!(hashed(VA, 2047 - group, high | 2, 0x1234_5002), "12345123 rwx edd");
    // 16 MiB in a segment of 4 KiB pages.
    assert_eq!(hashed(VA, group, high | 4, 0x1203_8002), "12005123 rwx ffaedd");
    let twins = [
        (group, high & !1),         // not valid
        (group, high | 2),          // the other hash's
        (group, high | 1 << 62),    // of a segment of 1 TiB
        (group, high | 1 << 7),     // another page
        (group, high + (1 << 12)),  // another segment
        (group, high | 4),          // large, and of no known size
        ((group + 1) % 2048, high), // in another group
        (2047 - group, high),       // in the second group, and not marked so
    ];
    for (group, high) in twins {
        assert_eq!(hashed(VA, group, high, 0x1234_5002), "NotMapped", "{group:#x} {high:#x}");
    }
}

#[test]
fn hashed_tables_have_sizes_that_processors_have() {
    assert!([0, 64, 127, 129, 0x3_0000].into_iter().all(|bytes| HashTable::new(bytes, true).is_none()));
    assert_eq!(HashTable::new(1 << 18, false).map(|table| table.groups()), Some(2048));
}
