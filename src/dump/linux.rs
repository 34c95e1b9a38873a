//! What readers of a Linux dump want to know beside its memory.

use crate::Kvm;
use crate::image::Addr;
use kgdbserver_arch::{Pa, Va};
use std::ops::Range;

/// `struct new_utsname`: six texts of 65 bytes.
pub(super) const UTSNAME: usize = 6 * 65;

/// What the kernel calls itself, as it stands in its memory.
pub(super) fn utsname(kvm: &Kvm) -> Option<[u8; UTSNAME]> {
    let info = &kvm.linux()?.info;
    let at = info.symbol("init_uts_ns").or_else(|| Some(kvm.symbol("init_uts_ns")?.va.0))?;
    let mut name = [0; UTSNAME];
    let at = Va(at.checked_add(info.offset("uts_namespace.name").unwrap_or(0))?);
    kvm.space().read_exact(at, &mut name).ok().map(|()| name)
}

/// Where the kernel's own image lies: physical and virtual, as far as it is contiguous in both.
pub(super) fn text(kvm: &Kvm) -> Option<(Range<u64>, Va)> {
    kvm.linux()?;
    let address = |name: &str| Some(kvm.symbol(name)?.va);
    let start = address("_text").or_else(|| address("_stext"))?;
    let end = address("_end")?;
    let first = physical(kvm, start)?;
    let len = end.0.checked_sub(start.0)?;
    // The sections that it is made of may be mapped apart from each other; they are neighbours all the same.
    let last = physical(kvm, Va(end.0.checked_sub(1)?))?;
    (last.checked_sub(first)? == len.checked_sub(1)?).then_some((first..first + len, start))
}

/// The virtual address of physical address 0, if it had one, in the kernel's map of all memory.
pub(super) struct DirectMap(Vec<u64>);

impl DirectMap {
    /// Where kernels have it; which of these is right is for memory to tell.
    pub(super) fn of(kvm: &Kvm) -> Self {
        let Some(linux) = kvm.linux() else { return Self(Vec::new()) };
        let number = |name: &str| linux.info.number(name);
        // x86-64 with KASLR.
        let variable = || kvm.space().pointer(kvm.symbol("page_offset_base")?.va).ok();
        // arm64 begins with physical memory.
        let linear = || {
            let size = 1u64.checked_shl(number("VA_BITS")?.try_into().ok()?)?;
            Some(size.wrapping_neg().wrapping_sub(number("PHYS_OFFSET")?))
        };
        let fixed = [
            0xffff_8880_0000_0000, // x86-64 since 4.20
            0xffff_8800_0000_0000, // before
            0xff11_0000_0000_0000, // with five levels
            0xc000_0000_0000_0000, // powerpc64
        ];
        Self(variable().map(|va| va.0).into_iter().chain(linear()).chain(fixed).collect())
    }

    /// The virtual address of a range of physical memory, if the page tables agree. What firmware keeps for itself is
    /// mapped nowhere, so they are asked at several places.
    pub(super) fn va(&self, kvm: &Kvm, range: &Range<u64>) -> Option<Va> {
        const PLACES: u64 = 16;
        let step = (range.end - range.start).div_ceil(PLACES).next_multiple_of(4096).max(4096);
        let maps = |base: &&u64| {
            let places = range.clone().step_by(usize::try_from(step).unwrap_or(usize::MAX));
            let found = places.map(|pa| physical(kvm, Va(base.wrapping_add(pa))).map(|found| found == pa));
            let found: Vec<bool> = found.flatten().collect();
            !found.is_empty() && found.iter().all(|agrees| *agrees)
        };
        self.0.iter().find(maps).map(|base| Va(base.wrapping_add(range.start)))
    }
}

fn physical(kvm: &Kvm, va: Va) -> Option<u64> {
    match kvm.space().translate(va).ok()?.at {
        Addr::Phys(Pa(pa)) => Some(pa),
        _ => None,
    }
}
