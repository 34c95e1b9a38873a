//! Variables with a copy for each network stack (VNET) or for each CPU (DPCPU).
//!
//! The kernel file has one copy of each, in a section of its own: `set_vnet`, `set_pcpu`. Its symbol is the plain name
//! behind a prefix, and its address must be moved to the copy that is meant.

use super::pcpu;
use crate::kernel::fields::{self, Fields, bad};
use crate::symbols::Symbol;
use crate::{Error, Result};
use kgdbserver_arch::Va;

const VNET_PREFIX: &str = "vnet_entry_";
const DPCPU_PREFIX: &str = "pcpu_entry_";

/// `VNET_MAGIC_N`. Older releases had another number, so this is not insisted on.
const VNET_MAGIC: u64 = 0x5e4a_6f28;

/// A VNET variable, or a CPU's copy of a DPCPU variable, by its plain name.
pub(super) fn find(fields: &Fields<'_>, name: &str, cpu: u32) -> Option<Result<Symbol>> {
    let prefixed = |prefix: &str| {
        let bare = name.strip_prefix('_').unwrap_or(name);
        fields.symbols.by_name(&format!("{prefix}{bare}"))
    };
    if let Some(symbol) = prefixed(VNET_PREFIX) {
        return Some(moved(fields, symbol, "set_vnet", || vnet_base(fields)));
    }
    Some(moved(fields, prefixed(DPCPU_PREFIX)?, "set_pcpu", || offset(fields, cpu)))
}

/// A symbol of a section, moved; one from outside is left alone.
fn moved(
    fields: &Fields<'_>,
    symbol: Symbol,
    section: &str,
    by: impl FnOnce() -> Result<u64>,
) -> Result<Symbol> {
    let (first, end) = bounds(fields, section)?;
    if !(first..end).contains(&symbol.va) {
        return Ok(symbol);
    }
    Ok(Symbol { va: Va(symbol.va.0.wrapping_add(by()?)), ..symbol })
}

/// The section's first address, and the one behind its last, by the symbols that the linker made.
fn bounds(fields: &Fields<'_>, section: &str) -> Result<(Va, Va)> {
    Ok((fields.variable(&format!("__start_{section}"))?, fields.variable(&format!("__stop_{section}"))?))
}

/// What moves a VNET variable into the network stack of process 0: in a dump there is no process of the caller's.
fn vnet_base(fields: &Fields<'_>) -> Result<u64> {
    let ucred = fields.pointer(fields.variable("proc0")?, "proc", "p_ucred")?;
    let prison = fields.pointer(ucred, "ucred", "cr_prison")?;
    let vnet = fields.pointer(prison, "prison", "pr_vnet")?;
    if vnet == Va(0) {
        return Err(bad("prison", prison, "it has no network stack"));
    }
    let magic = fields.uint(vnet, "vnet", "vnet_magic_n")?;
    if magic != VNET_MAGIC {
        log::warn!("the network stack at {vnet} has the magic number {magic:#x} instead of {VNET_MAGIC:#x}");
    }
    fields.uint(vnet, "vnet", "vnet_data_base")
}

/// What moves a DPCPU variable to a CPU's copy.
pub(super) fn offset(fields: &Fields<'_>, cpu: u32) -> Result<u64> {
    if cpu >= pcpu::max(fields)? {
        return Err(Error::Usage(format!("CPU {cpu} too big")));
    }
    let pointer = usize::from(fields.mem.machine.ptr_bytes);
    let table = fields.variable("dpcpu_off")?;
    let at = fields::offset(table, u64::from(cpu) * pointer as u64)?;
    match fields.mem.uint(at, pointer)? {
        0 => Err(Error::Usage(format!("CPU {cpu} not found"))),
        offset => Ok(offset),
    }
}
