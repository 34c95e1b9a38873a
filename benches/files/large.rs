//! Dumps of GiB: a built minidump with more physical memory behind the rest, written piece by piece.

use super::synth::Built;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

const PAGE: u64 = 4096;
/// Where the added memory begins: above all that the builders use.
pub const PHYSICAL: u64 = 0x10_0000_0000;
/// Bytes of the header field that tells the bitmap's size.
const BITMAP_SIZE: Range<usize> = 32..36;

/// A written dump, and offsets in it.
pub struct Written {
    pub file: File,
    pub pmap: u64,
    /// Where the memory at `PHYSICAL` begins.
    pub added: u64,
}

/// Writes `built` with `bytes` more of physical memory, all of it dumped. They are left out of the file as a hole, and
/// so is every page of zeros.
pub fn write(path: &Path, built: &Built, bytes: u64) -> io::Result<Written> {
    let part = |range: &Range<usize>| &built.vmcore[range.clone()];
    let layout = &built.layout;
    let mut avail = part(&layout.dump_avail).to_vec();
    let bitmap = bitmap(part(&layout.bitmap), add_range(&mut avail, bytes), bytes / PAGE);
    let mut header = part(&layout.header).to_vec();
    header[BITMAP_SIZE].copy_from_slice(&u32::try_from(bitmap.len()).unwrap().to_le_bytes());

    let file = File::create(path)?;
    let mut end = 0;
    let mut append = |part: &[u8]| {
        let start = end;
        end += (part.len() as u64).next_multiple_of(PAGE);
        write_sparsely(&file, start, part).map(|()| start)
    };
    for part in [&header, part(&layout.msgbuf), &avail, &bitmap] {
        append(part)?;
    }
    let pmap = append(part(&layout.pmap))?;
    append(part(&layout.sparse))?;
    file.set_len(end + bytes)?;
    Ok(Written { file, pmap, added: end })
}

/// Adds a range of `bytes` at `PHYSICAL`; returns how many pages stood in the list before.
fn add_range(avail: &mut [u8], bytes: u64) -> u64 {
    let word = |at: usize| u64::from_le_bytes(avail[at..at + 8].try_into().unwrap());
    let end = (0..).step_by(16).find(|at| word(at + 8) == 0).unwrap();
    let pages = (0..end).step_by(16).map(|at| word(at + 8).div_ceil(PAGE) - word(at) / PAGE).sum();
    if bytes > 0 {
        avail[end..end + 8].copy_from_slice(&PHYSICAL.to_le_bytes());
        avail[end + 8..end + 16].copy_from_slice(&(PHYSICAL + bytes).to_le_bytes());
    }
    pages
}

/// The bitmap's first `before` bits, and `added` that are set.
fn bitmap(built: &[u8], before: u64, added: u64) -> Vec<u8> {
    let whole = ((before + added) / 8) as usize;
    let mut bitmap = built[..before.div_ceil(8) as usize].to_vec();
    for bit in before..(before + added).min(before.next_multiple_of(8)) {
        bitmap[(bit / 8) as usize] |= 1 << (bit % 8);
    }
    bitmap.resize(bitmap.len().max(whole), 0xff);
    bitmap.resize(bitmap.len().next_multiple_of(PAGE as usize), 0);
    for bit in (whole as u64 * 8).max(before)..before + added {
        bitmap[(bit / 8) as usize] |= 1 << (bit % 8);
    }
    bitmap
}

fn write_sparsely(file: &File, at: u64, bytes: &[u8]) -> io::Result<()> {
    let pages = bytes.chunks(PAGE as usize).zip((at..).step_by(PAGE as usize));
    pages
        .filter(|(page, _)| page.iter().any(|byte| *byte != 0))
        .try_for_each(|(page, at)| file.write_all_at(page, at))
}

/// Makes up memory, the same every time.
pub struct Noise(u64);

impl Noise {
    /// What nothing makes smaller.
    pub fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn bytes(&mut self, count: u64) -> Vec<u8> {
        (0..count / 8).flat_map(|_| self.next().to_le_bytes()).collect()
    }

    /// Zeros, counters and pointers, as in a kernel's structures: a compressor makes it some three times smaller.
    pub fn structures(&mut self, count: u64) -> Vec<u8> {
        let word = |noise: u64| match noise % 8 {
            0..4 => 0,
            4 | 5 => noise >> 56,
            _ => 0xffff_f800_0000_0000 | noise >> 40 << 6,
        };
        (0..count / 8).flat_map(|_| word(self.next()).to_le_bytes()).collect()
    }
}

/// Fills memory block by block.
pub fn fill(file: &File, at: u64, bytes: u64, mut block: impl FnMut(u64) -> Vec<u8>) -> io::Result<()> {
    (0..bytes).step_by(1 << 20).try_for_each(|offset| file.write_all_at(&block(1 << 20), at + offset))
}
