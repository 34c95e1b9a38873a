//! PowerPC's hashed page table, the one page table that is no tree.
//!
//! A segment number, made from the upper bits of an address, and a page number within the segment are hashed into the
//! number of a group of eight entries; each entry names the page that it maps. A page whose group is full stands in the
//! group of the complemented hash. PowerISA 2.07B, book III-S, 5.7; FreeBSD's kernel numbers its segments by a formula
//! (`KERNEL_VSID` of sys/powerpc/include/slb.h), so that nothing else is needed.

use crate::{Fault, Mapped, Pa, Rights, Va, uint};

/// log2 of a segment's size.
const SEGMENT: u8 = 28;
const SEGMENT_BITS: u64 = 36;
/// Set in the number of every segment of the kernel.
const KERNEL: u64 = 1 << SEGMENT_BITS;
const MULTIPLIER: u64 = 0x13bb;
const HASH_BITS: u64 = (1 << 39) - 1;

const VALID: u64 = 1;
const SECONDARY: u64 = 1 << 1;
const LARGE: u64 = 1 << 2;
const SEGMENT_SIZE: u64 = 0b11 << 62;
/// Address bits that are both in the hash of the smallest table (2048 groups) and left out of an entry's name.
const NOT_NAMED: u32 = 11;

/// A hashed page table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashTable {
    groups: u64,
    big_endian: bool,
}

impl HashTable {
    /// log2 of the bytes of the smallest page.
    pub const PAGE_SHIFT: u8 = 12;
    /// Bytes of a group of entries.
    pub const GROUP: usize = 128;

    /// A table of `bytes` bytes; none unless that is a power of two, and at least one group.
    pub fn new(bytes: u64, big_endian: bool) -> Option<Self> {
        let fits = bytes.is_power_of_two() && bytes >= Self::GROUP as u64;
        fits.then_some(Self { groups: bytes / Self::GROUP as u64, big_endian })
    }

    /// Finds an address of the kernel. `read` fills a group from a byte offset into the table.
    pub fn find(
        &self,
        va: Va,
        mut read: impl FnMut(u64, &mut [u8; Self::GROUP]) -> Result<(), Fault>,
    ) -> Result<Mapped, Fault> {
        let vsid = kernel_segment(va.0 >> SEGMENT);
        let page = va.0 >> 12 & 0xffff;
        let hash = (vsid & HASH_BITS) ^ page;
        for (hash, secondary) in [(hash, 0), (!hash, SECONDARY)] {
            let mut group = [0; Self::GROUP];
            read((hash & (self.groups - 1)) * Self::GROUP as u64, &mut group)?;
            let wanted = |(high, _): &(u64, u64)| {
                high & (VALID | SECONDARY | SEGMENT_SIZE) == VALID | secondary
                    && names(*high) == (vsid, page >> NOT_NAMED)
            };
            if let Some(mapped) = self.entries(&group).filter(wanted).find_map(|entry| mapped(entry, va)) {
                return Ok(mapped);
            }
        }
        Err(Fault::NotMapped)
    }

    /// The addresses of the kernel that the entries of group number `number` map. The page number is put together from
    /// the hash and from what the entry names, which takes a table of 2048 groups, the smallest that processors have.
    pub fn addresses(&self, number: u64, group: &[u8; Self::GROUP]) -> Vec<Va> {
        let address = |(high, _): (u64, u64)| {
            let (vsid, named) = names(high);
            let ours = high & (VALID | SEGMENT_SIZE) == VALID && vsid >> SEGMENT_BITS == 1;
            let hash = if high & SECONDARY == 0 { number } else { !number };
            let page = (named << NOT_NAMED) | (hash ^ vsid) & ((1 << NOT_NAMED) - 1);
            (ours && self.groups >> NOT_NAMED != 0).then(|| Va(segment_of(vsid) << SEGMENT | page << 12))
        };
        self.entries(group).filter_map(address).collect()
    }

    /// How many groups there are.
    pub fn groups(&self) -> u64 {
        self.groups
    }

    fn entries<'a>(&'a self, group: &'a [u8; Self::GROUP]) -> impl Iterator<Item = (u64, u64)> + 'a {
        group.chunks_exact(16).map(|entry| {
            let (high, low) = entry.split_at(8);
            (uint(high, self.big_endian), uint(low, self.big_endian))
        })
    }
}

/// The segment and the upper bits of the page that an entry says it maps.
fn names(high: u64) -> (u64, u64) {
    ((high & 0x3fff_ffff_ffff_f000) >> 12, high >> 7 & 0x1f)
}

/// Where an entry leads. A page of 16 MiB in a segment of 4 KiB pages has an entry for each of its 4 KiB.
fn mapped((high, low): (u64, u64), va: Va) -> Option<Mapped> {
    const SIXTEEN_MIB_IN_4_KIB: u64 = 0x38 << 12;
    let shift = match (high & LARGE != 0, low & 0xf_f000 == SIXTEEN_MIB_IN_4_KIB) {
        (false, _) => 12,
        (true, true) => 24,
        (true, false) => return None,
    };
    let offset = va.0 & ((1 << shift) - 1);
    let frame = low & 0x0fff_ffff_ffff_f000 & !((1 << shift) - 1);
    let rights = Rights { write: low & 3 == 2, execute: low & 4 == 0 };
    Some(Mapped { pa: Pa(frame | offset), bytes: (1 << shift) - offset, rights })
}

/// The number that the kernel gives to the segment of its addresses whose upper 36 bits are `esid`.
fn kernel_segment(esid: u64) -> u64 {
    (esid << 8 | esid >> 28).wrapping_mul(MULTIPLIER) & (KERNEL - 1) | KERNEL
}

/// The reverse: both the multiplication and the rotation can be undone.
fn segment_of(vsid: u64) -> u64 {
    // Newton's iteration doubles the bits of an inverse that are right; the number itself has three.
    let inverse =
        (0..5).fold(MULTIPLIER, |x, _| x.wrapping_mul(2u64.wrapping_sub(MULTIPLIER.wrapping_mul(x))));
    let rotated = vsid.wrapping_mul(inverse) & (KERNEL - 1);
    rotated >> 8 | (rotated & 0xff) << 28
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_can_be_told_from_their_numbers() {
        for esid in [0xe_0000_0000, 0xe_0000_0001, 0xc_0000_0000, 0xe_1234_5678, 0xf_ffff_ffff] {
            assert_eq!(segment_of(kernel_segment(esid)), esid, "{esid:#x}");
        }
    }
}
