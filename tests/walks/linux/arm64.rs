//! 64-bit ARM.

use super::{BIG_WORDS, Kernel, WORDS, check, check_user};
use crate::text::{hex, same_lines};
use kgdbserver_arch::aarch64;

/// The tables of a kernel at fff..08a30000, loaded at 0x40a30000.
#[track_caller]
fn check_arm64(swapper: &str, entries: &str, expected: &str) {
    let offset = hex(swapper) - 0x40a3_0000;
    let told = format!("swapper_pg_dir={swapper} NUMBER(kimage_voffset)={offset:x}");
    check(&aarch64::ARCH, WORDS, 1, &told, entries, expected);
    // The same in the other byte order, and without a word of where it was loaded.
    let kernel = Kernel::new(&aarch64::ARCH, BIG_WORDS, &format!("swapper_pg_dir={swapper}"), entries);
    same_lines(&kernel.show(&kernel.paging().expect("paging").kernel, expected), expected);
}

#[test]
fn arm64_with_4_kib_pages_and_39_bits() {
    check_arm64(
        "ffffffc008a30000",
        "40a30800: 41000003
        41000228: 41001003
        41001180: 60000040a30703
        // blocks of 2 MiB and 1 GiB
        40a30000: 41002003
        41002018: 40000000a00781
        40a30010: 600001c0000701",
        "ffffffc008a30123: 40a30123 rw- edd
        ffffff8000600123: a00123 r-x 1ffedd
        ffffff8080000123: 1c0000123 rw- 3ffffedd",
    );
}

#[test]
fn arm64_with_4_kib_pages_and_48_bits() {
    check_arm64(
        "ffff800008a30000",
        "40a30800: 41000003
        41000000: 41001003
        41001228: 41002003
        41002180: 60000040a30703
        40a30000: 41003003
        41003000: 41004003
        41004018: 40000000a00781
        41003010: 600001c0000701",
        "ffff800008a30123: 40a30123 rw- edd
        ffff000000600123: a00123 r-x 1ffedd
        ffff000080000123: 1c0000123 rw- 3ffffedd",
    );
}

/// Five levels; two bits of the address where others have the shareability.
#[test]
fn arm64_with_4_kib_pages_and_52_bits() {
    check_arm64(
        "ffff800008a30000",
        "40a30078: 41000003
        41000800: 41001003
        41001000: 41002003
        41002228: 41003003
        41003180: 60000040a30403
        40a30000: 41004003
        41004000: 41005003
        41005000: 41006003
        41006018: 40000000a00481
        41005010: 600001c0000401
        // a page, and a table, at more than 48 bits
        41006000: 41007003
        41007048: 61123400003703
        41006008: 0001000042000303
        d000042000000: 60000000888403",
        "ffff800008a30123: 40a30123 rw- edd
        fff0000000600123: a00123 r-x 1ffedd
        fff0000080000123: 1c0000123 rw- 3ffffedd
        fff0000000009123: d123400003123 rw- edd
        fff0000000200123: 888123 rw- edd",
    );
}

#[test]
fn arm64_with_16_kib_pages() {
    // 36 bits
    check_arm64(
        "fffffff808a30000",
        "40a32020: 41000003
        41001460: 60000040a30703
        40a30018: 4000000a000781",
        "fffffff808a30123: 40a30123 rw- 3edd
        fffffff006000123: a000123 r-x 1fffedd",
    );
    // 47 bits
    check_arm64(
        "ffffc00008a30000",
        "40a32000: 41000003
        41000020: 41004003
        41005460: 60000040a30703
        40a30000: 41008003
        41008018: 4000000a000781",
        "ffffc00008a30123: 40a30123 rw- 3edd
        ffff800006000123: a000123 r-x 1fffedd",
    );
    // 48 bits: one more, and two entries at the top
    check_arm64(
        "ffff800008a30000",
        "40a30008: 41000003
        41000000: 41004003
        41004020: 41008003
        41009460: 60000040a30703
        40a30000: 4100c003
        4100c000: 41010003
        41010018: 4000000a000781",
        "ffff800008a30123: 40a30123 rw- 3edd
        ffff000006000123: a000123 r-x 1fffedd",
    );
    // 52 bits
    check_arm64(
        "ffff800008a30000",
        "40a300f8: 41000003
        41000000: 41004003
        41004020: 41008003
        41009460: 60000040a30403
        40a30000: 4100c003
        4100c000: 41010003
        41010018: 4000000a000481
        41010000: 41014003
        41014048: 6112340000c703",
        "ffff800008a30123: 40a30123 rw- 3edd
        fff0000006000123: a000123 r-x 1fffedd
        fff0000000024123: d12340000c123 rw- 3edd",
    );
}

#[test]
fn arm64_with_64_kib_pages() {
    // 42 bits
    check_arm64(
        "fffffe0008a30000",
        "40a38000: 41000003
        41004518: 60000040a30703
        40a30018: 400000a0000781",
        "fffffe0008a30123: 40a30123 rw- fedd
        fffffc0060000123: a0000123 r-x 1ffffedd",
    );
    // 48 bits
    check_arm64(
        "ffff800008a30000",
        "40a30100: 41000003
        41000000: 41010003
        41014518: 60000040a30703
        40a30000: 41020003
        41020018: 400000a0000781",
        "ffff800008a30123: 40a30123 rw- fedd
        ffff000060000123: a0000123 r-x 1ffffedd",
    );
    // 52 bits, of the address of a page, too
    check_arm64(
        "ffff800008a30000",
        "40a31f00: 41000003
        41000000: 41010003
        41014518: 60000040a30703
        40a30000: 41020003
        41020018: 400000a0000781
        41020000: 41030003
        41030048: 6012340003d703",
        "ffff800008a30123: 40a30123 rw- fedd
        fff0000060000123: a0000123 r-x 1ffffedd
        fff0000000090123: d123400030123 rw- fedd",
    );
}

#[test]
fn arm64_pages_that_their_process_may_not_touch() {
    let kernel = Kernel::new(
        &aarch64::ARCH,
        WORDS,
        "swapper_pg_dir=ffff800008a30000",
        "40a30800: 41000003
        41000000: 41001003
        41001228: 41002003
        // the kernel marks a page of its own as not valid, beside its top table
        41002180: 60000040a30703
        41002188: 60000040a31702
        9000000: 9001003
        9001000: 9002003
        9002000: 9003003
        // a page; PROT_NONE since 6.10, and before; the same in 2014; swapped out
        9003000: 60000004444fc3
        9003008: 60000004445f82
        9003010: 460000004446f82
        9003018: 460000004447f80
        9003020: 123456700
        // 2 MiB: PROT_NONE
        9002008: 60000008600f80",
    );
    check_user(
        &kernel,
        0x900_0000,
        "123: 4444123 r-- edd
        1123: 4445123 r-- edd
        2123: 4446123 r-- edd
        3123: 4447123 r-- edd
        4123: NotMapped
        200123: 8600123 r-- 1ffedd
        ffffffffffff: NotMapped
        1000000000000: NoRegion",
    );
    let paging = kernel.paging().expect("paging");
    let expected = "ffff800008a30123: 40a30123 rw- edd\nffff800008a31123: NotMapped";
    same_lines(&kernel.show(&paging.kernel, expected), expected);
}
