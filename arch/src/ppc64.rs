//! 64-bit PowerPC of both byte orders, which FreeBSD calls powerpc64 and powerpc64le.

use crate::bsd::{ANY_SIZE, u32_at, u64_at};
use crate::linux;
use crate::regs::{Run, slots};
use crate::{
    Arch, Bsd, ByteOrder, DirectMap, Entry, FramePointer, Kept, Minidump, Mode, ModeField, Pa, Pcb, Prstatus,
    Radix, Reg, Relocated, Rights, Slot, TrapBase, TrapFrame,
};

const CORE: &str = "org.gnu.gdb.power.core";

const fn core(name: &'static str, bytes: u8, gdb_type: &'static str) -> Reg {
    Reg { name, bytes, gdb_type, feature: CORE }
}

const R1: usize = 1;
const R2: usize = 2;
const PC: usize = 32;

/// The architecture's table.
pub static ARCH: Arch = Arch {
    name: "powerpc64",
    elf_machine: 21,
    gdb_name: "powerpc:common64",
    lldb_names: ["powerpc64le", "powerpc64"],
    regs: &[
        core("r0", 8, "uint64"),
        core("r1", 8, "uint64"),
        core("r2", 8, "uint64"),
        core("r3", 8, "uint64"),
        core("r4", 8, "uint64"),
        core("r5", 8, "uint64"),
        core("r6", 8, "uint64"),
        core("r7", 8, "uint64"),
        core("r8", 8, "uint64"),
        core("r9", 8, "uint64"),
        core("r10", 8, "uint64"),
        core("r11", 8, "uint64"),
        core("r12", 8, "uint64"),
        core("r13", 8, "uint64"),
        core("r14", 8, "uint64"),
        core("r15", 8, "uint64"),
        core("r16", 8, "uint64"),
        core("r17", 8, "uint64"),
        core("r18", 8, "uint64"),
        core("r19", 8, "uint64"),
        core("r20", 8, "uint64"),
        core("r21", 8, "uint64"),
        core("r22", 8, "uint64"),
        core("r23", 8, "uint64"),
        core("r24", 8, "uint64"),
        core("r25", 8, "uint64"),
        core("r26", 8, "uint64"),
        core("r27", 8, "uint64"),
        core("r28", 8, "uint64"),
        core("r29", 8, "uint64"),
        core("r30", 8, "uint64"),
        core("r31", 8, "uint64"),
        core("pc", 8, "code_ptr"),
        core("msr", 8, "uint64"),
        core("cr", 4, "uint32"),
        core("lr", 8, "code_ptr"),
        core("ctr", 8, "uint64"),
        core("xer", 4, "uint32"),
    ],
    pc: PC,
    sp: R1,
    tagged: false,
    // Every frame begins with a pointer to its caller's; a function saves its return address in the caller's frame.
    frames: FramePointer {
        register: R1,
        caller_fp: 0,
        return_address: 16,
        back_chain: true,
        cfa: 0,
        dwarf_fp: 1,
        dwarf_sp: 1,
        dwarf_return_address: 65,
    },
    freebsd: Some(&FREEBSD),
    dragonfly: None,
    linux: Some(&linux::PPC64),
};

/// The tree of POWER9 and later, with pages of 4 KiB. The processor's own byte order is big, also under a little-endian
/// kernel.
pub const RADIX: Radix = Radix {
    page_shift: 12,
    index_bits: &[9, 9, 9, 13],
    entry_bytes: 8,
    big_endian: true,
    ignored: 0,
    decode: decode::<12>,
    // Privileged, read, write, execute; referenced, changed.
    flags: &[
        (1 << 63, "V"),
        (1 << 62, "L"),
        (1 << 8, "REF"),
        (1 << 7, "CHG"),
        (1 << 3, "PRIV"),
        (1 << 2, "R"),
        (1 << 1, "W"),
        (1 << 0, "X"),
    ],
};

/// The same with pages of 64 KiB; all larger ones are the same.
pub const RADIX_64_KIB: Radix =
    Radix { page_shift: 16, index_bits: &[5, 9, 9, 13], decode: decode::<16>, ..RADIX };

fn decode<const PAGE_SHIFT: u8>(raw: u64, level: usize) -> Entry {
    let shift = [PAGE_SHIFT, 21, 30].get(level).copied().unwrap_or(39);
    entry(raw, level, shift)
}

/// An entry of a level whose pages have `1 << shift` bytes.
pub(crate) fn entry(raw: u64, level: usize, shift: u8) -> Entry {
    const VALID: u64 = 1 << 63;
    const LEAF: u64 = 1 << 62;
    let pa = Pa(raw & 0x00ff_ffff_ffff_f000 & !((1 << shift) - 1));
    match (raw & VALID, raw & LEAF) {
        (0, _) => Entry::Absent,
        (_, 0) if level == 0 => Entry::Absent,
        (_, 0) => Entry::Table(Pa(raw & 0x00ff_ffff_ffff_ff00)),
        _ => Entry::Leaf { pa, shift, rights: Rights { write: raw & 2 != 0, execute: raw & 1 != 0 } },
    }
}

/// sys/powerpc/include/reg.h.
static PRSTATUS: Prstatus = Prstatus {
    bytes: 344,
    pid: 40,
    slots: &slots::<35>(&[
        Run { first: 0, count: 32, offset: 48, size: 8 },
        Run { first: 35, count: 1, offset: 304, size: 8 },
        Run { first: 36, count: 1, offset: 328, size: 8 },
        Run { first: 32, count: 1, offset: 336, size: 8 },
    ]),
    narrow: &[Slot { reg: 34, offset: 312 }, Slot { reg: 37, offset: 320 }],
};

static FREEBSD: Bsd = Bsd {
    minidumps: &[Minidump {
        name: "FreeBSD minidump",
        shared: None,
        magic: "minidump FreeBSD/powerpc64",
        magic_bytes: 32,
        versions: 1..=2,
        order: ByteOrder::OfVersion,
        ptr_bytes: 8,
        version: u32_at(64),
        msgbufsize: u32_at(68),
        bitmapsize: u32_at(72),
        pmapsize: u32_at(76),
        kernbase: u64_at(80),
        kernend: Some(u64_at(88)),
        direct_map: Some(DirectMap { base: u64_at(96), end: u64_at(104), phys: None }),
        dumpavailsize: Some((2, u32_at(136))),
        mode: Some(Mode { since: 0, field: ModeField::Name(32, &["mmu_g5", "mmu_phyp", "mmu_radix"]) }),
        relocated: Some(Relocated { linked_at: 0x10_0100, start: u64_at(120), end: u64_at(128) }),
        kept,
    }],
    full: None,
    // r12 and r14 to r31, the condition register, r1, r2 and lr, which is where the thread goes on. A switch leaves out
    // r13, the current thread.
    pcb: &[Pcb {
        since: 0,
        bytes: ANY_SIZE,
        switched: &[
            Slot { reg: 12, offset: 0 },
            Slot { reg: 14, offset: 16 },
            Slot { reg: 15, offset: 24 },
            Slot { reg: 16, offset: 32 },
            Slot { reg: 17, offset: 40 },
            Slot { reg: 18, offset: 48 },
            Slot { reg: 19, offset: 56 },
            Slot { reg: 20, offset: 64 },
            Slot { reg: 21, offset: 72 },
            Slot { reg: 22, offset: 80 },
            Slot { reg: 23, offset: 88 },
            Slot { reg: 24, offset: 96 },
            Slot { reg: 25, offset: 104 },
            Slot { reg: 26, offset: 112 },
            Slot { reg: 27, offset: 120 },
            Slot { reg: 28, offset: 128 },
            Slot { reg: 29, offset: 136 },
            Slot { reg: 30, offset: 144 },
            Slot { reg: 31, offset: 152 },
            Slot { reg: R1, offset: 168 },
            Slot { reg: R2, offset: 176 },
            Slot { reg: PC, offset: 184 },
        ],
        savectx: &[Slot { reg: 13, offset: 8 }],
    }],
    outermost: &["fork_trampoline"],
    // `struct trapframe` (sys/powerpc/include/frame.h), behind the stack frame's own six words. The linker wants a word
    // behind a call, and the label stands behind that.
    prstatus: Some(&PRSTATUS),
    traps: &[TrapFrame {
        since: 0,
        entry: |name| ["trapexit", "asttrapexit"].contains(&name),
        name_at: 4,
        base: TrapBase::StackPointer(48),
        pc: 288,
        sp: 8,
        fp: 8,
        // The saved machine state: "problem state", which is a program's.
        user: (296, 0x4000, 0x4000),
        // The program counter has no number of its own, so lr seems to hold it, as it does behind a call.
        dwarf_pc: 65,
        others: &[(0..=0, 0), (2..=31, 16)],
    }],
};

/// The names of [`FREEBSD`]'s modes: the hashed table of the processor itself, the one that a hypervisor keeps (whose
/// entries the kernel asked for one by one, and wrote in its own byte order), and the tree.
fn kept(_: u32, mmu: u64) -> Result<Kept, &'static str> {
    Ok(match mmu {
        0 => Kept::Hash { kernels_order: false },
        1 => Kept::Hash { kernels_order: true },
        _ => Kept::Top(RADIX),
    })
}
