//! Which physical pages a dump holds, and the place of each: a bitmap with ranks.

use super::Source;
use kgdbserver_arch::Pa;
use std::sync::{Arc, OnceLock};

/// 64-bit words of a line: what one sample of the rank index stands for, and a cache line of the bitmap.
const LINE_WORDS: usize = 8;
const LINE_BITS: u64 = LINE_WORDS as u64 * 64;
/// Lines of one piece of the rank index, which covers 1 GiB of 4 KiB pages. Pieces are counted when first needed, up to
/// the one that is: opening a dump reads a few pages of low memory, and should not count more than these need.
const PIECE_LINES: u64 = 1 << 9;
/// Bytes of a line.
const LINE_BYTES: usize = LINE_WORDS * 8;
/// Lines read at a time when a piece is counted.
const READ_LINES: usize = 64;

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
    /// break (itself included, at most a line). None if it was not dumped.
    pub(crate) fn find(&self, pa: Pa) -> Option<(u64, u64)> {
        let (bit, left) = self.bit(pa)?;
        let (before, in_line) = self.rank(bit / LINE_BITS)?;
        let within = bit % LINE_BITS;
        let (in_line, run) = match u64::from(in_line) {
            0 => return None,
            // Nothing is missing, so the bitmap need not be looked at: a cache line less to wait for.
            LINE_BITS => (within, LINE_BITS - within),
            _ => self.find_in_line(bit)?,
        };
        Some((before + in_line, run.min(left)))
    }

    /// The bit of a page, and how many pages its range has from there on.
    fn bit(&self, pa: Pa) -> Option<(u64, u64)> {
        let page = pa.0 >> self.page_shift;
        let range = self.ranges.get(self.ranges.partition_point(|range| range.end <= page))?;
        Some((range.bit + page.checked_sub(range.start)?, range.end - page))
    }

    /// The dumped pages before a page's bit in its line, and how many follow it without a break in its word.
    fn find_in_line(&self, bit: u64) -> Option<(u64, u64)> {
        let line = self.line(bit / LINE_BITS);
        let here = line.get(word_in_line(bit))? >> (bit % 64);
        let before = count(&line, bit % LINE_BITS);
        (here & 1 == 1).then(|| (before.into(), here.trailing_ones().into()))
    }

    /// Whether a page was dumped. Cheaper than [`Self::find`] where its place does not matter: counts nothing.
    pub(crate) fn holds(&self, pa: Pa) -> bool {
        self.bit(pa).is_some_and(|(bit, _)| self.is_set(bit))
    }

    /// How many pages were dumped before the one that a bit stands for; all of them behind the last bit.
    pub(crate) fn before(&self, bit: u64) -> u64 {
        let counted = || {
            let (before, _) = self.rank(bit / LINE_BITS)?;
            Some(before + u64::from(count(&self.line(bit / LINE_BITS), bit % LINE_BITS)))
        };
        if bit < self.bits { counted().unwrap_or(0) } else { self.count() }
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

    /// Set bits before a line, and in it.
    fn rank(&self, line: u64) -> Option<(u64, u32)> {
        let piece = self.piece(usize::try_from(line / PIECE_LINES).ok()?)?;
        let at = usize::try_from(line % PIECE_LINES).ok()?;
        let (first, next) = (*piece.samples.get(at)?, *piece.samples.get(at + 1)?);
        Some((piece.before + u64::from(first), next - first))
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
        let mut samples = Vec::with_capacity(PIECE_LINES as usize + 1);
        samples.push(0);
        let mut bytes = [0; READ_LINES * LINE_BYTES];
        for first in lines.clone().step_by(READ_LINES) {
            self.read(first, &mut bytes);
            for (line, bytes) in (first..lines.end).zip(bytes.chunks_exact(LINE_BYTES)) {
                counted += count(&self.words(bytes), self.bits - line * LINE_BITS);
                samples.push(counted);
            }
        }
        Piece { before, samples: samples.into() }
    }

    fn line(&self, index: u64) -> [u64; LINE_WORDS] {
        let mut bytes = [0; LINE_BYTES];
        self.read(index, &mut bytes);
        self.words(&bytes)
    }

    /// Reads the bitmap from a line on. What the file does not hold counts as not dumped.
    fn read(&self, line: u64, bytes: &mut [u8]) {
        let got = self.source.read_at(self.at + line * (LINE_BITS / 8), bytes).unwrap_or(0);
        if got < bytes.len() {
            bytes.get_mut(got..).unwrap_or_default().fill(0);
        }
    }

    /// A line's words: the kernel wrote them as integers of its own byte order.
    fn words(&self, bytes: &[u8]) -> [u64; LINE_WORDS] {
        let mut words = [0; LINE_WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        }
        if self.big_endian { words.map(u64::swap_bytes) } else { words }
    }
}

/// How many of the first `bits` bits of a line are set. Looks at all words, whatever the number: a loop that ends
/// sooner is mispredicted where pages are read at random, and the processor then waits for the page's bytes as well.
fn count(line: &[u64; LINE_WORDS], bits: u64) -> u32 {
    let whole = (bits / 64).min(LINE_WORDS as u64) as usize;
    let kept = |(at, word): (usize, &u64)| if at < whole { *word } else { 0 };
    let in_whole: u32 = line.iter().enumerate().map(|word| kept(word).count_ones()).sum();
    in_whole + line.get(whole).map_or(0, |word| word & low_bits(bits % 64)).count_ones()
}

/// Which word of its line holds `bit`.
fn word_in_line(bit: u64) -> usize {
    (bit / 64) as usize % LINE_WORDS
}

/// A word whose lowest `count` bits are set; fewer than 64.
fn low_bits(count: u64) -> u64 {
    (1 << count) - 1
}

impl Piece {
    /// Set bits up to the piece's end.
    fn after(&self) -> u64 {
        self.before + u64::from(self.samples.last().copied().unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Store;
    use std::io::Write;

    /// Bits of a dense line, an empty one, and patterns, in three pieces of the index; two ranges that meet in a line.
    fn bitmap() -> Vec<u8> {
        let line = |index: usize| match index % 4 {
            0 => [0xff; LINE_BYTES],
            1 => [0; LINE_BYTES],
            2 => [0b1011_0111; LINE_BYTES],
            _ => std::array::from_fn(|byte| (byte * 37 + index) as u8),
        };
        (0..2 * PIECE_LINES as usize + 3).flat_map(line).collect()
    }

    #[test]
    fn every_page_is_found_at_its_place() {
        let bitmap = bitmap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&bitmap).unwrap();
        let bits = bitmap.len() as u64 * 8 - 70; // the last line is not used to its end
        let ranges =
            vec![Range { start: 5, end: 805, bit: 0 }, Range { start: 1000, end: 200 + bits, bit: 800 }];
        let source = Arc::new(Store::open(file.path()).unwrap());
        let pages = Pages::new(source, false, 0, ranges.clone(), 12);
        let is_set = |bit: u64| bitmap[(bit / 8) as usize] >> (bit % 8) & 1 == 1;
        let mut before = 0;
        for range in ranges {
            for page in range.start..range.end {
                let bit = range.bit + page - range.start;
                let pa = Pa(page << 12 | 0x123);
                assert_eq!((pages.holds(pa), pages.before(bit)), (is_set(bit), before), "page {page}");
                let Some((place, run)) = pages.find(pa) else {
                    assert!(!is_set(bit), "page {page}");
                    continue;
                };
                assert!(is_set(bit) && run > 0 && page + run <= range.end, "page {page}");
                assert!((bit..bit + run).all(is_set), "page {page}: a run of {run}");
                assert_eq!(place, before, "page {page}");
                before += 1;
            }
        }
        assert_eq!([pages.count(), pages.before(bits), pages.before(u64::MAX)], [before; 3]);
        assert_eq!(pages.iter().count() as u64, before);
        assert_eq!([4, 805, 999, 200 + bits].map(|page| pages.find(Pa(page << 12))), [None; 4]);
    }
}
