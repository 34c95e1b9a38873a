use super::{Linux, Named, Paging, Prstatus, Structure, Switched, UserPaging, named};
use crate::aarch64::{PAGES_OF_4_KIB, PAGES_OF_16_KIB};
use crate::full::tables;
use crate::{Facts, Lost, Pa, Radix, Slot, Va};

pub(crate) static LINUX: Linux = Linux {
    marks: &["kimage_voffset"],
    paging,
    prstatus: Prstatus { pid: 32, slots: PRSTATUS },
    switched: &[Switched {
        member: "thread.cpu_context",
        pointer: false,
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
    }],
    user: Structure { name: "pt_regs", members: USER },
    outermost: &["ret_from_fork", "__primary_switched", "__secondary_switched"],
};

const fn x(reg: usize) -> Named {
    Named { reg, member: "regs", index: reg as u64 }
}

const USER: &[Named] = &[
    x(0),
    x(1),
    x(2),
    x(3),
    x(4),
    x(5),
    x(6),
    x(7),
    x(8),
    x(9),
    x(10),
    x(11),
    x(12),
    x(13),
    x(14),
    x(15),
    x(16),
    x(17),
    x(18),
    x(19),
    x(20),
    x(21),
    x(22),
    x(23),
    x(24),
    x(25),
    x(26),
    x(27),
    x(28),
    x(29),
    x(30),
    named(31, "sp"),
    named(32, "pc"),
    named(33, "pstate"),
];

/// Behind 112 bytes of other things.
const fn nth(reg: usize) -> Slot {
    Slot { reg, offset: 112 + 8 * reg }
}

/// x0 to x30, sp, pc, pstate.
const PRSTATUS: &[Slot] = &[
    nth(0),
    nth(1),
    nth(2),
    nth(3),
    nth(4),
    nth(5),
    nth(6),
    nth(7),
    nth(8),
    nth(9),
    nth(10),
    nth(11),
    nth(12),
    nth(13),
    nth(14),
    nth(15),
    nth(16),
    nth(17),
    nth(18),
    nth(19),
    nth(20),
    nth(21),
    nth(22),
    nth(23),
    nth(24),
    nth(25),
    nth(26),
    nth(27),
    nth(28),
    nth(29),
    nth(30),
    nth(31),
    nth(32),
    nth(33),
];

fn paging(facts: &dyn Facts) -> Result<Paging, Lost> {
    let root = facts.symbol("swapper_pg_dir").ok_or(Lost::NoSymbol("swapper_pg_dir"))?;
    let offset = facts.number("kimage_voffset").ok_or(Lost::NoSymbol("kimage_voffset"))?;
    let bits = match facts.number("TCR_EL1_T1SZ") {
        Some(size @ 12..=48) => 64 - size,
        _ => facts.number("VA_BITS").ok_or(Lost::NoSymbol("VA_BITS"))?,
    };
    let form = shape(facts.number("PAGESIZE").unwrap_or(4096), bits).ok_or(Lost::NoSymbol("VA_BITS"))?;
    let root = Pa(root.wrapping_sub(offset));
    Ok(Paging {
        kernel: vec![tables(u64::MAX << bits, u64::MAX, form, root)],
        user: UserPaging { form, last: Va((1 << bits) - 1) },
        pac_mask: facts.number("KERNELPACMASK").unwrap_or(0),
    })
}

fn shape(page_size: u64, bits: u64) -> Option<Radix> {
    match (page_size, bits) {
        (0x1000, 48) => Some(PAGES_OF_4_KIB),
        (0x4000, 48) => Some(PAGES_OF_16_KIB),
        _ => None,
    }
}
