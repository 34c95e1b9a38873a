//! 32-bit x86.

use crate::bsd::{ANY_SIZE, u32_at};
use crate::full::{Base, RootVariable, first_proved, tables};
use crate::{
    Arch, Bsd, By, ByteOrder, Entry, Facts, FramePointer, Kept, Located, Lost, Minidump, Mode, ModeField, Pa,
    Pcb, Prstatus, Radix, Reg, Rights, Slot,
};
use crate::{linux, x86_64};

/// gdb refuses a core feature without the x87 registers, so they are described although no kernel image holds them.
const CORE: &str = "org.gnu.gdb.i386.core";

const fn core(name: &'static str, bytes: u8, gdb_type: &'static str) -> Reg {
    Reg { name, bytes, gdb_type, feature: CORE }
}

const EBX: usize = 3;
const ESP: usize = 4;
const EBP: usize = 5;
const ESI: usize = 6;
const EDI: usize = 7;
const EIP: usize = 8;

/// The architecture's table.
pub static ARCH: Arch = Arch {
    name: "i386",
    elf_machine: 3,
    gdb_name: "i386",
    lldb_names: ["i386"; 2],
    regs: &[
        core("eax", 4, "int32"),
        core("ecx", 4, "int32"),
        core("edx", 4, "int32"),
        core("ebx", 4, "int32"),
        core("esp", 4, "data_ptr"),
        core("ebp", 4, "data_ptr"),
        core("esi", 4, "int32"),
        core("edi", 4, "int32"),
        core("eip", 4, "code_ptr"),
        core("eflags", 4, "int32"),
        core("cs", 4, "int32"),
        core("ss", 4, "int32"),
        core("ds", 4, "int32"),
        core("es", 4, "int32"),
        core("fs", 4, "int32"),
        core("gs", 4, "int32"),
        core("st0", 10, "i387_ext"),
        core("st1", 10, "i387_ext"),
        core("st2", 10, "i387_ext"),
        core("st3", 10, "i387_ext"),
        core("st4", 10, "i387_ext"),
        core("st5", 10, "i387_ext"),
        core("st6", 10, "i387_ext"),
        core("st7", 10, "i387_ext"),
        core("fctrl", 4, "int"),
        core("fstat", 4, "int"),
        core("ftag", 4, "int"),
        core("fiseg", 4, "int"),
        core("fioff", 4, "int"),
        core("foseg", 4, "int"),
        core("fooff", 4, "int"),
        core("fop", 4, "int"),
    ],
    pc: EIP,
    sp: ESP,
    tagged: false,
    frames: FramePointer {
        register: EBP,
        caller_fp: 0,
        return_address: 4,
        back_chain: false,
        cfa: 8,
        dwarf_fp: 5,
        dwarf_sp: 4,
        dwarf_return_address: 8,
    },
    freebsd: Some(&FREEBSD),
    dragonfly: None,
    linux: Some(&linux::I386),
};

/// Two levels of 32-bit entries.
pub const TWO_LEVEL: Radix = Radix {
    page_shift: 12,
    index_bits: &[10; 2],
    entry_bytes: 4,
    big_endian: false,
    ignored: 0,
    decode: decode_32,
    flags: x86_64::FLAGS,
};

/// Three levels of 64-bit entries, of which the top one has four.
pub const PAE: Radix = Radix {
    page_shift: 12,
    index_bits: &[9, 9, 2],
    entry_bytes: 8,
    big_endian: false,
    ignored: 0,
    decode: decode_pae,
    flags: x86_64::FLAGS,
};

const PRESENT: u64 = 1;
const LARGE: u64 = 1 << 7;

fn decode_32(raw: u64, level: usize) -> Entry {
    let rights = Rights { write: raw & 2 != 0, execute: true };
    match (raw & PRESENT, level, raw & LARGE) {
        (0, ..) => Entry::Absent,
        (_, 0, _) => Entry::Leaf { pa: Pa(raw & 0xffff_f000), shift: 12, rights },
        (_, 1, LARGE) => Entry::Leaf { pa: Pa(raw & 0xffc0_0000), shift: 22, rights },
        _ => Entry::Table(Pa(raw & 0xffff_f000)),
    }
}

fn decode_pae(raw: u64, level: usize) -> Entry {
    let pa = raw & 0x000f_ffff_ffff_f000;
    let rights = Rights { write: raw & 2 != 0, execute: raw >> 63 == 0 };
    match (raw & PRESENT, level, raw & LARGE) {
        (0, ..) => Entry::Absent,
        (_, 0, _) => Entry::Leaf { pa: Pa(pa), shift: 12, rights },
        (_, 1, LARGE) => Entry::Leaf { pa: Pa(pa & !0x1f_ffff), shift: 21, rights },
        _ => Entry::Table(Pa(pa)),
    }
}

/// sys/i386/include/reg.h.
static PRSTATUS: Prstatus = Prstatus {
    bytes: 104,
    pid: 24,
    slots: &[
        Slot { reg: 14, offset: 28 },
        Slot { reg: 13, offset: 32 },
        Slot { reg: 12, offset: 36 },
        Slot { reg: 7, offset: 40 },
        Slot { reg: 6, offset: 44 },
        Slot { reg: 5, offset: 48 },
        Slot { reg: 3, offset: 56 },
        Slot { reg: 2, offset: 60 },
        Slot { reg: 1, offset: 64 },
        Slot { reg: 0, offset: 68 },
        Slot { reg: 8, offset: 80 },
        Slot { reg: 10, offset: 84 },
        Slot { reg: 9, offset: 88 },
        Slot { reg: 4, offset: 92 },
        Slot { reg: 11, offset: 96 },
        Slot { reg: 15, offset: 100 },
    ],
    narrow: &[],
};

static FREEBSD: Bsd = Bsd {
    // No direct map: the kernel reaches only what it maps. Since 12 it has an address space of its own, so its addresses
    // are low (kernbase 0x800000).
    minidumps: &[Minidump {
        name: "FreeBSD minidump",
        shared: None,
        magic: "minidump FreeBSD/i386",
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
        dumpavailsize: Some((2, u32_at(48))),
        mode: Some(Mode { since: 0, field: ModeField::Number(u32_at(44)) }),
        relocated: None,
        // An entry for every page, large ones expanded. Kernels since 13 choose PAE when they boot.
        kept: |_, pae| Ok(Kept::Entries { form: if pae == 0 { TWO_LEVEL } else { PAE }, level: 0 }),
    }],
    full: Some(locate),
    pcb: &[
        Pcb { since: 1_001_505, bytes: ANY_SIZE, switched: REGISTERS_FIRST, savectx: &[] },
        // Where the image does not tell its release: the other two hold the FPU's state, 512 bytes.
        Pcb { since: 0, bytes: 0..=511, switched: REGISTERS_FIRST, savectx: &[] },
        Pcb { since: 1_000_000, bytes: ANY_SIZE, switched: BEHIND_CONTROL_REGISTERS, savectx: &[] },
        Pcb { since: 0, bytes: ANY_SIZE, switched: BEHIND_CR3, savectx: &[] },
    ],
    outermost: &["Xint0x80_syscall", "fork_trampoline"],
    // Since 12 entries run from a copy that no symbol names (the trampoline), and each pushes as many arguments as its
    // handler takes.
    prstatus: Some(&PRSTATUS),
    traps: &[],
};

/// The order that kernels promise to debuggers, in 11 and since 10.1.
const REGISTERS_FIRST: &[Slot] = &[
    Slot { reg: EDI, offset: 0 },
    Slot { reg: ESI, offset: 4 },
    Slot { reg: EBP, offset: 8 },
    Slot { reg: ESP, offset: 12 },
    Slot { reg: EBX, offset: 16 },
    Slot { reg: EIP, offset: 20 },
];

/// 10.0, behind cr0, cr2, cr3 and cr4.
const BEHIND_CONTROL_REGISTERS: &[Slot] = &[
    Slot { reg: EDI, offset: 16 },
    Slot { reg: ESI, offset: 20 },
    Slot { reg: EBP, offset: 24 },
    Slot { reg: ESP, offset: 28 },
    Slot { reg: EBX, offset: 32 },
    Slot { reg: EIP, offset: 36 },
];

/// Up to 9, behind cr3.
const BEHIND_CR3: &[Slot] = &[
    Slot { reg: EDI, offset: 4 },
    Slot { reg: ESI, offset: 8 },
    Slot { reg: EBP, offset: 12 },
    Slot { reg: ESP, offset: 16 },
    Slot { reg: EBX, offset: 20 },
    Slot { reg: EIP, offset: 24 },
];

/// The variables that lead to the kernel's page tables. Kernels since 13 have two sets of them and choose when they
/// boot; the variable of the set that is not used stays 0.
const ROOTS: [(&str, Radix); 3] = [("IdlePDPT", PAE), ("IdlePTD", TWO_LEVEL), ("IdlePTD_nopae", TWO_LEVEL)];

/// A kernel's physical addresses are its virtual ones without `kernbase`, which is 0 since 12.
fn locate(facts: &dyn Facts) -> Result<Located, Lost> {
    let base = Base { va: facts.symbol("kernbase").ok_or(Lost::NoSymbol("kernbase"))?, pa: 0 };
    first_proved([(base, By::Fixed)], std::iter::empty(), |base| {
        let variables =
            ROOTS.map(|(name, form)| RootVariable::find(facts, name, 4).map(|found| (found, form)));
        let mut failed = Lost::NoSymbol("IdlePTD");
        for (variable, form) in variables.into_iter().flatten() {
            match variable.prove(facts, &form, base) {
                Ok(root) => return Ok((text(facts, base), vec![tables(0, u32::MAX.into(), form, root)])),
                Err(lost) => failed = lost,
            }
        }
        Err(failed)
    })
}

fn text(facts: &dyn Facts, base: Base) -> Pa {
    facts.symbol("btext").and_then(|btext| base.pa(btext)).unwrap_or(Pa(base.pa))
}
