//! Which physical pages a dump holds, and the place of each: a bitmap with ranks.

use super::Source;
use kgdbserver_arch::Pa;
use std::sync::{Arc, OnceLock};

/// 64-bit words of a line: what one sample of the rank index stands for, and a cache line of the bitmap.
const LINE_WORDS: usize = 8;
const LINE_BITS: u64 = LINE_WORDS as u64 * 64;
/// Lines of one piece of the rank index, which covers 16 GiB of 4 KiB pages. Pieces are counted when first needed.
const PIECE_LINES: u64 = 1 << 13;

/// A range of physical memory that the bitmap covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Range {
    /// First page's number, inclusive.
    pub(crate) start: u64,
    /// Last page's number, exclusive.
    pub(crate) end: u64,
    /// The bit of the first page.
    pub(crate) bit: u64,
}

/// The bitmap of dumped pages. It stays in the file.
pub(crate) struct Pages {
    source: Arc<dyn Source>,
    big_endian: bool,
    /// Where the bitmap lies in the file.
    at: u64,
    /// Sorted and disjoint.
    ranges: Vec<Range>,
    bits: u64,
    page_shift: u8,
    pieces: Vec<OnceLock<Piece>>,
}

/// The ranks of one piece.
struct Piece {
    /// Set bits before the piece.
    before: u64,
    /// Set bits in the piece before each line; the last is the whole piece.
    samples: Box<[u32]>,
}

impl Pages {
    /// A bitmap at byte `at` of the source, whose bits stand for the pages of `ranges`.
    pub(crate) fn new(
        source: Arc<dyn Source>,
        big_endian: bool,
        at: u64,
        ranges: Vec<Range>,
        page_shift: u8,
    ) -> Self {
        let bits = ranges.last().map_or(0, |last| last.bit + (last.end - last.start));
        let pieces = (0..bits.div_ceil(LINE_BITS * PIECE_LINES)).map(|_| OnceLock::new()).collect();
        Self { source, big_endian, at, ranges, bits, page_shift, pieces }
    }

    /// The dumped page with `pa`, counted from the first dumped page, and how many dumped pages follow it without a
    /// break (itself included, at most 64). None if it was not dumped.
    pub(crate) fn find(&self, pa: Pa) -> Option<(u64, u64)> {
        let page = pa.0 >> self.page_shift;
        let range = self.ranges.get(self.ranges.partition_point(|range| range.end <= page))?;
        let bit = range.bit + page.checked_sub(range.start)?;
        let line = self.line(bit / LINE_BITS);
        let (above, here) = (line.iter().take(word_in_line(bit)), line.get(word_in_line(bit))? >> (bit % 64));
        if here & 1 == 0 {
            return None;
        }
        let run = u64::from(here.trailing_ones()).min(range.end - page);
        let below = line.get(word_in_line(bit))? & ((1 << (bit % 64)) - 1);
        let in_line = above.map(|word| word.count_ones()).sum::<u32>() + below.count_ones();
        Some((self.before_line(bit / LINE_BITS)? + u64::from(in_line), run))
    }

    /// How many pages were dumped.
    pub(crate) fn count(&self) -> u64 {
        let last = self.pieces.len().checked_sub(1);
        last.and_then(|last| self.piece(last)).map_or(0, Piece::after)
    }

    /// The dumped pages, in ascending order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Pa> + '_ {
        let dumped = move |range: &Range| {
            let Range { start, end, bit } = *range;
            (start..end).filter(move |page| self.is_set(bit + (page - start)))
        };
        self.ranges.iter().flat_map(dumped).map(|page| Pa(page << self.page_shift))
    }

    fn is_set(&self, bit: u64) -> bool {
        let line = self.line(bit / LINE_BITS);
        line.get(word_in_line(bit)).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    /// Set bits before a line.
    fn before_line(&self, line: u64) -> Option<u64> {
        let piece = self.piece(usize::try_from(line / PIECE_LINES).ok()?)?;
        let sample = piece.samples.get(usize::try_from(line % PIECE_LINES).ok()?)?;
        Some(piece.before + u64::from(*sample))
    }

    /// A piece of the index; it and all before it are counted if that was not done yet.
    fn piece(&self, index: usize) -> Option<&Piece> {
        let wanted = self.pieces.get(index)?;
        if let Some(piece) = wanted.get() {
            return Some(piece);
        }
        let mut before = 0;
        for (piece, index) in self.pieces.get(..=index)?.iter().zip(0..) {
            before = piece.get_or_init(|| self.build(index, before)).after();
        }
        wanted.get()
    }

    fn build(&self, index: u64, before: u64) -> Piece {
        let lines = index * PIECE_LINES..((index + 1) * PIECE_LINES).min(self.bits.div_ceil(LINE_BITS));
        let mut counted = 0;
        let mut samples = vec![0];
        for line in lines {
            let valid = self.bits - line * LINE_BITS;
            let masked = |(word, at): (u64, u64)| word & low_bits(valid.saturating_sub(at));
            counted += self
                .line(line)
                .into_iter()
                .zip((0..).step_by(64))
                .map(|w| masked(w).count_ones())
                .sum::<u32>();
            samples.push(counted);
        }
        Piece { before, samples: samples.into() }
    }

    /// A line of the bitmap: words that the kernel wrote as integers of its own byte order. What the file does not
    /// hold counts as not dumped.
    fn line(&self, index: u64) -> [u64; LINE_WORDS] {
        let mut bytes = [0; LINE_WORDS * 8];
        let got = self.source.read_at(self.at + index * (LINE_BITS / 8), &mut bytes).unwrap_or(0);
        bytes.get_mut(got..).unwrap_or_default().fill(0);
        let mut words = [0; LINE_WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            let bytes = bytes.try_into().unwrap_or_default();
            *word = if self.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) };
        }
        words
    }
}

/// Which word of its line holds `bit`.
fn word_in_line(bit: u64) -> usize {
    (bit / 64) as usize % LINE_WORDS
}

/// A word whose lowest `count` bits are set.
fn low_bits(count: u64) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

impl Piece {
    /// Set bits up to the piece's end.
    fn after(&self) -> u64 {
        self.before + u64::from(self.samples.last().copied().unwrap_or(0))
    }
}
