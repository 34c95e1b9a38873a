//! Arguments and environment of a process.

use super::{Fields, user};
use crate::Result;
use crate::kernel::pargs;
use crate::kernel::ps_strings::{self, ARGUMENTS, ENVIRONMENT, List};
use kgdbserver_arch::Va;

/// `p_flags`: a kernel process, which has no arguments.
const P_SYSTEM: u64 = 0x200;

/// Where user stacks end (USRSTACK, sys/platform/pc64/include/vmparam.h), and `struct ps_strings` right below: 2 MiB below
/// the middle of the address space, and in older releases there.
const STACK_ENDS: [u64; 2] = [0x7fff_ffe0_0000, 0x8000_0000_0000];
/// Bytes of `struct ps_strings`.
const PS_STRINGS_BYTES: u64 = 32;

/// The arguments: the kernel's copy (`p_args`) if the list was not too long (`kern.ps_arg_cache_limit`), else those in the
/// process's memory.
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
    if fields.uint(proc, "proc", "p_flags")? & P_SYSTEM != 0 {
        return Ok(Vec::new());
    }
    let space = user::space(fields, proc)?;
    let [newer, older] = STACK_ENDS.map(|end| Va(end - PS_STRINGS_BYTES));
    let mapped = |at: Va| space.uint(at, 1).is_ok();
    let at = if !mapped(newer) && mapped(older) { older } else { newer };
    ps_strings::read(&space, at, list, limit)
}
