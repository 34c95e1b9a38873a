//! x86-64 and i386.

use super::{HALF_WORDS, Kernel, WORDS, check, check_user};
use crate::text::same_lines;
use kgdbserver_arch::{Lost, i386, x86_64};

const X86_64: &str = "
    // the top table's own page
    1640aff8: 5000067
    5000ff0: 5001067
    50010d0: 5002067
    5002050: 800000001640a163
    // the direct map: pages of 2 MiB and of 1 GiB
    1640a800: 5003067
    5003000: 5004067
    5004028: 80000000806001e3
    5003010: 80000002400000e1
";

const X86_64_ADDRESSES: &str = "
    ffffffff8340a123: 1640a123 rw- edd
    ffff800000a00123: 80600123 rw- 1ffedd
    ffff800080000123: 240000123 r-- 3ffffedd
";

#[test]
fn x86_64_with_four_levels() {
    let told = "init_top_pgt=ffffffff8340a000 NUMBER(phys_base)=13000000";
    check(&x86_64::ARCH, WORDS, 1, told, X86_64, X86_64_ADDRESSES);
}

#[test]
fn x86_64_with_five_levels() {
    check(
        &x86_64::ARCH,
        WORDS,
        1,
        "init_top_pgt=ffffffff8340a000 NUMBER(phys_base)=13000000",
        "1640aff8: 5000067
        5000ff8: 5001067
        5001ff0: 5002067
        50020d0: 5003067
        5003050: 800000001640a163
        1640a800: 5004067
        5004000: 5005067
        5005000: 5006067
        5006028: 80000000806001e3",
        "ffffffff8340a123: 1640a123 rw- edd
        ff00000000a00123: 80600123 rw- 1ffedd",
    );
}

/// CR3 is some process's. With page-table isolation its user half, in the next page, maps next to nothing of the kernel.
#[test]
fn x86_64_by_cr3() {
    let process = "1f000ff8: 5000067";
    for cr3 in ["1f000000", "1f000123", "1f001001"] {
        let told = format!("init_top_pgt=ffffffff8340a000 NUMBER(CR3)={cr3}");
        let kernel = Kernel::new(&x86_64::ARCH, WORDS, &told, &format!("{X86_64}\n{process}\n1f001000: 0"));
        let paging = kernel.paging().expect("paging");
        same_lines(&kernel.show(&paging.kernel, X86_64_ADDRESSES), X86_64_ADDRESSES);
    }
}

#[test]
fn x86_64_by_search() {
    for name in ["init_top_pgt", "init_level4_pgt", "swapper_pg_dir"] {
        let kernel = Kernel::new(&x86_64::ARCH, WORDS, &format!("{name}=ffffffff8340a000"), X86_64);
        let paging = kernel.paging().expect("paging");
        same_lines(&kernel.show(&paging.kernel, X86_64_ADDRESSES), X86_64_ADDRESSES);
    }
}

/// AMD's memory encryption marks its pages by one bit of the address, here the 47th.
#[test]
fn x86_64_with_encrypted_memory() {
    let entries = "
        1640aff8: 800005000067
        5000ff0: 800005001067
        50010d0: 800005002067
        5002050: 800080001640a163
        // a page of the kernel's that is not encrypted
        5002058: 800000001640b163
        // a process, whose last two pages are PROT_NONE: their address is inverted, the mark is not
        9000000: 800009001067
        9001000: 800009002067
        9002000: 800009003067
        9003000: 8000800004444025
        9003008: ffffffbbba120
        9003010: f7ffffbbb9120
    ";
    let told = "init_top_pgt=ffffffff8340a000 NUMBER(phys_base)=13000000 NUMBER(sme_mask)=800000000000";
    let kernel = Kernel::new(&x86_64::ARCH, WORDS, told, entries);
    let expected = "
        ffffffff8340a123: 1640a123 rw- edd
        ffffffff8340b123: 1640b123 rw- edd";
    let paging = kernel.paging().expect("paging");
    same_lines(&kernel.show(&paging.kernel, expected), expected);
    check_user(&kernel, 0x900_0000, "123: 4444123 r-- edd\n1123: 4445123 r-- edd\n2123: 4446123 r-- edd");
}

#[test]
fn x86_64_pages_that_their_process_may_not_touch() {
    let process = "
        9000000: 9001067
        9001000: 9002067
        9002000: 9003067
        // a page; PROT_NONE, inverted; the same before 2018; swapped out
        9003000: 8000000004444025
        9003008: 800ffffffbbba120
        9003010: 8000000004446120
        9003018: 3ffffffffffe02
        // 2 MiB: PROT_NONE, inverted; a table that is not there
        9002008: 800ffffff79ff1a0
        9002010: 120
    ";
    let told = "init_top_pgt=ffffffff8340a000 NUMBER(phys_base)=13000000";
    let kernel = Kernel::new(&x86_64::ARCH, WORDS, told, &format!("{X86_64}{process}"));
    check_user(
        &kernel,
        0x900_0000,
        "123: 4444123 r-- edd
        1123: 4445123 r-- edd
        2123: 4446123 r-- edd
        3123: NotMapped
        200123: 8600123 r-- 1ffedd
        400123: NotMapped
        7fffffffffff: NotMapped
        800000000000: NoRegion",
    );
}

#[test]
fn tables_that_prove_nothing_are_refused() {
    let lost = |told: &str, entries: &str| {
        let kernel = Kernel::new(&x86_64::ARCH, WORDS, told, entries);
        format!("{:?}", kernel.paging().expect_err("no tables"))
    };
    // QEMU's kdump has a wrong phys_base: the table is not where it says.
    let moved = "init_top_pgt=ffffffff8340a000 NUMBER(phys_base)=12000000";
    assert_eq!(lost(moved, &format!("{X86_64}\n1540a000: 0")), "Unproved(\"init_top_pgt\", pa 0x1540a000)");
    assert_eq!(lost(moved, X86_64), "Unreadable(\"init_top_pgt\", NotInImage(pa 0x1540a000))");
    // An address of another processor's, whose lower half would do.
    let wide = Kernel::new(
        &i386::ARCH,
        HALF_WORDS,
        "swapper_pg_dir=9000000081c00000",
        "1c0081c: 5000067\n5000000: 1c00163",
    );
    assert_eq!(wide.paging().expect_err("no tables"), Lost::Nowhere("swapper_pg_dir"));
    assert_eq!(lost("NUMBER(phys_base)=0", X86_64), "NoSymbol(\"init_top_pgt\")");
    assert_eq!(lost("init_top_pgt=ffffffff8340b000", X86_64), "Nowhere(\"init_top_pgt\")");
}

#[test]
fn i386_with_and_without_pae() {
    check(
        &i386::ARCH,
        WORDS,
        1,
        "swapper_pg_dir=c1c00000",
        "1c00018: 5000001
        5000070: 5001067
        5001000: 8000000001c00163
        5000028: 8000000000a001e3
        5000df8: 5002067
        5002ff0: 8000000123456163",
        "c1c00123: 1c00123 rw- edd
        c0a00123: a00123 rw- 1ffedd
        f7ffe123: 123456123 rw- edd
        bfffffff: NoRegion
        100000000: NoRegion
        ffffffff: NotMapped",
    );
    // Two levels, and the kernel at 2 GiB.
    check(
        &i386::ARCH,
        HALF_WORDS,
        1,
        "swapper_pg_dir=81c00000",
        "1c0081c: 5000067
        5000000: 1c00163
        1c0080c: c001e3
        1c00f7c: 5001067
        5001ff8: 23456161",
        "81c00123: 1c00123 rwx edd
        80c00123: c00123 rwx 3ffedd
        f7ffe123: 23456123 r-x edd
        7fffffff: NoRegion
        ffffffff: NotMapped",
    );
}

#[test]
fn i386_pages_that_their_process_may_not_touch() {
    let pae = Kernel::new(
        &i386::ARCH,
        WORDS,
        "swapper_pg_dir=c1c00000",
        "1c00018: 5000001
        5000070: 5001067
        5001000: 8000000001c00163
        9000000: 9001001
        9001000: 9002067
        9002000: 8000000004444025
        9002008: 800ffffffbbba120
        9002010: 0",
    );
    check_user(
        &pae,
        0x900_0000,
        "123: 4444123 r-- edd
        1123: 4445123 r-- edd
        2123: NotMapped
        bfffffff: NotMapped
        c0000000: NoRegion",
    );
    let plain = Kernel::new(
        &i386::ARCH,
        HALF_WORDS,
        "swapper_pg_dir=c1c00000",
        "1c00c1c: 5000067
        5000000: 1c00163
        9000000: 9001067
        9001000: 4444025
        9001004: 4445120
        9001008: 4446020",
    );
    check_user(
        &plain,
        0x900_0000,
        "123: 4444123 r-x edd
        1123: 4445123 r-- edd
        2123: NotMapped",
    );
}
