use super::root::{Shape, Top, untouchable};
use super::switched::{elements, named};
use super::{At, Goes, Linux, Named, Paging, Prstatus, Structure, Switched, User, UserAt, UserMode};
use crate::aarch64::{decode, form};
use crate::regs::{Run, slots};
use crate::{Entry, Facts, Lost, Pa, Radix, Rights, Slot};

pub(crate) static LINUX: Linux = Linux {
    marks: &["kimage_voffset"],
    paging,
    bare: None,
    noted: &[],
    prstatus: Prstatus { bytes: 392, pid: 32, slots: PRSTATUS, narrow: &[Slot { reg: 33, offset: 376 }] },
    switched: &[Switched {
        member: "thread.cpu_context",
        at: At::Member,
        structure: Structure {
            name: "cpu_context",
            members: &[
                named(19, "x19"),
                named(20, "x20"),
                named(21, "x21"),
                named(22, "x22"),
                named(23, "x23"),
                named(24, "x24"),
                named(25, "x25"),
                named(26, "x26"),
                named(27, "x27"),
                named(28, "x28"),
                named(29, "fp"),
                named(31, "sp"),
                named(32, "pc"),
            ],
        },
        sp_behind: false,
        goes: Goes::Saved,
    }],
    user: User {
        structure: Structure { name: "pt_regs", members: USER },
        at: UserAt::StackEnd(&[0]),
        // The exception level that pstate tells.
        mode: Some(UserMode { reg: 33, mask: 0xf, value: 0 }),
    },
    outermost: &[
        "ret_from_fork",
        "__primary_switched",
        "__secondary_switched",
        "el0t_64_sync",
        "el0t_64_irq",
        "el0t_64_fiq",
        "el0t_64_error",
        "el0t_32_sync",
        "el0t_32_irq",
        "el0t_32_fiq",
        "el0t_32_error",
        // Until 5.13.
        "el0_sync",
        "el0_svc",
        "el0_irq",
    ],
    // In C since 5.5; the vectors have other names since 5.14.
    superseded: &[("el0_svc", "el0_sync_handler"), ("el0_svc", "el0t_64_sync")],
};

const USER: &[Named] =
    &elements::<34>(0, "regs", 0, &[named(31, "sp"), named(32, "pc"), named(33, "pstate")]);

/// x0 to x30, sp, pc, behind 112 bytes of other things; behind them pstate, of which cpsr is the lower half.
const PRSTATUS: &[Slot] = &slots::<33>(&[Run { first: 0, count: 33, offset: 112, size: 8 }]);

/// A kernel is built for one size of pages, and for at most so many bits of addresses. On a processor without the larger
/// ones it leaves the top level out; with 64 KiB pages it keeps it, and only its lower or upper entries are ever used.
const SHAPES: [Shape; 10] = [
    shape::<12, false>(48, &[9; 4]),
    shape::<12, false>(39, &[9; 3]),
    shape::<12, true>(52, &[9, 9, 9, 9, 4]),
    shape::<14, false>(47, &[11; 3]),
    shape::<14, false>(48, &[11, 11, 11, 1]),
    shape::<14, false>(36, &[11; 2]),
    shape::<14, true>(52, &[11, 11, 11, 5]),
    shape::<16, false>(48, &[13, 13, 6]),
    shape::<16, false>(52, &[13, 13, 10]),
    shape::<16, false>(42, &[13; 2]),
];

const fn shape<const PAGE_SHIFT: u8, const LPA2: bool>(bits: u8, index_bits: &'static [u8]) -> Shape {
    let kernel = form(PAGE_SHIFT, index_bits, decode::<PAGE_SHIFT, LPA2>);
    let user = Radix { decode: user_entry::<PAGE_SHIFT, LPA2>, ..kernel };
    Shape { kernel, user, first: u64::MAX << bits }
}

/// Kernels are loaded as far behind a multiple of this as they are linked (`MIN_KIMG_ALIGN`).
const STEP: usize = 2 << 20;

fn paging(facts: &dyn Facts) -> Result<Paging, Lost> {
    let top = Top::find(facts, &["swapper_pg_dir"])?;
    let told = facts.number("kimage_voffset").map(|offset| Pa(top.va.wrapping_sub(offset)));
    let shapes: Vec<Shape> = SHAPES.into_iter().chain(SHAPES.map(Shape::big_endian)).collect();
    let (shape, root) = top.prove(facts, &shapes, told.as_slice(), STEP)?;
    Ok(shape.halves(root))
}

/// A page that its process may not touch (`PROT_NONE`, or being watched for NUMA balancing) is there all the same. Such an
/// entry is not valid. It has a software bit, another one before 6.10, but is best told from the entry of a page that was
/// swapped out by the two bits that forbid execution: those lie in the offset into a swap file, above any there is.
fn user_entry<const PAGE_SHIFT: u8, const LPA2: bool>(raw: u64, level: usize) -> Entry {
    const VALID: u64 = 1;
    const PAGE: u64 = 3;
    const NEVER_EXECUTED: u64 = 3 << 53;
    const PROCESS_NEVER_EXECUTES: u64 = 1 << 54;
    if raw & (VALID | NEVER_EXECUTED) != NEVER_EXECUTED {
        return match decode::<PAGE_SHIFT, LPA2>(raw, level) {
            Entry::Leaf { pa, shift, rights: Rights { write, .. } } => {
                let execute = raw & PROCESS_NEVER_EXECUTES == 0;
                Entry::Leaf { pa, shift, rights: Rights { write, execute } }
            }
            other => other,
        };
    }
    let kind = if level == 0 { PAGE } else { VALID };
    untouchable(decode::<PAGE_SHIFT, LPA2>(raw & !PAGE | kind, level))
}
