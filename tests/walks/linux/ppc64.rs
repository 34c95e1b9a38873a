//! 64-bit PowerPC.

use super::{BIG_WORDS, Kernel, check, check_user};
use crate::text::same_lines;
use kgdbserver_arch::{Fault, Lost, Pa, ppc64};

const RADIX_64_KIB: &str = "
    1b20000: 8000000005000009
    5000000: 8000000005001009
    5001068: 8000000005002005
    5002090: c000000001b2018f
    1b28000: 8000000005003009
    5003000: 8000000005004009
    5004000: 8000000005005005
    5005030: c00000002345018f
    5004008: c00000002440018f
";

#[test]
fn ppc64_with_radix_tables() {
    let told = "swapper_pg_dir=c000000001b20000 NUMBER(PAGESIZE)=10000";
    check(
        &ppc64::ARCH,
        BIG_WORDS,
        1 << 63,
        &format!("{told} NUMBER(RADIX_MMU)=1"),
        RADIX_64_KIB,
        "c008000000060123: 23450123 rwx fedd
        c008000000200123: 24400123 rwx 1ffedd
        c000000000000000: 0 rwx 8000000000000
        c000000040000123: 40000123 rwx 7ffffbffffedd
        d000000000000000: NoRegion",
    );
    check(
        &ppc64::ARCH,
        BIG_WORDS,
        1 << 63,
        "swapper_pg_dir=c000000001b20000 NUMBER(PAGESIZE)=1000 NUMBER(RADIX_MMU)=1",
        "1b20000: 8000000005000009
        5000000: 8000000005001009
        5001068: 8000000005002009
        5002900: c000000001b2018f
        1b28000: 8000000005003009
        5003000: 8000000005004009
        5004000: 8000000005005009
        5005300: c00000002345018f
        5004008: c00000002440018f",
        "c008000000060123: 23450123 rwx edd
        c008000000200123: 24400123 rwx 1ffedd",
    );
    // Not told, it is found out.
    let process = "
        9000000: 8000000009010009
        9010000: 8000000009011009
        9011000: 8000000009012005
        9012008: c00000000777018c";
    let kernel = Kernel::new(&ppc64::ARCH, BIG_WORDS, told, &format!("{RADIX_64_KIB}{process}"));
    check_user(&kernel, 0x900_0000, "10123: 7770123 r-- fedd\n20123: NotMapped\n10000000000000: NoRegion");
    let unreadable = Kernel::new(&ppc64::ARCH, BIG_WORDS, told, "0: 0").paging();
    let fault = Fault::NotInImage(Pa(0x1b2_0000));
    assert_eq!(unreadable.expect_err("no tables"), Lost::Unreadable("swapper_pg_dir", fault));
}

/// Linux's own tables beside the processor's hashed one. Nothing proves them, as they do not map themselves.
#[track_caller]
fn check_hashed(told: &str, entries: &str, expected: &str) {
    let told = format!("swapper_pg_dir=c000000001b20000 {told}");
    check(&ppc64::ARCH, BIG_WORDS, 1 << 63, &format!("{told} NUMBER(RADIX_MMU)=0"), entries, expected);
    check(&ppc64::ARCH, BIG_WORDS, 1 << 63, &told, entries, expected);
}

const SIZES: &str = "__pte_index_size=c000000000100000 __pmd_index_size=c000000000100008 \
    __pud_index_size=c000000000100010 __pgd_index_size=c000000000100018";

#[test]
fn ppc64_with_hashed_tables_and_64_kib_pages() {
    let since_5_2 = "
        1b20400: 8000000005000000
        5000000: 8000000005010000
        5010000: 8000000005020000
        5020030: c08000002345018e
        // 16 MiB and 16 GiB
        5010008: c0a0000025003186
        5000008: c000000400000186
    ";
    let expected = "
        c008000000060123: 23450123 rw- fedd
        c008000001000123: 25000123 rw- fffedd
        c008000400000123: 400000123 rw- 3fffffedd
        c000000040000123: 40000123 rwx 7ffffbffffedd
        c00c000000000000: NoRegion
    ";
    check_hashed("NUMBER(PAGESIZE)=10000", since_5_2, expected);
    // Other forms are told by variables, of a big-endian kernel here, and of a little-endian one.
    check_hashed(
        &format!("NUMBER(PAGESIZE)=10000 __kernel_virt_start=c000000000100020 {SIZES}"),
        "1b20000: 8000000005000000
        5001000: 8000000005010000
        5010000: 8000000005020000
        5020030: c00000002345018e
        100000: 8
        100008: a
        100010: a
        100018: 8
        100020: d000000000000000",
        "d000080000060123: 23450123 rw- fedd
        cfffffffffffffff: fffffffffffffff rwx 1
        d002000000000000: NoRegion",
    );
    check_hashed(
        &format!("NUMBER(PAGESIZE)=10000 {SIZES}"),
        "1b20020: 8000000005000000
        5000000: 8000000005010000
        5010000: 8000000005020000
        5020030: c00000002345018e
        100000: 800000000000000
        100008: a00000000000000
        100010: 700000000000000
        100018: 800000000000000",
        "d000080000060123: 23450123 rw- fedd",
    );
    check_hashed(
        &format!("NUMBER(PAGESIZE)=10000 {SIZES}"),
        "1b21000: 8000000005000000
        5000000: 8000000005010000
        5010000: 8000000005020000
        5020030: c00000002345018e
        100000: 8
        100008: 5
        100010: 5
        100018: c",
        "d000080000060123: 23450123 rw- fedd",
    );
}

#[test]
fn ppc64_with_hashed_tables_and_4_kib_pages() {
    check_hashed(
        "NUMBER(PAGESIZE)=1000",
        "1b20f40: 8000000005000000
        5000000: 8000000005010000
        5010000: 8000000005020000
        5020030: c08000002345018e",
        "c0003d0000006123: 23450123 rw- edd
        c0003f0000000000: NoRegion",
    );
    let told = "NUMBER(PAGESIZE)=1000 __kernel_virt_start=c000000000100020";
    check_hashed(
        told,
        "1b20200: 8000000005000000
        5000000: 8000000005010000
        5010000: 8000000005020000
        5020030: c08000002345018e
        100020: d000000000000000",
        "d000080000006123: 23450123 rw- edd",
    );
    // Larger pages have tables of their own, which are not followed.
    let told = format!("swapper_pg_dir=c000000001b20000 {told}");
    let larger = "100020: d000000000000000\n1b20000: 8000000005000029\n1b20008: c000000005000186";
    let kernel = Kernel::new(&ppc64::ARCH, BIG_WORDS, &told, larger);
    let expected = "d000000000000123: NotMapped\nd000002000000123: NotMapped";
    same_lines(&kernel.show(&kernel.paging().expect("paging").kernel, expected), expected);
}

#[test]
fn ppc64_page_structures_are_in_pieces() {
    let told =
        "swapper_pg_dir=c000000001b20000 vmemmap_list=c000000000200000 mmu_vmemmap_psize=c000000000200008";
    let list = "
        1b20000: 0
        200000: c000000000201000
        200008: a00000000
        201000: c000000000202000
        201008: 7000000
        201010: c00c000001000000
        202000: 0
        202008: 9000000
        202010: c00c000000000000
    ";
    let kernel = Kernel::new(&ppc64::ARCH, BIG_WORDS, told, list);
    let expected = "
        c00c000000000123: 9000123 rwx fffedd
        c00c000001000123: 7000123 rwx fffedd
        c00c000002000000: NoRegion";
    same_lines(&kernel.show(&kernel.paging().expect("paging").kernel, expected), expected);
    // A list that leads back into itself ends all the same.
    let cycle = list.replace("202000: 0", "202000: c000000000201000");
    let kernel = Kernel::new(&ppc64::ARCH, BIG_WORDS, told, &cycle);
    assert_eq!(kernel.paging().expect("paging").kernel.len(), (1 << 13) + 2);
}
