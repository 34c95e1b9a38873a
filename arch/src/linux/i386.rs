use super::root::{Shape, Top, untouchable};
use super::switched::named;
use super::x86_64::with_untouchable;
use super::x86_control::{Gate, NOTED, Proved, prove};
use super::{At, Goes, Linux, Paging, Prstatus, Structure, Switched, User, UserAt, UserMode, UserPaging};
use crate::full::tables;
use crate::i386::{PAE, TWO_LEVEL};
use crate::{Entry, Facts, Lost, Pa, Radix, Slot, Va};

pub(crate) static LINUX: Linux = Linux {
    marks: &[],
    paging,
    bare: Some(bare),
    noted: NOTED,
    prstatus: Prstatus { bytes: 144, pid: 24, slots: PRSTATUS, narrow: &[] },
    switched: &[
        // Since 4.9.
        Switched {
            member: "thread.sp",
            at: At::Pointer,
            structure: Structure {
                name: "inactive_task_frame",
                members: &[
                    named(3, "bx"),
                    named(5, "bp"),
                    named(6, "si"),
                    named(7, "di"),
                    named(8, "ret_addr"),
                ],
            },
            sp_behind: true,
            goes: Goes::Saved,
        },
        // Earlier kernels had the switch inside the scheduler, and pushed the flags and ebp. That is as large as this
        // structure, which begins with ebp too.
        Switched {
            member: "thread.sp",
            at: At::Pointer,
            structure: Structure { name: "stack_frame", members: &[named(5, "next_frame")] },
            sp_behind: true,
            goes: Goes::Member("thread.ip"),
        },
    ],
    user: User {
        structure: Structure {
            name: "pt_regs",
            members: &[
                named(0, "ax"),
                named(1, "cx"),
                named(2, "dx"),
                named(3, "bx"),
                named(4, "sp"),
                named(5, "bp"),
                named(6, "si"),
                named(7, "di"),
                named(8, "ip"),
                named(9, "flags"),
                named(10, "cs"),
                named(11, "ss"),
                named(12, "ds"),
                named(13, "es"),
                named(14, "fs"),
            ],
        },
        // Room for an incomplete frame; since 4.3 also for the segments that virtual-8086 mode pushes, if it is built in.
        at: UserAt::StackEnd(&[8, 16]),
        mode: Some(UserMode { reg: 10, mask: 3, value: 3 }),
    },
    outermost: &[
        "ret_from_fork",
        "ret_from_fork_asm",
        "ret_from_kernel_thread",
        "entry_SYSENTER_32",
        "entry_INT80_32",
        "startup_32_smp",
    ],
    // Since 6.6 it is in C.
    superseded: &[("ret_from_fork", "ret_from_fork_asm")],
};

/// The order of `struct user_regs_struct`, behind 72 bytes of other things.
const PRSTATUS: &[Slot] = &[
    Slot { reg: 3, offset: 72 },
    Slot { reg: 1, offset: 76 },
    Slot { reg: 2, offset: 80 },
    Slot { reg: 6, offset: 84 },
    Slot { reg: 7, offset: 88 },
    Slot { reg: 5, offset: 92 },
    Slot { reg: 0, offset: 96 },
    Slot { reg: 12, offset: 100 },
    Slot { reg: 13, offset: 104 },
    Slot { reg: 14, offset: 108 },
    Slot { reg: 15, offset: 112 },
    // orig_eax, which no debugger's description has, is at 116.
    Slot { reg: 8, offset: 120 },
    Slot { reg: 10, offset: 124 },
    Slot { reg: 9, offset: 128 },
    Slot { reg: 4, offset: 132 },
    Slot { reg: 11, offset: 136 },
];

const SHAPES: [Shape; 2] = [shape(PAE, pae_user_entry), shape(TWO_LEVEL, user_entry)];

const fn shape(kernel: Radix, decode: fn(u64, usize) -> Entry) -> Shape {
    Shape { kernel, user: Radix { decode, ..kernel }, first: 0 }
}

/// What the kernel's virtual addresses are above the physical ones (`PAGE_OFFSET`) is a choice of its build. All choices
/// are multiples of this.
const STEP: usize = 128 << 20;

fn paging(facts: &dyn Facts) -> Result<Paging, Lost> {
    let top = Top::find(facts, &["swapper_pg_dir"])?;
    let (shape, root) = top.prove(facts, &SHAPES, &[], STEP)?;
    Ok(above(top.va.saturating_sub(root.0), shape, root))
}

/// By the registers of a CPU alone.
fn bare(facts: &dyn Facts) -> Result<(Paging, Va), Lost> {
    const PHYSICAL_ADDRESS_EXTENSION: u64 = 1 << 5;
    const GATE: Gate = Gate { parts: &[0, 6] };
    let register = |name| facts.number(name).ok_or(Lost::NoSymbol(name));
    let (cr3, cr4) = (register("CR3")?, register("CR4")?);
    let [pae, two_level] = SHAPES;
    let (shape, top) = match cr4 & PHYSICAL_ADDRESS_EXTENSION {
        0 => (two_level, 0xfff),
        _ => (pae, 0x1f), // the top table has four entries
    };
    let Proved { root, text, pa } = prove(facts, &shape, &[cr3 & !(0x1000 | top), cr3 & !top], &GATE)?;
    Ok((above(text.0.saturating_sub(pa.0), shape, root), text))
}

fn above(page_offset: u64, shape: Shape, root: Pa) -> Paging {
    Paging {
        kernel: vec![tables(page_offset, u32::MAX.into(), shape.kernel, root)],
        user: UserPaging { form: shape.user, last: Va(page_offset.saturating_sub(1)), levels: None },
        big_endian: Some(shape.kernel.big_endian),
    }
}

/// As on x86-64, also inverted.
fn pae_user_entry(raw: u64, level: usize) -> Entry {
    with_untouchable(raw, level, PAE.decode)
}

/// As on x86-64, never inverted: there is no room for it.
fn user_entry(raw: u64, level: usize) -> Entry {
    const PRESENT: u64 = 1;
    const PROT_NONE: u64 = 1 << 8;
    if raw & (PRESENT | PROT_NONE) != PROT_NONE {
        return (TWO_LEVEL.decode)(raw, level);
    }
    untouchable((TWO_LEVEL.decode)(raw | PRESENT, level))
}
