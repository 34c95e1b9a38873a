use super::ppc64_hashed::hashed;
use super::root::{Shape, Top};
use super::switched::{elements, named};
use super::{At, Goes, Linux, Paging, Prstatus, Structure, Switched, User, UserAt, UserMode, UserPaging};
use crate::full::tables;
use crate::ppc64::{RADIX, RADIX_64_KIB};
use crate::regs::{Run, slots};
use crate::{Facts, Lost, Pa, Radix, ReadPhys, Region, Slot, Va, Via};

pub(crate) static LINUX: Linux = Linux {
    marks: &["mmu_psize_defs"],
    paging,
    bare: None,
    noted: &[],
    prstatus: Prstatus {
        bytes: 504,
        pid: 32,
        slots: PRSTATUS,
        // xer and cr.
        narrow: &[Slot { reg: 37, offset: 408 }, Slot { reg: 34, offset: 416 }],
    },
    switched: &[Switched {
        member: "thread.ksp",
        at: At::FrameEnd,
        structure: Structure {
            name: "pt_regs",
            members: &elements::<19>(14, "gpr", 14, &[named(32, "nip")]),
        },
        sp_behind: true,
        goes: Goes::Saved,
    }],
    user: User {
        structure: Structure {
            name: "pt_regs",
            members: &elements::<38>(
                0,
                "gpr",
                0,
                &[
                    named(32, "nip"),
                    named(33, "msr"),
                    named(34, "ccr"),
                    named(35, "link"),
                    named(36, "ctr"),
                    named(37, "xer"),
                ],
            ),
        },
        at: UserAt::Member("thread.regs"),
        // The problem state.
        mode: Some(UserMode { reg: 33, mask: 1 << 14, value: 1 << 14 }),
    },
    outermost: &[
        "ret_from_fork",
        "ret_from_fork_scv",
        "ret_from_kernel_thread",
        "ret_from_kernel_user_thread",
        "start_kernel_thread",
        "system_call_common",
        "system_call_vectored_common",
        "start_here_common",
        "start_secondary_prolog",
    ],
    superseded: &[],
};

/// r0 to r31, nip, msr, behind 112 bytes of other things; behind them orig_gpr3, ctr, link, xer, ccr.
const PRSTATUS: &[Slot] = &slots::<36>(&[
    Run { first: 0, count: 34, offset: 112, size: 8 },
    Run { first: 36, count: 1, offset: 392, size: 8 },
    Run { first: 35, count: 1, offset: 400, size: 8 },
]);

/// All of memory is mapped from here on (`PAGE_OFFSET`), the kernel at the beginning.
const LINEAR: u64 = 0xc000_0000_0000_0000;
/// The highest address of a process: 4 PiB.
pub(super) const USER_LAST: Va = Va(0x000f_ffff_ffff_ffff);

/// The physical address of a linear one.
pub(super) const fn linear(va: u64) -> Pa {
    Pa(va & 0x0fff_ffff_ffff_ffff)
}

/// A processor with radix tables may be told to use its hashed table. Only the first map all of memory.
fn paging(facts: &dyn Facts) -> Result<Paging, Lost> {
    let top = Top::find(facts, &["swapper_pg_dir"])?;
    let root = linear(top.va);
    // The linear map is of larger pages, and does not tell.
    let form = if page_size(facts) == 0x1000 { RADIX } else { RADIX_64_KIB };
    let shape = Shape { kernel: form, user: form, first: LINEAR };
    match (facts.number("RADIX_MMU"), top.prove(facts, &[shape], &[root], 1)) {
        (Some(0), _) => hashed(facts, root),
        (_, Ok((shape, root))) => Ok(radix(facts, shape.kernel, root)),
        (Some(_), Err(lost)) | (None, Err(lost @ Lost::Unreadable(..))) => Err(lost),
        (None, Err(_)) => hashed(facts, root),
    }
}

/// Most kernels are built for pages of 64 KiB.
pub(super) fn page_size(facts: &dyn Facts) -> u64 {
    facts.number("PAGESIZE").unwrap_or(0x1_0000)
}

fn radix(facts: &dyn Facts, form: Radix, root: Pa) -> Paging {
    const LINEAR_LAST: u64 = 0xc007_ffff_ffff_ffff;
    const LAST: u64 = 0xc00f_ffff_ffff_ffff;
    Paging {
        kernel: vec![all_memory(LINEAR_LAST), tables(LINEAR_LAST + 1, LAST, form, root)],
        user: UserPaging { form, last: USER_LAST, levels: None },
        big_endian: big_endian(facts),
    }
}

/// The linear map up to its last address.
pub(super) fn all_memory(last: u64) -> Region {
    Region { first: Va(LINEAR), last: Va(last), via: Via::Linear(Pa(0)) }
}

/// The byte order, by variables that point to something of the kernel's; some release has each.
pub(super) fn big_endian(facts: &dyn Facts) -> Option<bool> {
    const POINTERS: [&str; 5] = ["prb", "log_buf", "kallsyms_relative_base", "cur_cpu_spec", "vmemmap_list"];
    let in_order = |word: &u64| word >> 48 == LINEAR >> 48;
    POINTERS.iter().find_map(|name| {
        let either = read(facts, linear(facts.symbol(name)?))?;
        match either.each_ref().map(in_order) {
            [true, false] => Some(true),
            [false, true] => Some(false),
            _ => None,
        }
    })
}

/// A word in both byte orders: big, and little.
pub(super) fn read(mem: &dyn ReadPhys, pa: Pa) -> Option<[u64; 2]> {
    let mut word = [0; 8];
    mem.read_phys(pa, &mut word).ok()?;
    Some([u64::from_be_bytes(word), u64::from_le_bytes(word)])
}
