//! Page tables by the registers that control a CPU, on x86.

use super::{HALF_WORDS, Kernel, Stored, WORDS, lines};
use crate::text::same_lines;
use kgdbserver_arch::{Arch, Lost, Paging, Va, i386, x86_64};

/// The table of interrupts lies where every process maps it. Its first entry leads to code of the kernel.
const FOUR_LEVELS: &str = "
    1f000fe0: 5000067
    5000000: 5001067
    5001000: 5002067
    5002000: 8000000007000161
    1f000ff8: 5003067
    5003ff0: 5004067
    5004040: b0001e1
    7000000: 81008e0000101040
    7000008: ffffffff
";

const ADDRESSES: &str = "
    ffffffff81001040: b001040 r-x 1fefc0
    fffffe0000000123: 7000123 r-- edd
";

const IDT: &str = "NUMBER(IDT)=fffffe0000000000 NUMBER(CR4)=3506f0";
const CODE: u64 = 0xffff_ffff_8100_1040;

fn bare(kernel: &Kernel) -> Result<(Paging, Va), Lost> {
    (kernel.arch.linux.and_then(|linux| linux.bare).expect("by registers"))(kernel)
}

/// Where the kernel's code is, and where addresses lead. Without any of the entries nothing is found.
#[track_caller]
fn check(arch: &'static Arch, stored: Stored, told: &str, entries: &str, code: u64, expected: &str) {
    let kernel = Kernel::new(arch, stored, told, entries);
    let (paging, va) = bare(&kernel).expect("paging");
    assert_eq!(va.0, code);
    same_lines(&kernel.show(&paging.kernel, expected), expected);
    for twin in lines(entries) {
        let lost = Kernel::new(arch, stored, told, &without(entries, twin));
        assert_eq!(bare(&lost).expect_err(twin), Lost::Nowhere("IDT"), "without {twin}");
    }
}

/// The same entries, with zeros in one.
fn without(entries: &str, twin: &str) -> String {
    let zeros = format!("{}: 0", twin.split(':').next().unwrap_or(twin));
    lines(entries).map(|line| if line == twin { &zeros } else { line }).collect::<Vec<_>>().join("\n")
}

#[test]
fn x86_64_with_four_levels() {
    // Some bits are flags, or the number of the process.
    for cr3 in ["1f000000", "1f000fff"] {
        let told = format!("{IDT} NUMBER(CR3)={cr3}");
        check(&x86_64::ARCH, WORDS, &told, FOUR_LEVELS, CODE, ADDRESSES);
    }
    // A top table may lie on any page.
    let odd = FOUR_LEVELS.replace("1f000", "1f001");
    check(&x86_64::ARCH, WORDS, &format!("{IDT} NUMBER(CR3)=1f001000"), &odd, CODE, ADDRESSES);
}

#[test]
fn x86_64_with_five_levels() {
    let told = "NUMBER(IDT)=fffffe0000000000 NUMBER(CR4)=3516f0 NUMBER(CR3)=1e000000";
    let entries = format!("{FOUR_LEVELS}\n1e000ff8: 1f000067");
    check(&x86_64::ARCH, WORDS, told, &entries, CODE, ADDRESSES);
}

/// With page-table isolation the tables of the user's half, in the next page, have all this and little else.
#[test]
fn x86_64_in_user_space() {
    let told = format!("{IDT} NUMBER(CR3)=1f001802");
    let entries = format!("{FOUR_LEVELS}\n1f001fe0: 5000067\n1f001ff8: 5003067\n1f000880: 5000067");
    let kernel = Kernel::new(&x86_64::ARCH, WORDS, &told, &entries);
    let (paging, _) = bare(&kernel).expect("paging");
    same_lines(
        &kernel.show(&paging.kernel, "ffff880000000123: 7000123 r-- edd"),
        "ffff880000000123: 7000123 r-- edd",
    );
}

#[test]
fn i386_with_and_without_pae() {
    let expected = "c1001040: 1001040 r-x 1fefc0\nff800123: 7000123 r-- edd\nbfffffff: NoRegion";
    check(
        &i386::ARCH,
        WORDS,
        "NUMBER(IDT)=ff800000 NUMBER(CR3)=1f000020 NUMBER(CR4)=30",
        "1f000038: 5000001
        5000fe0: 5001067
        5001000: 8000000007000161
        5000040: 10001e1
        7000000: c1008e0000601040",
        0xc100_1040,
        expected,
    );
    check(
        &i386::ARCH,
        HALF_WORDS,
        "NUMBER(IDT)=ff800000 NUMBER(CR3)=1f000000 NUMBER(CR4)=10",
        "1f000ff8: 5001067
        5001000: 7000161
        1f000c10: 5002067
        5002004: 1001161
        7000000: 601040
        7000004: c1008e00",
        0xc100_1040,
        "c1001040: 1001040 r-x fc0\nff800123: 7000123 r-x edd\nbfffffff: NoRegion",
    );
}

#[test]
fn what_leads_to_no_code_of_a_kernels_proves_nothing() {
    let lost = |told: &str, entries: &str| {
        bare(&Kernel::new(&x86_64::ARCH, WORDS, told, entries)).expect_err("no tables")
    };
    let told = format!("{IDT} NUMBER(CR3)=1f000000");
    for (sound, wrong) in [
        ("81008e0000101040", "8100ee0000101040"), // not of an interrupt
        ("5004040: b0001e1", "5004040: 800000000b0001e1"), // not executable
        ("7000008: ffffffff", "7000008: 00007fff"), // not the kernel's
    ] {
        let user = "1f0007f8: 5003067\n5003ff0: 5004067";
        let entries = FOUR_LEVELS.replace(sound, wrong);
        assert_ne!(entries, FOUR_LEVELS);
        assert_eq!(lost(&told, &format!("{entries}\n{user}")), Lost::Nowhere("IDT"), "{wrong}");
    }
    assert_eq!(lost(&told.replace("1f000000", "1f008000"), FOUR_LEVELS), Lost::Nowhere("IDT"));
    for register in ["IDT", "CR3", "CR4"] {
        let told = told.replace(&format!("NUMBER({register})"), "NUMBER(other)");
        assert_eq!(lost(&told, FOUR_LEVELS), Lost::NoSymbol(register));
    }
}
