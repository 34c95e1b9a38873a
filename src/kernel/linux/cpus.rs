//! What runs on each CPU.

use super::Linux;
use super::percpu::PerCpu;
use crate::Result;
use crate::kernel::fields::Fields;
use crate::space::Space;
use kgdbserver_arch::Va;
use std::collections::BTreeMap;

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
    pub(super) fn present_cpus(&self, mem: &Space) -> Result<Vec<Cpu>> {
        let fields = self.fields(mem);
        let queues = match fields.variable("runqueues") {
            Ok(variable) => PerCpu::find(&fields)?.all(variable),
            Err(_) => self.queues_of_tasks(mem),
        };
        // A CPU that is possible and absent has a run queue all the same, with no task in it.
        let task = |queue, name| fields.pointer(queue, "rq", name).ok().filter(|task| task.0 != 0);
        let cpu = |(number, queue): (usize, Va)| {
            Some(Cpu { number: number as u32, current: task(queue, "curr")?, idle: task(queue, "idle")? })
        };
        Ok(queues.into_iter().filter_map(cpu).collect())
    }

    /// The run queues where no symbol leads to them, as in a kernel whose table of symbols has functions only (without
    /// `KALLSYMS_ALL`): every task knows its own, and every CPU has tasks that are bound to it.
    fn queues_of_tasks(&self, mem: &Space) -> Vec<(usize, Va)> {
        let fields = self.fields(mem);
        let queue = |task: Va| {
            let queue = fields.pointer(task, "task_struct", "se.cfs_rq").ok()?;
            let queue = fields.pointer(queue, "cfs_rq", "rq").ok()?;
            Some((fields.u32(queue, "rq", "cpu").ok()? as usize, queue))
        };
        self.tasks(mem).flatten().filter_map(queue).collect::<BTreeMap<_, _>>().into_iter().collect()
    }

    /// The task that brought the system down: the one that the panicking CPU runs.
    pub(super) fn crashed(&self, mem: &Space, cpus: &[Cpu]) -> Option<Va> {
        let number = self.panicking_cpu(mem)?;
        Some(cpus.iter().find(|cpu| cpu.number == number)?.current)
    }

    /// The number of the CPU that brought the system down; none if it did not go down.
    pub(super) fn panicking_cpu(&self, mem: &Space) -> Option<u32> {
        let fields = self.fields(mem);
        // crashing_cpu is x86's, of a kernel that did not panic but was told to crash.
        ["panic_cpu", "crashing_cpu"].iter().find_map(|name| cpu_number(&fields, name))
    }
}

/// The number in a variable; none if it is -1, as long as nothing has happened.
fn cpu_number(fields: &Fields<'_>, name: &str) -> Option<u32> {
    u32::try_from(fields.mem.int(fields.variable(name).ok()?).ok()?).ok()
}
