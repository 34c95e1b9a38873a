use super::root::{Shape, Top, untouchable};
use super::switched::named;
use super::x86_control::{Gate, NOTED, Proved, prove};
use super::{At, Goes, Linux, Paging, Prstatus, Structure, Switched, User, UserAt, UserMode};
use crate::x86_64::{FIVE_LEVEL, FOUR_LEVEL};
use crate::{Entry, Facts, Lost, Pa, Radix, Slot, Va};

pub(crate) static LINUX: Linux = Linux {
    marks: &["phys_base", "pgtable_l5_enabled"],
    paging,
    bare: Some(bare),
    noted: NOTED,
    prstatus: Prstatus { bytes: 336, pid: 32, slots: PRSTATUS, narrow: &[] },
    switched: &[
        // Since 4.9.
        Switched {
            member: "thread.sp",
            at: At::Pointer,
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
            goes: Goes::Saved,
        },
        // Earlier kernels had the switch inside the scheduler, and pushed the flags and rbp. That is as large as this
        // structure, which begins with rbp too.
        Switched {
            member: "thread.sp",
            at: At::Pointer,
            structure: Structure { name: "stack_frame", members: &[named(6, "next_frame")] },
            sp_behind: true,
            goes: Goes::BehindCall { caller: "__schedule", callee: "__switch_to", find: behind_call },
        },
    ],
    user: User {
        structure: Structure {
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
        // Kernels that know FRED (6.9) leave room for two words more that it pushes, whether the processor does or not.
        at: UserAt::StackEnd(&[0, 16]),
        mode: Some(UserMode { reg: 18, mask: 3, value: 3 }),
    },
    outermost: &[
        "ret_from_fork",
        "ret_from_fork_asm",
        "entry_SYSCALL_64",
        "entry_SYSCALL_64_after_hwframe",
        "entry_SYSENTER_compat_after_hwframe",
        "entry_SYSCALL_compat_after_hwframe",
        "int80_emulation",
        "asm_fred_entrypoint_user",
        "secondary_startup_64_no_verify",
        "secondary_startup_64",
        "common_startup_64",
    ],
    // Since 6.6 it is in C.
    superseded: &[("ret_from_fork", "ret_from_fork_asm")],
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

/// Physical and virtual addresses of a kernel differ by a multiple of this (`CONFIG_PHYSICAL_ALIGN`).
const STEP: usize = 2 << 20;

const SHAPES: [Shape; 2] = [shape(FOUR_LEVEL, 47), shape(FIVE_LEVEL, 56)];

const fn shape(kernel: Radix, half: u8) -> Shape {
    Shape { kernel, user: Radix { decode: user_entry, ..kernel }, first: u64::MAX << half }
}

/// The top table had another name before 4.13. VMCOREINFO calls it `swapper_pg_dir`, too, which is no symbol on x86-64.
fn paging(facts: &dyn Facts) -> Result<Paging, Lost> {
    let top = Top::find(facts, &["init_top_pgt", "init_level4_pgt", "swapper_pg_dir"])?;
    let encrypted = facts.number("sme_mask").unwrap_or(0);
    let shapes = SHAPES.map(|shape| shape.ignoring(encrypted));
    let loaded = |base: u64| Pa(top.va.wrapping_sub(START_KERNEL_MAP).wrapping_add(base));
    let told = match facts.number("phys_base") {
        Some(base) => vec![loaded(base)],
        None => by_cr3(facts, &shapes, Va(top.va)),
    };
    let (shape, root) = top.prove(facts, &shapes, &told, STEP)?;
    Ok(shape.halves(root))
}

/// Where the tables of some process map the kernel's own. With page-table isolation (PTI) a process has two, side by side;
/// in the one that counts while it runs, bit 12 of CR3 is set, and next to nothing of the kernel is mapped.
fn by_cr3(facts: &dyn Facts, shapes: &[Shape], va: Va) -> Vec<Pa> {
    let Some(cr3) = facts.number("CR3") else { return Vec::new() };
    let roots = [cr3 & !0xfff, cr3 & !0x1fff].map(Pa);
    let walks = shapes.iter().flat_map(|shape| roots.map(|root| shape.kernel.walk(facts, root, va)));
    walks.flatten().map(|mapped| mapped.pa).collect()
}

/// By the registers of a CPU alone.
fn bare(facts: &dyn Facts) -> Result<(Paging, Va), Lost> {
    const FIVE_LEVELS: u64 = 1 << 12;
    const GATE: Gate = Gate { parts: &[0, 6, 8, 10] };
    let register = |name| facts.number(name).ok_or(Lost::NoSymbol(name));
    let (cr3, cr4) = (register("CR3")?, register("CR4")?);
    let [four, five] = SHAPES;
    let shape = if cr4 & FIVE_LEVELS == 0 { four } else { five };
    let Proved { root, text, .. } = prove(facts, &shape, &[cr3 & !0x1fff, cr3 & !0xfff], &GATE)?;
    Ok((shape.halves(root), text))
}

/// A page that its process may not touch (`PROT_NONE`, or being watched for NUMA balancing) is there all the same. Such an
/// entry has the global bit and not the present bit. Since the mitigations of 2018 (L1TF) its address is inverted; that
/// shows, as no machine has memory in the upper half of what an entry can tell. (Bit 51 may be the encryption's.)
fn user_entry(raw: u64, level: usize) -> Entry {
    with_untouchable(raw, level, FOUR_LEVEL.decode)
}

/// The same for any form with entries of 64 bits, by its decoder.
pub(super) fn with_untouchable(raw: u64, level: usize, decode: fn(u64, usize) -> Entry) -> Entry {
    const PRESENT: u64 = 1;
    const PROT_NONE: u64 = 1 << 8;
    const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
    const INVERTED: u64 = 1 << 50;
    if raw & (PRESENT | PROT_NONE) != PROT_NONE {
        return decode(raw, level);
    }
    let plain = if raw & INVERTED != 0 { raw ^ ADDRESS } else { raw };
    untouchable(decode(plain | PRESENT, level))
}

/// The address behind a call (`e8` and the distance in four bytes) of a function.
fn behind_call(code: &[u8], at: u64, callee: u64) -> Option<u64> {
    code.windows(5).zip(at..).find_map(|(call, at)| {
        let (0xe8, distance) = call.split_first()? else { return None };
        let behind = at.wrapping_add(5);
        let distance = i32::from_le_bytes(distance.try_into().ok()?);
        (behind.wrapping_add_signed(distance.into()) == callee).then_some(behind)
    })
}
