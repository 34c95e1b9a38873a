use super::root::{Shape, Top, untouchable};
use super::switched::{elements, named};
use super::{At, Goes, Linux, Paging, Prstatus, Structure, Switched, User, UserAt, UserMode, UserPaging};
use crate::arm::{LPAE, V6};
use crate::full::tables;
use crate::regs::{Run, slots};
use crate::{Entry, Facts, Lost, Pa, Radix, Rights, Slot, Va};

pub(crate) static LINUX: Linux = Linux {
    marks: &[],
    paging,
    bare: None,
    noted: &[],
    prstatus: Prstatus { bytes: 148, pid: 24, slots: PRSTATUS, narrow: &[] },
    switched: &[
        // Since 5.16, where thread_info lies in the task (not on processors before ARMv7).
        Switched {
            member: "thread_info.cpu_context",
            at: At::Member,
            structure: Structure {
                name: "cpu_context_save",
                members: &[
                    named(4, "r4"),
                    named(5, "r5"),
                    named(6, "r6"),
                    named(7, "r7"),
                    named(8, "r8"),
                    named(9, "r9"),
                    named(10, "sl"),
                    named(11, "fp"),
                    named(13, "sp"),
                    named(15, "pc"),
                ],
            },
            sp_behind: false,
            goes: Goes::Saved,
        },
        // Otherwise it lies at the lower end of the task's stack.
        Switched {
            member: "stack",
            at: At::Pointer,
            structure: Structure {
                name: "thread_info",
                members: &[
                    named(4, "cpu_context.r4"),
                    named(5, "cpu_context.r5"),
                    named(6, "cpu_context.r6"),
                    named(7, "cpu_context.r7"),
                    named(8, "cpu_context.r8"),
                    named(9, "cpu_context.r9"),
                    named(10, "cpu_context.sl"),
                    named(11, "cpu_context.fp"),
                    named(13, "cpu_context.sp"),
                    named(15, "cpu_context.pc"),
                ],
            },
            sp_behind: false,
            goes: Goes::Saved,
        },
    ],
    user: User {
        structure: Structure { name: "pt_regs", members: &elements::<17>(0, "uregs", 0, &[]) },
        at: UserAt::StackEnd(&[8]),
        mode: Some(UserMode { reg: 16, mask: 0xf, value: 0 }),
    },
    outermost: &[
        "ret_from_fork",
        "ret_fast_syscall",
        "vector_swi",
        "__irq_usr",
        "__dabt_usr",
        "__pabt_usr",
        "__und_usr",
        "__mmap_switched",
        "secondary_startup",
        "__secondary_switched",
    ],
    superseded: &[],
};

/// r0 to pc and cpsr, behind 72 bytes of other things.
const PRSTATUS: &[Slot] = &slots::<17>(&[Run { first: 0, count: 17, offset: 72, size: 4 }]);

const SHAPES: [Shape; 2] = [shape(LPAE, lpae_user_entry), shape(V6, user_entry)];

const fn shape(kernel: Radix, decode: fn(u64, usize) -> Entry) -> Shape {
    Shape { kernel, user: Radix { decode, ..kernel }, first: 0 }
}

/// Where a board's memory begins is not told; it is a multiple of this, as is what a build chooses for the kernel's lowest
/// address (`PHYS_OFFSET`, `PAGE_OFFSET`).
const STEP: usize = 2 << 20;

/// Modules lie below the kernel.
const MODULES: u64 = 16 << 20;

/// Rights are those of ARMv6 and later; processors before it do not lack much but "never execute".
fn paging(facts: &dyn Facts) -> Result<Paging, Lost> {
    let top = Top::find(facts, &["swapper_pg_dir"])?;
    let shapes: Vec<Shape> = SHAPES.into_iter().chain(SHAPES.map(Shape::big_endian)).collect();
    let (shape, root) = top.prove(facts, &shapes, &[], STEP)?;
    // The top table lies a few pages behind the kernel's lowest address, which is a multiple of 256 MiB.
    let first = (top.va & 0xf000_0000).saturating_sub(MODULES);
    Ok(Paging {
        kernel: vec![tables(first, u32::MAX.into(), shape.kernel, root)],
        user: UserPaging { form: shape.user, last: Va(first.saturating_sub(1)), levels: None },
        big_endian: Some(shape.kernel.big_endian),
    })
}

/// The processor's entries do not tell whether a page was read or written, so Linux keeps a table of its own beside each of
/// the processor's: in the other half of the page that both fill. The processor gets no entry for a page that was not
/// touched of late; Linux's own has them all.
fn user_entry(raw: u64, level: usize) -> Entry {
    const PRESENT: u64 = 1;
    const READ_ONLY: u64 = 1 << 7;
    const NEVER_EXECUTE: u64 = 1 << 9;
    match ((V6.decode)(raw, level), level) {
        (Entry::Table(table), _) => Entry::Table(Pa(table.0 ^ 0x800)),
        (_, 0) if raw & PRESENT == 0 => Entry::Absent,
        (_, 0) => {
            let rights = Rights { write: raw & READ_ONLY == 0, execute: raw & NEVER_EXECUTE == 0 };
            Entry::Leaf { pa: Pa(raw & 0xffff_f000), shift: 12, rights }
        }
        (other, _) => other,
    }
}

/// A page that its process may not touch (`PROT_NONE`) is there all the same: the valid bit is taken away, and a software
/// bit says why.
fn lpae_user_entry(raw: u64, level: usize) -> Entry {
    const VALID: u64 = 1;
    const NONE: u64 = 1 << 57;
    if raw & (VALID | NONE) == NONE {
        untouchable((LPAE.decode)(raw | VALID, level))
    } else {
        (LPAE.decode)(raw, level)
    }
}
