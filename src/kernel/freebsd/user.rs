//! A process's own address space.

use crate::kernel::fields::Fields;
use crate::kernel::pmap;
use crate::kernel::ps_strings::unreadable;
use crate::space::Space;
use crate::{Error, Result};
use kgdbserver_arch::{Radix, Va, Via, x86_64};

/// The space of the process at `proc`.
///
/// # Errors
/// "cannot read user space from dead kernel", as libkvm says for every process, and why not.
pub(super) fn space(fields: &Fields<'_>, proc: Va) -> Result<Space> {
    find(fields, proc).map_err(unreadable)
}

fn find(fields: &Fields<'_>, proc: Va) -> Result<Space> {
    let form = form(fields)?;
    let mut space = pmap::space(fields, proc, form, Va(last_address(fields, &form)))?;
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

/// A process's tables have the form of the kernel's, and with five-level paging (`la57`) a level more than a minidump
/// keeps of these.
fn form(fields: &Fields<'_>) -> Result<Radix> {
    let amd64 = fields.mem.machine.arch.name == "x86_64";
    // A running kernel translates its own addresses, and shows no tables of its own.
    let of_amd64 = || Some(x86_64::FOUR_LEVEL).filter(|_| amd64 && fields.mem.is_live());
    let form = fields.mem.form().or_else(of_amd64).ok_or_else(|| formless(fields.mem))?;
    let five = amd64 && fields.count("la57").is_ok_and(|la57| la57 != 0);
    Ok(if five { Radix { index_bits: &[9; 5], ..form } } else { form })
}

fn formless(mem: &Space) -> Error {
    let hashed = mem.regions().iter().any(|region| matches!(region.via, Via::Hash { .. }));
    Error::Unsupported(match hashed {
        // It could be searched by the numbers of the process's segments (`pm_slb`).
        true => {
            "the machine has a hashed page table, in which this build finds only the kernel's pages".into()
        }
        false => "the image has no page tables".into(),
    })
}

/// The last address of user space: what the kernel says, or else the lower half of what the tables can map. (32-bit kernels
/// give processes more than that, and so does powerpc64.)
fn last_address(fields: &Fields<'_>, form: &Radix) -> u64 {
    let pointer = usize::from(fields.mem.machine.ptr_bytes);
    let told = fields.variable("vm_maxuser_address").and_then(|at| fields.mem.uint(at, pointer));
    let all = 1_u64.checked_shl(u32::from(form.shift(form.index_bits.len()))).unwrap_or(u64::MAX);
    told.ok().filter(|end| (1..=all).contains(end)).unwrap_or(all / 2) - 1
}
