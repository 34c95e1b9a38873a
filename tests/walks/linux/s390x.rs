//! IBM Z.

use super::{BIG_WORDS, Kernel, check, check_user};
use crate::text::same_lines;
use kgdbserver_arch::{Lost, s390x};

const S390X: &str = "
    1290000: 5000007
    5000090: 5004000
    5004480: 129011d !400
    // 1 MiB, 2 GiB, a page that is read-only
    5000108: 2100500
    1290018: 180000504
    1293e00: 500c007
    500c008: 5008800
    5008918: 765431d !400
";

#[test]
fn s390x_with_three_levels() {
    check(
        &s390x::ARCH,
        BIG_WORDS,
        0x20,
        "swapper_pg_dir=1290000",
        S390X,
        "1290123: 1290123 rw- edd
        2100123: 2100123 rw- ffedd
        180000123: 180000123 rw- 7ffffedd
        3e000123123: 7654123 r-- edd
        3ffffffffff: NotMapped
        40000000000: NoRegion",
    );
}

/// Since 6.10 the kernel's addresses are not the physical ones. A control register leads to its tables, or a word of the
/// lowest page that has that register's value.
#[test]
fn s390x_kernels_that_are_mapped_elsewhere() {
    let entries = "
        20403f8: 500000b
        5003ff8: 5004007
        5007800: 5008000
        5008200: 204011d !400";
    let expected = "
        1fffff0040123: 2040123 rw- edd
        1fffffffffffff: NotMapped
        20000000000000: NoRegion";
    let told = "swapper_pg_dir=1fffff0040000";
    check(&s390x::ARCH, BIG_WORDS, 0x20, &format!("{told} NUMBER(CR13)=204000b"), entries, expected);
    check(&s390x::ARCH, BIG_WORDS, 0x20, told, &format!("{entries}\n388: 204000b !204000b"), expected);
    // Other words of that page lead elsewhere: to a process's tables, to nothing.
    let others = "380: 50040c7\n388: 204000b\n390: 180000000";
    let kernel = Kernel::new(&s390x::ARCH, BIG_WORDS, told, &format!("{entries}\n{others}"));
    same_lines(&kernel.show(&kernel.paging().expect("paging").kernel, expected), expected);
    check(
        &s390x::ARCH,
        BIG_WORDS,
        0x20,
        "swapper_pg_dir=a0000000040000 NUMBER(CR13)=204000f",
        "2040028: 500000f
        5000000: 500400b
        5004000: 5008007
        5008000: 500c000
        500c200: 204011d !400",
        "a0000000040123: 2040123 rw- edd
        ffffffffffffffff: NotMapped",
    );
}

/// An entry of another type than its table is none.
#[test]
fn s390x_entries_tell_the_type_of_their_table() {
    let told = "swapper_pg_dir=1290000";
    for (good, bad) in [("1290000: 5000007", "1290000: 500000b"), ("5000090: 5004000", "5000090: 5004004")] {
        let kernel = Kernel::new(&s390x::ARCH, BIG_WORDS, told, &S390X.replace(good, bad));
        assert_eq!(kernel.paging().expect_err("no tables"), Lost::Nowhere("swapper_pg_dir"));
    }
}

/// The top table of a process tells how many levels it has. A page that was not touched of late is invalid.
#[test]
fn s390x_processes_of_two_to_four_levels() {
    let pages = "
        // touched; not touched; PROT_NONE; swapped out; not there
        9800000: 444403d
        9800008: 4445439
        9800010: 4446601
        9800018: 4447690
        9800020: 400
        // 1 MiB: not touched
        9400008: 8600623
        9400010: 20
        9403ff8: 20
    ";
    let two = "9400000: 9800000";
    let three = "9000000: 9400007\n9000008: 24\n9400000: 9800000";
    let four = "8000000: 900000b\n9000000: 9400007\n9400000: 9800000";
    let addresses = "
        123: 4444123 rwx edd
        1123: 4445123 rwx edd
        2123: 4446123 r-x edd
        3123: NotMapped
        4123: NotMapped
        100123: 8600123 r-x ffedd
        200123: NotMapped
    ";
    for (root, tables, last, behind) in [
        (0x940_0000, two, "7fffffff", "80000000"),
        (0x900_0000, three, "3ffffffffff", "40000000000"),
        (0x800_0000, four, "1fffffffffffff", "20000000000000"),
    ] {
        let kernel = Kernel::new(
            &s390x::ARCH,
            BIG_WORDS,
            "swapper_pg_dir=1290000",
            &format!("{S390X}{pages}{tables}"),
        );
        check_user(&kernel, root, &format!("{addresses}\n{last}: NotMapped\n{behind}: NoRegion"));
    }
}
