//! Page tables of x86 and arm in physical memory, built entry by entry.

use super::bytes::{Endian, put};
use std::collections::BTreeMap;
use std::ops::Range;

const PAGE: u64 = 4096;

/// Physical memory, page by page.
#[derive(Clone, Debug, Default)]
pub struct Physical {
    pub pages: BTreeMap<u64, Vec<u8>>,
}

impl Physical {
    /// Writes; pages that were not there begin as zeros.
    pub fn write(&mut self, pa: u64, bytes: &[u8]) {
        for (at, byte) in (pa..).zip(bytes) {
            let page = self.pages.entry(at & !(PAGE - 1)).or_insert_with(|| vec![0; PAGE as usize]);
            page[(at % PAGE) as usize] = *byte;
        }
    }

    /// Fills a page with its own address.
    pub fn name_page(&mut self, pa: u64) {
        let words: Vec<u8> = (pa..pa + PAGE).step_by(8).flat_map(u64::to_le_bytes).collect();
        self.write(pa, &words);
    }

    fn entry(&self, at: u64, bytes: usize, endian: Endian) -> u64 {
        let Some(page) = self.pages.get(&(at & !(PAGE - 1))) else { return 0 };
        let stored = &page[(at % PAGE) as usize..][..bytes];
        let shift_in = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        match endian {
            Endian::Little => stored.iter().rev().fold(0, shift_in),
            Endian::Big => stored.iter().fold(0, shift_in),
        }
    }
}

/// The shape of a tree, and where its tables are put.
#[derive(Clone, Debug)]
pub struct Tables {
    /// For each level, the top one first: the address bit it begins at, and how many bits index it.
    pub levels: Vec<(u32, u32)>,
    pub entry_bytes: usize,
    /// Bits of an entry that leads to a table, and of one that maps a page of each level, the top one first.
    pub table_bits: Vec<u64>,
    pub leaf_bits: Vec<u64>,
    /// Bytes of a table below the top.
    pub table_size: u64,
    pub root: u64,
    /// Where the next table is put, and the next one after it further up.
    pub next: u64,
}

impl Tables {
    /// x86-64 with four or five levels.
    pub fn amd64(levels: u32, root: u64, next: u64) -> Self {
        let shifts: Vec<(u32, u32)> = (0..levels).rev().map(|level| (12 + 9 * level, 9)).collect();
        let mut leaf_bits = vec![0xe3; levels as usize];
        *leaf_bits.last_mut().expect("a level") = 0x63;
        Self {
            table_bits: vec![0x63; levels as usize],
            leaf_bits,
            levels: shifts,
            entry_bytes: 8,
            table_size: PAGE,
            root,
            next,
        }
    }

    /// i386 with 64-bit entries.
    pub fn pae(root: u64, next: u64) -> Self {
        Self {
            levels: vec![(30, 2), (21, 9), (12, 9)],
            entry_bytes: 8,
            table_bits: vec![0x1, 0x63, 0],
            leaf_bits: vec![0, 0xe3, 0x63],
            table_size: PAGE,
            root,
            next,
        }
    }

    /// i386 with 32-bit entries.
    pub fn i386(root: u64, next: u64) -> Self {
        Self {
            levels: vec![(22, 10), (12, 10)],
            entry_bytes: 4,
            table_bits: vec![0x63, 0],
            leaf_bits: vec![0xe3, 0x63],
            table_size: PAGE,
            root,
            next,
        }
    }

    /// arm with short descriptors: sections of 1 MiB, coarse tables of 1 KiB.
    pub fn arm(root: u64, next: u64) -> Self {
        Self {
            levels: vec![(20, 12), (12, 8)],
            entry_bytes: 4,
            table_bits: vec![0x1, 0],
            leaf_bits: vec![0xc02, 0x32],
            table_size: 1024,
            root,
            next,
        }
    }

    /// Maps a range in the largest pages that fit.
    pub fn map_range(&mut self, memory: &mut Physical, virt: Range<u64>, pa: u64) {
        let fits = |level: &usize| {
            let size = 1 << self.levels[*level].0;
            self.leaf_bits[*level] != 0
                && virt.end - virt.start >= size
                && (virt.start | pa).is_multiple_of(size)
        };
        let level = (0..self.levels.len()).find(fits).expect("a page");
        for offset in (0..virt.end - virt.start).step_by(1 << self.levels[level].0) {
            self.map(memory, virt.start + offset, pa + offset, level);
        }
    }

    /// Maps the page of a level (0: the top one) that begins at `va`.
    pub fn map(&mut self, memory: &mut Physical, va: u64, pa: u64, level: usize) {
        let mut table = self.root;
        for (above, bits) in self.table_bits.clone().into_iter().enumerate().take(level) {
            let at = self.place(table, va, above);
            table = match memory.entry(at, self.entry_bytes, Endian::Little) {
                0 => {
                    let new = self.next;
                    self.next += self.table_size;
                    memory.write(new, &vec![0; self.table_size as usize]);
                    self.enter(memory, at, new | bits);
                    new
                }
                entry => entry & 0x000f_ffff_ffff_ffff & !(self.table_size - 1),
            };
        }
        let at = self.place(table, va, level);
        self.enter(memory, at, pa | self.leaf_bits[level]);
    }

    /// Where the entry for an address lies in a table of a level.
    pub fn place(&self, table: u64, va: u64, level: usize) -> u64 {
        let (shift, bits) = self.levels[level];
        table + (va >> shift & ((1 << bits) - 1)) * self.entry_bytes as u64
    }

    pub fn enter(&self, memory: &mut Physical, at: u64, entry: u64) {
        memory.write(at, &entry.to_le_bytes()[..self.entry_bytes]);
    }
}

/// The bytes of raw memory from physical address 0 to behind the last page.
pub fn raw(memory: &Physical) -> Vec<u8> {
    let end = memory.pages.last_key_value().map_or(0, |(pa, page)| pa + page.len() as u64);
    let mut file = vec![0; end as usize];
    for (pa, page) in &memory.pages {
        put(&mut file, *pa as usize, page);
    }
    file
}
