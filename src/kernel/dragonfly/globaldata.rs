//! What each CPU has for itself: `struct globaldata`, which DragonFly has in the place of FreeBSD's `struct pcpu`.

use super::Fields;
use crate::Result;
use crate::kernel::fields::{bad, offset};
use crate::kernel::state::{CpuTime, Cpus};
use kgdbserver_arch::Va;

/// MAXCPU is 256.
const CPU_LIMIT: u32 = 1 << 16;

/// Each CPU's, which `CPU_prvspace` points to.
pub(super) fn all(fields: &Fields<'_>) -> Result<Vec<Va>> {
    let (count, table) = (count(fields)?, fields.variable("CPU_prvspace")?);
    let pointer = u64::from(fields.mem.machine.ptr_bytes);
    (0..count).map(|cpu| fields.mem.pointer(offset(table, u64::from(cpu) * pointer)?)).collect()
}

fn count(fields: &Fields<'_>) -> Result<u32> {
    let count = fields.count("ncpus")?;
    if count > CPU_LIMIT {
        return Err(bad("variable", fields.variable("ncpus")?, format!("{count} CPUs")));
    }
    Ok(count)
}

/// The CPUs. There are places for as many as the table has, if its symbol tells a size.
pub(super) fn cpus(fields: &Fields<'_>) -> Result<Cpus> {
    let pcpu: Vec<Option<Va>> = all(fields)?.into_iter().map(|at| Some(at).filter(|at| at.0 != 0)).collect();
    let count = count(fields)?;
    let places = fields.symbols.by_name("CPU_prvspace").map_or(0, |table| table.size)
        / u64::from(fields.mem.machine.ptr_bytes);
    Ok(Cpus { count, max: u32::try_from(places).unwrap_or(CPU_LIMIT).clamp(count, CPU_LIMIT), pcpu })
}

/// What the CPUs spent their time on, in microseconds.
pub(super) fn cptime(fields: &Fields<'_>) -> Result<CpuTime> {
    let (first, size) = (fields.variable("cputime_percpu")?, fields.size_of("kinfo_cputime")?);
    let of_all = |state: &str| {
        (0..count(fields)?).try_fold(0_u64, |sum, cpu| {
            let at = offset(first, size.saturating_mul(cpu.into()))?;
            Ok(sum.wrapping_add(fields.uint(at, "kinfo_cputime", state)?))
        })
    };
    Ok(CpuTime {
        user: of_all("cp_user")?,
        nice: of_all("cp_nice")?,
        system: of_all("cp_sys")?,
        interrupt: of_all("cp_intr")?,
        idle: of_all("cp_idle")?,
    })
}
