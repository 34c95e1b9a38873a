//! Per-CPU data: `struct pcpu`, and zones with an item for each CPU.

use crate::kernel::fields::{Fields, bad, offset};
use crate::kernel::state::Cpus;
use crate::symbols::Symbols;
use crate::{Error, Result};
use kgdbserver_arch::Va;

/// No kernel is built for more (MAXCPU is 1024 at most).
const CPU_LIMIT: u32 = 1 << 16;

/// Items of a per-CPU zone lie a page apart since 12; before, the size of `struct pcpu`.
const PAGES_SINCE: u32 = 1_200_000;

/// The first release whose amd64 kernel counts the pointers of per-CPU zones from the first `struct pcpu`; there the
/// symbol `__pcpu` is a pointer.
const RELATIVE_SINCE: u32 = 1_300_000;

/// Without `pagesizes` in the image: what all kernels but arm64's with 16 KiB use.
const PAGE: u64 = 4096;

/// How many CPUs the kernel was built for; bounded, since arrays are read by it.
pub(super) fn max(fields: &Fields<'_>) -> Result<u32> {
    let max = fields.count("mp_maxcpus")?;
    let far = || bad("variable", fields.variable("mp_maxcpus").unwrap_or_default(), format!("{max} CPUs"));
    if max <= CPU_LIMIT { Ok(max) } else { Err(far()) }
}

/// The CPUs by `cpuid_to_pcpu`.
pub(super) fn cpus(fields: &Fields<'_>) -> Result<Cpus> {
    let (max, table) = (max(fields)?, fields.variable("cpuid_to_pcpu")?);
    let slot = |cpu: u32| {
        let at = offset(table, u64::from(cpu) * u64::from(fields.mem.machine.ptr_bytes))?;
        Ok(Some(fields.mem.pointer(at)?).filter(|pcpu| pcpu.0 != 0))
    };
    let pcpu = (0..max).map(slot).collect::<Result<_>>()?;
    Ok(Cpus { count: fields.count("mp_ncpus")?, max, pcpu })
}

/// The bytes of a `struct pcpu`.
pub(super) fn size(symbols: &Symbols) -> Result<u64> {
    let missing =
        || Error::Unsupported("the size of struct pcpu is needed, and the kernel has no types".into());
    symbols.types().size_of("pcpu").ok_or_else(missing)
}

/// A CPU's copy of an item of a per-CPU zone.
pub(super) fn zone_item(fields: &Fields<'_>, osreldate: Option<u32>, base: Va, cpu: u32) -> Result<Va> {
    let step = match osreldate {
        Some(release) if release < PAGES_SINCE => size(fields.symbols)?,
        _ => page_size(fields),
    };
    let first = base.0.wrapping_add(bias(fields, osreldate)?);
    Ok(Va(first.wrapping_add(step.wrapping_mul(cpu.into()))))
}

/// What is added to a zone's pointer: on amd64 since 13 the address of the first `struct pcpu`.
fn bias(fields: &Fields<'_>, osreldate: Option<u32>) -> Result<u64> {
    if fields.mem.machine.arch.name != "x86_64" {
        return Ok(0);
    }
    let Some(symbol) = fields.symbols.by_name("__pcpu") else { return Ok(0) };
    // A resolver tells no size, so there the release decides.
    let is_pointer = match symbol.size {
        0 => osreldate.is_none_or(|release| release >= RELATIVE_SINCE),
        size => size == u64::from(fields.mem.machine.ptr_bytes),
    };
    if is_pointer { fields.mem.pointer(symbol.va).map(|first| first.0) } else { Ok(0) }
}

fn page_size(fields: &Fields<'_>) -> u64 {
    let long = usize::from(fields.mem.machine.ptr_bytes);
    let size = fields.variable("pagesizes").and_then(|at| fields.mem.uint(at, long));
    size.ok().filter(|size| size.is_power_of_two()).unwrap_or(PAGE)
}
