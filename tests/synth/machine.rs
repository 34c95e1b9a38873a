//! Machines that FreeBSD and DragonFly run on: what a builder must know of each, written down by hand.

use super::bytes::Endian;
use super::minidump::Rights;
use std::ops::Range;

/// One machine.
#[derive(Debug)]
pub struct Machine {
    /// Its name in messages.
    pub name: &'static str,
    /// The name that `info` prints.
    pub arch: &'static str,
    pub endian: Endian,
    /// Bytes of a pointer.
    pub word: u64,
    pub page: u64,
    /// ELF's number and flags.
    pub elf: (u16, u32),
    pub magic: &'static str,
    pub magic_bytes: usize,
    pub header: Header,
    /// The newest version of its minidumps, and the first with the ranges of memory.
    pub newest: u32,
    pub ranges_since: u32,
    /// The header's word that tells how page tables are kept.
    pub mode: u32,
    pub tables: fn(version: u32) -> Tables,
    pub kernbase: fn(version: u32) -> u64,
    /// The address after the kernel map's last, where the header tells.
    pub kernend: u64,
    /// The direct map; empty where there is none.
    pub dmap: Range<u64>,
    /// The physical address that it begins with.
    pub dmap_phys: u64,
    /// Where memory begins, and where its last piece lies.
    pub ram: u64,
    pub last_ram: Range<u64>,
    /// The addresses that text, data, bss and the note of the build id are linked for.
    pub text: u64,
    pub data: u64,
    pub bss: u64,
    pub note: u64,
    pub kernload: u64,
    /// By how much the running kernel's addresses are higher; it then lies in the direct map.
    pub moved: u64,
    /// gdb's names of pc, sp, and the register that leads from frame to frame.
    pub pc: &'static str,
    pub sp: &'static str,
    pub fp: &'static str,
    pub frame: Frame,
    /// Where a pcb of that release holds registers, and its size.
    pub pcb: fn(osreldate: u32) -> (Places, u32),
    /// How a trap of that release leaves what it interrupted; none where nothing is known of it.
    pub trap: fn(osreldate: u32) -> Option<Trap>,
    /// Functions beside those that every machine has.
    pub functions: &'static [(&'static str, u64)],
    /// Instructions begin at multiples of this.
    pub instruction: u64,
    /// A function's first instructions (where a debugger looks at them), an instruction that does nothing, and the last.
    pub code: Code,
}

/// The registers that a trap saved on the stack; offsets are in bytes from the first.
#[derive(Clone, Debug)]
pub struct Trap {
    /// Where its handler returns to: a function, and bytes from that.
    pub returns_to: (&'static str, i64),
    pub size: u64,
    /// The program counter, the stack pointer, the frame pointer.
    pub saved: [u64; 3],
    /// The word that tells where the trap came from, for the kernel.
    pub status: (u64, u64),
    /// Others, by gdb's names.
    pub others: Places,
    pub base: TrapBase,
}

/// What is where the handler is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrapBase {
    /// The stack pointer is at the first register.
    Stack,
    /// The frame pointer is behind the last register, and the handler's frame anywhere below the first.
    FrameBehind,
    /// The stack pointer is at a frame of so many bytes, and the first register behind that.
    Chained(u64),
}

/// Instructions, as bytes in memory.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    pub prologue: &'static [u8],
    pub nop: &'static [u8],
    pub ret: &'static [u8],
}

/// Registers by gdb's names, and their offsets.
pub type Places = Vec<(&'static str, u64)>;

impl PartialEq for Machine {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// The order of a header's fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    Amd64,
    Arm64,
    I386,
    Arm,
    Ppc64,
    DragonFly,
}

/// What a dump keeps of the page tables.
#[derive(Clone, Copy, Debug)]
pub enum Tables {
    /// An entry of so many bytes for every page.
    Flat(u64, fn(u64, Rights) -> u64),
    /// amd64's page-directory entries, with the page tables among the dumped pages.
    Directory,
    /// A whole top table, and the tables below it among the dumped pages.
    Tree(Tree),
    /// PowerPC's hashed page table.
    Hash(Endian),
}

/// A tree of tables.
#[derive(Clone, Copy, Debug)]
pub struct Tree {
    /// log2 of what an entry of each level maps, highest level first.
    pub shifts: &'static [u32],
    /// Entries of the top table.
    pub top: u64,
    pub endian: Endian,
    /// The entry for a page, or for a table.
    pub entry: fn(pa: u64, rights: Option<Rights>) -> u64,
}

/// How frames are linked: where a frame keeps its caller's frame and its return address, in bytes from the register.
#[derive(Clone, Copy, Debug)]
pub enum Frame {
    Pointer(i64, i64),
    /// The stack pointer leads to the caller's frame, which holds the return address at that offset.
    BackChain(u64),
}

const NO_DMAP: Range<u64> = 0..0;

pub const AMD64: Machine = Machine {
    name: "amd64",
    arch: "x86_64",
    endian: Endian::Little,
    word: 8,
    page: 4096,
    elf: (62, 0),
    magic: "minidump FreeBSD/amd64",
    magic_bytes: 24,
    header: Header::Amd64,
    newest: 3,
    ranges_since: 3,
    mode: 0,
    tables: |version| if version == 1 { Tables::Flat(8, x86_entry) } else { Tables::Directory },
    kernbase: |version| {
        if version == 1 { super::minidump::OLD_KERNBASE } else { super::minidump::KERNBASE }
    },
    kernend: 0,
    dmap: super::minidump::DMAP,
    dmap_phys: 0,
    ram: 0,
    last_ram: 0x1_0000_0000..0x1_0100_0000,
    text: 0xffff_ffff_8020_0000,
    data: 0xffff_ffff_8040_0000,
    bss: 0xffff_ffff_8041_0000,
    note: 0xffff_ffff_803f_f000,
    kernload: 0xffff_ffff_8000_0000,
    moved: 0,
    pc: "rip",
    sp: "rsp",
    fp: "rbp",
    frame: Frame::Pointer(0, 8),
    pcb: |_| {
        let names = [
            "r15",
            "r14",
            "r13",
            "r12",
            "rbp",
            "rsp",
            "rbx",
            "rip",
            "fs_base",
            "gs_base",
            "k_gs_base",
            "cr0",
            "cr2",
            "cr3",
            "cr4",
        ];
        (words(&names, 0, 8), 320)
    },
    trap: |_| {
        let mut others = words(&["rdi", "rsi", "rdx", "rcx", "r8", "r9", "rax", "rbx"], 0, 8);
        others.extend(words(&["r10", "r11", "r12", "r13", "r14", "r15"], 72, 8));
        let returns_to = ("nmi_calltrap", 8);
        Some(Trap {
            returns_to,
            size: 192,
            saved: [152, 176, 64],
            status: (160, 0x20),
            others,
            base: TrapBase::Stack,
        })
    },
    functions: &[],
    instruction: 1,
    code: Code {
        prologue: &[0x55, 0x48, 0x89, 0xe5], // push %rbp; mov %rsp, %rbp
        nop: &[0x90],
        ret: &[0xc3],
    },
};

/// amd64 under five-level paging: only the direct map lies elsewhere.
pub const AMD64_LA57: Machine =
    Machine { name: "amd64 with five levels", dmap: 0xff01_0000_0000_0000..0xff21_0000_0000_0000, ..AMD64 };

pub const ARM64: Machine = Machine {
    name: "arm64",
    arch: "aarch64",
    elf: (183, 0),
    magic: "minidump FreeBSD/arm64",
    header: Header::Arm64,
    newest: 3,
    ranges_since: 2,
    tables: |_| Tables::Flat(8, arm64_entry),
    kernbase: |_| 0xffff_0000_0000_0000,
    dmap: 0xffff_a000_0000_0000..0xffff_a000_4000_0000,
    dmap_phys: 0x4000_0000,
    ram: 0x4000_0000,
    last_ram: 0x5000_0000..0x5100_0000,
    text: 0xffff_0000_0020_0000,
    data: 0xffff_0000_0040_0000,
    bss: 0xffff_0000_0041_0000,
    note: 0xffff_0000_003f_f000,
    kernload: 0xffff_0000_0000_0000,
    pc: "pc",
    sp: "sp",
    fp: "x29",
    pcb: |release| match release {
        1_400_084.. => {
            let callee_saved: Vec<_> = X.iter().skip(19).copied().collect();
            let mut all = words(&callee_saved, 0, 8);
            all.extend([("pc", 88), ("sp", 96)]);
            (all, 1248)
        }
        _ => {
            // Nothing is ever written to the places of x0 to x7.
            let mut all = words(&X[8..], 64, 8);
            all.extend([("pc", 240), ("sp", 256)]);
            (all, 1376)
        }
    },
    trap: |release| {
        // Until 14 two status registers of 32 bits, then of 64, and the address of the fault.
        let (x, size) = if release >= 1_400_084 { (48, 288) } else { (32, 272) };
        let mut others = words(&X[..29], x, 8);
        others.push(("x30", 8));
        let saved = [16, 0, x + 29 * 8];
        let returns_to = ("handle_el1h_sync", 0x20);
        Some(Trap { returns_to, size, saved, status: (24, 0x6000_0005), others, base: TrapBase::FrameBehind })
    },
    functions: &[("handle_el1h_sync", 0x40)],
    instruction: 4,
    code: Code {
        // paciasp, which does nothing on a processor without pointer authentication; stp x29, x30, [sp, #-16]!;
        // mov x29, sp
        prologue: &[0x3f, 0x23, 0x03, 0xd5, 0xfd, 0x7b, 0xbf, 0xa9, 0xfd, 0x03, 0x00, 0x91],
        nop: &[0x1f, 0x20, 0x03, 0xd5],
        ret: &[0xc0, 0x03, 0x5f, 0xd6],
    },
    ..AMD64
};

pub const ARM64_16K: Machine =
    Machine { name: "arm64 with 16 KiB pages", page: 16384, mode: 1, dmap_phys: 0x3000_0000, ..ARM64 };

pub const RISCV64: Machine = Machine {
    name: "riscv64",
    arch: "riscv64",
    elf: (243, 5), // compressed instructions, doubles in registers
    magic: "minidump FreeBSD/riscv",
    header: Header::Arm64,
    newest: 2,
    ranges_since: 2,
    tables: |_| Tables::Flat(8, riscv_entry),
    kernbase: |_| 0xffff_ffc0_0000_0000,
    dmap: 0xffff_ffd0_0000_0000..0xffff_ffd0_4000_0000,
    dmap_phys: 0x8000_0000,
    ram: 0x8000_0000,
    last_ram: 0x9000_0000..0x9100_0000,
    text: 0xffff_ffc0_0020_0000,
    data: 0xffff_ffc0_0040_0000,
    bss: 0xffff_ffc0_0041_0000,
    note: 0xffff_ffc0_003f_f000,
    kernload: 0xffff_ffc0_0000_0000,
    fp: "fp",
    frame: Frame::Pointer(-16, -8),
    pcb: |release| {
        // At some release the structure lost the fifteen registers that no switch saved. Which one is not known here,
        // and does not matter: the sizes differ.
        let (saved_at, size) = if release >= 1_400_000 { (32, 664) } else { (88, 792) };
        let mut all = vec![("pc", 0), ("sp", 8), ("gp", 16), ("tp", 24)];
        let saved = ["fp", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11"];
        all.extend(words(&saved, saved_at, 8));
        (all, size)
    },
    trap: |_| {
        let mut others = words(&["gp", "tp", "t0", "t1", "t2", "t3", "t4", "t5", "t6"], 16, 8);
        others.extend(words(&["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11"], 96, 8));
        others.extend(words(&["a0", "a1", "a2", "a3", "a4", "a5", "a6", "a7"], 184, 8));
        let returns_to = ("cpu_exception_handler_supervisor", 0x20);
        Some(Trap {
            returns_to,
            size: 288,
            saved: [248, 8, 88],
            status: (256, 0x120),
            others,
            base: TrapBase::Stack,
        })
    },
    functions: &[("cpu_exception_handler_supervisor", 0x40)],
    code: Code { prologue: &[], nop: &[0x13, 0, 0, 0], ret: &[0x67, 0x80, 0, 0] },
    ..ARM64
};

pub const I386: Machine = Machine {
    name: "i386",
    arch: "i386",
    word: 4,
    elf: (3, 0),
    magic: "minidump FreeBSD/i386",
    header: Header::I386,
    newest: 2,
    ranges_since: 2,
    tables: |_| Tables::Flat(4, x86_entry),
    kernbase: |_| 0x0080_0000,
    dmap: NO_DMAP,
    last_ram: 0x1000_0000..0x1100_0000,
    text: 0x0120_0000,
    data: 0x0140_0000,
    bss: 0x0141_0000,
    note: 0x013f_f000,
    kernload: 0x0080_0000,
    pc: "eip",
    sp: "esp",
    fp: "ebp",
    frame: Frame::Pointer(0, 4),
    pcb: |release| {
        let names = ["edi", "esi", "ebp", "esp", "ebx", "eip"];
        match release {
            1_001_505.. => (words(&names, 0, 4), 192),
            1_000_000.. => (words(&names, 16, 4), 704),
            _ => (words(&names, 4, 4), 640),
        }
    },
    trap: |_| None,
    code: Code { prologue: &[0x55, 0x89, 0xe5], ..AMD64.code }, // push %ebp; mov %esp, %ebp
    ..AMD64
};

/// High addresses, as before 12, and frames above 4 GiB.
pub const I386_PAE: Machine = Machine {
    name: "i386 with PAE",
    mode: 1,
    tables: |_| Tables::Flat(8, x86_entry),
    kernbase: |_| 0xc000_0000,
    last_ram: 0x1_0000_0000..0x1_0100_0000,
    text: 0xc020_0000,
    data: 0xc040_0000,
    bss: 0xc041_0000,
    note: 0xc03f_f000,
    kernload: 0xc000_0000,
    ..I386
};

pub const ARM: Machine = Machine {
    name: "arm",
    arch: "arm",
    elf: (40, 0x0500_0000), // EABI 5
    magic: "minidump FreeBSD/arm",
    header: Header::Arm,
    mode: 2,
    tables: |_| Tables::Flat(4, arm_v6_entry),
    kernbase: |_| 0xc000_0000,
    ram: 0x2000_0000,
    last_ram: 0x3000_0000..0x3100_0000,
    text: 0xc020_0000,
    data: 0xc040_0000,
    bss: 0xc041_0000,
    note: 0xc03f_f000,
    kernload: 0xc000_0000,
    pc: "pc",
    sp: "sp",
    fp: "r11",
    pcb: |_| {
        let names = ["r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "sp", "pc"];
        (words(&names, 0, 4), 384)
    },
    trap: |_| {
        let mut others = words(&R[..11], 4, 4);
        others.extend([("r12", 52), ("lr", 68)]);
        Some(Trap {
            returns_to: ("exception_exit", 0),
            size: 80,
            saved: [72, 64, 48],
            status: (0, 0x6000_0013),
            others,
            base: TrapBase::Stack,
        })
    },
    functions: &[("swi_exit", 0x20), ("exception_exit", 0x40)],
    instruction: 4,
    code: Code {
        prologue: &[0x00, 0x48, 0x2d, 0xe9, 0x0d, 0xb0, 0xa0, 0xe1], // push {r11, lr}; mov r11, sp
        nop: &[0x00, 0xf0, 0x20, 0xe3],
        ret: &[0x1e, 0xff, 0x2f, 0xe1],
    },
    ..I386
};

/// The MMU format's number was not written yet.
pub const ARM_UNNUMBERED: Machine = Machine { name: "arm without an MMU format", mode: 0, ..ARM };

pub const ARM_V4: Machine =
    Machine { name: "arm before v6", mode: 1, tables: |_| Tables::Flat(4, arm_v4_entry), ..ARM };

pub const ARM_LPAE: Machine = Machine {
    name: "arm with LPAE",
    mode: 3,
    tables: |_| Tables::Flat(8, arm_lpae_entry),
    last_ram: 0x1_0000_0000..0x1_0100_0000,
    ..ARM
};

/// Linked for 0x100100 as all of them, and loaded 32 MiB above that.
pub const PPC64: Machine = Machine {
    name: "powerpc64",
    arch: "powerpc64",
    endian: Endian::Big,
    elf: (21, 2), // ELFv2
    magic: "minidump FreeBSD/powerpc64",
    magic_bytes: 32,
    header: Header::Ppc64,
    newest: 2,
    ranges_since: 2,
    tables: |_| Tables::Hash(Endian::Big),
    kernbase: |_| 0xe000_0000_0000_0000,
    kernend: 0xe000_0000_2000_0000,
    dmap: 0xc000_0000_0000_0000..0xd000_0000_0000_0000,
    text: 0x0020_0000,
    data: 0x0040_0000,
    bss: 0x0041_0000,
    note: 0x003f_f000,
    kernload: 0x0010_0000,
    moved: 0xc000_0000_0200_0000,
    pc: "pc",
    sp: "r1",
    fp: "r1",
    frame: Frame::BackChain(16),
    pcb: |_| {
        let mut all = vec![("r12", 0), ("r13", 8)];
        all.extend(words(&R[14..], 16, 8));
        all.extend([("r1", 168), ("r2", 176), ("pc", 184)]);
        (all, 1248)
    },
    trap: |_| {
        let mut others = words(&R[2..], 16, 8);
        others.push(("r0", 0));
        Some(Trap {
            returns_to: ("trapexit", -4),
            size: 336,
            saved: [288, 8, 8],
            status: (296, 0x8000_0000_0000_9032),
            others,
            base: TrapBase::Chained(48),
        })
    },
    functions: &[("k_trap", 0x80), ("trapexit", 0x40), ("asttrapexit", 0x10)],
    instruction: 4,
    code: Code { prologue: &[], nop: &[0x60, 0, 0, 0], ret: &[0x4e, 0x80, 0, 0x20] },
    ..AMD64
};

/// A hypervisor's table, which the kernel writes in its own byte order.
pub const PPC64LE: Machine = Machine {
    name: "powerpc64le",
    endian: Endian::Little,
    mode: 1,
    tables: |_| Tables::Hash(Endian::Little),
    code: PPC64_LITTLE,
    ..PPC64
};

pub const PPC64_RADIX: Machine = Machine {
    name: "powerpc64 with a tree",
    mode: 2,
    tables: |_| {
        Tables::Tree(Tree { shifts: &[39, 30, 21, 12], top: 8192, endian: Endian::Big, entry: ppc64_entry })
    },
    kernbase: |_| 0xc008_0000_0000_0000,
    kernend: 0xc008_0000_2000_0000,
    ..PPC64
};

pub const PPC64LE_RADIX: Machine =
    Machine { name: "powerpc64le with a tree", endian: Endian::Little, code: PPC64_LITTLE, ..PPC64_RADIX };

const PPC64_LITTLE: Code = Code { prologue: &[], nop: &[0, 0, 0, 0x60], ret: &[0x20, 0, 0x80, 0x4e] };

pub const DRAGONFLY: Machine = Machine {
    name: "DragonFly",
    magic: "minidump DFlyBSD/x86-64",
    header: Header::DragonFly,
    newest: 2,
    ranges_since: u32::MAX,
    tables: |_| {
        let (top, endian) = (512 * 512, Endian::Little);
        Tables::Tree(Tree { shifts: &[30, 21, 12], top, endian, entry: dragonfly_entry })
    },
    kernbase: |_| 0xffff_f800_4000_0000,
    dmap: 0xffff_b800_0000_0000..0xffff_f800_0000_0000,
    ..AMD64
};

/// Every kind of minidump.
pub static ALL: &[&Machine] = &[
    &AMD64,
    &AMD64_LA57,
    &ARM64,
    &ARM64_16K,
    &RISCV64,
    &I386,
    &I386_PAE,
    &ARM,
    &ARM_UNNUMBERED,
    &ARM_V4,
    &ARM_LPAE,
    &PPC64,
    &PPC64LE,
    &PPC64_RADIX,
    &PPC64LE_RADIX,
    &DRAGONFLY,
];

impl Machine {
    /// A pointer's bytes.
    pub fn pointer(&self, value: u64) -> Vec<u8> {
        match self.word {
            4 => self.endian.u32(u32::try_from(value).expect("an address of 32 bits")).to_vec(),
            _ => self.endian.u64(value).to_vec(),
        }
    }

    pub fn has_dmap(&self) -> bool {
        !self.dmap.is_empty()
    }

    /// The physical address of the kernel's link-time address 0, where the kernel runs elsewhere.
    pub fn moved_to(&self) -> Option<u64> {
        (self.moved != 0).then(|| self.moved.wrapping_sub(self.dmap.start))
    }
}

/// Registers one behind the other.
fn words(names: &[&'static str], at: u64, width: u64) -> Places {
    names.iter().zip((at..).step_by(width as usize)).map(|(name, offset)| (*name, offset)).collect()
}

const X: [&str; 30] = [
    "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",
    "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26", "x27", "x28", "x29",
];

const R: [&str; 32] = [
    "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
    "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25", "r26", "r27", "r28", "r29", "r30",
    "r31",
];

/// Present, accessed, global; for data writable and dirty, and in a 64-bit entry not executable.
fn x86_entry(pa: u64, rights: Rights) -> u64 {
    pa | 0x121
        | match rights {
            Rights::Execute => 0,
            Rights::Write => 0x42 | 1 << 63,
        }
}

/// A page: access flag, inner shareable; for data neither mode may execute, else read only.
fn arm64_entry(pa: u64, rights: Rights) -> u64 {
    pa | 0x703
        | match rights {
            Rights::Execute => 1 << 7 | 1 << 54,
            Rights::Write => 3 << 53,
        }
}

/// Valid, accessed, dirty, global; the uppermost bits as Svpbmt and Svnapot use them.
fn riscv_entry(pa: u64, rights: Rights) -> u64 {
    (pa >> 12 << 10)
        | 0xe1
        | 1 << 61
        | match rights {
            Rights::Execute => 0xa,
            Rights::Write => 0x6,
        }
}

/// A small page; for data bit 0 forbids execution, text is read only.
fn arm_v6_entry(pa: u64, rights: Rights) -> u64 {
    pa | 0x12
        | match rights {
            Rights::Execute => 0x200,
            Rights::Write => 1,
        }
}

/// A small page: access permission 01 allows the kernel to write.
fn arm_v4_entry(pa: u64, rights: Rights) -> u64 {
    pa | 0xe
        | match rights {
            Rights::Execute => 0,
            Rights::Write => 0x550,
        }
}

fn arm_lpae_entry(pa: u64, rights: Rights) -> u64 {
    pa | 0x703
        | match rights {
            Rights::Execute => 1 << 7,
            Rights::Write => 1 << 54,
        }
}

/// Valid and a leaf, referenced and changed, for the kernel; or a table of 2^9 entries.
fn ppc64_entry(pa: u64, rights: Option<Rights>) -> u64 {
    match rights {
        None => 1 << 63 | pa | 9,
        Some(Rights::Execute) => 3 << 62 | pa | 0x18d,
        Some(Rights::Write) => 3 << 62 | pa | 0x18e,
    }
}

fn dragonfly_entry(pa: u64, rights: Option<Rights>) -> u64 {
    match rights {
        None => pa | 0x63,
        Some(rights) => x86_entry(pa, rights),
    }
}
