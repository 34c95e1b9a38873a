//! Searches physical memory for VMCOREINFO, in an image that does not hand it over.
//!
//! A kernel has it twice: the text in a page of its own, and once more in another page as the ELF note that it gives to
//! whoever dumps it (kernel/crash_core.c: `vmcoreinfo_data`, `vmcoreinfo_note`). Before 4.13 both were arrays among its
//! other variables, 4-byte aligned. Copies of the note lie about in buffers too, once somebody has read /proc/kcore.

use crate::image::{Addr, Image};
use kgdbserver_arch::Pa;
use memchr::memmem::{self, Finder};
use std::ops::Range;

/// A text that may be VMCOREINFO. Its page tables tell whether it is this kernel's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Where it begins.
    pub(crate) pa: Pa,
    /// Its bytes, without the NUL behind it.
    pub(crate) len: usize,
    pub(crate) kind: Kind,
}

/// What it was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An ELF note.
    Note,
    /// A text that ends with a NUL.
    Text,
}

/// The line that has always been the first.
const FIRST: &[u8] = b"OSRELEASE=";

/// What the format string of the first line lacks, and what is of no use without it.
const ESSENTIAL: &[u8] = b"\nSYMBOL(swapper_pg_dir)=";

/// Bytes of the note before its text.
const HEADER: usize = 24;

/// The kernel gives it one page, of at most 64 KiB.
const LIMIT: usize = 64 << 10;

/// Where it may begin: every page of a kernel is at least so large.
const PAGE: u64 = 4096;

/// What is searched at a time.
const CHUNK: u64 = 1 << 20;

/// Bytes of memory whose pages are looked at before `looked` is told again.
const STEP: u64 = 256 << 20;

/// Bytes of a zone that are looked at first.
const LIKELY: u64 = 1 << 30;

/// Real memory has a handful of texts that begin so. What is full of them was made to be.
const HITS: usize = 4096;

/// Where to look first. A kernel takes these pages early, from the beginning of the zone that it prefers: that is all of
/// a small machine's memory, else what lies above 4 GiB (a PC of 3 GiB, of which 1 GiB lies there, has them at 4 GiB and
/// 10 MiB), on s390x above 2 GiB.
pub(crate) fn likely(image: &Image) -> impl Iterator<Item = Range<u64>> {
    let first = image.memory.pages().next().map_or(0, |Pa(first)| first);
    let zones = [2 << 30, 4 << 30].into_iter().filter(move |zone| *zone > first);
    std::iter::once(first).chain(zones).map(|start| start..start.saturating_add(LIKELY))
}

/// Those that begin a page in a range of memory, in ascending order. Looks at the beginning of every page there that the
/// image has, when it is asked for. `looked` is told now and then how many bytes of memory are done.
pub(crate) fn at_pages(
    image: &Image,
    range: Range<u64>,
    looked: impl Fn(u64),
) -> impl Iterator<Item = Candidate> {
    let pages = image.memory.pages().skip_while(move |page| page.0 < range.start);
    let pages = pages.take_while(move |page| page.0 < range.end).flat_map(|Pa(page)| {
        let end = page.saturating_add(1 << image.page_shift);
        (page..end).step_by(PAGE as usize)
    });
    let told = pages.zip((0..).step_by(PAGE as usize)).inspect(move |(_, done)| {
        if done % STEP == 0 {
            looked(*done);
        }
    });
    let hits = told.filter_map(|(page, _)| {
        let mut head = [0; HEADER + FIRST.len()];
        let got = image.memory.read(Addr::Phys(Pa(page)), &mut head).unwrap_or(0);
        let head = head.get(..got)?;
        let at = if head.starts_with(FIRST) { 0 } else { HEADER };
        head.get(at..)?.starts_with(FIRST).then_some(page + at as u64)
    });
    hits.take(HITS).filter_map(|pa| candidate(image, pa))
}

/// Those that begin anywhere else, in ascending order. Reads all memory.
pub(crate) fn elsewhere(image: &Image, looked: impl Fn(u64)) -> impl Iterator<Item = Candidate> {
    let finder = Finder::new(FIRST);
    let mut done = 0;
    let mut buf = Vec::new();
    let hits = runs(image).flat_map(move |run| {
        done += run.end - run.start;
        looked(done);
        read(image, &run, &mut buf);
        finder.find_iter(&buf).map(|at| run.start + at as u64).collect::<Vec<u64>>()
    });
    let candidates = hits.take(HITS).filter_map(|pa| candidate(image, pa));
    candidates.filter(|Candidate { pa, kind, .. }| match kind {
        Kind::Note => pa.0 % PAGE != HEADER as u64,
        Kind::Text => pa.0 % PAGE != 0,
    })
}

/// Pages side by side, up to a chunk of them.
fn runs(image: &Image) -> impl Iterator<Item = Range<u64>> {
    let page = 1 << image.page_shift;
    let mut pages = image.memory.pages().peekable();
    std::iter::from_fn(move || {
        let Pa(start) = pages.next()?;
        let mut end = start.saturating_add(page);
        while end - start < CHUNK && pages.next_if(|next| next.0 == end).is_some() {
            end = end.saturating_add(page);
        }
        Some(start..end)
    })
}

/// The bytes of a run, and a few of the next one that may belong to what begins here. What cannot be read is left out by
/// the page, as zeros.
fn read(image: &Image, run: &Range<u64>, buf: &mut Vec<u8>) {
    buf.clear();
    buf.resize((run.end - run.start) as usize + FIRST.len() - 1, 0);
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = run.start.saturating_add(done as u64);
        let got = image.memory.read(Addr::Phys(Pa(at)), rest).ok().filter(|got| *got > 0);
        done += got.unwrap_or((PAGE - at % PAGE) as usize);
    }
}

/// The text that begins here, if it is one.
fn candidate(image: &Image, pa: u64) -> Option<Candidate> {
    let mut header = [0; HEADER];
    let before = pa.checked_sub(HEADER as u64).map(|at| image.memory.read(Addr::Phys(Pa(at)), &mut header));
    let noted = noted(&header).filter(|_| before == Some(Ok(HEADER)));
    let mut text = vec![0; LIMIT];
    let mut done = 0;
    while let Some(rest) = text.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = Addr::Phys(Pa(pa.checked_add(done as u64)?));
        let Ok(got @ 1..) = image.memory.read(at, rest) else { break };
        done += got;
        if memchr::memchr(0, text.get(..done)?).is_some() {
            break;
        }
    }
    let text = text.get(..done)?;
    let nul = memchr::memchr(0, text);
    let (kind, len) = match (noted, nul) {
        (Some(len), nul) if len <= nul.unwrap_or(done) => (Kind::Note, len),
        (_, Some(len)) => (Kind::Text, len),
        _ => return None,
    };
    memmem::find(text.get(..len)?, ESSENTIAL)?;
    Some(Candidate { pa: Pa(pa), len, kind })
}

/// The length of the text that a note's header announces, in either byte order.
fn noted(header: &[u8; HEADER]) -> Option<usize> {
    let (words, name) = header.split_first_chunk::<12>()?;
    let [name_len, len, kind] = words.as_chunks::<4>().0 else { return None };
    let value = [u32::from_le_bytes, u32::from_be_bytes].into_iter().find(|value| value(*name_len) == 11)?;
    (name == b"VMCOREINFO\0\0" && *kind == [0; 4]).then(|| value(*len) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{RawMemory, Store, raw};
    use std::cell::RefCell;
    use std::io::Write;
    use std::sync::Arc;

    const TEXT: &[u8] = b"OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)=ffffffff81000000\n";
    const BASE: u64 = 0x4000_0000;

    /// The image of a machine whose memory begins at `BASE` and holds these bytes.
    fn image(pages: usize, contents: &[(usize, Vec<u8>)]) -> Image {
        let mut memory = vec![0; pages * 4096];
        for (at, bytes) in contents {
            memory[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&memory).unwrap();
        let layout: RawMemory = "1G".parse().unwrap();
        raw::open(Arc::new(Store::open(file.path()).unwrap()), &layout).unwrap()
    }

    fn text() -> Vec<u8> {
        TEXT.to_vec()
    }

    fn note(int: fn(u32) -> [u8; 4], text: &[u8]) -> Vec<u8> {
        let header = [int(11), int(text.len() as u32), int(0)].concat();
        [&header, &b"VMCOREINFO\0\0"[..], text].concat()
    }

    fn show(candidates: impl Iterator<Item = Candidate>) -> Vec<(u64, usize, Kind)> {
        candidates.map(|found| (found.pa.0 - BASE, found.len, found.kind)).collect()
    }

    #[test]
    fn both_copies_are_found_at_the_beginning_of_their_pages() {
        let longer = [TEXT, b"CRASHTIME=1\n"].concat();
        let image = image(
            9,
            &[
                (0x1000, note(u32::to_le_bytes, TEXT)),
                (0x3000, text()),
                (0x5000, note(u32::to_be_bytes, &longer)),
                (0x8000, text()),
            ],
        );
        let expected = [
            (0x1018, TEXT.len(), Kind::Note),
            (0x3000, TEXT.len(), Kind::Text),
            (0x5018, longer.len(), Kind::Note),
            (0x8000, TEXT.len(), Kind::Text),
        ];
        assert_eq!(show(at_pages(&image, 0..u64::MAX, |_| ())), expected);
        assert_eq!(show(elsewhere(&image, |_| ())), []);
    }

    #[test]
    fn a_range_is_searched_and_no_more() {
        let image = image(9, &[(0x1000, text()), (0x3000, text()), (0x8000, text())]);
        let found = |range: Range<u64>| {
            let range = BASE + range.start..BASE + range.end;
            show(at_pages(&image, range, |_| ())).iter().map(|found| found.0).collect::<Vec<u64>>()
        };
        assert_eq!(found(0..0x9000), [0x1000, 0x3000, 0x8000]);
        assert_eq!(found(0x1001..0x8000), [0x3000]);
        assert_eq!((found(0x8000..0x8001), found(0x9000..0x9000)), (vec![0x8000], vec![]));
        let likely: Vec<_> = likely(&image).collect();
        assert_eq!(likely, [1 << 30..2 << 30, 2 << 30..3 << 30, 4 << 30..5 << 30]);
    }

    #[test]
    fn what_is_not_at_the_beginning_of_a_page_is_found_by_reading_all() {
        // Across the end of a page, across that of a chunk, and at the very end.
        let chunk = CHUNK as usize;
        let image = image(
            600,
            &[
                (0x1ff8, text()),
                (0x3004, note(u32::to_le_bytes, TEXT)),
                (chunk - 4, text()),
                (chunk + 0x2000, text()),
                (600 * 4096 - 1 - TEXT.len(), text()),
            ],
        );
        let expected = [
            (0x1ff8, TEXT.len(), Kind::Text),
            (0x301c, TEXT.len(), Kind::Note),
            (CHUNK - 4, TEXT.len(), Kind::Text),
            (600 * 4096 - 1 - TEXT.len() as u64, TEXT.len(), Kind::Text),
        ];
        assert_eq!(show(elsewhere(&image, |_| ())), expected);
        assert_eq!(show(at_pages(&image, 0..u64::MAX, |_| ())), [(CHUNK + 0x2000, TEXT.len(), Kind::Text)]);
    }

    #[test]
    fn what_only_looks_like_it_is_none() {
        let endless = [TEXT, &[b'x'; LIMIT]].concat();
        let mut longer = note(u32::to_le_bytes, TEXT);
        longer[5] = 0xff; // 65,000 bytes of text, of which a NUL ends all but the first
        let wrong: [Vec<u8>; 5] = [
            b"OSRELEASE=%s\n\0BUILD-ID=%20phN\n".to_vec(), // the kernel's format string
            b"OSRELEASE=6.1.0\nPAGESIZE=4096\n".to_vec(),
            [b"OSRELEASE=6.1.0\n\0", TEXT].concat()[..40].to_vec(),
            endless[..4096].to_vec(),
            note(u32::to_le_bytes, b"OSRELEASE=6.1.0\n"),
        ];
        for bytes in wrong {
            let image = image(2, &[(0x1000, bytes.clone())]);
            let found =
                [show(at_pages(&image, 0..u64::MAX, |_| ())), show(elsewhere(&image, |_| ()))].concat();
            assert_eq!(found, [], "{}", String::from_utf8_lossy(&bytes));
        }
        let image = image(20, &[(0x1000, longer)]);
        assert_eq!(show(at_pages(&image, 0..u64::MAX, |_| ())), [(0x1018, TEXT.len(), Kind::Text)]);
    }

    #[test]
    fn whoever_waits_is_told_how_far_it_is() {
        let image = image(600, &[]);
        let told = RefCell::new(Vec::new());
        let tell = |done| told.borrow_mut().push(done);
        assert_eq!(at_pages(&image, 0..u64::MAX, tell).count() + elsewhere(&image, tell).count(), 0);
        assert_eq!(*told.borrow(), [0, CHUNK, 2 * CHUNK, 600 * 4096]);
    }

    #[test]
    fn memory_full_of_hits_takes_no_time() {
        let full = FIRST.repeat(299 * 4096 / FIRST.len());
        let image = image(300, &[(8, full)]);
        assert_eq!(
            (show(at_pages(&image, 0..u64::MAX, |_| ())), show(elsewhere(&image, |_| ()))),
            (vec![], vec![])
        );
    }
}
