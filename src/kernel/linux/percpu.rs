//! Per-CPU variables.

use crate::kernel::fields::Fields;
use crate::{Error, Result};
use kgdbserver_arch::Va;

/// No kernel is built for more CPUs.
const LIMIT: u64 = 1 << 16;

/// Where the CPUs have their own copies of variables.
#[derive(Debug, Clone)]
pub(super) struct PerCpu {
    /// How far each CPU's copies are from the variables' addresses; wraps.
    pub(super) offsets: Vec<u64>,
}

impl PerCpu {
    /// `__per_cpu_offset`, one for every CPU there can be. A kernel for one processor has no such array.
    pub(super) fn find(fields: &Fields<'_>) -> Result<Self> {
        let Ok(array) = fields.variable("__per_cpu_offset") else {
            return match fields.variable("nr_cpu_ids") {
                Ok(_) => Err(Error::NoSymbol("__per_cpu_offset".into())),
                Err(_) => Ok(Self { offsets: vec![0] }),
            };
        };
        let count = fields.mem.uint(fields.variable("nr_cpu_ids")?, 4)?;
        if count > LIMIT {
            return Err(Error::Unsupported(format!("nr_cpu_ids is {count}: not a number of CPUs")));
        }
        let word = u64::from(fields.mem.machine.ptr_bytes);
        let offset = |cpu: u64| Ok(fields.mem.pointer(Va(array.0.wrapping_add(cpu * word)))?.0);
        Ok(Self { offsets: (0..count).map(offset).collect::<Result<_>>()? })
    }

    /// All copies of a variable, by their CPUs' numbers.
    pub(super) fn all(&self, variable: Va) -> Vec<(usize, Va)> {
        self.offsets.iter().map(|offset| Va(variable.0.wrapping_add(*offset))).enumerate().collect()
    }
}
