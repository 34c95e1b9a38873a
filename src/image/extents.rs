//! Memory that stands in a file as it is, in a few or in many thousand stretches.

use super::{Addr, Census, Facts, Image, Memory, Plain, Source, Unwritten};
use kgdbserver_arch::{Fault, Pa, Va};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// The smallest page of every machine, where nothing else is told.
const PAGE_SHIFT: u8 = 12;

/// One stretch of memory, and its place in the file. `start + len` and `offset + len` do not overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Extent {
    /// Its first address.
    pub(super) start: u64,
    /// Its bytes; not 0.
    pub(super) len: u64,
    /// Where it begins in the file.
    pub(super) offset: u64,
}

impl Extent {
    pub(super) fn end(&self) -> u64 {
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
        let mut starting = by_start.into_iter().peekable();
        let mut extents = Self::default();
        // Those that have begun, the one given first on top.
        let mut open = BinaryHeap::<Reverse<(usize, &Extent)>>::new();
        let mut at = 0;
        loop {
            while open.peek().is_some_and(|Reverse((_, extent))| extent.end() <= at) {
                open.pop();
            }
            let next = starting.peek().map(|(_, next)| next.start);
            at = if open.is_empty() { next.unwrap_or(at) } else { at };
            while let Some(begun) = starting.next_if(|(_, extent)| extent.start <= at) {
                open.push(Reverse(begun));
            }
            let Some(Reverse((_, first))) = open.peek() else { break };
            let next = starting.peek().map_or(first.end(), |(_, next)| next.start);
            extents.push(first.part(at, first.end().min(next)));
            at = first.end().min(next);
        }
        extents.0.shrink_to_fit();
        extents
    }

    fn push(&mut self, next: Extent) {
        match self.0.last_mut() {
            Some(last) if last.leads_to(&next) => last.len += next.len,
            _ => self.0.push(next),
        }
    }

    /// The extents that end behind an address.
    pub(super) fn from(&self, address: u64) -> &[Extent] {
        let before = self.0.partition_point(|extent| extent.end() <= address);
        self.0.get(before..).unwrap_or_default()
    }

    /// The extent that holds an address.
    fn find(&self, address: u64) -> Option<&Extent> {
        self.from(address).first().filter(|extent| extent.start <= address)
    }

    /// The address behind the last one.
    pub(super) fn end(&self) -> u64 {
        self.0.last().map_or(0, Extent::end)
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
    /// Physical memory that was left out on purpose, where it is not in `physical`; offsets mean nothing.
    pub(super) excluded: Extents,
    /// log2 of the page size in bytes.
    pub(super) page_shift: u8,
    /// Writing the source is writing memory: it is no dump.
    pub(super) writable: bool,
}

impl Stretches {
    /// Physical memory, and no other. Where stretches overlap, the first one given counts.
    pub(super) fn new(source: Arc<dyn Source>, physical: &[Extent]) -> Self {
        let (by_va, excluded) = (Extents::default(), Extents::default());
        let physical = Extents::new(physical);
        Self { source, physical, by_va, excluded, page_shift: PAGE_SHIFT, writable: false }
    }

    /// The image of a file that holds this memory and tells nothing else.
    pub(super) fn image(self, format: &'static str, plain: Plain) -> Image {
        Image {
            format,
            shared_with: None,
            version: None,
            machine: None,
            page_shift: self.page_shift,
            size: self.source.len(),
            regions: Vec::new(),
            direct_map: None,
            facts: Facts::default(),
            kerndisp: 0,
            warnings: self.cut_off().into_iter().collect(),
            memory: Arc::new(self),
            plain: Some(plain),
            kept: None,
        }
    }

    /// A warning about what the file lacks.
    fn cut_off(&self) -> Option<String> {
        let Census { dumped, cut_off } = self.census();
        (cut_off > 0).then(|| format!("the file is cut off: {cut_off} of {dumped} pages are missing"))
    }

    fn stored(&self) -> &Extents {
        if self.by_va.0.is_empty() { &self.physical } else { &self.by_va }
    }

    /// Where an address lies in the file, and how many bytes follow it there.
    fn find(&self, at: Addr) -> Result<(u64, u64), Fault> {
        let (extent, address) = match at {
            Addr::Phys(pa) => (self.physical.find(pa.0).ok_or_else(|| self.absent(pa))?, pa.0),
            Addr::Virt(va) => (self.by_va.find(va.0).ok_or(Fault::NoRegion)?, va.0),
            Addr::File(offset) => return Ok((offset, u64::MAX)),
        };
        Ok((extent.offset + (address - extent.start), extent.end() - address))
    }

    fn absent(&self, pa: Pa) -> Fault {
        self.excluded.find(pa.0).map_or(Fault::NotInImage(pa), |_| Fault::Excluded(pa))
    }

    /// Reads up to where the file goes on with other memory.
    fn read_piece(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Fault> {
        let (offset, left) = self.find(at)?;
        let wanted = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let (Addr::Phys(Pa(address)) | Addr::Virt(Va(address)) | Addr::File(address)) = at;
        match self.source.read_at(offset, buf.get_mut(..wanted).unwrap_or_default()) {
            Ok(0) if wanted > 0 => Err(Fault::CutOff(Pa(address))),
            Ok(got) => Ok(got),
            Err(error) => {
                log::warn!("{}: byte {offset:#x}: {error}", self.source.path().display());
                Err(Fault::Unreadable(Pa(address)))
            }
        }
    }
}

impl Memory for Stretches {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Fault> {
        let mut done = self.read_piece(at, buf)?;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match at.checked_add(done as u64).map(|at| self.read_piece(at, rest)) {
                Some(Ok(got)) => done += got,
                _ => break,
            }
        }
        Ok(done)
    }

    fn write(&self, at: Addr, data: &[u8], _: Va) -> Result<usize, Unwritten> {
        let file = self.source.writer().filter(|_| self.writable).ok_or(Unwritten::ReadOnly)?;
        let Addr::Phys(pa) = at else { return Err(Unwritten::ReadOnly) };
        let (offset, left) = self.find(at)?;
        // A file never grows by what is written into memory.
        let left = left.min(self.source.len().saturating_sub(offset));
        let data = data.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(data);
        match file.write_at(data, offset).map_err(Unwritten::Io)? {
            0 => Err(Fault::CutOff(pa).into()),
            written => Ok(written),
        }
    }

    fn locate(&self, pa: Pa) -> Result<u64, Fault> {
        let (offset, _) = self.find(Addr::Phys(pa))?;
        if offset < self.source.len() { Ok(offset) } else { Err(Fault::CutOff(pa)) }
    }

    fn pages(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        let pages = self.physical.pages(self.page_shift).flatten();
        Box::new(pages.map(|page| Pa(page << self.page_shift)))
    }

    fn left_out(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        let pages = self.excluded.pages(self.page_shift).flatten().map(|page| Pa(page << self.page_shift));
        Box::new(pages.filter(|pa| self.physical.find(pa.0).is_none()))
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
