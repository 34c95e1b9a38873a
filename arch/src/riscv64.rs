//! 64-bit RISC-V.

use crate::bsd::{ANY_SIZE, u32_at, u64_at};
use crate::linux;
use crate::regs::{Run, slots};
use crate::{
    Arch, Bsd, ByteOrder, DirectMap, Entry, Flags, FramePointer, Kept, Minidump, Pa, Pcb, Prstatus, Radix,
    Reg, Rights, Slot, TrapBase, TrapFrame,
};

const CPU: &str = "org.gnu.gdb.riscv.cpu";

const fn reg(name: &'static str, gdb_type: &'static str) -> Reg {
    Reg { name, bytes: 8, gdb_type, feature: CPU }
}

const SP: usize = 2;
const GP: usize = 3;
const TP: usize = 4;
const FP: usize = 8;
const S1: usize = 9;
const S2: usize = 18;
const PC: usize = 32;

/// The architecture's table.
pub static ARCH: Arch = Arch {
    name: "riscv64",
    elf_machine: 243,
    gdb_name: "riscv:rv64",
    lldb_names: ["riscv64"; 2],
    regs: &[
        reg("zero", "int"),
        reg("ra", "code_ptr"),
        reg("sp", "data_ptr"),
        reg("gp", "data_ptr"),
        reg("tp", "data_ptr"),
        reg("t0", "int"),
        reg("t1", "int"),
        reg("t2", "int"),
        reg("fp", "data_ptr"),
        reg("s1", "int"),
        reg("a0", "int"),
        reg("a1", "int"),
        reg("a2", "int"),
        reg("a3", "int"),
        reg("a4", "int"),
        reg("a5", "int"),
        reg("a6", "int"),
        reg("a7", "int"),
        reg("s2", "int"),
        reg("s3", "int"),
        reg("s4", "int"),
        reg("s5", "int"),
        reg("s6", "int"),
        reg("s7", "int"),
        reg("s8", "int"),
        reg("s9", "int"),
        reg("s10", "int"),
        reg("s11", "int"),
        reg("t3", "int"),
        reg("t4", "int"),
        reg("t5", "int"),
        reg("t6", "int"),
        reg("pc", "code_ptr"),
    ],
    pc: PC,
    sp: SP,
    tagged: false,
    // The frame pointer is the canonical frame address itself.
    frames: FramePointer {
        register: FP,
        caller_fp: -16,
        return_address: -8,
        back_chain: false,
        cfa: 0,
        dwarf_fp: 8,
        dwarf_sp: 2,
        dwarf_return_address: 1,
    },
    freebsd: Some(&FREEBSD),
    dragonfly: None,
    linux: Some(&linux::RISCV64),
};

/// Three levels.
pub const SV39: Radix = Radix {
    page_shift: 12,
    index_bits: &[9; 3],
    entry_bytes: 8,
    big_endian: false,
    ignored: 0,
    decode,
    flags: FLAGS,
};

const FLAGS: Flags = &[
    (1 << 0, "V"),
    (1 << 1, "R"),
    (1 << 2, "W"),
    (1 << 3, "X"),
    (1 << 4, "U"),
    (1 << 5, "G"),
    (1 << 6, "A"),
    (1 << 7, "D"),
    (1 << 63, "N"),
];

/// Four levels.
pub const SV48: Radix = Radix { index_bits: &[9; 4], ..SV39 };

/// Five levels.
pub const SV57: Radix = Radix { index_bits: &[9; 5], ..SV39 };

/// Any right to read, write or execute makes an entry a leaf. Of the bits above the frame number, one says that 16 entries
/// side by side are one page (Svnapot); the only size there is shows in the frame number's lowest bits. Others are a memory
/// type (Svpbmt). T-Head's processors have five bits of memory type instead: that one too, but never without bit 60.
fn decode(raw: u64, level: usize) -> Entry {
    const VALID: u64 = 1;
    const RIGHTS: u64 = 0b1110;
    const NAPOT: u64 = 1 << 63;
    const SHAREABLE: u64 = 1 << 60;
    let pa = raw << 10 >> 20 << 12;
    let plain = [12, 21, 30, 39].get(level).copied().unwrap_or(48);
    let shift = match (raw & (NAPOT | SHAREABLE), level, raw >> 10 & 0xf) {
        (NAPOT, 0, 0b1000) => 16,
        (NAPOT, ..) => return Entry::Absent,
        _ => plain,
    };
    match (raw & VALID, raw & RIGHTS) {
        (0, _) => Entry::Absent,
        (_, 0) if level == 0 => Entry::Absent,
        (_, 0) => Entry::Table(Pa(pa)),
        _ => Entry::Leaf {
            pa: Pa(pa & !((1 << shift) - 1)),
            shift,
            rights: Rights { write: raw & 4 != 0, execute: raw & 8 != 0 },
        },
    }
}

/// sys/riscv/include/reg.h.
static PRSTATUS: Prstatus = Prstatus {
    bytes: 312,
    pid: 40,
    slots: &slots::<32>(&[
        Run { first: 1, count: 4, offset: 48, size: 8 },
        Run { first: 5, count: 3, offset: 80, size: 8 },
        Run { first: 28, count: 4, offset: 104, size: 8 },
        Run { first: 8, count: 2, offset: 136, size: 8 },
        Run { first: 18, count: 10, offset: 152, size: 8 },
        Run { first: 10, count: 8, offset: 232, size: 8 },
        Run { first: 32, count: 1, offset: 296, size: 8 },
    ]),
    narrow: &[],
};

static FREEBSD: Bsd = Bsd {
    minidumps: &[Minidump {
        name: "FreeBSD minidump",
        shared: None,
        magic: "minidump FreeBSD/riscv",
        magic_bytes: 24,
        versions: 1..=2,
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
        mode: None,
        relocated: None,
        // An entry of the lowest level for every page: how deep the tree was does not matter.
        kept: |_, _| Ok(Kept::Entries { form: SV39, level: 0 }),
    }],
    full: None,
    // The structure lost t0 to t6 and a0 to a7, which no switch ever saved; by its size one can tell. The pc is ra: the
    // thread goes on where cpu_switch returns to.
    pcb: &[
        Pcb {
            since: 0,
            bytes: 600..=760,
            switched: &[
                Slot { reg: PC, offset: 0 },
                Slot { reg: SP, offset: 8 },
                Slot { reg: FP, offset: 32 },
                Slot { reg: S1, offset: 40 },
                Slot { reg: S2, offset: 48 },
                Slot { reg: S2 + 1, offset: 56 },
                Slot { reg: S2 + 2, offset: 64 },
                Slot { reg: S2 + 3, offset: 72 },
                Slot { reg: S2 + 4, offset: 80 },
                Slot { reg: S2 + 5, offset: 88 },
                Slot { reg: S2 + 6, offset: 96 },
                Slot { reg: S2 + 7, offset: 104 },
                Slot { reg: S2 + 8, offset: 112 },
                Slot { reg: S2 + 9, offset: 120 },
            ],
            savectx: &[Slot { reg: GP, offset: 16 }, Slot { reg: TP, offset: 24 }],
        },
        Pcb {
            since: 0,
            bytes: ANY_SIZE,
            switched: &[
                Slot { reg: PC, offset: 0 },
                Slot { reg: SP, offset: 8 },
                Slot { reg: FP, offset: 88 },
                Slot { reg: S1, offset: 96 },
                Slot { reg: S2, offset: 104 },
                Slot { reg: S2 + 1, offset: 112 },
                Slot { reg: S2 + 2, offset: 120 },
                Slot { reg: S2 + 3, offset: 128 },
                Slot { reg: S2 + 4, offset: 136 },
                Slot { reg: S2 + 5, offset: 144 },
                Slot { reg: S2 + 6, offset: 152 },
                Slot { reg: S2 + 7, offset: 160 },
                Slot { reg: S2 + 8, offset: 168 },
                Slot { reg: S2 + 9, offset: 176 },
            ],
            savectx: &[Slot { reg: GP, offset: 16 }, Slot { reg: TP, offset: 24 }],
        },
    ],
    outermost: &["cpu_exception_handler_user", "fork_trampoline"],
    // `struct trapframe` (sys/riscv/include/frame.h).
    prstatus: Some(&PRSTATUS),
    traps: &[TrapFrame {
        since: 0,
        entry: |name| name == "cpu_exception_handler_supervisor",
        name_at: -1,
        base: TrapBase::StackPointer(0),
        pc: 248,
        sp: 8,
        fp: 88,
        // In the status register: the previous mode was not the supervisor's.
        user: (256, 0x100, 0),
        // The program counter has no number of its own, so ra seems to hold it, as it does behind a call.
        dwarf_pc: 1,
        // gp and tp, t0 to t2, s1, a0 to a7, s2 to s11, t3 to t6.
        others: &[(3..=4, 16), (5..=7, 32), (9..=9, 96), (10..=17, 184), (18..=27, 104), (28..=31, 56)],
    }],
};
