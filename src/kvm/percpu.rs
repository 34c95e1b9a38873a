//! Data that each CPU has for itself.

use super::Kvm;
use crate::Result;
use crate::image::live::own::{Count, Own};
use crate::kernel::state::Cpus;
use kgdbserver_arch::Va;
use std::sync::atomic::Ordering;

/// No `struct pcpu` is larger (amd64's is a page).
const PCPU_LIMIT: u64 = 1 << 20;

impl Kvm {
    /// kvm_getmaxcpu(3): how many CPUs the kernel was built for.
    ///
    /// # Errors
    /// The kernel has no `mp_maxcpus` or `cpuid_to_pcpu`, or these cannot be read.
    pub fn getmaxcpu(&self) -> Result<u32> {
        Ok(self.count()?.max)
    }

    /// kvm_getncpus(3): how many CPUs were in use.
    ///
    /// # Errors
    /// As [`Self::getmaxcpu`], with `mp_ncpus`.
    pub fn getncpus(&self) -> Result<u32> {
        Ok(self.count()?.count)
    }

    /// kvm_getpcpu(3): the bytes of a CPU's `struct pcpu`, as the machine stores them; none if there is no such CPU.
    ///
    /// # Errors
    /// Those of [`Self::getmaxcpu`]; no type information about `struct pcpu`; memory that the image lacks.
    pub fn getpcpu(&self, cpu: u32) -> Result<Option<Vec<u8>>> {
        self.noted(self.pcpu_bytes(cpu))
    }

    fn pcpu_bytes(&self, cpu: u32) -> Result<Option<Vec<u8>>> {
        let cpus = self.cpus()?;
        let Some(at) = cpus.pcpu.get(cpu as usize).copied().flatten() else { return Ok(None) };
        let mut bytes = vec![0; self.kernel()?.pcpu_size()?.min(PCPU_LIMIT) as usize];
        self.space().read_exact(at, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// kvm_dpcpu_setcpu(3): from now on the names of dynamic per-CPU variables mean this CPU's copies; at first they mean
    /// CPU 0's. The choice is this handle's.
    ///
    /// # Errors
    /// "CPU 9 too big" beyond what the kernel was built for, "CPU 9 not found" for a CPU that is absent.
    pub fn dpcpu_setcpu(&self, cpu: u32) -> Result<()> {
        self.noted(self.ask(|kernel, mem| kernel.dpcpu_offset(mem, cpu)))?;
        self.dpcpu.store(cpu, Ordering::Relaxed);
        Ok(())
    }

    /// kvm_read_zpcpu(3): reads a CPU's copy of an item of a per-CPU zone, whose pointer is `base`.
    ///
    /// # Errors
    /// Those of [`Self::read2`](Kvm::read2).
    pub fn read_zpcpu(&self, base: u64, buf: &mut [u8], cpu: u32) -> Result<usize> {
        let at = self.noted(self.ask(|kernel, mem| kernel.zpcpu(mem, Va(base), cpu)))?;
        self.read2(at.0, buf)
    }

    /// kvm_counter_u64_fetch(3): the value of a counter(9), the sum of all CPUs' copies.
    ///
    /// # Errors
    /// A copy that cannot be read; libkvm returns 0 then.
    pub fn counter_u64_fetch(&self, base: u64) -> Result<u64> {
        self.noted(self.counter(base))
    }

    fn counter(&self, base: u64) -> Result<u64> {
        let kernel = self.kernel()?;
        let copy = |cpu| self.space().uint(kernel.zpcpu(self.space(), Va(base), cpu)?, 8);
        (0..self.cpus()?.count).try_fold(0_u64, |sum, cpu| Ok(sum.wrapping_add(copy(cpu)?)))
    }

    fn count(&self) -> Result<Count> {
        let counted = |Cpus { count, max, .. }| Count { count, max };
        self.own_or(Own::cpus, || self.cpus().map(counted))
    }

    fn cpus(&self) -> Result<Cpus> {
        self.kernel()?.cpus(self.space())
    }
}
