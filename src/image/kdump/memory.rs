//! The memory of a dump: each page is looked up, and unpacked into a cache.

use super::ahead::Ahead;
use super::codec::{Codec, Unpackers};
use super::part::{Part, Stored};
use crate::image::page_cache::PageCache;
use crate::image::pages::Pages;
use crate::image::{Addr, Census, Memory};
use kgdbserver_arch::{Fault, Pa};
use std::sync::Arc;

/// The pages, packed and unpacked; a reader and its helper share them.
pub(super) struct Packed {
    /// In ascending order, and disjoint.
    parts: Vec<Part>,
    /// The pages that the machine had.
    existing: Pages,
    /// Those of them that were dumped.
    dumped: Pages,
    /// The page of the bitmaps' first bit.
    first_page: u64,
    page_shift: u8,
    cache: PageCache,
    unpackers: Unpackers,
}

impl Packed {
    pub(super) fn new(
        parts: Vec<Part>,
        existing: Pages,
        dumped: Pages,
        first_page: u64,
        page_shift: u8,
    ) -> Self {
        let (cache, unpackers) = (PageCache::new(1 << page_shift), Unpackers::default());
        Self { parts, existing, dumped, first_page, page_shift, cache, unpackers }
    }

    /// Puts a page into the cache, if unpacking it takes long and nothing is wrong with it.
    pub(super) fn prepare(&self, number: u64) {
        let pa = Pa(number << self.page_shift);
        if let Ok(stored @ Stored { codec: Some(codec @ Codec { slow: true, .. }), .. }) = self.find(pa) {
            let _ = self.unpack(&stored, codec, pa, &mut []); // whoever reads it will be told
        }
    }

    fn find(&self, pa: Pa) -> Result<Stored<'_>, Fault> {
        let Some((rank, _)) = self.dumped.find(pa) else {
            return Err(if self.existing.holds(pa) { Fault::Excluded(pa) } else { Fault::NotInImage(pa) });
        };
        let bit = (pa.0 >> self.page_shift).saturating_sub(self.first_page);
        let part = self.parts.get(self.parts.partition_point(|part| part.bits.end <= bit));
        let part = part.filter(|part| part.bits.contains(&bit)).ok_or(Fault::PartMissing(pa))?;
        part.find(&self.dumped, rank, 1 << self.page_shift, pa)
    }

    /// Unpacks a page into the cache, unless it is there, and copies from it.
    fn unpack(&self, stored: &Stored<'_>, codec: &Codec, pa: Pa, buf: &mut [u8]) -> Result<(), Fault> {
        let Stored { part, offset, size, .. } = stored;
        let fetch = |packed: &mut [u8]| part.fetch(*offset, packed, pa);
        self.cache.copy_or_make(pa.0 >> self.page_shift, self.within(pa), buf, |page| {
            if self.unpackers.with(|unpacker| unpacker.unpack(codec, *size, fetch, page))? {
                return Ok(());
            }
            log::debug!("page at {pa}: {size} bytes at {offset:#x} are no page packed by {}", codec.name);
            Err(Fault::Damaged(pa))
        })
    }

    /// The byte of its page that an address means.
    fn within(&self, pa: Pa) -> usize {
        (pa.0 & ((1 << self.page_shift) - 1)) as usize
    }

    /// How many pages the files are too short for: see [`Part::cut_off`].
    fn cut_off(&self, looked_at: u64) -> u64 {
        self.parts.iter().map(|part| part.cut_off(&self.dumped, looked_at)).sum()
    }

    /// How many pages were dumped into the files that are not here.
    fn elsewhere(&self) -> u64 {
        let here = self.parts.iter().map(|part| part.count(&self.dumped)).sum();
        self.dumped.count().saturating_sub(here)
    }

    /// Reads the first file itself. All of a set have the same notes.
    fn read_file(&self, offset: u64, buf: &mut [u8]) -> Result<usize, Fault> {
        let part = self.parts.first().ok_or(Fault::NoMemory)?;
        let left = part.source.len().saturating_sub(offset);
        let wanted = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if wanted == 0 && !buf.is_empty() {
            return Err(Fault::CutOff(Pa(offset)));
        }
        part.fetch(offset, buf.get_mut(..wanted).unwrap_or_default(), Pa(offset)).map(|()| wanted)
    }
}

/// What a dump holds of the machine's memory.
pub(super) struct Dumped {
    packed: Arc<Packed>,
    ahead: Ahead,
    /// log2 of how many of the machine's pages the dump takes for one.
    together: u8,
}

impl Dumped {
    /// `page_shift` is the machine's, at most that of the dump.
    pub(super) fn new(packed: Packed, page_shift: u8) -> Self {
        let together = packed.page_shift.saturating_sub(page_shift);
        Self { packed: Arc::new(packed), ahead: Ahead::default(), together }
    }

    /// A warning about what the files lack, if a glance finds it.
    pub(super) fn cut_off(&self) -> Option<String> {
        const GLANCE: u64 = 1 << 14;
        let [missing, dumped] =
            [self.packed.cut_off(GLANCE), self.packed.dumped.count()].map(|count| count << self.together);
        (missing > 0).then(|| format!("the file is cut off: {missing} of {dumped} pages are missing"))
    }

    /// The machine's pages in the dump's.
    fn apart<'a>(&self, pages: impl Iterator<Item = Pa> + 'a) -> impl Iterator<Item = Pa> + 'a {
        let page = 1u64 << (self.packed.page_shift - self.together);
        let together = (0..1 << self.together).map(move |nth: u64| nth * page);
        pages.flat_map(move |pa| together.clone().map(move |offset| Pa(pa.0 + offset)))
    }

    /// Reads up to the end of a page.
    fn read_page(&self, pa: Pa, buf: &mut [u8]) -> Result<usize, Fault> {
        let packed = &self.packed;
        let within = packed.within(pa);
        let wanted = buf.len().min((1 << packed.page_shift) - within);
        let buf = buf.get_mut(..wanted).unwrap_or_default();
        let number = pa.0 >> packed.page_shift;
        if packed.cache.copy(number, within, buf) {
            return Ok(wanted);
        }
        let stored = packed.find(pa)?;
        match stored.codec {
            None => stored.part.fetch(stored.offset + within as u64, buf, pa)?,
            Some(codec) => {
                if codec.slow {
                    self.ahead.unpacking(number, packed);
                }
                packed.unpack(&stored, codec, pa, buf)?;
            }
        }
        Ok(wanted)
    }
}

impl Memory for Dumped {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Fault> {
        let pa = match at {
            Addr::Phys(pa) => pa,
            Addr::Virt(_) => return Err(Fault::NoRegion),
            Addr::File(offset) => return self.packed.read_file(offset, buf),
        };
        let mut done = self.read_page(pa, buf)?;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match pa.checked_add(done as u64).map(|pa| self.read_page(pa, rest)) {
                Some(Ok(got)) => done += got,
                _ => break,
            }
        }
        Ok(done)
    }

    /// A packed page's first byte stands for all of it.
    fn locate(&self, pa: Pa) -> Result<u64, Fault> {
        let Stored { offset, codec, .. } = self.packed.find(pa)?;
        Ok(if codec.is_none() { offset + self.packed.within(pa) as u64 } else { offset })
    }

    fn pages(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        Box::new(self.apart(self.packed.dumped.iter()))
    }

    fn left_out(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        let dumped = &self.packed.dumped;
        Box::new(self.apart(self.packed.existing.iter().filter(|pa| !dumped.holds(*pa))))
    }

    fn census(&self) -> Census {
        let packed = &self.packed;
        let cut_off = packed.cut_off(u64::MAX) + packed.elsewhere();
        Census { dumped: packed.dumped.count() << self.together, cut_off: cut_off << self.together }
    }
}
