//! Memory that stands in a file as it is, in a few or in many thousand stretches.

use super::{Addr, Census, Memory, Source};
use kgdbserver_arch::{Fault, Pa};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// One stretch of memory, and its place in the file. `start + len` and `offset + len` do not overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Its first address.
    pub(super) start: u64,
    /// Its bytes; not 0.
    pub(super) len: u64,
    /// Where it begins in the file.
    pub(super) offset: u64,
}

impl Extent {
    fn end(&self) -> u64 {
        self.start + self.len
    }

    /// The part from one address up to another, both within the extent.
    fn part(&self, start: u64, end: u64) -> Self {
        Self { start, len: end - start, offset: self.offset + (start - self.start) }
    }

    /// Whether `next` goes on where this ends, in memory and in the file.
    fn leads_to(&self, next: &Self) -> bool {
        self.end() == next.start && self.offset + self.len == next.offset
    }
}

/// Disjoint extents in ascending order.
#[derive(Debug, Default)]
pub(super) struct Extents(Vec<Extent>);

impl Extents {
    /// Where stretches overlap, the first one given counts: a kdump vmcore holds the kernel's text twice.
    pub(super) fn new(given: &[Extent]) -> Self {
        let mut by_start: Vec<(usize, &Extent)> = given.iter().enumerate().collect();
        by_start.sort_by_key(|(_, extent)| extent.start);
        let mut bounds: Vec<u64> = given.iter().flat_map(|extent| [extent.start, extent.end()]).collect();
        bounds.sort_unstable();
        bounds.dedup();

        let mut extents = Self::default();
        let mut starting = by_start.into_iter().peekable();
        let mut open = BinaryHeap::new();
        for (from, to) in bounds.iter().zip(bounds.iter().skip(1)) {
            while let Some((order, extent)) = starting.next_if(|(_, extent)| extent.start <= *from) {
                open.push(Reverse((order, extent.end())));
            }
            while open.peek().is_some_and(|Reverse((_, end))| end <= from) {
                open.pop();
            }
            let first = open.peek().and_then(|Reverse((order, _))| given.get(*order));
            extents.push(first.map(|extent| extent.part(*from, *to)));
        }
        extents
    }

    fn push(&mut self, next: Option<Extent>) {
        let Some(next) = next else { return };
        match self.0.last_mut() {
            Some(last) if last.leads_to(&next) => last.len += next.len,
            _ => self.0.push(next),
        }
    }

    /// The extent that holds an address.
    fn find(&self, address: u64) -> Option<&Extent> {
        let after = self.0.partition_point(|extent| extent.start <= address);
        self.0.get(after.checked_sub(1)?).filter(|extent| address < extent.end())
    }

    /// What of it lies in the first `size` bytes of the file, in whole pages.
    fn within(&self, size: u64, page_shift: u8) -> Self {
        let kept = self.0.iter().filter_map(|extent| {
            let left = size.saturating_sub(extent.offset);
            if left >= extent.len {
                return Some(*extent);
            }
            let end = (extent.start + left) >> page_shift << page_shift;
            (end > extent.start).then(|| extent.part(extent.start, end))
        });
        Self(kept.collect())
    }

    /// The pages that it touches, by their numbers; each once.
    fn pages(&self, page_shift: u8) -> impl Iterator<Item = std::ops::Range<u64>> {
        let mut done = 0;
        self.0.iter().map(move |extent| {
            let first = (extent.start >> page_shift).max(done);
            done = ((extent.end() - 1) >> page_shift) + 1;
            first..done
        })
    }

    fn count(&self, page_shift: u8) -> u64 {
        self.pages(page_shift).map(|pages| pages.end.saturating_sub(pages.start)).sum()
    }
}

/// The memory of a file that holds it in stretches.
pub(super) struct Stretches {
    pub(super) source: Arc<dyn Source>,
    pub(super) physical: Extents,
    /// Memory that is stored by virtual address.
    pub(super) by_va: Extents,
    pub(super) page_shift: u8,
}

impl Stretches {
    /// A warning about what the file lacks.
    pub(super) fn cut_off(&self) -> Option<String> {
        let Census { dumped, cut_off } = self.census();
        (cut_off > 0).then(|| format!("the file is cut off: {cut_off} of {dumped} pages are missing"))
    }

    fn stored(&self) -> &Extents {
        if self.by_va.0.is_empty() { &self.physical } else { &self.by_va }
    }
}

impl Memory for Stretches {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Fault> {
        let (extent, address) = match at {
            Addr::Phys(pa) => (self.physical.find(pa.0).ok_or(Fault::NotInImage(pa))?, pa.0),
            Addr::Virt(va) => (self.by_va.find(va.0).ok_or(Fault::NoRegion)?, va.0),
            Addr::File(offset) => return self.source.read_at(offset, buf).map_err(|_| Fault::NoRegion),
        };
        let wanted = buf.len().min(usize::try_from(extent.end() - address).unwrap_or(usize::MAX));
        let offset = extent.offset + (address - extent.start);
        match self.source.read_at(offset, buf.get_mut(..wanted).unwrap_or_default()) {
            Ok(0) if wanted > 0 => Err(Fault::CutOff(Pa(address))),
            Ok(got) => Ok(got),
            Err(error) => {
                log::warn!("{}: byte {offset:#x}: {error}", self.source.path().display());
                Err(Fault::Unreadable(Pa(address)))
            }
        }
    }

    fn locate(&self, pa: Pa) -> Result<u64, Fault> {
        let extent = self.physical.find(pa.0).ok_or(Fault::NotInImage(pa))?;
        let offset = extent.offset + (pa.0 - extent.start);
        if offset < self.source.len() { Ok(offset) } else { Err(Fault::CutOff(pa)) }
    }

    fn pages(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        let pages = self.physical.pages(self.page_shift).flatten();
        Box::new(pages.map(|page| Pa(page << self.page_shift)))
    }

    fn census(&self) -> Census {
        let dumped = self.stored().count(self.page_shift);
        let whole = self.stored().within(self.source.len(), self.page_shift).count(self.page_shift);
        Census { dumped, cut_off: dumped.saturating_sub(whole) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extent(start: u64, len: u64, offset: u64) -> Extent {
        Extent { start, len, offset }
    }

    #[test]
    fn of_overlapping_stretches_the_first_counts() {
        let extents = Extents::new(&[
            extent(0x3000, 0x1000, 0x100),
            extent(0, 0x10000, 0x10000),
            extent(0x2000, 0x3000, 0x90000),
        ]);
        assert_eq!(
            extents.0,
            [extent(0, 0x3000, 0x10000), extent(0x3000, 0x1000, 0x100), extent(0x4000, 0xc000, 0x14000)]
        );
        assert_eq!(extents.find(0x3fff), Some(&extent(0x3000, 0x1000, 0x100)));
        assert_eq!(extents.find(0x10000), None);
    }

    #[test]
    fn many_overlapping_stretches_take_no_time() {
        let given: Vec<Extent> = (0..200_000).map(|i| extent(i * 16, 1 << 32, i << 33)).collect();
        assert_eq!(Extents::new(&given).0.len(), 200_000);
        let given: Vec<Extent> = (0..200_000).rev().map(|i| extent(i * 16, 1 << 32, i << 33)).collect();
        assert_eq!(Extents::new(&given).0.len(), 200_000);
    }

    #[test]
    fn a_page_that_two_stretches_share_counts_once() {
        let extents =
            Extents::new(&[extent(0x800, 0x100, 0), extent(0xa00, 0x200, 0x1000), extent(0xfff, 2, 0x2000)]);
        let pages: Vec<u64> = extents.pages(12).flatten().collect();
        assert_eq!((pages, extents.count(12)), (vec![0, 1], 2));
    }

    #[test]
    fn a_page_cut_in_two_is_missing() {
        let extents = Extents::new(&[extent(0x1000, 0x3000, 0x1000), extent(0x8000, 0x1000, 0x4000)]);
        assert_eq!(extents.within(0x2800, 12).count(12), 1);
        assert_eq!(extents.within(0x5000, 12).count(12), 4);
    }
}
