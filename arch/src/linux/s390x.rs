use super::root::{Shape, Top};
use super::switched::{element, named};
use super::{
    At, Goes, Linux, Noted, Paging, Prstatus, Structure, Switched, User, UserAt, UserMode, UserPaging,
};
use crate::full::tables;
use crate::regs::{Run, slots};
use crate::s390x::{REGION_FIRST, REGION_SECOND, REGION_THIRD, level_of};
use crate::{Entry, Facts, Lost, Pa, Radix, Slot, Va};

pub(crate) static LINUX: Linux = Linux {
    marks: &["lowcore_ptr"],
    paging,
    bare: None,
    noted: &[
        control("CR0", 0),
        control("CR1", 1),
        control("CR2", 2),
        control("CR3", 3),
        control("CR4", 4),
        control("CR5", 5),
        control("CR6", 6),
        control("CR7", 7),
        control("CR8", 8),
        control("CR9", 9),
        control("CR10", 10),
        control("CR11", 11),
        control("CR12", 12),
        control("CR13", 13),
        control("CR14", 14),
        control("CR15", 15),
    ],
    prstatus: Prstatus { bytes: 336, pid: 32, slots: PRSTATUS, narrow: &[] },
    switched: &[Switched {
        member: "thread.ksp",
        at: At::Pointer,
        structure: Structure {
            name: "stack_frame",
            members: &[
                element(8, "gprs", 0),
                element(9, "gprs", 1),
                element(10, "gprs", 2),
                element(11, "gprs", 3),
                element(12, "gprs", 4),
                element(13, "gprs", 5),
                element(14, "gprs", 6),
                element(15, "gprs", 7),
                // r14: where the switch returns to.
                element(1, "gprs", 8),
                element(17, "gprs", 9),
            ],
        },
        sp_behind: false,
        goes: Goes::Saved,
    }],
    user: User {
        structure: Structure {
            name: "pt_regs",
            members: &[
                named(0, "psw.mask"),
                named(1, "psw.addr"),
                r(0),
                r(1),
                r(2),
                r(3),
                r(4),
                r(5),
                r(6),
                r(7),
                r(8),
                r(9),
                r(10),
                r(11),
                r(12),
                r(13),
                r(14),
                r(15),
            ],
        },
        at: UserAt::StackEnd(&[0]),
        // The problem state.
        mode: Some(UserMode { reg: 0, mask: 1 << 48, value: 1 << 48 }),
    },
    outermost: &[
        "ret_from_fork",
        "kernel_thread_starter",
        "system_call",
        "pgm_check_handler",
        "ext_int_handler",
        "io_int_handler",
        "mcck_int_handler",
        "restart_int_handler",
        "startup_continue",
    ],
    superseded: &[],
};

const fn r(number: usize) -> super::Named {
    element(2 + number, "gprs", number as u64)
}

/// The PSW and r0 to r15, behind 112 bytes of other things, and the access registers.
const PRSTATUS: &[Slot] = &slots::<34>(&[
    Run { first: 0, count: 18, offset: 112, size: 8 },
    Run { first: 18, count: 16, offset: 256, size: 4 },
]);

/// Of the note `NT_S390_CTRS`.
const fn control(name: &'static str, number: usize) -> Noted {
    Noted { name, note: "LINUX", kind: 0x304, offset: 8 * number }
}

const SHAPES: [Shape; 3] = [shape(REGION_THIRD), shape(REGION_SECOND), shape(REGION_FIRST)];

const fn shape(kernel: Radix) -> Shape {
    Shape { kernel, user: Radix { decode: user_entry, ..kernel }, first: 0 }
}

/// Kernel and process each have all addresses to themselves. How many levels a process has depends on what it mapped.
fn paging(facts: &dyn Facts) -> Result<Paging, Lost> {
    let top = Top::find(facts, &["swapper_pg_dir"])?;
    // Until 6.9 the kernel's addresses are the physical ones; since then it may be mapped anywhere.
    let told: Vec<Pa> = [Pa(top.va)].into_iter().chain(by_register(facts)).collect();
    let proved = top.prove(facts, &SHAPES, &told, 1);
    let (shape, root) = proved.map_err(|_| Lost::Nowhere("swapper_pg_dir"))?;
    Ok(Paging {
        kernel: vec![tables(0, shape.kernel.last(), shape.kernel, root)],
        user: UserPaging {
            form: Radix { decode: user_entry, ..REGION_FIRST },
            last: Va(u64::MAX),
            levels: Some(|top| level_of(top) + 1),
        },
        big_endian: Some(true),
    })
}

/// The top tables that the kernel's control register leads to (13 until 5.10, 1 since then), or any word of the lowest
/// page: one of these is that register's value (`kernel_asce`), in another place from release to release.
fn by_register(facts: &dyn Facts) -> Vec<Pa> {
    let mut lowest = [0; 0x1000];
    let read = facts.read_phys(Pa(0), &mut lowest).is_ok();
    let words = lowest
        .chunks_exact(8)
        .filter(|_| read)
        .filter_map(|word| Some(u64::from_be_bytes(word.try_into().ok()?)));
    let registers = ["CR1", "CR13"].into_iter().filter_map(|name| facts.number(name));
    let designations = registers.chain(words);
    designations.map(|word| Pa(word & !0xfff)).filter(|root| root.0 != 0).collect()
}

/// Whether a page was touched of late is told by making its entry invalid until it is touched. Software bits tell what is
/// there: one of a page's entry; of a larger page's that it is large, as nothing else of that level can be.
fn user_entry(raw: u64, level: usize) -> Entry {
    const INVALID_PAGE: u64 = 0x400;
    const PRESENT: u64 = 1;
    const LARGE: u64 = 0x400;
    const INVALID: u64 = 0x20;
    let decode = REGION_FIRST.decode;
    match level {
        0 if raw & PRESENT == 0 => Entry::Absent,
        0 => decode(raw & !INVALID_PAGE, 0),
        1 | 2 if raw & LARGE != 0 => decode(raw & !INVALID, level),
        _ => decode(raw, level),
    }
}
