//! A process's own address space.

use crate::kernel::fields::Fields;
use crate::space::Space;
use crate::{Error, Result};
use kgdbserver_arch::{Pa, Radix, Region, Va, Via};

/// How a pmap says where its top page table is.
struct Root {
    member: &'static str,
    place: Place,
}

/// What such a member holds.
enum Place {
    /// A physical address, with other things in the bits that a page's address leaves free.
    Physical,
    /// The address in the kernel's space.
    Virtual,
}

/// The members of `struct pmap`, by processor and release; the first one that the kernel's types know counts.
static ROOTS: &[Root] = &[
    Root { member: "pm_cr3", place: Place::Physical }, // amd64
    Root { member: "pm_l0_paddr", place: Place::Physical }, // arm64 since 13
    Root { member: "pm_l0", place: Place::Virtual },   // arm64 before
    Root { member: "pm_top", place: Place::Virtual },  // riscv64 since 14
    Root { member: "pm_l1", place: Place::Virtual },   // riscv64 before
];

/// The space of the process at `proc`.
///
/// # Errors
/// "cannot read user space from dead kernel", as libkvm says for every process, and why not.
pub(super) fn space(fields: &Fields<'_>, proc: Va) -> Result<Space> {
    find(fields, proc).map_err(unreadable)
}

/// libkvm's words, and the reason.
pub(super) fn unreadable(why: Error) -> Error {
    Error::Unsupported(format!("cannot read user space from dead kernel: {why}"))
}

fn find(fields: &Fields<'_>, proc: Va) -> Result<Space> {
    let Va(vmspace @ 1..) = fields.pointer(proc, "proc", "p_vmspace")? else {
        return Err(Error::Unsupported("the process has none: it is exiting".into()));
    };
    let pmap = fields.at(Va(vmspace), "vmspace", "vm_pmap")?;
    let root = root(fields, pmap)?;
    let form = form(fields)?;
    let last = Va(last_address(fields, &form));
    let region = Region { first: Va(0), last, via: Via::Tables { form, root } };
    let mut space = fields.mem.over(vec![region]);
    if is_32_bit(fields, proc) {
        space.machine.ptr_bytes = 4;
    }
    Ok(space)
}

/// Whether a process runs 32-bit code on a 64-bit kernel.
fn is_32_bit(fields: &Fields<'_>, proc: Va) -> bool {
    const SV_ILP32: u64 = 0x100;
    let sysent = fields.pointer(proc, "proc", "p_sysent");
    let flags = sysent.and_then(|sysent| fields.uint(sysent, "sysentvec", "sv_flags"));
    flags.is_ok_and(|flags| flags & SV_ILP32 != 0)
}

fn root(fields: &Fields<'_>, pmap: Va) -> Result<Pa> {
    let known = ROOTS.iter().find(|root| fields.has("pmap", root.member));
    let none = || Error::Unsupported("the kernel's types know no top page table in struct pmap".into());
    let Root { member, place } = known.ok_or_else(none)?;
    let value = fields.uint(pmap, "pmap", member)?;
    match place {
        Place::Physical => Ok(Pa(value & 0x000f_ffff_ffff_f000)),
        Place::Virtual => match fields.mem.translate(Va(value)) {
            Ok(crate::space::Place { at: crate::image::Addr::Phys(pa), .. }) => Ok(pa),
            Ok(_) => Err(none()),
            Err(why) => Err(Error::Fault { va: Va(value), why }),
        },
    }
}

/// A process's tables have the form of the kernel's, and with five-level paging (`la57`) a level more than a minidump
/// keeps of these.
fn form(fields: &Fields<'_>) -> Result<Radix> {
    let none = || Error::Unsupported("the image has no page tables".into());
    let form = fields.mem.form().ok_or_else(none)?;
    let five = fields.mem.machine.arch.name == "x86_64" && fields.count("la57").is_ok_and(|la57| la57 != 0);
    Ok(if five { Radix { index_bits: &[9; 5], ..form } } else { form })
}

/// The last address of user space: what the kernel says, or else the lower half of what the tables can map.
fn last_address(fields: &Fields<'_>, form: &Radix) -> u64 {
    let pointer = usize::from(fields.mem.machine.ptr_bytes);
    let told = fields.variable("vm_maxuser_address").and_then(|at| fields.mem.uint(at, pointer));
    let half = 1_u64.checked_shl(u32::from(form.shift(form.index_bits.len())) - 1).unwrap_or(u64::MAX);
    told.ok().filter(|end| (1..=half).contains(end)).unwrap_or(half) - 1
}
