//! Where ORC entries lie: one list for the kernel, and one for each module.

use crate::Result;
use crate::kernel::fields::Fields;
use crate::kernel::linux::{Told, modules};
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
pub(super) fn of_modules(fields: &Fields<'_>, told: &Told) -> Vec<OfModule> {
    let modules = modules::all(fields, told).map(|list| list.items).unwrap_or_default();
    let of = |module: Module| {
        let list = List::of_module(fields, &module).ok()?;
        Some(OfModule { module: module.va, parts: module.parts, list })
    };
    modules.into_iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ram::Ram;
    use kgdbserver_arch::{Machine, Pa, Region, Via, x86_64};
    use std::sync::Arc;

    const IPS: u64 = 0x100;
    const ENTRIES: u64 = 0x200;

    /// Entries of six bytes for 0x1000, 0x1010 and 0x1040; the last one's memory is missing.
    fn list() -> (Space, List) {
        let mut bytes = vec![0; 0x20c];
        for (ip, at) in [0x1000_u32, 0x1010, 0x1040].into_iter().zip((IPS as u32..).step_by(4)) {
            bytes[at as usize..][..4].copy_from_slice(&(ip - at).to_le_bytes());
        }
        bytes[ENTRIES as usize..].copy_from_slice(&[1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]);
        let machine = Machine { arch: &x86_64::ARCH, big_endian: false, ptr_bytes: 8 };
        let all = Region { first: Va(0), last: Va(u64::MAX), via: Via::Linear(Pa(0)) };
        let mem = Space::new(machine, vec![all], Arc::new(Ram::at_zero(bytes)));
        (mem, List { ips: Va(IPS), entries: Va(ENTRIES), count: 3 })
    }

    #[test]
    fn the_entry_is_the_last_one_at_or_below_an_address() {
        let (mem, list) = list();
        for (pc, number) in [
            (0, None),
            (0xfff, None),
            (0x1000, Some(0)),
            (0x100f, Some(0)),
            (0x1010, Some(1)),
            (0x1040, Some(2)),
            (u64::MAX, Some(2)),
        ] {
            assert_eq!(list.find(&mem, Va(pc)), number, "{pc:#x}");
        }
        assert_eq!(List { count: 0, ..list }.find(&mem, Va(0x1000)), None);
    }

    #[test]
    fn what_cannot_be_read_is_missing() {
        let (mem, list) = list();
        assert_eq!(list.entry(&mem, 1, 6), Some(vec![2; 6]));
        assert_eq!(list.entry(&mem, 2, 6), None);
        assert_eq!(list.entry(&mem, u64::MAX, 6), None);
        let (ips, entries) = list.all(&mem, 6);
        assert_eq!((ips, entries.len()), (vec![0x1000, 0x1010, 0x1040], 12));
        assert_eq!(List { ips: Va(0x20a), ..list }.find(&mem, Va(0x1000)), None);
    }

    #[test]
    fn only_a_modules_own_code_counts() {
        let (_, list) = list();
        let part = |range, code| Part { range, code };
        let parts = vec![part(0x1000..0x1020, true), part(0x1020..0x1100, false)];
        let module = OfModule { module: Va(0x1080), parts, list };
        for (va, held) in [(0xfff, false), (0x1000, true), (0x101f, true), (0x1020, false), (0x1040, false)] {
            assert_eq!(module.holds(Va(va)), held, "{va:#x}");
        }
    }
}
