//! What runs on each CPU.

use super::Linux;
use super::percpu::PerCpu;
use crate::Result;
use crate::kernel::fields::Fields;
use crate::space::Space;
use kgdbserver_arch::Va;

/// A CPU.
#[derive(Debug, Clone)]
pub(super) struct Cpu {
    pub(super) number: u32,
    /// The task that it runs.
    pub(super) current: Va,
    /// The task that it runs when there is nothing to do.
    pub(super) idle: Va,
}

impl Linux {
    /// The CPUs that the kernel has brought up.
    pub(super) fn cpus(&self, mem: &Space) -> Result<Vec<Cpu>> {
        let fields = self.fields(mem);
        let queues = fields.variable("runqueues")?;
        let per_cpu = PerCpu::find(&fields)?;
        let cpu = |number: usize| {
            let queue = per_cpu.at(queues, number)?;
            // A CPU that is possible and absent has a run queue all the same, with no task in it.
            let task = |name| fields.pointer(queue, "rq", name).ok().filter(|task| task.0 != 0);
            Some(Cpu { number: number as u32, current: task("curr")?, idle: task("idle")? })
        };
        Ok((0..per_cpu.offsets.len()).filter_map(cpu).collect())
    }

    /// The task that brought the system down: the one that the panicking CPU runs.
    pub(super) fn crashed(&self, mem: &Space, cpus: &[Cpu]) -> Option<Va> {
        let fields = self.fields(mem);
        // crashing_cpu is x86's, of a kernel that did not panic but was told to crash.
        let number = ["panic_cpu", "crashing_cpu"].iter().find_map(|name| cpu_number(&fields, name))?;
        Some(cpus.iter().find(|cpu| cpu.number == number)?.current)
    }
}

/// The number in a variable; none if it is -1, as long as nothing has happened.
fn cpu_number(fields: &Fields<'_>, name: &str) -> Option<u32> {
    u32::try_from(fields.mem.int(fields.variable(name).ok()?).ok()?).ok()
}
