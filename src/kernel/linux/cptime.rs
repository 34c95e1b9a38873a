//! What the CPUs spent their time on.

use super::percpu::PerCpu;
use crate::Result;
use crate::kernel::fields::{Fields, bad};
use crate::kernel::state::CpuTime;
use kgdbserver_arch::Va;

/// Nanoseconds of the ticks that `/proc/stat` counts (`USER_HZ`).
const TICK: u64 = 10_000_000;

/// The sum over all CPUs of `kernel_cpustat`. Time waiting for disks is idle time. What a hypervisor took away is no time
/// of the machine's. A CPU that sleeps adds its idle time when it wakes; `/proc/stat` goes by the clock instead.
pub(super) fn read(fields: &Fields<'_>) -> Result<CpuTime> {
    let types = fields.symbols.types();
    // Until 4.11 the kernel counted ticks of its own, by this type.
    let unit = if types.size_of("cputime64_t").is_some() { 1 } else { TICK };
    let copies = PerCpu::find(fields)?.all(fields.variable("kernel_cpustat")?);
    let time = |name: &str| {
        let missing = || bad("kernel_cpustat", Va(0), format!("the kernel's types have no {name}"));
        let state = types.enumerator(name).ok_or_else(missing)?.cast_unsigned();
        let one = |at| fields.mem.uint(fields.element(at, "kernel_cpustat", "cpustat", state)?, 8);
        let sum = copies.iter().try_fold(0_u64, |sum, (_, at)| Ok(sum.wrapping_add(one(*at)?)));
        sum.map(|sum| sum / unit)
    };
    Ok(CpuTime {
        user: time("CPUTIME_USER")?,
        nice: time("CPUTIME_NICE")?,
        system: time("CPUTIME_SYSTEM")?,
        interrupt: time("CPUTIME_IRQ")?.wrapping_add(time("CPUTIME_SOFTIRQ")?),
        idle: time("CPUTIME_IDLE")?.wrapping_add(time("CPUTIME_IOWAIT")?),
    })
}
