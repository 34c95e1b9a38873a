//! What the CPUs spent their time on.

use super::pcpu;
use crate::Result;
use crate::kernel::fields::{Fields, bad, offset};
use crate::kernel::state::CpuTime;
use kgdbserver_arch::Va;

/// `CPUSTATES`: user, nice, system, interrupt, idle.
const STATES: usize = 5;

/// One variable for all CPUs until 8; since then each CPU counts in its `struct pcpu`.
pub(super) fn read(fields: &Fields<'_>) -> Result<CpuTime> {
    let sum = match fields.variable("cp_time") {
        Ok(at) => ticks(fields, at)?,
        Err(_) => sum(fields)?,
    };
    let [user, nice, system, interrupt, idle] = sum;
    Ok(CpuTime { user, nice, system, interrupt, idle })
}

fn sum(fields: &Fields<'_>) -> Result<[u64; STATES]> {
    let member = fields.member("pcpu", "pc_cp_time")?;
    if member.elements != Some(STATES as u64) {
        return Err(bad("pcpu", Va(0), "pc_cp_time has not five states"));
    }
    let mut sum = [0_u64; STATES];
    for pcpu in pcpu::cpus(fields)?.pcpu.into_iter().flatten() {
        let one = ticks(fields, offset(pcpu, member.offset)?)?;
        sum.iter_mut().zip(one).for_each(|(sum, one)| *sum = sum.wrapping_add(one));
    }
    Ok(sum)
}

fn ticks(fields: &Fields<'_>, at: Va) -> Result<[u64; STATES]> {
    let long = usize::from(fields.mem.machine.ptr_bytes);
    let mut ticks = [0; STATES];
    for (number, tick) in ticks.iter_mut().enumerate() {
        *tick = fields.mem.uint(offset(at, (number * long) as u64)?, long)?;
    }
    Ok(ticks)
}
