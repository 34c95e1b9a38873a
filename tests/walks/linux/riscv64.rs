//! 64-bit RISC-V.

use super::{Kernel, WORDS, check, check_user};
use kgdbserver_arch::riscv64;

#[test]
fn riscv64_with_three_to_five_levels() {
    for told in ["NUMBER(va_kernel_pa_offset)=ffffffff00000000", ""] {
        let told = format!("swapper_pg_dir=ffffffff81800000 {told}");
        check(
            &riscv64::ARCH,
            WORDS,
            1,
            &told,
            "81800ff0: 1400001
            5000060: 1400401
            5001000: 206000e7
            // 2 MiB; 1 GiB, of another type of memory; 64 KiB, in one of its 16 entries
            81800800: 1400801
            5002028: 203800e3
            81800818: 20000002200000eb
            5002000: 1400c01
            5003128: 800000000026a0e7",
            "ffffffff81800123: 81800123 rw- edd
            ffffffc000a00123: 80e00123 r-- 1ffedd
            ffffffc0c0000123: 880000123 r-x 3ffffedd
            ffffffc000025123: 9a5123 rw- aedd",
        );
        check(
            &riscv64::ARCH,
            WORDS,
            1,
            &told,
            "81800ff8: 1400001
            5000ff0: 1400401
            5001060: 1400801
            5002000: 206000e7
            81800800: 1400c01
            5003000: 1401001
            5004028: 203800e3
            5003018: 20000002200000eb",
            "ffffffff81800123: 81800123 rw- edd
            ffff800000a00123: 80e00123 r-- 1ffedd
            ffff8000c0000123: 880000123 r-x 3ffffedd",
        );
        check(
            &riscv64::ARCH,
            WORDS,
            1,
            &told,
            "81800ff8: 1400001
            5000ff8: 1400401
            5001ff0: 1400801
            5002060: 1400c01
            5003000: 206000e7
            81800800: 1401001
            5004000: 1401401
            5005000: 1401801
            5006028: 203800e3
            5005018: 20000002200000eb",
            "ffffffff81800123: 81800123 rw- edd
            ff00000000a00123: 80e00123 r-- 1ffedd
            ff000000c0000123: 880000123 r-x 3ffffedd",
        );
    }
}

#[test]
fn riscv64_pages_that_their_process_may_not_touch() {
    let kernel = Kernel::new(
        &riscv64::ARCH,
        WORDS,
        "swapper_pg_dir=ffffffff81800000",
        "81800ff0: 1400001
        5000060: 1400401
        5001000: 206000e7
        9000000: 2400401
        9001000: 2400801
        // a page; PROT_NONE; T-Head's device memory; a large page of no size that there is; swapped out
        9002000: 1111053
        9002008: 1111460
        9002010: 90000000011118f3
        9002018: 8000000001111cf3
        9002020: 1240",
    );
    check_user(
        &kernel,
        0x900_0000,
        "123: 4444123 r-- edd
        1123: 4445123 r-- edd
        2123: 4446123 r-- edd
        3123: NotMapped
        4123: NotMapped
        3fffffffff: NotMapped
        4000000000: NoRegion",
    );
}
