//! A process's own address space.

use super::Fields;
use crate::Result;
use crate::kernel::pmap;
use crate::kernel::ps_strings::unreadable;
use crate::space::Space;
use kgdbserver_arch::{Va, x86_64};

/// The last address of a process. The top 2 MiB of the lower half are never mapped (a fault of AMD's processors), but were
/// once.
const LAST: Va = Va(0x7fff_ffff_ffff);

/// The space of the process at `proc`. Its tables have four levels; a minidump keeps the kernel's in another form.
pub(super) fn space(fields: &Fields<'_>, proc: Va) -> Result<Space> {
    pmap::space(fields, proc, x86_64::FOUR_LEVEL, LAST).map_err(unreadable)
}
