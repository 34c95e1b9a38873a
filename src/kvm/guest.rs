//! A guest of QEMU that runs: its memory is a file, and QEMU tells its CPUs' registers.

use super::Kvm;
use crate::Result;
use crate::kernel::Thread;
use crate::qmp::{Paused, Qmp};
use kgdbserver_arch::{Registers, Va};
use std::collections::HashMap;
use std::sync::Arc;

impl Kvm {
    /// Stops the guest until what is returned is dropped, if that was asked for ([`super::Options::pause`]). What is asked
    /// meanwhile is of one moment.
    ///
    /// # Errors
    /// QEMU does not answer, or refuses.
    pub fn still(&self) -> Result<Option<Paused>> {
        self.guest().filter(|_| self.pause).map(Qmp::pause).transpose()
    }

    /// The same until this handle is dropped, and all that were made of it.
    ///
    /// # Errors
    /// Those of [`Self::still`].
    pub fn held_still(self) -> Result<Self> {
        let held = self.still()?.map(Arc::new);
        Ok(Self { held, ..self })
    }

    /// The QEMU of a guest that runs.
    pub fn guest(&self) -> Option<&Arc<Qmp>> {
        self.qmp.as_ref()
    }

    /// The registers of a thread that runs, if its CPU was asked while it did.
    pub(crate) fn running_registers(&self, thread: &Thread) -> Option<Registers> {
        let qmp = self.qmp.as_ref().filter(|_| thread.on_cpu.is_some())?;
        let running = self.running.get_or_init(|| {
            let failed = |error: &crate::Error| log::warn!("registers of running threads: {error}");
            let Ok(_still) = self.still().inspect_err(failed) else { return HashMap::new() };
            let before = self.on_cpus();
            let cpus = qmp.registers(self.space.machine).inspect_err(failed).unwrap_or_default();
            let after = self.on_cpus();
            let of = |(cpu, registers)| {
                let thread = before.get(&cpu).filter(|thread| after.get(&cpu) == Some(thread))?;
                Some((*thread, registers))
            };
            cpus.into_iter().filter_map(of).collect()
        });
        running.get(&thread.va).cloned()
    }

    /// The thread that each CPU runs, by the address of its structure.
    fn on_cpus(&self) -> HashMap<u32, Va> {
        let threads = self.threads().map(|list| list.items).unwrap_or_default();
        threads.iter().filter_map(|thread| Some((thread.on_cpu?, thread.va))).collect()
    }
}
