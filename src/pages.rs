//! Every page of an image: what kvm_walk_pages(3) reports.

use crate::image::{Addr, Image};
use crate::space::Space;
use kgdbserver_arch::{Fault, Pa, Region, Rights, Va, Via};
use std::ops::Range;

/// One page, `struct kvm_page`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Its physical address.
    pub paddr: Pa,
    /// Where the kernel's page tables map it; none for a page that they do not map.
    pub kmap_vaddr: Option<Va>,
    /// Where the direct map maps it, if there is one.
    pub dmap_vaddr: Option<Va>,
    /// What the kernel's mapping allows; none for a page that is not mapped.
    pub rights: Option<Rights>,
    /// Its place in the image file; none if the image does not hold it.
    pub offset: Option<u64>,
    /// Its size in bytes.
    pub len: u64,
}

/// Calls `each` with every page that the kernel's page tables map, once per mapping and in ascending order, then with
/// every dumped page that they do not map. Large pages are reported in pages of the smallest size, since an image may
/// hold some of one. Returns whether it went to its end; an image that stores memory by virtual address has no physical
/// pages to tell of, and is not walked.
pub(crate) fn walk(image: &Image, space: &Space, mut each: impl FnMut(&Page) -> bool) -> bool {
    let len = 1 << image.page_shift;
    let page = |paddr: Pa, mapped: Option<(Va, Option<Rights>)>| Page {
        paddr,
        kmap_vaddr: mapped.map(|(va, _)| va),
        dmap_vaddr: image.direct_map.as_ref().and_then(|region| in_direct_map(region, paddr)),
        rights: mapped.and_then(|(_, rights)| rights),
        offset: image.memory.locate(paddr).ok(),
        len,
    };
    if space.regions().iter().any(|region| matches!(region.via, Via::Stored)) {
        return false;
    }
    let mut seen = Runs::default();
    let tables = space.regions().iter().filter(|region| !matches!(region.via, Via::Linear(_)));
    for (va, paddr, rights) in
        tables.flat_map(|region| runs(region, space, len)).flat_map(|run| run.pages(len))
    {
        // Page tables can name far more pages than the image has; only its own can come again below.
        if !matches!(image.memory.locate(paddr), Err(Fault::NotInImage(_))) {
            seen.add(paddr.0 >> image.page_shift);
        }
        if !each(&page(paddr, Some((va, rights)))) {
            return false;
        }
    }
    seen.sort();
    let unmapped = |pa: &Pa| !seen.contains(pa.0 >> image.page_shift);
    image.memory.pages().filter(unmapped).all(|pa| each(&page(pa, None)))
}

/// Numbers of pages, mostly neighbours: a direct map has millions of them in a few runs.
#[derive(Default)]
struct Runs(Vec<Range<u64>>);

impl Runs {
    fn add(&mut self, page: u64) {
        // Page tables that lead in circles map the same pages over and over.
        if self.0.len() == self.0.capacity() {
            self.sort();
            self.0.reserve(self.0.len().max(1024));
        }
        match self.0.last_mut() {
            Some(last) if last.end == page => last.end += 1,
            _ => self.0.push(page..page + 1),
        }
    }

    fn sort(&mut self) {
        self.0.sort_unstable_by_key(|run| run.start);
        self.0.dedup_by(|next, last| {
            let touches = next.start <= last.end;
            if touches {
                last.end = last.end.max(next.end);
            }
            touches
        });
    }

    /// Once sorted, whether a page was added.
    fn contains(&self, page: u64) -> bool {
        let after = self.0.partition_point(|run| run.start <= page);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|run| page < run.end)
    }
}

fn in_direct_map(region: &Region, pa: Pa) -> Option<Va> {
    let Via::Linear(first) = region.via else { return None };
    region.first.checked_add(pa.0.checked_sub(first.0)?).filter(|va| region.contains(*va))
}

/// Addresses side by side that lead to physical memory side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) va: Va,
    pub(crate) pa: Pa,
    /// Bytes; not 0.
    pub(crate) len: u64,
    pub(crate) rights: Option<Rights>,
}

impl Run {
    /// Whether `next` goes on where this ends.
    pub(crate) fn leads_to(&self, next: &Self) -> bool {
        let follows = |from: u64, to: u64| from.checked_add(self.len) == Some(to);
        follows(self.va.0, next.va.0) && follows(self.pa.0, next.pa.0) && self.rights == next.rights
    }

    /// Its pages of `len` bytes; of the last one perhaps only a part.
    fn pages(self, len: u64) -> impl Iterator<Item = (Va, Pa, Option<Rights>)> {
        let offsets = std::iter::successors(Some(0), move |offset: &u64| offset.checked_add(len));
        let within = offsets.take_while(move |offset| *offset < self.len);
        within.map(move |offset| (Va(self.va.0 + offset), Pa(self.pa.0.wrapping_add(offset)), self.rights))
    }
}

/// What is mapped of a region, in ascending order: a run for each entry of its page tables. Pages have `len` bytes.
pub(crate) fn runs<'a>(region: &'a Region, space: &'a Space, len: u64) -> Box<dyn Iterator<Item = Run> + 'a> {
    match &region.via {
        Via::Hash { table, at } => {
            let all = space.hashed(table, at.start).into_iter();
            Box::new(all.filter(|va| region.contains(*va)).filter_map(|va| run(region, space, va)))
        }
        _ => Box::new(runs_in_order(region, space, len)),
    }
}

fn runs_in_order(region: &Region, space: &Space, len: u64) -> impl Iterator<Item = Run> {
    let mut next = Some(region.first);
    std::iter::from_fn(move || {
        loop {
            let va = next.filter(|va| *va <= region.last)?;
            let found = run(region, space, va);
            let hole = || space.hole(va).checked_next_multiple_of(len).unwrap_or(u64::MAX);
            next = va.checked_add(found.map_or_else(hole, |run| run.len));
            if found.is_some() {
                return found;
            }
        }
    })
}

/// What is mapped side by side from an address on, within its region and up to where another one counts.
fn run(region: &Region, space: &Space, va: Va) -> Option<Run> {
    let place = space.translate(va).ok()?;
    let last = region.last.min(space.undisputed(va).1);
    let left = (last.0 - va.0).saturating_add(1);
    match place.at {
        Addr::Phys(pa) => Some(Run { va, pa, len: place.bytes.min(left), rights: place.rights }),
        _ => None,
    }
}
