//! Registers of a running system's threads: those of one that sleeps, all the while that we look.

use super::{saved, saved_registers};
use crate::Result;
use crate::kernel::Thread;
use crate::kernel::linux::Linux;
use crate::space::Space;
use kgdbserver_arch::Registers;

/// How often it is tried. A thread that is switched to and away that often has no registers of interest.
const TRIES: usize = 4;

/// What it had when it last left a CPU, and all unknown if it runs by now, or has ended.
pub(super) fn read(linux: &Linux, mem: &Space, thread: &Thread) -> Result<Registers> {
    for _ in 0..TRIES {
        let Some(before) = switches(linux, mem, thread) else { break };
        let now = Thread { saved: saved(linux, mem, thread.va, 0, None), ..thread.clone() };
        let registers = saved_registers(linux, mem, &now);
        if switches(linux, mem, thread) == Some(before) {
            return registers;
        }
    }
    Ok(Registers::unknown(linux.machine))
}

/// How often a thread has left a CPU, of its own will and against it; none if it is on one, or is there no more.
fn switches(linux: &Linux, mem: &Space, thread: &Thread) -> Option<[u64; 2]> {
    let fields = linux.fields(mem);
    let number = |name| fields.uint(thread.va, "task_struct", name).ok();
    let own = number("pid")?;
    let same = own == thread.tid || own == 0 && thread.pid == 0;
    let runs = match linux.task.on_cpu {
        Some(_) => linux.flagged_cpu(mem, thread.va).is_some(),
        // A kernel for a single processor has no such flag.
        None => linux.present_cpus(mem).ok()?.iter().any(|cpu| cpu.current == thread.va),
    };
    (same && !runs).then_some([number("nvcsw")?, number("nivcsw")?])
}
