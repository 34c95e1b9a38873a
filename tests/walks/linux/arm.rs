//! 32-bit ARM.

use super::{HALF_WORDS, Kernel, Stored, WORDS, check, check_user};
use kgdbserver_arch::arm;

const ARM: &str = "
    60007000: 60011c0e !2
    // 1 MiB; pages of a module; 16 MiB at an address of 36 bits, in the last of its entries
    60007004: 60111c0e !2
    60006fc0: 5000c01 !1
    5000c04: 6abcd45f !3
    60007e3c: 54c4c0e !2
";

#[test]
fn arm_with_short_descriptors() {
    let expected = "
        c0004123: 60004123 rwx fbedd
        c0100123: 60100123 rwx ffedd
        bf001123: 6abcd123 rw- edd
        f8f00123: 405f00123 rwx ffedd
        beffffff: NoRegion
        ffffffff: NotMapped";
    check(&arm::ARCH, HALF_WORDS, 3, "swapper_pg_dir=c0004000", ARM, expected);
    let big_endian = Stored { bytes: 4, big_endian: true };
    check(&arm::ARCH, big_endian, 3, "swapper_pg_dir=c0004000", ARM, expected);
}

/// A process has two tables for each of the processor's: pages that were not touched of late are in Linux's alone.
#[test]
fn arm_processes_by_the_tables_of_linux() {
    let process = "
        9000000: 9001801
        9000004: 9001c01
        // Linux's: a page, an old one, one that may be written, one swapped out
        9001000: 44445cf
        9001004: 44455cd
        9001008: 444654f
        900100c: 44470a0
        9001400: 55555cf
        // the processor's, of which the second is empty
        9001800: 444483f
        9001808: 444687f
    ";
    let kernel = Kernel::new(&arm::ARCH, HALF_WORDS, "swapper_pg_dir=c0004000", &format!("{ARM}{process}"));
    check_user(
        &kernel,
        0x900_0000,
        "123: 4444123 r-x edd
        1123: 4445123 r-x edd
        2123: 4446123 rwx edd
        3123: NotMapped
        100123: 5555123 r-x edd
        beffffff: NotMapped
        bf000000: NoRegion",
    );
}

#[test]
fn arm_with_large_addresses() {
    let entries = "
        880003018: 880004003
        880005018: 40000880003703
        880004000: 880005003
        880004008: 40000880200701
        880003010: 880006003
        880006fc0: 880007003
        880007008: 4000089abcd703";
    let told = "swapper_pg_dir=c0003000";
    check(
        &arm::ARCH,
        WORDS,
        1,
        told,
        entries,
        "c0003123: 880003123 rw- edd
        c0200123: 880200123 rw- 1ffedd
        bf001123: 89abcd123 rw- edd
        beffffff: NoRegion",
    );
    let process = "
        9000000: 9001003
        9001000: 9002003
        // a page, PROT_NONE, swapped out; 2 MiB: PROT_NONE
        9002000: 40000004444fc3
        9002008: 240000004445fc2
        9002010: 1230
        9001008: 240000008600fc0";
    let kernel = Kernel::new(&arm::ARCH, WORDS, told, &format!("{entries}{process}"));
    check_user(
        &kernel,
        0x900_0000,
        "123: 4444123 r-- edd
        1123: 4445123 r-- edd
        2123: NotMapped
        200123: 8600123 r-- 1ffedd",
    );
}
