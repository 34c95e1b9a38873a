//! Per-CPU variables.

use crate::kernel::fields::{self, Fields};
use crate::kernel::state::Cpus;
use crate::symbols::{Symbol, Symbols};
use crate::{Error, Result};
use kgdbserver_arch::Va;

/// No kernel is built for more CPUs.
const LIMIT: u64 = 1 << 16;

/// Bits of the CPUs that are online, and of those that there can be: their names since 4.5, and before.
const ONLINE: [&str; 2] = ["__cpu_online_mask", "cpu_online_bits"];
const POSSIBLE: [&str; 2] = ["__cpu_possible_mask", "cpu_possible_bits"];

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

/// The CPUs, and where each has its copies.
pub(super) fn cpus(fields: &Fields<'_>) -> Result<Cpus> {
    let offsets = PerCpu::find(fields)?.offsets;
    let area = area(fields.symbols)?;
    let possible = mask(fields, POSSIBLE, offsets.len())?;
    let online = mask(fields, ONLINE, offsets.len())?;
    let areas = offsets.iter().map(|offset| Va(area.start.0.wrapping_add(*offset)));
    Ok(Cpus {
        count: online.iter().filter(|online| **online).count() as u32,
        max: offsets.len() as u32,
        pcpu: areas.zip(possible).map(|(area, possible)| possible.then_some(area)).collect(),
    })
}

/// The bytes that every CPU has copies of.
pub(super) fn size(symbols: &Symbols) -> Result<u64> {
    let area = area(symbols)?;
    Ok(area.end.0.saturating_sub(area.start.0))
}

fn area(symbols: &Symbols) -> Result<std::ops::Range<Va>> {
    symbols.per_cpu().ok_or_else(|| Error::NoSymbol("__per_cpu_start".into()))
}

/// A bit for each CPU.
fn mask(fields: &Fields<'_>, names: [&str; 2], count: usize) -> Result<Vec<bool>> {
    let known = names.iter().find_map(|name| fields.variable(name).ok());
    let at = known.ok_or_else(|| Error::NoSymbol(names.join(" or ")))?;
    let word = u64::from(fields.mem.machine.ptr_bytes);
    let bit = |cpu: u64| {
        let bits = fields.mem.pointer(fields::offset(at, cpu / (word * 8) * word)?)?;
        Ok(bits.0 >> (cpu % (word * 8)) & 1 == 1)
    };
    (0..count as u64).map(bit).collect()
}

/// What moves a per-CPU variable, or memory that was allocated for every CPU, to a CPU's copy.
pub(super) fn offset(fields: &Fields<'_>, cpu: u32) -> Result<u64> {
    let offsets = PerCpu::find(fields)?.offsets;
    let offset = offsets.get(cpu as usize).ok_or_else(|| Error::Usage(format!("CPU {cpu} too big")))?;
    match mask(fields, POSSIBLE, offsets.len())?.get(cpu as usize) {
        Some(true) => Ok(*offset),
        _ => Err(Error::Usage(format!("CPU {cpu} not found"))),
    }
}

/// A CPU's copy of a per-CPU variable; none if the name is that of something else.
pub(super) fn copy(fields: &Fields<'_>, name: &str, cpu: u32) -> Option<Result<Symbol>> {
    let symbol = fields.symbols.by_name(name)?;
    fields.symbols.per_cpu().filter(|area| area.contains(&symbol.va))?;
    Some(offset(fields, cpu).map(|offset| Symbol { va: Va(symbol.va.0.wrapping_add(offset)), ..symbol }))
}
