//! Arguments of a process.

use super::Fields;
use crate::kernel::pargs;
use crate::{Error, Result};
use kgdbserver_arch::Va;

/// `p_flags`: a kernel process, which has no arguments.
const P_SYSTEM: u64 = 0x200;

/// The arguments that the kernel keeps (`p_args`): those of a list that is not too long (`kern.ps_arg_cache_limit`).
pub(super) fn args(fields: &Fields<'_>, proc: Va, limit: usize) -> Result<Vec<String>> {
    match fields.pointer(proc, "proc", "p_args")? {
        Va(0) if fields.uint(proc, "proc", "p_flags")? & P_SYSTEM != 0 => Ok(Vec::new()),
        Va(0) => Err(Error::Unsupported(
            "the kernel kept no copy of the arguments, and this build cannot read DragonFly's processes' memory"
                .into(),
        )),
        kept => pargs::read(fields, kept, limit),
    }
}
