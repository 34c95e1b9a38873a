use super::root::{Shape, Top, untouchable};
use super::switched::{element, named};
use super::{At, Goes, Linux, Paging, Prstatus, Structure, Switched, User, UserAt};
use crate::regs::{Run, slots};
use crate::riscv64::{SV39, SV48, SV57};
use crate::{Entry, Facts, Lost, Pa, Radix, Slot};

pub(crate) static LINUX: Linux = Linux {
    marks: &["phys_ram_base"],
    paging,
    bare: None,
    noted: &[],
    prstatus: Prstatus { bytes: 376, pid: 32, slots: PRSTATUS, narrow: &[] },
    switched: &[Switched {
        member: "thread",
        at: At::Member,
        structure: Structure {
            name: "thread_struct",
            members: &[
                // Where the switch returns to; what the task's own ra was is not saved.
                named(32, "ra"),
                named(2, "sp"),
                element(8, "s", 0),
                element(9, "s", 1),
                element(18, "s", 2),
                element(19, "s", 3),
                element(20, "s", 4),
                element(21, "s", 5),
                element(22, "s", 6),
                element(23, "s", 7),
                element(24, "s", 8),
                element(25, "s", 9),
                element(26, "s", 10),
                element(27, "s", 11),
            ],
        },
        sp_behind: false,
        goes: Goes::Saved,
    }],
    user: User {
        structure: Structure {
            name: "pt_regs",
            members: &[
                named(32, "epc"),
                named(1, "ra"),
                named(2, "sp"),
                named(3, "gp"),
                named(4, "tp"),
                named(5, "t0"),
                named(6, "t1"),
                named(7, "t2"),
                named(8, "s0"),
                named(9, "s1"),
                named(10, "a0"),
                named(11, "a1"),
                named(12, "a2"),
                named(13, "a3"),
                named(14, "a4"),
                named(15, "a5"),
                named(16, "a6"),
                named(17, "a7"),
                named(18, "s2"),
                named(19, "s3"),
                named(20, "s4"),
                named(21, "s5"),
                named(22, "s6"),
                named(23, "s7"),
                named(24, "s8"),
                named(25, "s9"),
                named(26, "s10"),
                named(27, "s11"),
                named(28, "t3"),
                named(29, "t4"),
                named(30, "t5"),
                named(31, "t6"),
            ],
        },
        at: UserAt::StackEnd(&[0]),
        mode: None,
    },
    outermost: &[
        "ret_from_fork",
        "ret_from_fork_kernel_asm",
        "ret_from_fork_user_asm",
        "ret_from_kernel_thread",
        "ret_from_exception",
        "handle_exception",
        "_start_kernel",
        "secondary_start_sbi",
    ],
    superseded: &[],
};

/// `struct user_regs_struct`, behind 112 bytes of other things: the program counter where x0 would be, which is always 0.
const PRSTATUS: &[Slot] = &slots::<32>(&[
    Run { first: 32, count: 1, offset: 112, size: 8 },
    Run { first: 1, count: 31, offset: 120, size: 8 },
]);

/// The kernel takes the widest addresses that the processor has.
const SHAPES: [Shape; 3] = [shape(SV39, 38), shape(SV48, 47), shape(SV57, 56)];

const fn shape(kernel: Radix, half: u8) -> Shape {
    Shape { kernel, user: Radix { decode: user_entry, ..kernel }, first: u64::MAX << half }
}

/// Kernels are loaded at multiples of this, so that pages of 2 MiB can map them.
const STEP: usize = 2 << 20;

fn paging(facts: &dyn Facts) -> Result<Paging, Lost> {
    let top = Top::find(facts, &["swapper_pg_dir"])?;
    let told = facts.number("va_kernel_pa_offset").map(|offset| Pa(top.va.wrapping_sub(offset)));
    let (shape, root) = top.prove(facts, &SHAPES, told.as_slice(), STEP)?;
    Ok(shape.halves(root))
}

/// A page that its process may not touch (`PROT_NONE`, or being watched for NUMA balancing) is there all the same: its
/// entry has the global bit and not the valid bit.
fn user_entry(raw: u64, level: usize) -> Entry {
    const VALID: u64 = 1;
    const READ: u64 = 1 << 1;
    const PROT_NONE: u64 = 1 << 5;
    if raw & (VALID | PROT_NONE) != PROT_NONE {
        return (SV39.decode)(raw, level);
    }
    untouchable((SV39.decode)(raw | VALID | READ, level))
}
