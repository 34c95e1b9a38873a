//! 64-bit ARM, which FreeBSD calls arm64.

use crate::bsd::{ANY_SIZE, u32_at, u64_at};
use crate::linux;
use crate::regs::{Run, slots};
use crate::{
    Arch, Bsd, ByteOrder, DirectMap, Entry, Flags, FramePointer, Kept, Minidump, Mode, ModeField, Pa, Pcb,
    Prstatus, Radix, Reg, Rights, Slot, TrapBase, TrapFrame,
};

const CORE: &str = "org.gnu.gdb.aarch64.core";

const fn x(name: &'static str) -> Reg {
    Reg { name, bytes: 8, gdb_type: "int64", feature: CORE }
}

const FP: usize = 29;
const SP: usize = 31;
const PC: usize = 32;

/// The architecture's table.
pub static ARCH: Arch = Arch {
    name: "aarch64",
    elf_machine: 183,
    gdb_name: "aarch64",
    lldb_names: ["aarch64", "aarch64_be"],
    regs: &[
        x("x0"),
        x("x1"),
        x("x2"),
        x("x3"),
        x("x4"),
        x("x5"),
        x("x6"),
        x("x7"),
        x("x8"),
        x("x9"),
        x("x10"),
        x("x11"),
        x("x12"),
        x("x13"),
        x("x14"),
        x("x15"),
        x("x16"),
        x("x17"),
        x("x18"),
        x("x19"),
        x("x20"),
        x("x21"),
        x("x22"),
        x("x23"),
        x("x24"),
        x("x25"),
        x("x26"),
        x("x27"),
        x("x28"),
        x("x29"),
        x("x30"),
        Reg { name: "sp", bytes: 8, gdb_type: "data_ptr", feature: CORE },
        Reg { name: "pc", bytes: 8, gdb_type: "code_ptr", feature: CORE },
        Reg { name: "cpsr", bytes: 4, gdb_type: "int32", feature: CORE },
    ],
    pc: PC,
    sp: SP,
    tagged: true,
    frames: FramePointer {
        register: FP,
        caller_fp: 0,
        return_address: 8,
        back_chain: false,
        cfa: 16,
        dwarf_fp: 29,
        dwarf_sp: 31,
        dwarf_return_address: 30,
    },
    freebsd: Some(&FREEBSD),
    dragonfly: None,
    linux: Some(&linux::AARCH64),
};

/// Four levels of 4 KiB tables.
pub const PAGES_OF_4_KIB: Radix = form(12, &[9; 4], decode::<12, false>);

/// Four levels of 16 KiB tables, of which the top one has two entries.
pub const PAGES_OF_16_KIB: Radix = form(14, &[11, 11, 11, 1], decode::<14, false>);

/// A form of little-endian tables.
pub(crate) const fn form(
    page_shift: u8,
    index_bits: &'static [u8],
    decode: fn(u64, usize) -> Entry,
) -> Radix {
    Radix { page_shift, index_bits, entry_bytes: 8, big_endian: false, ignored: 0, decode, flags: FLAGS }
}

/// Of pages and blocks, as the architecture's manual calls them; `RO` and `EL0` are the bits of AP.
pub(crate) const FLAGS: Flags = &[
    (1 << 6, "EL0"),
    (1 << 7, "RO"),
    (1 << 10, "AF"),
    (1 << 11, "nG"),
    (1 << 51, "DBM"),
    (1 << 52, "CONT"),
    (1 << 53, "PXN"),
    (1 << 54, "UXN"),
];

/// The lowest two bits: 3 is a page at the lowest level and a table above it, 1 a block, all else nothing. The address has
/// 48 bits; four more lie below it where pages have 64 KiB (Armv8.2's LPA), two where the tables are of the form of
/// `LPA2` (Armv8.7), which uses the two between as well.
pub(crate) fn decode<const PAGE_SHIFT: u8, const LPA2: bool>(raw: u64, level: usize) -> Entry {
    const READ_ONLY: u64 = 1 << 7;
    const KERNEL_NEVER_EXECUTES: u64 = 1 << 53; // users may not where bit 54 is set, as it is for all of the kernel
    let low = raw & 0x0003_ffff_ffff_f000 & !((1 << PAGE_SHIFT) - 1);
    let pa = match (PAGE_SHIFT, LPA2) {
        (16, _) => low & 0x0000_ffff_ffff_0000 | (raw >> 12 & 0xf) << 48,
        (_, true) => low | (raw >> 8 & 3) << 50,
        (_, false) => low,
    };
    let rights = Rights { write: raw & READ_ONLY == 0, execute: raw & KERNEL_NEVER_EXECUTES == 0 };
    let leaf = |shift: u8| Entry::Leaf { pa: Pa(pa & !((1 << shift) - 1)), shift, rights };
    match (raw & 3, level) {
        (3, 0) => leaf(PAGE_SHIFT),
        (3, _) => Entry::Table(Pa(pa)),
        (1, 1) => leaf(2 * PAGE_SHIFT - 3),
        // On the next level: always of 1 GiB, others only with the larger addresses.
        (1, 2) if PAGE_SHIFT != 14 || LPA2 => leaf(3 * PAGE_SHIFT - 6),
        (1, 3) if PAGE_SHIFT == 12 && LPA2 => leaf(39),
        _ => Entry::Absent,
    }
}

/// sys/arm64/include/reg.h.
static PRSTATUS: Prstatus = Prstatus {
    bytes: 320,
    pid: 40,
    slots: &slots::<33>(&[Run { first: 0, count: 33, offset: 48, size: 8 }]),
    narrow: &[Slot { reg: 33, offset: 312 }],
};

static FREEBSD: Bsd = Bsd {
    minidumps: &[Minidump {
        name: "FreeBSD minidump",
        shared: None,
        magic: "minidump FreeBSD/arm64",
        magic_bytes: 24,
        versions: 1..=3,
        order: ByteOrder::Little,
        ptr_bytes: 8,
        version: u32_at(24),
        msgbufsize: u32_at(28),
        bitmapsize: u32_at(32),
        pmapsize: u32_at(36),
        kernbase: u64_at(40),
        kernend: None,
        direct_map: Some(DirectMap { base: u64_at(56), end: u64_at(64), phys: Some(u64_at(48)) }),
        dumpavailsize: Some((2, u32_at(72))),
        mode: Some(Mode { since: 3, field: ModeField::Number(u32_at(76)) }),
        relocated: None,
        kept,
    }],
    full: None,
    pcb: &[
        Pcb { since: 1_400_084, bytes: ANY_SIZE, switched: CALLEE_SAVED, savectx: &[] },
        // Where the image does not tell its release: the larger structure had 848 bytes, and 1376 with watchpoints.
        Pcb { since: 0, bytes: 1000..=1375, switched: CALLEE_SAVED, savectx: &[] },
        Pcb { since: 0, bytes: ANY_SIZE, switched: FROM_X8_BUT_LR, savectx: &[] },
    ],
    outermost: &[
        "handle_el0_sync",
        "handle_el0_irq",
        "handle_el0_fiq",
        "handle_el0_serror",
        "handle_el0_error",
        "fork_trampoline",
    ],
    // `struct trapframe` (sys/arm64/include/frame.h) lies below what the entry makes its frame pointer. 14.0 widened two
    // status registers and added the address of the fault.
    prstatus: Some(&PRSTATUS),
    traps: &[
        TrapFrame {
            since: 1_400_084,
            base: TrapBase::FramePointer(-288),
            fp: 280,
            others: &[(0..=28, 48), (30..=30, 8)],
            ..OLD_TRAP
        },
        OLD_TRAP,
    ],
};

const OLD_TRAP: TrapFrame = TrapFrame {
    since: 0,
    entry: |name| {
        name.starts_with("handle_el1h_") || ["handle_serror", "handle_empty_exception"].contains(&name)
    },
    name_at: -1,
    base: TrapBase::FramePointer(-272),
    pc: 16,
    sp: 0,
    fp: 264,
    // The saved status register's mode: exception level 0.
    user: (24, 0xf, 0),
    dwarf_pc: 32,
    // x0 to x28, lr.
    others: &[(0..=28, 32), (30..=30, 8)],
};

/// The dumper writes an entry of the lowest level for every page, blocks expanded. Since version 3 (15) the lowest two
/// bits of the flags say how large a page is.
fn kept(_: u32, flags: u64) -> Result<Kept, &'static str> {
    match flags & 3 {
        0 => Ok(Kept::Entries { form: PAGES_OF_4_KIB, level: 0 }),
        1 => Ok(Kept::Entries { form: PAGES_OF_16_KIB, level: 0 }),
        _ => Err("a page size that is neither 4 nor 16 KiB"),
    }
}

// A switched thread goes on at its link register's value, so that is its pc; what its own lr was is not saved.

/// x19 to x28, fp, lr, sp.
const CALLEE_SAVED: &[Slot] = &[
    Slot { reg: 19, offset: 0 },
    Slot { reg: 20, offset: 8 },
    Slot { reg: 21, offset: 16 },
    Slot { reg: 22, offset: 24 },
    Slot { reg: 23, offset: 32 },
    Slot { reg: 24, offset: 40 },
    Slot { reg: 25, offset: 48 },
    Slot { reg: 26, offset: 56 },
    Slot { reg: 27, offset: 64 },
    Slot { reg: 28, offset: 72 },
    Slot { reg: FP, offset: 80 },
    Slot { reg: PC, offset: 88 },
    Slot { reg: SP, offset: 96 },
];

/// x8 to x29, lr, a word that no release kept right (pc), sp. There is room for x0 to x7 before them, but neither a
/// context switch nor `savectx` ever wrote there (sys/arm64/arm64/swtch.S, 12.1 and 13.0): kgdb and lldb show the zeros
/// that the structure began with.
const FROM_X8_BUT_LR: &[Slot] = &[
    Slot { reg: 8, offset: 64 },
    Slot { reg: 9, offset: 72 },
    Slot { reg: 10, offset: 80 },
    Slot { reg: 11, offset: 88 },
    Slot { reg: 12, offset: 96 },
    Slot { reg: 13, offset: 104 },
    Slot { reg: 14, offset: 112 },
    Slot { reg: 15, offset: 120 },
    Slot { reg: 16, offset: 128 },
    Slot { reg: 17, offset: 136 },
    Slot { reg: 18, offset: 144 },
    Slot { reg: 19, offset: 152 },
    Slot { reg: 20, offset: 160 },
    Slot { reg: 21, offset: 168 },
    Slot { reg: 22, offset: 176 },
    Slot { reg: 23, offset: 184 },
    Slot { reg: 24, offset: 192 },
    Slot { reg: 25, offset: 200 },
    Slot { reg: 26, offset: 208 },
    Slot { reg: 27, offset: 216 },
    Slot { reg: 28, offset: 224 },
    Slot { reg: FP, offset: 232 },
    Slot { reg: PC, offset: 240 },
    Slot { reg: SP, offset: 256 },
];
