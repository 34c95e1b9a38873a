//! ELF's own hash table of symbols, where the file has one.
//!
//! FreeBSD's kernels do: modules are linked against them at run time. It holds global symbols only. Layout: System V
//! gABI, chapter 5, "Hash Table"; words of 32 bits: buckets, links, then the first symbol of each bucket, then for
//! each symbol the next one of its bucket. 0 ends a bucket.

use super::elf::Section;
use crate::image::Source;
use goblin::elf::section_header::SHT_HASH;

/// No sound table has as many symbols in one bucket; a chain in a corrupt one may have no end.
const LIMIT: usize = 1000;
const WORD: u64 = 4;

/// Where the table lies in the file.
pub(super) struct HashTable {
    at: u64,
    buckets: u32,
    big_endian: bool,
    /// The section with the symbols it is about.
    pub(super) symbols: usize,
}

impl HashTable {
    /// The file's table; none if there is none that can be used.
    pub(super) fn of(source: &dyn Source, sections: &[Section], big_endian: bool) -> Option<Self> {
        let header = &sections.iter().find(|section| section.header.sh_type == SHT_HASH)?.header;
        // Alpha and s390x have words of 64 bits.
        if !matches!(header.sh_entsize, 0 | WORD) {
            return None;
        }
        let symbols = header.sh_link as usize;
        let mut table = Self { at: header.sh_offset, buckets: 0, big_endian, symbols };
        table.buckets = table.word(source, 0).filter(|buckets| *buckets != 0)?;
        Some(table)
    }

    /// The symbols that may have this name: indices into the symbol table.
    pub(super) fn candidates<'a>(
        &'a self,
        source: &'a dyn Source,
        name: &str,
    ) -> impl Iterator<Item = u32> + 'a {
        let bucket = u64::from(hash(name) % self.buckets);
        let first = self.word(source, 2 + bucket);
        let next = move |index: &u32| self.word(source, 2 + u64::from(self.buckets) + u64::from(*index));
        std::iter::successors(first, next).take_while(|index| *index != 0).take(LIMIT)
    }

    fn word(&self, source: &dyn Source, number: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        source.read_exact_at(self.at.checked_add(number * WORD)?, &mut bytes).ok()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
}

/// The gABI's function.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0, |hash: u32, byte| {
        let hash = (hash << 4).wrapping_add(byte.into());
        let high = hash & 0xf000_0000;
        (hash ^ high >> 24) & !high
    })
}
