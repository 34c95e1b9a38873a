//! 32-bit PowerPC, which FreeBSD calls powerpc.

use crate::bsd::ANY_SIZE;
use crate::{Arch, Bsd, FramePointer, Pcb, Reg, Slot, TrapBase, TrapFrame};

const CORE: &str = "org.gnu.gdb.power.core";

const fn core(name: &'static str, gdb_type: &'static str) -> Reg {
    Reg { name, bytes: 4, gdb_type, feature: CORE }
}

const R1: usize = 1;
const PC: usize = 32;
const CR: usize = 34;

/// The architecture's table.
pub static ARCH: Arch = Arch {
    name: "powerpc",
    elf_machine: 20,
    gdb_name: "powerpc:common",
    lldb_names: ["powerpc"; 2],
    regs: &[
        core("r0", "uint32"),
        core("r1", "uint32"),
        core("r2", "uint32"),
        core("r3", "uint32"),
        core("r4", "uint32"),
        core("r5", "uint32"),
        core("r6", "uint32"),
        core("r7", "uint32"),
        core("r8", "uint32"),
        core("r9", "uint32"),
        core("r10", "uint32"),
        core("r11", "uint32"),
        core("r12", "uint32"),
        core("r13", "uint32"),
        core("r14", "uint32"),
        core("r15", "uint32"),
        core("r16", "uint32"),
        core("r17", "uint32"),
        core("r18", "uint32"),
        core("r19", "uint32"),
        core("r20", "uint32"),
        core("r21", "uint32"),
        core("r22", "uint32"),
        core("r23", "uint32"),
        core("r24", "uint32"),
        core("r25", "uint32"),
        core("r26", "uint32"),
        core("r27", "uint32"),
        core("r28", "uint32"),
        core("r29", "uint32"),
        core("r30", "uint32"),
        core("r31", "uint32"),
        core("pc", "code_ptr"),
        core("msr", "uint32"),
        core("cr", "uint32"),
        core("lr", "code_ptr"),
        core("ctr", "uint32"),
        core("xer", "uint32"),
    ],
    pc: PC,
    sp: R1,
    tagged: false,
    // As on powerpc64, with words half as wide and no condition register in a frame.
    frames: FramePointer {
        register: R1,
        caller_fp: 0,
        return_address: 4,
        back_chain: true,
        cfa: 0,
        dwarf_fp: 1,
        dwarf_sp: 1,
        dwarf_return_address: 65,
    },
    freebsd: Some(&FREEBSD),
    dragonfly: None,
    linux: None,
};

static FREEBSD: Bsd = Bsd {
    // Its dumps are ELF, stored by virtual address.
    minidumps: &[],
    full: None,
    // sys/powerpc/include/pcb.h: r12 to r31, cr, r1, since 9.0 the table of contents, which 32-bit code does not have,
    // and lr, which is where the thread goes on.
    pcb: &[Pcb {
        since: 900_000,
        bytes: ANY_SIZE,
        switched: &[
            Slot { reg: 12, offset: 0 },
            Slot { reg: 13, offset: 4 },
            Slot { reg: 14, offset: 8 },
            Slot { reg: 15, offset: 12 },
            Slot { reg: 16, offset: 16 },
            Slot { reg: 17, offset: 20 },
            Slot { reg: 18, offset: 24 },
            Slot { reg: 19, offset: 28 },
            Slot { reg: 20, offset: 32 },
            Slot { reg: 21, offset: 36 },
            Slot { reg: 22, offset: 40 },
            Slot { reg: 23, offset: 44 },
            Slot { reg: 24, offset: 48 },
            Slot { reg: 25, offset: 52 },
            Slot { reg: 26, offset: 56 },
            Slot { reg: 27, offset: 60 },
            Slot { reg: 28, offset: 64 },
            Slot { reg: 29, offset: 68 },
            Slot { reg: 30, offset: 72 },
            Slot { reg: 31, offset: 76 },
            Slot { reg: CR, offset: 80 },
            Slot { reg: R1, offset: 84 },
            Slot { reg: PC, offset: 92 },
        ],
        savectx: &[],
    }],
    outermost: &["fork_trampoline"],
    // As on 64 bits; the stack frame has two words of its own, and the label stands behind the call.
    prstatus: None,
    traps: &[TrapFrame {
        since: 0,
        entry: |name| ["trapexit", "asttrapexit"].contains(&name),
        name_at: 0,
        base: TrapBase::StackPointer(8),
        pc: 144,
        sp: 4,
        fp: 4,
        user: (148, 0x4000, 0x4000),
        dwarf_pc: 65,
        others: &[(0..=0, 0), (2..=31, 8)],
    }],
};
