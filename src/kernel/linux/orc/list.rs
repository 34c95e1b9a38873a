//! Where ORC entries lie: one list for the kernel, and one for each module.

use crate::Result;
use crate::kernel::fields::Fields;
use crate::kernel::linux::modules;
use crate::kernel::state::{Module, Part};
use crate::space::Space;
use kgdbserver_arch::Va;
use std::ops::Range;

/// Real kernels have half a million entries.
const LIMIT: u64 = 1 << 24;
/// Bytes of an entry in the table of addresses.
const IP_BYTES: u64 = 4;

/// Addresses of code, ascending, and for each an entry that tells how the code from there on is unwound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct List {
    pub(super) ips: Va,
    pub(super) entries: Va,
    pub(super) count: u64,
}

impl List {
    /// The kernel's own; an error if it has none.
    pub(super) fn of_kernel(fields: &Fields<'_>) -> Result<Self> {
        let ips = fields.variable("__start_orc_unwind_ip")?;
        let end = fields.variable("__stop_orc_unwind_ip")?;
        let entries = fields.variable("__start_orc_unwind")?;
        let count = (end.0.saturating_sub(ips.0) / IP_BYTES).min(LIMIT);
        Ok(Self { ips, entries, count })
    }

    /// A module's. No two entries are for the same address, so it has no more of them than bytes of code.
    fn of_module(fields: &Fields<'_>, module: &Module) -> Result<Self> {
        let code = module.parts.iter().filter(|part| part.code);
        let bytes: u64 = code.map(|part| part.range.end - part.range.start).sum();
        let count = fields.uint(module.va, "module", "arch.num_orcs")?;
        Ok(Self {
            ips: fields.pointer(module.va, "module", "arch.orc_unwind_ip")?,
            entries: fields.pointer(module.va, "module", "arch.orc_unwind")?,
            count: count.min(bytes).min(LIMIT),
        })
    }

    /// The number of the last entry at or below an address.
    pub(super) fn find(&self, mem: &Space, pc: Va) -> Option<u64> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.ip(mem, middle)? <= pc.0 { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1)
    }

    /// The bytes of an entry.
    pub(super) fn entry(&self, mem: &Space, number: u64, size: u64) -> Option<Vec<u8>> {
        let at = self.entries.checked_add(number.checked_mul(size)?)?;
        let mut entry = vec![0; usize::try_from(size).ok()?];
        mem.read_exact(at, &mut entry).ok()?;
        Some(entry)
    }

    /// The address that an entry is for. It is stored relative to the place where it stands.
    fn ip(&self, mem: &Space, number: u64) -> Option<u64> {
        let at = self.ips.checked_add(number * IP_BYTES)?;
        mem.int(at).ok().map(|distance| at.0.wrapping_add_signed(distance.into()))
    }

    /// All addresses, and the bytes of their entries; as far as they can be read.
    pub(super) fn all(&self, mem: &Space, size: u64) -> (Vec<u64>, Vec<u8>) {
        let read = |at: Va, bytes: u64| {
            let mut read = vec![0; usize::try_from(self.count.saturating_mul(bytes)).unwrap_or(0)];
            let (got, _) = mem.read_prefix(at, &mut read);
            read.truncate(got);
            read
        };
        let ips = read(self.ips, IP_BYTES);
        let (distances, _) = ips.as_chunks();
        let places = (self.ips.0..).step_by(IP_BYTES as usize).zip(distances);
        let ip =
            |(at, distance): (u64, &[u8; 4])| at.wrapping_add_signed(i32::from_le_bytes(*distance).into());
        (places.map(ip).collect(), read(self.entries, size))
    }
}

/// A module's list, and the code that it is for.
pub(super) struct OfModule {
    pub(super) module: Va,
    pub(super) parts: Vec<Part>,
    pub(super) list: List,
}

impl OfModule {
    /// Whether an address is in the module's code. Entries for code that was freed when the module was initialised are still
    /// in its list, and there may be another module's code by now.
    pub(super) fn holds(&self, va: Va) -> bool {
        self.code().any(|code| code.contains(&va.0))
    }

    fn code(&self) -> impl Iterator<Item = &Range<u64>> {
        self.parts.iter().filter(|part| part.code).map(|part| &part.range)
    }
}

/// The lists of all modules that have one.
pub(super) fn of_modules(fields: &Fields<'_>) -> Vec<OfModule> {
    let text = fields.variable("_stext").ok().map(|va| va.0);
    let modules = modules::all(fields, text).map(|list| list.items).unwrap_or_default();
    let of = |module: Module| {
        let list = List::of_module(fields, &module).ok()?;
        Some(OfModule { module: module.va, parts: module.parts, list })
    };
    modules.into_iter().filter_map(of).collect()
}
