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

/// Writes `built` with `bytes` more of physical memory, all of it dumped. The first `filled` of them hold noise; the
/// rest is left out of the file as a hole. So is every page of zeros.
pub fn write(path: &Path, built: &Built, bytes: u64, filled: u64) -> io::Result<()> {
    let part = |range: &Range<usize>| &built.vmcore[range.clone()];
    let layout = &built.layout;
    let mut avail = part(&layout.dump_avail).to_vec();
    let bitmap = bitmap(part(&layout.bitmap), add_range(&mut avail, bytes), bytes / PAGE);
    let mut header = part(&layout.header).to_vec();
    header[BITMAP_SIZE].copy_from_slice(&u32::try_from(bitmap.len()).unwrap().to_le_bytes());

    let file = File::create(path)?;
    let mut end = 0;
    for part in [&header, part(&layout.msgbuf), &avail, &bitmap, part(&layout.pmap), part(&layout.sparse)] {
        write_sparsely(&file, end, part)?;
        end += (part.len() as u64).next_multiple_of(PAGE);
    }
    write_noise(&file, end, filled)?;
    file.set_len(end + bytes)
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

/// What no run-length encoding makes smaller.
fn write_noise(file: &File, at: u64, bytes: u64) -> io::Result<()> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for offset in (0..bytes).step_by(1 << 20) {
        let block: Vec<u8> = (0..1 << 17).flat_map(|_| next().to_le_bytes()).collect();
        file.write_all_at(&block, at + offset)?;
    }
    Ok(())
}
