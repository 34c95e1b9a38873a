use super::{Linux, Paging, Prstatus, Structure, Switched, UserPaging, named};
use crate::full::tables;
use crate::x86_64::{FIVE_LEVEL, FOUR_LEVEL};
use crate::{Entry, Facts, Lost, Pa, Radix, Rights, Slot, Va};

pub(crate) static LINUX: Linux = Linux {
    marks: &["phys_base", "pgtable_l5_enabled"],
    paging,
    prstatus: Prstatus { pid: 32, slots: PRSTATUS },
    switched: &[Switched {
        member: "thread.sp",
        pointer: true,
        // Since 4.9; earlier kernels kept the program counter elsewhere, and only rbp on the stack.
        structure: Structure {
            name: "inactive_task_frame",
            members: &[
                named(1, "bx"),
                named(6, "bp"),
                named(12, "r12"),
                named(13, "r13"),
                named(14, "r14"),
                named(15, "r15"),
                named(16, "ret_addr"),
            ],
        },
        sp_behind: true,
    }],
    user: Structure {
        name: "pt_regs",
        members: &[
            named(0, "ax"),
            named(1, "bx"),
            named(2, "cx"),
            named(3, "dx"),
            named(4, "si"),
            named(5, "di"),
            named(6, "bp"),
            named(7, "sp"),
            named(8, "r8"),
            named(9, "r9"),
            named(10, "r10"),
            named(11, "r11"),
            named(12, "r12"),
            named(13, "r13"),
            named(14, "r14"),
            named(15, "r15"),
            named(16, "ip"),
            named(17, "flags"),
            named(18, "cs"),
            named(19, "ss"),
        ],
    },
    outermost: &[
        "ret_from_fork",
        "ret_from_fork_asm",
        "secondary_startup_64_no_verify",
        "secondary_startup_64",
    ],
};

/// The order of `struct user_regs_struct`, behind 112 bytes of other things.
const PRSTATUS: &[Slot] = &[
    Slot { reg: 15, offset: 112 },
    Slot { reg: 14, offset: 120 },
    Slot { reg: 13, offset: 128 },
    Slot { reg: 12, offset: 136 },
    Slot { reg: 6, offset: 144 },
    Slot { reg: 1, offset: 152 },
    Slot { reg: 11, offset: 160 },
    Slot { reg: 10, offset: 168 },
    Slot { reg: 9, offset: 176 },
    Slot { reg: 8, offset: 184 },
    Slot { reg: 0, offset: 192 },
    Slot { reg: 2, offset: 200 },
    Slot { reg: 3, offset: 208 },
    Slot { reg: 4, offset: 216 },
    Slot { reg: 5, offset: 224 },
    // orig_rax, which no debugger's description has, is at 232.
    Slot { reg: 16, offset: 240 },
    Slot { reg: 18, offset: 248 },
    Slot { reg: 17, offset: 256 },
    Slot { reg: 7, offset: 264 },
    Slot { reg: 19, offset: 272 },
    Slot { reg: 40, offset: 280 },
    Slot { reg: 41, offset: 288 },
    Slot { reg: 20, offset: 296 },
    Slot { reg: 21, offset: 304 },
    Slot { reg: 22, offset: 312 },
    Slot { reg: 23, offset: 320 },
];

/// Where the kernel's text and data are mapped, wherever they were loaded (`__START_KERNEL_map`).
const START_KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;

fn paging(facts: &dyn Facts) -> Result<Paging, Lost> {
    let root = facts.symbol("init_top_pgt").or_else(|| facts.symbol("swapper_pg_dir"));
    let root = root.ok_or(Lost::NoSymbol("init_top_pgt"))?;
    let phys_base = facts.number("phys_base").ok_or(Lost::NoSymbol("phys_base"))?;
    let root = Pa(root.wrapping_sub(START_KERNEL_MAP).wrapping_add(phys_base));
    let five = facts.number("pgtable_l5_enabled") == Some(1);
    let (shape, first, last) = match five {
        true => (FIVE_LEVEL, 0xff00_0000_0000_0000, 0x00ff_ffff_ffff_ffff),
        false => (FOUR_LEVEL, 0xffff_8000_0000_0000, 0x0000_7fff_ffff_ffff),
    };
    let form = Radix { decode, ignored: facts.number("sme_mask").unwrap_or(0), ..shape };
    Ok(Paging {
        kernel: vec![tables(first, u64::MAX, form, root)],
        user: UserPaging { form, last: Va(last) },
        pac_mask: 0,
    })
}

/// A page that its process may not touch (`PROT_NONE`, or being watched for NUMA balancing) is there all the same. Such an
/// entry has the global bit and not the present bit, and since the mitigations of 2018 (L1TF) its address is inverted.
fn decode(raw: u64, level: usize) -> Entry {
    const PRESENT: u64 = 1;
    const PROT_NONE: u64 = 1 << 8;
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    match raw & (PRESENT | PROT_NONE) {
        PROT_NONE => match (FOUR_LEVEL.decode)((raw ^ ADDRESS) | PRESENT, level) {
            Entry::Leaf { pa, shift, .. } => {
                Entry::Leaf { pa, shift, rights: Rights { write: false, execute: false } }
            }
            _ => Entry::Absent,
        },
        _ => (FOUR_LEVEL.decode)(raw, level),
    }
}
