//! IBM Z, which Linux calls s390x: 64 bits, big-endian.

use crate::linux;
use crate::{Arch, Entry, FramePointer, Pa, Radix, Reg, Rights};

const CORE: &str = "org.gnu.gdb.s390.core";
const ACCESS: &str = "org.gnu.gdb.s390.acr";
const FLOAT: &str = "org.gnu.gdb.s390.fpr";

const fn r(name: &'static str) -> Reg {
    Reg { name, bytes: 8, gdb_type: "uint64", feature: CORE }
}

const fn acr(name: &'static str) -> Reg {
    Reg { name, bytes: 4, gdb_type: "uint32", feature: ACCESS }
}

const fn f(name: &'static str) -> Reg {
    Reg { name, bytes: 8, gdb_type: "ieee_double", feature: FLOAT }
}

/// The kernel's own, as QEMU describes them.
const fn cr(name: &'static str) -> Reg {
    Reg { name, bytes: 8, gdb_type: "uint64", feature: "org.gnu.gdb.s390.cr" }
}

const PSWA: usize = 1;
const R15: usize = 17;

/// The architecture's table. gdb refuses a description without the access and floating-point registers.
pub static ARCH: Arch = Arch {
    name: "s390x",
    elf_machine: 22,
    gdb_name: "s390:64-bit",
    lldb_names: ["s390x"; 2],
    regs: &[
        r("pswm"),
        Reg { name: "pswa", bytes: 8, gdb_type: "code_ptr", feature: CORE },
        r("r0"),
        r("r1"),
        r("r2"),
        r("r3"),
        r("r4"),
        r("r5"),
        r("r6"),
        r("r7"),
        r("r8"),
        r("r9"),
        r("r10"),
        r("r11"),
        r("r12"),
        r("r13"),
        r("r14"),
        Reg { name: "r15", bytes: 8, gdb_type: "data_ptr", feature: CORE },
        acr("acr0"),
        acr("acr1"),
        acr("acr2"),
        acr("acr3"),
        acr("acr4"),
        acr("acr5"),
        acr("acr6"),
        acr("acr7"),
        acr("acr8"),
        acr("acr9"),
        acr("acr10"),
        acr("acr11"),
        acr("acr12"),
        acr("acr13"),
        acr("acr14"),
        acr("acr15"),
        Reg { name: "fpc", bytes: 4, gdb_type: "uint32", feature: FLOAT },
        f("f0"),
        f("f1"),
        f("f2"),
        f("f3"),
        f("f4"),
        f("f5"),
        f("f6"),
        f("f7"),
        f("f8"),
        f("f9"),
        f("f10"),
        f("f11"),
        f("f12"),
        f("f13"),
        f("f14"),
        f("f15"),
        cr("cr0"),
        cr("cr1"),
        cr("cr2"),
        cr("cr3"),
        cr("cr4"),
        cr("cr5"),
        cr("cr6"),
        cr("cr7"),
        cr("cr8"),
        cr("cr9"),
        cr("cr10"),
        cr("cr11"),
        cr("cr12"),
        cr("cr13"),
        cr("cr14"),
        cr("cr15"),
    ],
    pc: PSWA,
    sp: R15,
    tagged: false,
    // The ABI demands no chain. Linux is built with one (-mbackchain, -mpacked-stack): it lies at the upper end of the 160
    // bytes that a frame begins with, below it the registers that a called function saved there, r14 and r15 last.
    frames: FramePointer {
        register: R15,
        caller_fp: 152,
        return_address: 136,
        back_chain: true,
        cfa: 0,
        dwarf_fp: 15,
        dwarf_sp: 15,
        dwarf_return_address: 14,
    },
    freebsd: None,
    dragonfly: None,
    linux: Some(&linux::S390X),
};

/// Dynamic address translation (z/Architecture Principles of Operation) from a region-first table down: five levels.
pub const REGION_FIRST: Radix = Radix {
    page_shift: 12,
    index_bits: &[8, 11, 11, 11, 11],
    entry_bytes: 8,
    big_endian: true,
    ignored: 0,
    decode,
    // I stands elsewhere in entries above the lowest level.
    flags: &[(0x400, "I"), (0x200, "P"), (0x100, "IEP")],
};

/// From a region-second table down: addresses of 8 PiB.
pub const REGION_SECOND: Radix = Radix { index_bits: &[8, 11, 11, 11], ..REGION_FIRST };

/// From a region-third table down: addresses of 4 TiB.
pub const REGION_THIRD: Radix = Radix { index_bits: &[8, 11, 11], ..REGION_FIRST };

/// The level of the table that an entry above the lowest one belongs to. Each says so, also one that is invalid.
pub(crate) fn level_of(raw: u64) -> usize {
    (raw >> 2 & 3) as usize + 1
}

/// Tables may be cut short, which an entry above them tells (offset and length). Linux never does it.
fn decode(raw: u64, level: usize) -> Entry {
    const INVALID_PAGE: u64 = 0x400;
    const INVALID: u64 = 0x20;
    const LARGE: u64 = 0x400;
    let rights = Rights { write: raw & 0x200 == 0, execute: raw & 0x100 == 0 };
    let leaf = |shift: u8| Entry::Leaf { pa: Pa(raw & !((1 << shift) - 1)), shift, rights };
    match (level, raw & LARGE) {
        (0, _) if raw & INVALID_PAGE == 0 => leaf(12),
        (0, _) => Entry::Absent,
        _ if raw & INVALID != 0 || level_of(raw) != level => Entry::Absent,
        (1, LARGE) => leaf(20),
        (2, LARGE) => leaf(31),
        (1, _) => Entry::Table(Pa(raw & !0x7ff)),
        _ => Entry::Table(Pa(raw & !0xfff)),
    }
}
