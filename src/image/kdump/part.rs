//! One file of a dump: the descriptors of its pages, and the pages.

use super::codec::{CODECS, Codec};
use crate::image::Source;
use crate::image::pages::Pages;
use kgdbserver_arch::{Fault, Pa, uint};
use std::io;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Bytes of a descriptor: an offset of 8, a size and flags of 4 each, and 8 that nobody uses.
const DESCRIPTOR: usize = 24;

/// Descriptors read at a time where all are looked at.
const CHUNK: u64 = 2048;

pub(super) struct Part {
    pub(super) source: Arc<dyn Source>,
    /// The bits of the pages that it holds.
    pub(super) bits: Range<u64>,
    /// Where the descriptors begin in the file.
    pub(super) descriptors: u64,
    pub(super) big_endian: bool,
    /// Dumped pages before the first of these, which its descriptors do not count.
    before: OnceLock<u64>,
}

/// Where a page lies, and how it is packed.
pub(super) struct Stored<'a> {
    pub(super) part: &'a Part,
    pub(super) offset: u64,
    /// Bytes in the file.
    pub(super) size: usize,
    /// None for a page that is stored as it is.
    pub(super) codec: Option<&'static Codec>,
}

/// What the file says of a page.
#[derive(Clone, Copy)]
struct Descriptor {
    offset: u64,
    size: u32,
    flags: u32,
}

impl Descriptor {
    fn parse(bytes: &[u8], big_endian: bool) -> Self {
        let field = |at: usize, len: usize| uint(bytes.get(at..at + len).unwrap_or_default(), big_endian);
        Self { offset: field(0, 8), size: field(8, 4) as u32, flags: field(12, 4) as u32 }
    }

    fn end(self) -> u64 {
        self.offset.saturating_add(self.size.into())
    }

    /// A page that was never written, as when makedumpfile ran out of disk, has a descriptor of zeros.
    fn is_within(self, len: u64) -> bool {
        self.offset != 0 && self.end() <= len
    }
}

impl Part {
    pub(super) fn new(source: Arc<dyn Source>, bits: Range<u64>, descriptors: u64, big_endian: bool) -> Self {
        Self { source, bits, descriptors, big_endian, before: OnceLock::new() }
    }

    /// Finds a page by its rank among all that were dumped.
    pub(super) fn find(
        &self,
        dumped: &Pages,
        rank: u64,
        page_bytes: usize,
        pa: Pa,
    ) -> Result<Stored<'_>, Fault> {
        let index = rank.checked_sub(self.before(dumped)).ok_or(Fault::Damaged(pa))?;
        let mut bytes = [0; DESCRIPTOR];
        self.fetch(self.place(index), &mut bytes, pa)?;
        let descriptor = Descriptor::parse(&bytes, self.big_endian);
        if descriptor.offset == 0 {
            return Err(Fault::CutOff(pa));
        }
        match self.stored(descriptor, page_bytes) {
            Some(stored) if descriptor.is_within(self.source.len()) => Ok(stored),
            Some(_) if !self.is_far_away(dumped, descriptor, page_bytes) => Err(Fault::CutOff(pa)),
            _ => {
                let Descriptor { offset, size, flags } = descriptor;
                log::debug!("page at {pa}: {size} bytes at {offset:#x}, flags {flags:#x}");
                Err(Fault::Damaged(pa))
            }
        }
    }

    /// What a descriptor describes, if it makes sense.
    fn stored(&self, descriptor: Descriptor, page_bytes: usize) -> Option<Stored<'_>> {
        let Descriptor { offset, size, flags } = descriptor;
        let (size, codec) = (size as usize, CODECS.iter().find(|codec| codec.flag == flags));
        let fits = match codec {
            Some(_) => (1..=page_bytes).contains(&size),
            None => flags == 0 && size == page_bytes,
        };
        (fits && offset >= self.descriptors).then_some(Stored { part: self, offset, size, codec })
    }

    /// Reads all of `buf`, or says that the file is too short.
    pub(super) fn fetch(&self, offset: u64, buf: &mut [u8], pa: Pa) -> Result<(), Fault> {
        self.source.read_exact_at(offset, buf).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                return Fault::CutOff(pa);
            }
            log::warn!("{}: byte {offset:#x}: {error}", self.source.path().display());
            Fault::Unreadable(pa)
        })
    }

    /// How many of its pages were dumped.
    pub(super) fn count(&self, dumped: &Pages) -> u64 {
        dumped.before(self.bits.end).saturating_sub(self.before(dumped))
    }

    /// How many of them the file does not have, because it ends too early or was not written to its end. If the last
    /// `looked_at` pages do not tell, it is taken for whole.
    pub(super) fn cut_off(&self, dumped: &Pages, looked_at: u64) -> u64 {
        let (count, len) = (self.count(dumped), self.source.len());
        if self.seems_whole(count, looked_at) {
            return 0;
        }
        let chunks = (0..count).step_by(CHUNK as usize).map(|first| first..(first + CHUNK).min(count));
        let is_present = |descriptor: &&Descriptor| descriptor.is_within(len);
        let present = chunks.map(|chunk| self.read(chunk).iter().filter(is_present).count() as u64);
        count.saturating_sub(present.sum())
    }

    /// Whether the last page is there. Pages are written in their order, so it is the last of the file, but for those that
    /// are all zeros: they share one place, and often they are the last ones of memory.
    fn seems_whole(&self, count: u64, looked_at: u64) -> bool {
        let first = count.saturating_sub(looked_at) / CHUNK;
        let chunks =
            (first..count.div_ceil(CHUNK)).rev().map(|chunk| chunk * CHUNK..((chunk + 1) * CHUNK).min(count));
        let mut last: Option<Descriptor> = None;
        for chunk in chunks {
            let descriptors = self.read(chunk.clone());
            if descriptors.len() as u64 != chunk.end - chunk.start {
                return false;
            }
            for descriptor in descriptors.into_iter().rev() {
                if !descriptor.is_within(self.source.len()) {
                    return false;
                }
                if last.is_some_and(|last| last.offset != descriptor.offset) {
                    return true;
                }
                last = Some(descriptor);
            }
        }
        true
    }

    /// The descriptors of a range that the file has.
    fn read(&self, range: Range<u64>) -> Vec<Descriptor> {
        let mut bytes = vec![0; (range.end - range.start) as usize * DESCRIPTOR];
        let got = self.source.read_at(self.place(range.start), &mut bytes).unwrap_or(0);
        let whole = bytes.get(..got).unwrap_or_default().chunks_exact(DESCRIPTOR);
        whole.map(|bytes| Descriptor::parse(bytes, self.big_endian)).collect()
    }

    /// Whether a page would lie where not even a whole file reaches, so that it is no sign of a file cut off.
    fn is_far_away(&self, dumped: &Pages, descriptor: Descriptor, page_bytes: usize) -> bool {
        let most = self.count(dumped).saturating_mul((DESCRIPTOR + page_bytes) as u64);
        // One more page: the one that all pages of zeros share.
        descriptor.end() > self.descriptors.saturating_add(most).saturating_add(page_bytes as u64)
    }

    fn place(&self, index: u64) -> u64 {
        self.descriptors.saturating_add(index.saturating_mul(DESCRIPTOR as u64))
    }

    fn before(&self, dumped: &Pages) -> u64 {
        *self.before.get_or_init(|| dumped.before(self.bits.start))
    }
}
