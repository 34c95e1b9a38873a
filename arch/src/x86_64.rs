//! x86-64, which FreeBSD calls amd64.

use crate::bsd::{ANY_SIZE, u32_at, u64_at};
use crate::full::{Base, RootVariable, first_proved, tables};
use crate::linux;
use crate::{
    Arch, Bsd, By, ByteOrder, DirectMap, Entry, Facts, Flags, FramePointer, Kept, Located, Lost, Minidump,
    Pa, Pcb, Prstatus, Radix, Reg, Region, Rights, Slot, TrapBase, TrapFrame,
};

/// Core registers. gdb refuses a core feature without the x87 registers, so they are described although no kernel
/// image holds them.
const CORE: &str = "org.gnu.gdb.i386.core";
const SEGMENTS: &str = "org.gnu.gdb.i386.segments";
/// The kernel's own registers, with QEMU's names.
const CONTROL: &str = "org.kgdbserver.x86_64.control";

const fn core(name: &'static str, bytes: u8, gdb_type: &'static str) -> Reg {
    Reg { name, bytes, gdb_type, feature: CORE }
}

const fn control(name: &'static str) -> Reg {
    Reg { name, bytes: 8, gdb_type: "int64", feature: CONTROL }
}

const fn base(name: &'static str) -> Reg {
    Reg { name, bytes: 8, gdb_type: "int", feature: SEGMENTS }
}

const RBX: usize = 1;
const RBP: usize = 6;
const RSP: usize = 7;
const R12: usize = 12;
const R13: usize = 13;
const R14: usize = 14;
const R15: usize = 15;
const RIP: usize = 16;
const FS_BASE: usize = 40;
const GS_BASE: usize = 41;
const K_GS_BASE: usize = 42;
const CR0: usize = 43;
const CR2: usize = 44;
const CR3: usize = 45;
const CR4: usize = 46;

/// The architecture's table.
pub static ARCH: Arch = Arch {
    name: "x86_64",
    elf_machine: 62,
    gdb_name: "i386:x86-64",
    lldb_names: ["x86_64"; 2],
    regs: &[
        core("rax", 8, "int64"),
        core("rbx", 8, "int64"),
        core("rcx", 8, "int64"),
        core("rdx", 8, "int64"),
        core("rsi", 8, "int64"),
        core("rdi", 8, "int64"),
        core("rbp", 8, "data_ptr"),
        core("rsp", 8, "data_ptr"),
        core("r8", 8, "int64"),
        core("r9", 8, "int64"),
        core("r10", 8, "int64"),
        core("r11", 8, "int64"),
        core("r12", 8, "int64"),
        core("r13", 8, "int64"),
        core("r14", 8, "int64"),
        core("r15", 8, "int64"),
        core("rip", 8, "code_ptr"),
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
        base("fs_base"),
        base("gs_base"),
        control("k_gs_base"),
        control("cr0"),
        control("cr2"),
        control("cr3"),
        control("cr4"),
    ],
    pc: RIP,
    sp: RSP,
    tagged: false,
    frames: FramePointer {
        register: RBP,
        caller_fp: 0,
        return_address: 8,
        back_chain: false,
        cfa: 16,
        dwarf_fp: 6,
        dwarf_sp: 7,
        dwarf_return_address: 16,
    },
    freebsd: Some(&FREEBSD),
    dragonfly: Some(&DRAGONFLY),
    linux: Some(&linux::X86_64),
};

/// Four-level paging.
pub const FOUR_LEVEL: Radix = Radix {
    page_shift: 12,
    index_bits: &[9; 4],
    entry_bytes: 8,
    big_endian: false,
    ignored: 0,
    decode,
    flags: FLAGS,
};

/// As the manuals call them. The one that tells a large page has other meanings elsewhere.
pub(crate) const FLAGS: Flags = &[
    (1 << 0, "P"),
    (1 << 1, "RW"),
    (1 << 2, "US"),
    (1 << 3, "PWT"),
    (1 << 4, "PCD"),
    (1 << 5, "A"),
    (1 << 6, "D"),
    (1 << 8, "G"),
    (1 << 63, "NX"),
];

/// Five-level paging (LA57).
pub const FIVE_LEVEL: Radix = Radix { index_bits: &[9; 5], ..FOUR_LEVEL };

fn decode(raw: u64, level: usize) -> Entry {
    const PRESENT: u64 = 1;
    const LARGE: u64 = 1 << 7;
    let pa = raw & 0x000f_ffff_ffff_f000;
    let rights = Rights { write: raw & 2 != 0, execute: raw >> 63 == 0 };
    match (raw & PRESENT, level, raw & LARGE) {
        (0, ..) => Entry::Absent,
        (_, 0, _) => Entry::Leaf { pa: Pa(pa), shift: 12, rights },
        // Bit 12 of a large page's entry is an attribute (PAT), so the frame is masked to the page's size.
        (_, 1, LARGE) => Entry::Leaf { pa: Pa(pa & !0x1f_ffff), shift: 21, rights },
        (_, 2, LARGE) => Entry::Leaf { pa: Pa(pa & !0x3fff_ffff), shift: 30, rights },
        _ => Entry::Table(Pa(pa)),
    }
}

/// `struct trapframe` (sys/x86/include/frame.h), the same since 7.
static TRAPS: [TrapFrame; 1] = [TrapFrame {
    since: 0,
    entry: is_trap_entry,
    name_at: -1,
    base: TrapBase::StackPointer(0),
    pc: 152,
    sp: 176,
    fp: 64,
    // The privilege level in the saved code segment.
    user: (160, 3, 3),
    dwarf_pc: 16,
    // rax, rdx, rcx, rbx, rsi, rdi; r8 and r9; r10 to r15.
    others: &[
        (0..=0, 48),
        (1..=1, 16),
        (2..=2, 24),
        (3..=3, 56),
        (4..=4, 8),
        (5..=5, 0),
        (8..=9, 32),
        (10..=15, 72),
    ],
}];

/// Exceptions enter by `calltrap` and its kin, interrupts by vectors whose names begin with X (`Xtimerint`,
/// `Xapic_isr1`). System calls have frames of their own.
fn is_trap_entry(name: &str) -> bool {
    let vector = name.starts_with('X') && !name.starts_with("X_") && !name.contains("syscall");
    vector || ["calltrap", "nmi_calltrap", "mchk_calltrap", "doreti_ast"].contains(&name)
}

/// sys/amd64/include/reg.h.
static PRSTATUS: Prstatus = Prstatus {
    bytes: 224,
    pid: 40,
    slots: &[
        Slot { reg: 15, offset: 48 },
        Slot { reg: 14, offset: 56 },
        Slot { reg: 13, offset: 64 },
        Slot { reg: 12, offset: 72 },
        Slot { reg: 11, offset: 80 },
        Slot { reg: 10, offset: 88 },
        Slot { reg: 9, offset: 96 },
        Slot { reg: 8, offset: 104 },
        Slot { reg: 5, offset: 112 },
        Slot { reg: 4, offset: 120 },
        Slot { reg: 6, offset: 128 },
        Slot { reg: 1, offset: 136 },
        Slot { reg: 3, offset: 144 },
        Slot { reg: 2, offset: 152 },
        Slot { reg: 0, offset: 160 },
        Slot { reg: 16, offset: 184 },
        Slot { reg: 18, offset: 192 },
        Slot { reg: 17, offset: 200 },
        Slot { reg: 7, offset: 208 },
        Slot { reg: 19, offset: 216 },
    ],
    narrow: &[],
};

static FREEBSD: Bsd = Bsd {
    minidumps: &[Minidump {
        name: "FreeBSD minidump",
        // Until DragonFly had a header of its own.
        shared: Some((1, "DragonFly")),
        magic: "minidump FreeBSD/amd64",
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
        direct_map: Some(DirectMap { base: u64_at(48), end: u64_at(56), phys: None }),
        dumpavailsize: Some((3, u32_at(64))),
        mode: None,
        relocated: None,
        // Version 1 (FreeBSD 7) kept a flat array of page-table entries; since version 2 (8.0) it is page-directory
        // entries, and the page tables they lead to are ordinary dumped pages. Five-level paging (14) changes nothing
        // here: the kernel's map stays within four levels, only the direct map moves.
        kept: |version, _| Ok(Kept::Entries { form: FOUR_LEVEL, level: usize::from(version != 1) }),
    }],
    full: Some(locate),
    pcb: &[
        // Since 9 savectx saves what a machine that sleeps needs as well. Until then the structure was larger: it held the
        // floating-point registers.
        Pcb { since: 900_000, bytes: ANY_SIZE, switched: SWITCHED, savectx: CONTEXT },
        Pcb { since: 0, bytes: 200..=511, switched: SWITCHED, savectx: CONTEXT },
        Pcb {
            since: 0,
            bytes: ANY_SIZE,
            switched: SWITCHED,
            savectx: &[Slot { reg: FS_BASE, offset: 64 }, Slot { reg: GS_BASE, offset: 72 }],
        },
    ],
    outermost: &["btext", "start_kernel", "fast_syscall_common", "fork_trampoline"],
    prstatus: Some(&PRSTATUS),
    traps: &TRAPS,
};

const SWITCHED: &[Slot] = &[
    Slot { reg: R15, offset: 0 },
    Slot { reg: R14, offset: 8 },
    Slot { reg: R13, offset: 16 },
    Slot { reg: R12, offset: 24 },
    Slot { reg: RBP, offset: 32 },
    Slot { reg: RSP, offset: 40 },
    Slot { reg: RBX, offset: 48 },
    Slot { reg: RIP, offset: 56 },
];

const CONTEXT: &[Slot] = &[
    Slot { reg: FS_BASE, offset: 64 },
    Slot { reg: GS_BASE, offset: 72 },
    Slot { reg: K_GS_BASE, offset: 80 },
    Slot { reg: CR0, offset: 88 },
    Slot { reg: CR2, offset: 96 },
    Slot { reg: CR3, offset: 104 },
    Slot { reg: CR4, offset: 112 },
];

/// The top of DragonFly's tree: the page-directory pointers of all 512 top entries side by side.
const FLAT_TOP: Radix = Radix { index_bits: &[9, 9, 18], ..FOUR_LEVEL };

static DRAGONFLY: Bsd = Bsd {
    minidumps: &[Minidump {
        name: "DragonFly minidump",
        shared: None,
        magic: "minidump DFlyBSD/x86-64",
        magic_bytes: 24,
        versions: 2..=2,
        order: ByteOrder::Little,
        ptr_bytes: 8,
        version: u32_at(24),
        msgbufsize: u64_at(32),
        bitmapsize: u64_at(40),
        pmapsize: u64_at(48),
        kernbase: u64_at(56),
        kernend: None,
        direct_map: Some(DirectMap { base: u64_at(64), end: u64_at(72), phys: None }),
        dumpavailsize: None,
        mode: None,
        relocated: None,
        kept: |_, _| Ok(Kept::Top(FLAT_TOP)),
    }],
    full: Some(locate),
    // sys/platform/pc64/include/pcb.h: seven words of padding and two page-table roots come first.
    pcb: &[Pcb {
        since: 0,
        bytes: ANY_SIZE,
        switched: &[
            Slot { reg: R15, offset: 72 },
            Slot { reg: R14, offset: 80 },
            Slot { reg: R13, offset: 88 },
            Slot { reg: R12, offset: 96 },
            Slot { reg: RBP, offset: 104 },
            Slot { reg: RSP, offset: 112 },
            Slot { reg: RBX, offset: 120 },
            Slot { reg: RIP, offset: 128 },
        ],
        savectx: &[],
    }],
    outermost: &["fork_trampoline"],
    prstatus: None,
    traps: &[],
};

/// The kernel's address space begins here in every release.
const KERNBASE: u64 = 0xffff_ffff_8000_0000;
/// Kernels are loaded at multiples of this, and begin this far behind `KERNBASE` (KERNSTART).
const LOAD_STEP: u64 = 2 << 20;
/// Loaders put kernels below this address.
const LOAD_LIMIT: u64 = 1 << 32;

/// Until 13.0 a kernel always lay at 2 MiB, and `kernphys` was at most an absolute symbol saying so. Since 13.1 it can
/// lie anywhere, and `kernphys` is a variable that tells where; which helps only those who know where. Full dumps say
/// it since 2025 (15.0); in older ones, and in raw memory, the place is found by trying.
fn locate(facts: &dyn Facts) -> Result<Located, Lost> {
    let kernbase = facts.symbol("kernbase").unwrap_or(KERNBASE);
    let variable = RootVariable::find(facts, "KPML4phys", 8)?;
    let told = facts.delta().and_then(|delta| {
        Some((Base { va: delta.va.0, pa: delta.pa.0.checked_sub(delta.align)? }, By::Dump))
    });
    let movable = facts.symbol("kernphys").is_some_and(|address| address >= kernbase);
    let fixed = (!movable).then_some((Base { va: kernbase, pa: 0 }, By::Fixed));
    let possible = (0..LOAD_LIMIT).step_by(LOAD_STEP as usize).map(|pa| Base { va: kernbase, pa });
    first_proved(told.into_iter().chain(fixed), possible, |base| {
        let root = variable.prove(facts, &FOUR_LEVEL, base)?;
        Ok((Pa(base.pa.saturating_add(LOAD_STEP)), regions(facts, root, base)))
    })
}

/// The kernel's own map lies under the four-level root, whatever the processor runs on. Under five-level paging the
/// direct map does not: its addresses have all 57 bits.
fn regions(facts: &dyn Facts, root: Pa, base: Base) -> Vec<Region> {
    let variable = RootVariable::find(facts, "KPML5phys", 8);
    let top = variable.and_then(|variable| variable.prove(facts, &FIVE_LEVEL, base)).ok();
    let wide = top.map(|top| tables(0xff00_0000_0000_0000, 0xffff_7fff_ffff_ffff, FIVE_LEVEL, top));
    let near = tables(0xffff_8000_0000_0000, u64::MAX, FOUR_LEVEL, root);
    wide.into_iter().chain([near]).collect()
}
