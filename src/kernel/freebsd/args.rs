//! Arguments and environment of a process.
//!
//! The kernel keeps a copy of short argument lists (`p_args`, 256 bytes by default), so these are in every dump. All else
//! is in the process's own memory, where `struct ps_strings` at the top of the stack leads to it; few minidumps hold that.

use super::user;
use crate::Result;
use crate::kernel::fields::{Fields, bad};
use crate::kernel::pargs;
use crate::kernel::ps_strings::{self, ARGUMENTS, ENVIRONMENT, List};
use kgdbserver_arch::Va;

/// `p_flag`: a kernel process, which has no memory of its own.
const P_SYSTEM: u64 = 0x200;

/// The arguments.
pub(super) fn args(fields: &Fields<'_>, proc: Va, limit: usize) -> Result<Vec<String>> {
    match fields.pointer(proc, "proc", "p_args")? {
        Va(0) => from_process(fields, proc, &ARGUMENTS, limit),
        kept => pargs::read(fields, kept, limit),
    }
}

/// The environment.
pub(super) fn env(fields: &Fields<'_>, proc: Va, limit: usize) -> Result<Vec<String>> {
    from_process(fields, proc, &ENVIRONMENT, limit)
}

fn from_process(fields: &Fields<'_>, proc: Va, list: &List, limit: usize) -> Result<Vec<String>> {
    if fields.uint(proc, "proc", "p_flag")? & P_SYSTEM != 0 {
        return Ok(Vec::new());
    }
    let space = user::space(fields, proc)?;
    ps_strings::read(&space, place(fields, proc)?, list, limit)
}

/// Where `struct ps_strings` is: below the top of the stack since 14, whose place varies; before, at one place for all
/// processes of an ABI.
fn place(fields: &Fields<'_>, proc: Va) -> Result<Va> {
    let sysent = fields.pointer(proc, "proc", "p_sysent")?;
    if !fields.has("vmspace", "vm_stacktop") {
        return fields.pointer(sysent, "sysentvec", "sv_psstrings");
    }
    let vmspace = fields.pointer(proc, "proc", "p_vmspace")?;
    let top = fields.uint(vmspace, "vmspace", "vm_stacktop")?;
    let size = fields.uint(sysent, "sysentvec", "sv_psstringssz")?;
    top.checked_sub(size).map(Va).ok_or_else(|| bad("vmspace", vmspace, "its stack has no top"))
}
