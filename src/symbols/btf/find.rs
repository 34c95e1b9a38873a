//! A kernel's BTF where its memory has it.
//!
//! `__start_BTF` names the place, but a kernel without KALLSYMS_ALL keeps no such symbol (Debian's cloud kernel for arm64 is
//! one). Only since Linux 6.16 is the place aligned: in 6.1 the linker puts it behind whatever comes before.

use super::SIZE_LIMIT;
use super::format::{Head, Header, START, start};
use crate::space::Space;
use crate::{Error, Result};
use kgdbserver_arch::Va;

/// Searched at a time.
const CHUNK: u64 = 256 << 10;
/// The smallest page of any machine: what is missing is missing to its end.
const PAGE: u64 = 4096;
/// The header and the first types, which must make sense.
const SAMPLE: usize = 512;

/// The kernel's BTF in a range of its memory, of which pages may be missing: where it starts, and its length in bytes.
/// `end` is exclusive. Takes a millisecond for a few MB of memory, and a step for each page that is missing.
pub fn find(space: &Space, first: Va, end: Va) -> Option<(Va, u64)> {
    let magic = memchr::memmem::Finder::new(&start(space.machine.big_endian)).into_owned();
    let mut chunk = Vec::new();
    let mut at = first;
    while at < end {
        chunk.resize(CHUNK.min(end.0 - at.0) as usize, 0);
        let Ok(got) = space.read(at, &mut chunk) else {
            at = at.checked_add(space.hole(at).max(PAGE - at.0 % PAGE))?;
            continue;
        };
        let searched = chunk.get(..got).unwrap_or_default();
        let places = magic.find_iter(searched).map(|offset| Va(at.0 + offset as u64));
        let mut found = places.filter_map(|va| Some((va, plausible(space, va, end)?)));
        if let Some(found) = found.next() {
            return Some(found);
        }
        // Where it starts may lie across two chunks.
        at = at.checked_add(got.saturating_sub(START - 1).max(1) as u64)?;
    }
    None
}

/// The bytes of BTF at an address.
///
/// # Errors
/// It is larger than any kernel's, or not all of it can be read.
pub fn read(space: &Space, va: Va, len: u64) -> Result<Vec<u8>> {
    let size = usize::try_from(len).ok().filter(|_| len <= SIZE_LIMIT);
    let size =
        size.ok_or_else(|| Error::BadStructure { what: "BTF", va, why: format!("{len} bytes of it") })?;
    let mut bytes = vec![0; size];
    space.read_exact(va, &mut bytes)?;
    Ok(bytes)
}

/// The length of what starts here, if that is the BTF of a kernel. The kernel keeps copies of headers elsewhere, and
/// modules have BTF that is not complete.
fn plausible(space: &Space, va: Va, end: Va) -> Option<u64> {
    let mut sample = [0; SAMPLE];
    let got = space.read(va, &mut sample).ok()?;
    let sample = sample.get(..got)?;
    let header = Header::parse(sample)?;
    let mut first_name = [0xff];
    space.read_exact(va.checked_add(header.strings.start as u64)?, &mut first_name).ok()?;
    let len = header.len() as u64;
    let fits = len <= end.0 - va.0 && len <= SIZE_LIMIT && first_name == [0];
    (fits && types_make_sense(sample, &header)).then_some(len)
}

fn types_make_sense(sample: &[u8], header: &Header) -> bool {
    let mut at = header.types.start;
    while let Some(head) = Head::parse(sample, at, header.big_endian) {
        match head.layout().and_then(|layout| head.end(layout)) {
            Some(end) if end <= header.types.end && (head.name as usize) < header.strings.len() => at = end,
            _ => return false,
        }
    }
    at > header.types.start
}

#[cfg(test)]
mod tests;
