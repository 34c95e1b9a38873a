//! FreeBSD/amd64 minidumps, versions 1 to 3.
//!
//! The file is: header, message buffer, (version 3) the ranges of physical memory, a bit for each physical page,
//! the kernel's page-table entries, and the pages whose bit is set. Each part starts on a page of its own.
//! Version 1 keeps one entry for each 4 KiB of kernel address space; later versions one for each 2 MiB, and the
//! page tables these lead to are dumped pages like any other.

use super::bytes::{Endian, put, round_up};
use std::collections::BTreeMap;
use std::ops::Range;

pub const PAGE: u64 = 4096;
pub const SUPERPAGE: u64 = 2 << 20;
pub const HUGEPAGE: u64 = 1 << 30;

/// Where the kernel's address space begins since FreeBSD 8. Its entries up to the kernel's text take 8 MiB.
pub const KERNBASE: u64 = 0xffff_fe00_0000_0000;
/// Where it began when version 1 was written: close to the text, so that a flat array stays small.
pub const OLD_KERNBASE: u64 = 0xffff_ffff_8000_0000;
pub const DMAP: Range<u64> = 0xffff_f800_0000_0000..0xffff_fc00_0000_0000;

const VALID: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const SUPER: u64 = 1 << 7;
const GLOBAL: u64 = 1 << 8;
const NO_EXECUTE: u64 = 1 << 63;

/// What a mapping allows besides reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    Execute,
    Write,
}

impl Rights {
    fn bits(self) -> u64 {
        VALID
            | ACCESSED
            | GLOBAL
            | match self {
                Self::Execute => 0,
                Self::Write => WRITABLE | DIRTY | NO_EXECUTE,
            }
    }
}

/// The dump, filled page by page.
#[derive(Clone, Debug)]
pub struct Minidump {
    pub endian: Endian,
    pub kernbase: u64,
    pub dmap: Range<u64>,
    /// The machine's physical memory, lowest first. Version 3 stores it; the builder takes its page tables from the
    /// end of the last range.
    pub memory: Vec<Range<u64>>,
    pub msgbuf: Vec<u8>,
    version: u32,
    frames_taken: u64,
    pages: BTreeMap<u64, Vec<u8>>,
    /// Page-table entries, by the number of the 4 KiB (version 1) or 2 MiB of address space they stand for.
    entries: BTreeMap<u64, u64>,
    mappings: Vec<Mapping>,
}

#[derive(Clone, Debug)]
struct Mapping {
    virt: Range<u64>,
    phys: u64,
}

/// Where the parts stand in the file, without their padding.
#[derive(Clone, Debug)]
pub struct Layout {
    pub header: Range<usize>,
    pub msgbuf: Range<usize>,
    /// Empty before version 3.
    pub dump_avail: Range<usize>,
    pub bitmap: Range<usize>,
    pub pmap: Range<usize>,
    pub sparse: Range<usize>,
    /// File offset of each dumped page, by physical address.
    pub pages: BTreeMap<u64, usize>,
    dmap: Range<u64>,
    mappings: Vec<Mapping>,
}

impl Minidump {
    pub fn new(version: u32) -> Self {
        assert!((1..=3).contains(&version), "there is no version {version}");
        Self {
            endian: Endian::Little,
            kernbase: if version == 1 { OLD_KERNBASE } else { KERNBASE },
            dmap: DMAP,
            memory: vec![0x1000..0x9f000, 0x10_0000..0x400_0000, 0x1_0000_0000..0x1_0100_0000],
            msgbuf: Vec::new(),
            version,
            frames_taken: 0,
            pages: BTreeMap::new(),
            entries: BTreeMap::new(),
            mappings: Vec::new(),
        }
    }

    /// Takes a physical page nobody uses. Neighbours are handed out downwards, so that what is contiguous in
    /// kernel address space is not so in memory.
    pub fn take_frame(&mut self) -> u64 {
        self.frames_taken += PAGE;
        let last = self.memory.last().expect("a machine without memory");
        let frame = last.end - self.frames_taken;
        assert!(last.contains(&frame), "out of memory");
        frame
    }

    /// Maps `size` bytes, one of `PAGE`, `SUPERPAGE` and `HUGEPAGE`. A page that is never written stays undumped.
    pub fn map(&mut self, va: u64, pa: u64, size: u64, rights: Rights) {
        let step = if self.version == 1 { PAGE } else { size.min(SUPERPAGE) };
        assert!(va.is_multiple_of(size) && pa.is_multiple_of(size), "{va:#x} -> {pa:#x} is not aligned");
        for offset in (0..size).step_by(step as usize) {
            let (va, entry) = (va + offset, (pa + offset) | rights.bits());
            match (self.version, size) {
                (1, _) => self.enter(va >> 12, entry),
                (_, PAGE) => self.enter_in_table(va, entry),
                _ => self.enter(va >> 21, entry | SUPER),
            }
        }
        self.mappings.push(Mapping { virt: va..va + size, phys: pa });
    }

    fn enter(&mut self, number: u64, entry: u64) {
        self.entries.insert(number, entry);
    }

    /// Enters a 4 KiB page in the page table of its 2 MiB, which is made if need be.
    fn enter_in_table(&mut self, va: u64, entry: u64) {
        let table = match self.entries.get(&(va >> 21)) {
            Some(directory_entry) => directory_entry & !0xfff,
            None => {
                let table = self.take_frame();
                self.enter(va >> 21, table | VALID | WRITABLE | ACCESSED | DIRTY);
                table
            }
        };
        let bytes = self.endian.u64(entry);
        self.write_physical(table + ((va >> 12) & 511) * 8, &bytes);
    }

    /// Writes through the direct map or a mapping; the pages touched are dumped.
    pub fn write(&mut self, va: u64, bytes: &[u8]) {
        let mut done = 0;
        while done < bytes.len() {
            let at = va + done as u64;
            let room = (PAGE - at % PAGE) as usize;
            let piece = &bytes[done..bytes.len().min(done + room)];
            let pa =
                physical(&self.dmap, &self.mappings, at).unwrap_or_else(|| panic!("{at:#x} is not mapped"));
            self.write_physical(pa, piece);
            done += piece.len();
        }
    }

    /// Writes within one physical page, which is dumped.
    pub fn write_physical(&mut self, pa: u64, bytes: &[u8]) {
        assert!(self.memory.iter().any(|range| range.contains(&pa)), "no memory at {pa:#x}");
        let page = self.pages.entry(pa & !(PAGE - 1)).or_insert_with(|| vec![0; PAGE as usize]);
        put(page, (pa % PAGE) as usize, bytes);
    }

    /// Leaves a physical page out of the dump, mapped or not.
    pub fn omit(&mut self, pa: u64) {
        self.pages.remove(&(pa & !(PAGE - 1)));
    }

    pub fn build(&self) -> (Vec<u8>, Layout) {
        let (avail, bitmap, pmap) = (self.dump_avail(), self.bitmap(), self.pmap());
        let mut file = Vec::new();
        let header = append(&mut file, &self.header(avail.len(), bitmap.len(), pmap.len()));
        let msgbuf = append(&mut file, &self.msgbuf);
        let dump_avail = append(&mut file, &avail);
        let bitmap = append(&mut file, &bitmap);
        let pmap = append(&mut file, &pmap);
        let start = file.len();
        let pages = self.pages.iter().map(|(pa, page)| (*pa, append(&mut file, page).start)).collect();
        let sparse = start..file.len();
        let (dmap, mappings) = (self.dmap.clone(), self.mappings.clone());
        (file, Layout { header, msgbuf, dump_avail, bitmap, pmap, sparse, pages, dmap, mappings })
    }

    fn header(&self, avail: usize, bitmap: usize, pmap: usize) -> Vec<u8> {
        let e = self.endian;
        let mut header = b"minidump FreeBSD/amd64\0\0".to_vec();
        for size in [self.version, self.msgbuf.len() as u32, bitmap as u32, pmap as u32] {
            header.extend(e.u32(size));
        }
        for address in [self.kernbase, self.dmap.start, self.dmap.end] {
            header.extend(e.u64(address));
        }
        if self.version >= 3 {
            header.extend(e.u32(avail as u32));
            header.extend(e.u32(0));
        }
        header
    }

    /// Pairs of first and behind-the-last address, and a pair of zeros; nothing before version 3.
    fn dump_avail(&self) -> Vec<u8> {
        if self.version < 3 {
            return Vec::new();
        }
        let pairs = self.memory.iter().flat_map(|range| [range.start, range.end]);
        let mut bytes: Vec<u8> = pairs.chain([0, 0]).flat_map(|address| self.endian.u64(address)).collect();
        bytes.resize(round_up(bytes.len(), PAGE as usize), 0);
        bytes
    }

    fn bitmap(&self) -> Vec<u8> {
        let last = self.memory.last().expect("a machine without memory").end - 1;
        let bytes = (self.bit_of(last) / 8 + 1) as usize;
        let mut words = vec![0_u64; round_up(bytes, PAGE as usize) / 8];
        for pa in self.pages.keys() {
            let bit = self.bit_of(*pa);
            words[(bit / 64) as usize] |= 1 << (bit % 64);
        }
        words.into_iter().flat_map(|word| self.endian.u64(word)).collect()
    }

    /// The number of a page's bit: its place in the ranges of memory, or before version 3 simply its number.
    fn bit_of(&self, pa: u64) -> u64 {
        if self.version < 3 {
            return pa / PAGE;
        }
        let mut before = 0;
        for range in &self.memory {
            let first = range.start / PAGE;
            if range.contains(&pa) {
                return before + pa / PAGE - first;
            }
            before += range.end.div_ceil(PAGE) - first;
        }
        panic!("no memory at {pa:#x}");
    }

    fn pmap(&self) -> Vec<u8> {
        let first = self.kernbase >> if self.version == 1 { 12 } else { 21 };
        let last = self.entries.keys().next_back().map_or(first, |number| number + 1);
        let mut bytes = vec![0; round_up((last - first) as usize * 8, PAGE as usize)];
        for (number, entry) in &self.entries {
            put(&mut bytes, (number - first) as usize * 8, &self.endian.u64(*entry));
        }
        bytes
    }
}

impl Layout {
    /// The physical address behind a kernel virtual one.
    pub fn physical(&self, va: u64) -> Option<u64> {
        physical(&self.dmap, &self.mappings, va)
    }

    /// The file offset of the byte at a kernel virtual address, if it is mapped and dumped.
    pub fn offset(&self, va: u64) -> Option<usize> {
        let pa = self.physical(va)?;
        let page = self.pages.get(&(pa & !(PAGE - 1)))?;
        Some(page + (pa % PAGE) as usize)
    }
}

fn physical(dmap: &Range<u64>, mappings: &[Mapping], va: u64) -> Option<u64> {
    if dmap.contains(&va) {
        return Some(va - dmap.start);
    }
    let mapping = mappings.iter().rev().find(|mapping| mapping.virt.contains(&va))?;
    Some(va - mapping.virt.start + mapping.phys)
}

/// Appends a part and pads it to a page; says where the part itself stands.
fn append(file: &mut Vec<u8>, bytes: &[u8]) -> Range<usize> {
    let start = file.len();
    file.extend(bytes);
    let end = file.len();
    file.resize(round_up(end, PAGE as usize), 0);
    start..end
}
