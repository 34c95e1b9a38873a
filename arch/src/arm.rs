//! 32-bit ARM.

use crate::bsd::{ANY_SIZE, u32_at};
use crate::full::{Base, RootVariable, first_proved, tables};
use crate::regs::{Run, slots};
use crate::{
    Arch, Bsd, By, ByteOrder, Entry, Facts, FramePointer, Kept, Located, Lost, Minidump, Mode, ModeField, Pa,
    Pcb, Prstatus, Radix, Reg, Rights, Slot, TrapBase, TrapFrame,
};
use crate::{aarch64, linux};

const CORE: &str = "org.gnu.gdb.arm.core";

const fn core(name: &'static str, gdb_type: &'static str) -> Reg {
    Reg { name, bytes: 4, gdb_type, feature: CORE }
}

const FP: usize = 11;
const SP: usize = 13;
const PC: usize = 15;

/// The architecture's table.
pub static ARCH: Arch = Arch {
    name: "arm",
    elf_machine: 40,
    gdb_name: "arm",
    lldb_names: ["arm", "armeb"],
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
        core("sp", "data_ptr"),
        core("lr", "int"),
        core("pc", "code_ptr"),
        core("cpsr", "int"),
    ],
    pc: PC,
    sp: SP,
    tagged: false,
    // The ABI demands no frame pointer, and the kernel's own unwinder reads .ARM.exidx. But clang keeps r11 unless told
    // otherwise, and FreeBSD does not tell it: a chain of r11 is what there is, as good as the kernel's build.
    frames: FramePointer {
        register: FP,
        caller_fp: 0,
        return_address: 4,
        back_chain: false,
        cfa: 8,
        dwarf_fp: 11,
        dwarf_sp: 13,
        dwarf_return_address: 14,
    },
    freebsd: Some(&FREEBSD),
    dragonfly: None,
    linux: Some(&linux::ARM),
};

/// ARMv6 and later: 16 KiB of sections, tables of 1 KiB below.
pub const V6: Radix = Radix {
    page_shift: 12,
    index_bits: &[8, 12],
    entry_bytes: 4,
    big_endian: false,
    ignored: 0,
    decode: decode_v6,
    flags: &[],
};

/// Before ARMv6.
pub const V4: Radix = Radix { decode: decode_v4, ..V6 };

/// Large physical addresses: 64-bit entries, three levels, of which the top one has four.
pub const LPAE: Radix = Radix {
    page_shift: 12,
    index_bits: &[9, 9, 2],
    entry_bytes: 8,
    big_endian: false,
    ignored: 0,
    decode: decode_lpae,
    flags: aarch64::FLAGS,
};

/// A 64 KiB page stands in 16 entries; in V6 bit 0 of a small page forbids execution.
fn decode_v6(raw: u64, level: usize) -> Entry {
    let read_only = if level == 0 { 1 << 9 } else { 1 << 15 };
    match (level, raw & 3) {
        (0, 1) => large_page(raw, Rights { write: raw & read_only == 0, execute: raw & 1 << 15 == 0 }),
        (0, 2 | 3) => small_page(raw, Rights { write: raw & read_only == 0, execute: raw & 1 == 0 }),
        (1, 1) => Entry::Table(Pa(raw & 0xffff_fc00)),
        (1, 2) => {
            let rights = Rights { write: raw & read_only == 0, execute: raw & 1 << 4 == 0 };
            if raw & 1 << 18 == 0 { section(raw, rights) } else { supersection(raw, rights) }
        }
        _ => Entry::Absent,
    }
}

/// The access permission's upper bit allows the kernel to write. Nothing forbids execution. Tiny pages (3) are not
/// supported: no kernel uses them.
fn decode_v4(raw: u64, level: usize) -> Entry {
    let may_write = if level == 0 { 1 << 4 } else { 1 << 10 };
    let rights = Rights { write: raw & may_write != 0, execute: true };
    match (level, raw & 3) {
        (0, 1) => large_page(raw, rights),
        (0, 2) => small_page(raw, rights),
        (1, 1) => Entry::Table(Pa(raw & 0xffff_fc00)),
        (1, 2) => section(raw, rights),
        _ => Entry::Absent,
    }
}

fn small_page(raw: u64, rights: Rights) -> Entry {
    Entry::Leaf { pa: Pa(raw & 0xffff_f000), shift: 12, rights }
}

fn large_page(raw: u64, rights: Rights) -> Entry {
    Entry::Leaf { pa: Pa(raw & 0xffff_0000), shift: 16, rights }
}

fn section(raw: u64, rights: Rights) -> Entry {
    Entry::Leaf { pa: Pa(raw & 0xfff0_0000), shift: 20, rights }
}

/// 16 MiB, in 16 entries. Its address has 40 bits, the upper ones where a section's has others.
fn supersection(raw: u64, rights: Rights) -> Entry {
    let pa = raw & 0xff00_0000 | (raw >> 20 & 0xf) << 32 | (raw >> 5 & 0xf) << 36;
    Entry::Leaf { pa: Pa(pa), shift: 24, rights }
}

fn decode_lpae(raw: u64, level: usize) -> Entry {
    let pa = raw & 0x00ff_ffff_f000;
    let rights = Rights { write: raw & 1 << 7 == 0, execute: raw & 1 << 54 == 0 };
    match (level, raw & 3) {
        (0, 3) => Entry::Leaf { pa: Pa(pa), shift: 12, rights },
        (1, 1) => Entry::Leaf { pa: Pa(pa & !0x1f_ffff), shift: 21, rights },
        (1 | 2, 3) => Entry::Table(Pa(pa)),
        _ => Entry::Absent,
    }
}

/// sys/arm/include/reg.h.
static PRSTATUS: Prstatus = Prstatus {
    bytes: 96,
    pid: 24,
    slots: &slots::<17>(&[Run { first: 0, count: 17, offset: 28, size: 4 }]),
    narrow: &[],
};

static FREEBSD: Bsd = Bsd {
    minidumps: &[Minidump {
        name: "FreeBSD minidump",
        shared: None,
        magic: "minidump FreeBSD/arm",
        magic_bytes: 24,
        versions: 1..=2,
        order: ByteOrder::Little,
        ptr_bytes: 4,
        version: u32_at(24),
        msgbufsize: u32_at(28),
        bitmapsize: u32_at(32),
        pmapsize: u32_at(36),
        kernbase: u32_at(40),
        kernend: None,
        direct_map: None,
        dumpavailsize: Some((2, u32_at(52))),
        mode: Some(Mode { since: 0, field: ModeField::Number(u32_at(48)) }),
        relocated: None,
        kept,
    }],
    full: Some(locate),
    // A thread goes on at its saved lr (`ldmia {r4-r12, sp, pc}`), so that is its pc. The word behind it, pc, is where
    // the registers were saved, and nothing at all in a thread that never ran.
    pcb: &[Pcb {
        since: 0,
        bytes: ANY_SIZE,
        switched: &[
            Slot { reg: 4, offset: 0 },
            Slot { reg: 5, offset: 4 },
            Slot { reg: 6, offset: 8 },
            Slot { reg: 7, offset: 12 },
            Slot { reg: 8, offset: 16 },
            Slot { reg: 9, offset: 20 },
            Slot { reg: 10, offset: 24 },
            Slot { reg: FP, offset: 28 },
            Slot { reg: 12, offset: 32 },
            Slot { reg: SP, offset: 36 },
            Slot { reg: PC, offset: 40 },
        ],
        savectx: &[],
    }],
    outermost: &["swi_entry", "fork_trampoline"],
    // `struct trapframe` (sys/arm/include/frame.h). Handlers are jumped to, and return to this routine.
    prstatus: Some(&PRSTATUS),
    traps: &[TrapFrame {
        since: 0,
        entry: |name| name == "exception_exit",
        name_at: 0,
        base: TrapBase::StackPointer(0),
        pc: 72,
        // The kernel's own (svc mode); the program's stand before it.
        sp: 64,
        fp: 48,
        // The saved status register's mode.
        user: (0, 0x1f, 0x10),
        dwarf_pc: 15,
        // r0 to r10, r12, lr.
        others: &[(0..=10, 4), (12..=12, 52), (14..=14, 68)],
    }],
};

/// An entry for every page, sections expanded. 0 was written before the formats had numbers.
fn kept(_: u32, mmu: u64) -> Result<Kept, &'static str> {
    match mmu {
        0 | 2 => Ok(Kept::Entries { form: V6, level: 0 }),
        1 => Ok(Kept::Entries { form: V4, level: 0 }),
        3 => Ok(Kept::Entries { form: LPAE, level: 0 }),
        _ => Err("an unknown MMU format"),
    }
}

/// Kernels are loaded at multiples of a section, so that sections can map them.
const LOAD_STEP: usize = 1 << 20;

/// Memory begins where the board has it: the dump says where, or the symbols of a kernel that was built for one board.
fn locate(facts: &dyn Facts) -> Result<Located, Lost> {
    let variable = RootVariable::find(facts, "kernel_l1pa", 4)?;
    let kernbase = facts.symbol("kernbase");
    let told = facts.delta().map(|delta| (Base { va: delta.va.0, pa: delta.pa.0 }, By::Dump));
    let linked = kernbase.zip(facts.symbol("physaddr")).map(|(va, pa)| (Base { va, pa }, By::Fixed));
    let places = (0..1 << 32).step_by(LOAD_STEP);
    let possible = kernbase.into_iter().flat_map(|va| places.clone().map(move |pa| Base { va, pa }));
    first_proved(told.into_iter().chain(linked), possible, |base| {
        let root = variable.prove(facts, &V6, base)?;
        Ok((Pa(base.pa), vec![tables(0, u32::MAX.into(), V6, root)]))
    })
}
