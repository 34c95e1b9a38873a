//! Minidumps of every machine.
//!
//! The file is: header, message buffer, (in newer versions) the ranges of physical memory, a bit for each physical page,
//! what is kept of the page tables, and the pages whose bit is set. Each part starts on a page of its own. Most machines
//! keep one entry for each page of kernel address space; amd64 since version 2 one for each 2 MiB, and the page tables
//! these lead to are dumped pages like any other.

use super::bytes::{Endian, put, round_up};
use super::machine::{self, Header, Machine, Tables, Tree};
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

/// Groups of a hashed page table: the fewest that processors allow.
pub const GROUPS: usize = 2048;

/// The dump, filled page by page.
#[derive(Clone, Debug)]
pub struct Minidump {
    pub machine: &'static Machine,
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
    /// Pairs of words, eight to a group.
    hashed: Vec<[u64; 2]>,
    /// What is written instead of the machine's mode.
    pub mode: Option<u32>,
    /// The name of the page tables' kind, where the mode is a name.
    pub mmu_name: Option<&'static str>,
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
    dmap_phys: u64,
    page: u64,
    mappings: Vec<Mapping>,
}

impl Minidump {
    /// A dump of amd64.
    pub fn new(version: u32) -> Self {
        Self::of(&machine::AMD64, version)
    }

    pub fn of(machine: &'static Machine, version: u32) -> Self {
        assert!((1..=machine.newest).contains(&version), "there is no version {version}");
        let (ram, page) = (machine.ram, machine.page);
        let first = ram + page..ram + 0x9f000 / page * page;
        Self {
            machine,
            endian: machine.endian,
            kernbase: (machine.kernbase)(version),
            dmap: machine.dmap.clone(),
            memory: vec![first, ram + 0x10_0000..ram + 0x400_0000, machine.last_ram.clone()],
            msgbuf: Vec::new(),
            version,
            frames_taken: 0,
            pages: BTreeMap::new(),
            entries: BTreeMap::new(),
            mappings: Vec::new(),
            hashed: Vec::new(),
            mode: None,
            mmu_name: None,
        }
    }

    fn tables(&self) -> Tables {
        (self.machine.tables)(self.version)
    }

    /// Takes a physical page nobody uses. Neighbours are handed out downwards, so that what is contiguous in
    /// kernel address space is not so in memory.
    pub fn take_frame(&mut self) -> u64 {
        self.frames_taken += self.machine.page;
        let last = self.memory.last().expect("a machine without memory");
        let frame = last.end - self.frames_taken;
        assert!(last.contains(&frame), "out of memory");
        frame
    }

    /// Maps `size` bytes, one of a page, `SUPERPAGE` and `HUGEPAGE`. A page that is never written stays undumped.
    pub fn map(&mut self, va: u64, pa: u64, size: u64, rights: Rights) {
        assert!(va.is_multiple_of(size) && pa.is_multiple_of(size), "{va:#x} -> {pa:#x} is not aligned");
        match self.tables() {
            Tables::Directory => self.map_in_directory(va, pa, size, rights),
            Tables::Flat(_, entry) => {
                for offset in (0..size).step_by(self.machine.page as usize) {
                    self.enter((va + offset) / self.machine.page, entry(pa + offset, rights));
                }
            }
            Tables::Tree(tree) => {
                let large = self.machine.header == Header::DragonFly && size != PAGE;
                let leaf = (tree.entry)(pa, Some(rights)) | if large { SUPER } else { 0 };
                self.enter_in_tree(tree, va, size, leaf);
            }
            Tables::Hash(_) => {
                (0..size).step_by(PAGE as usize).for_each(|at| self.hash(va + at, pa + at, rights))
            }
        }
        self.mappings.push(Mapping { virt: va..va + size, phys: pa });
    }

    fn map_in_directory(&mut self, va: u64, pa: u64, size: u64, rights: Rights) {
        for offset in (0..size).step_by(size.min(SUPERPAGE) as usize) {
            let (va, entry) = (va + offset, (pa + offset) | rights.bits());
            match size {
                PAGE => self.enter_in_table(va, entry),
                _ => self.enter(va >> 21, entry | SUPER),
            }
        }
    }

    /// Makes a range of addresses readable that no table tells of.
    pub fn alias(&mut self, virt: Range<u64>, phys: u64) {
        self.mappings.push(Mapping { virt, phys });
    }

    /// Writes an entry of whatever kind for one page, of a machine with an entry for every page.
    pub fn set_entry(&mut self, va: u64, entry: u64) {
        self.enter(va / self.machine.page, entry);
    }

    /// Enters a page of `size` bytes in a tree; tables are made where they are missing.
    fn enter_in_tree(&mut self, tree: Tree, va: u64, size: u64, leaf: u64) {
        let index = |shift: u32, entries: u64| va >> shift & (entries - 1);
        let first = index(tree.shifts[0], tree.top);
        let known = self.entries.get(&first).copied().unwrap_or(0);
        let mut table = self.table(tree, known, |dump, entry| dump.enter(first, entry));
        for shift in &tree.shifts[1..] {
            let at = table + index(*shift, 512) * 8;
            if 1 << shift == size {
                return self.write_physical(at, &tree.endian.u64(leaf));
            }
            let bytes = self.pages[&(table & !(PAGE - 1))][(at % PAGE) as usize..][..8].try_into();
            let bytes: [u8; 8] = bytes.expect("eight bytes");
            let big = tree.endian == Endian::Big;
            let known = if big { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) };
            table = self.table(tree, known, |dump, entry| dump.write_physical(at, &tree.endian.u64(entry)));
        }
        panic!("no level has pages of {size:#x} bytes");
    }

    /// The table that an entry leads to; an empty one is filled in.
    fn table(&mut self, tree: Tree, entry: u64, fill: impl FnOnce(&mut Self, u64)) -> u64 {
        if entry != 0 {
            return entry & 0x000f_ffff_ffff_f000;
        }
        let table = self.take_frame();
        self.write_physical(table, &[0; 8]);
        fill(self, (tree.entry)(table, None));
        table
    }

    /// Enters a 4 KiB page in the hashed table, in the second group if the first is full.
    fn hash(&mut self, va: u64, pa: u64, rights: Rights) {
        self.hashed.resize(GROUPS * 8, [0; 2]);
        let esid = va >> 28;
        let vsid = (((esid << 8 | esid >> 28) * 0x13bb) % (1 << 36)) | 1 << 36;
        let page = va >> 12 & 0xffff;
        let hash = (vsid % (1 << 39)) ^ page;
        let high = vsid << 12 | page >> 11 << 7 | 1;
        let low = pa
            | match rights {
                Rights::Execute => 3,
                Rights::Write => 2 | 4,
            };
        for (hash, secondary) in [(hash, 0), (!hash, 2)] {
            let group = hash as usize % GROUPS * 8;
            if let Some(free) = self.hashed[group..group + 8].iter_mut().find(|entry| entry[0] == 0) {
                *free = [high | secondary, low];
                return;
            }
        }
        panic!("both groups are full");
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
            let room = (self.machine.page - at % self.machine.page) as usize;
            let piece = &bytes[done..bytes.len().min(done + room)];
            let pa = physical(&self.dmap, self.machine.dmap_phys, &self.mappings, at);
            let pa = pa.unwrap_or_else(|| panic!("{at:#x} is not mapped"));
            self.write_physical(pa, piece);
            done += piece.len();
        }
    }

    /// Writes within one physical page, which is dumped.
    pub fn write_physical(&mut self, pa: u64, bytes: &[u8]) {
        assert!(self.memory.iter().any(|range| range.contains(&pa)), "no memory at {pa:#x}");
        let size = self.machine.page;
        let page = self.pages.entry(pa & !(size - 1)).or_insert_with(|| vec![0; size as usize]);
        put(page, (pa % size) as usize, bytes);
    }

    /// Leaves a physical page out of the dump, mapped or not.
    pub fn omit(&mut self, pa: u64) {
        self.pages.remove(&(pa & !(self.machine.page - 1)));
    }

    /// The physical pages that are dumped.
    pub fn dumped(&self) -> impl Iterator<Item = u64> + '_ {
        self.pages.keys().copied()
    }

    /// What was written, by physical address.
    pub fn physical(&self) -> &BTreeMap<u64, Vec<u8>> {
        &self.pages
    }

    /// The physical address behind a kernel virtual one.
    pub fn translated(&self, va: u64) -> Option<u64> {
        physical(&self.dmap, self.machine.dmap_phys, &self.mappings, va)
    }

    /// What was mapped beside the direct map: kernel addresses, and the physical one that they begin at.
    pub fn mapped(&self) -> impl Iterator<Item = (Range<u64>, u64)> {
        self.mappings.iter().map(|mapping| (mapping.virt.clone(), mapping.phys))
    }

    pub fn build(&self) -> (Vec<u8>, Layout) {
        let (avail, bitmap, pmap) = (self.dump_avail(), self.bitmap(), self.pmap());
        let page = self.machine.page as usize;
        let mut file = Vec::new();
        let header = append(&mut file, &self.header(avail.len(), bitmap.len(), pmap.len()), page);
        let msgbuf = append(&mut file, &self.msgbuf, page);
        let dump_avail = append(&mut file, &avail, page);
        let bitmap = append(&mut file, &bitmap, page);
        let pmap = append(&mut file, &pmap, page);
        let start = file.len();
        let pages =
            self.pages.iter().map(|(pa, bytes)| (*pa, append(&mut file, bytes, page).start)).collect();
        let sparse = start..file.len();
        let (dmap, mappings) = (self.dmap.clone(), self.mappings.clone());
        let (dmap_phys, page) = (self.machine.dmap_phys, self.machine.page);
        (
            file,
            Layout {
                header,
                msgbuf,
                dump_avail,
                bitmap,
                pmap,
                sparse,
                pages,
                dmap,
                dmap_phys,
                page,
                mappings,
            },
        )
    }

    fn header(&self, avail: usize, bitmap: usize, pmap: usize) -> Vec<u8> {
        let m = self.machine;
        let mut header = m.magic.as_bytes().to_vec();
        header.resize(m.magic_bytes, 0);
        let mut out = Fields { endian: self.endian, bytes: header };
        if m.header == Header::DragonFly {
            out.u32s(&[self.version, 0]);
            out.u64s(&[
                self.msgbuf.len() as u64,
                bitmap as u64,
                pmap as u64,
                self.kernbase,
                self.dmap.start,
                self.dmap.end,
            ]);
            return out.bytes;
        }
        if m.header == Header::Ppc64 {
            let known = ["mmu_g5", "mmu_phyp", "mmu_radix"][m.mode as usize];
            out.bytes.extend(self.mmu_name.unwrap_or(known).bytes());
            out.bytes.resize(64, 0);
        }
        out.u32s(&[self.version, self.msgbuf.len() as u32, bitmap as u32, pmap as u32]);
        let (dmap, mode) = (&self.dmap, self.mode.unwrap_or(m.mode));
        match m.header {
            Header::Amd64 => out.u64s(&[self.kernbase, dmap.start, dmap.end]),
            Header::Arm64 => out.u64s(&[self.kernbase, m.dmap_phys, dmap.start, dmap.end]),
            Header::I386 => out.u32s(&[self.kernbase as u32, mode]),
            Header::Arm => out.u32s(&[self.kernbase as u32, 7, mode]),
            Header::Ppc64 => {
                // Both ends are the last address: of the kernel's map, and of the direct map.
                out.u64s(&[self.kernbase, m.kernend - 1, dmap.start, dmap.end - 1]);
                out.u32s(&[0, 0]);
                let start = m.moved.wrapping_add(0x10_0100);
                out.u64s(&[start, start + 0x40_0000]);
            }
            Header::DragonFly => unreachable!("written above"),
        }
        if self.version >= m.ranges_since {
            out.u32s(&[avail as u32]);
            // arm64's third version has flags here; elsewhere it is padding.
            out.u32s(&[if self.version == 3 { mode } else { 0 }]);
        }
        out.bytes
    }

    /// Pairs of first and behind-the-last address, and a pair of zeros; nothing before version 3.
    fn dump_avail(&self) -> Vec<u8> {
        if self.version < self.machine.ranges_since {
            return Vec::new();
        }
        let pairs = self.memory.iter().flat_map(|range| [range.start, range.end]);
        let mut bytes: Vec<u8> = pairs.chain([0, 0]).flat_map(|address| self.endian.u64(address)).collect();
        bytes.resize(round_up(bytes.len(), self.machine.page as usize), 0);
        bytes
    }

    fn bitmap(&self) -> Vec<u8> {
        let last = self.memory.last().expect("a machine without memory").end - 1;
        let bytes = (self.bit_of(last) / 8 + 1) as usize;
        let mut words = vec![0_u64; round_up(bytes, self.machine.page as usize) / 8];
        for pa in self.pages.keys() {
            let bit = self.bit_of(*pa);
            words[(bit / 64) as usize] |= 1 << (bit % 64);
        }
        words.into_iter().flat_map(|word| self.endian.u64(word)).collect()
    }

    /// The number of a page's bit: its place in the ranges of memory, or in older versions simply its number.
    fn bit_of(&self, pa: u64) -> u64 {
        let size = self.machine.page;
        if self.version < self.machine.ranges_since {
            return pa / size;
        }
        let mut before = 0;
        for range in &self.memory {
            let first = range.start / size;
            if range.contains(&pa) {
                return before + pa / size - first;
            }
            before += range.end.div_ceil(size) - first;
        }
        panic!("no memory at {pa:#x}");
    }

    fn pmap(&self) -> Vec<u8> {
        match self.tables() {
            Tables::Flat(bytes, _) => self.entries_from(self.kernbase / self.machine.page, bytes as usize),
            Tables::Directory => self.entries_from(self.kernbase >> 21, 8),
            Tables::Tree(Tree { top, endian, .. }) => {
                let mut bytes = vec![0; top as usize * 8];
                self.entries
                    .iter()
                    .for_each(|(at, entry)| put(&mut bytes, *at as usize * 8, &endian.u64(*entry)));
                bytes
            }
            Tables::Hash(endian) => {
                let mut words: Vec<u64> = self.hashed.iter().flatten().copied().collect();
                words.resize(GROUPS * 16, 0);
                words.into_iter().flat_map(|word| endian.u64(word)).collect()
            }
        }
    }

    fn entries_from(&self, first: u64, size: usize) -> Vec<u8> {
        let last = self.entries.keys().next_back().map_or(first, |number| number + 1);
        let mut bytes = vec![0; round_up((last - first) as usize * size, self.machine.page as usize)];
        for (number, entry) in &self.entries {
            let entry = if size == 4 {
                self.endian.u32(*entry as u32).to_vec()
            } else {
                self.endian.u64(*entry).to_vec()
            };
            put(&mut bytes, (number - first) as usize * size, &entry);
        }
        bytes
    }
}

/// Header fields one behind the other.
struct Fields {
    endian: Endian,
    bytes: Vec<u8>,
}

impl Fields {
    fn u32s(&mut self, values: &[u32]) {
        values.iter().for_each(|value| self.bytes.extend(self.endian.u32(*value)));
    }

    fn u64s(&mut self, values: &[u64]) {
        values.iter().for_each(|value| self.bytes.extend(self.endian.u64(*value)));
    }
}

impl Layout {
    /// The physical address behind a kernel virtual one.
    pub fn physical(&self, va: u64) -> Option<u64> {
        physical(&self.dmap, self.dmap_phys, &self.mappings, va)
    }

    /// The file offset of the byte at a kernel virtual address, if it is mapped and dumped.
    pub fn offset(&self, va: u64) -> Option<usize> {
        let pa = self.physical(va)?;
        let page = self.pages.get(&(pa & !(self.page - 1)))?;
        Some(page + (pa % self.page) as usize)
    }
}

/// Mappings come first: a kernel's map may lie within the addresses set aside for the direct map.
fn physical(dmap: &Range<u64>, dmap_phys: u64, mappings: &[Mapping], va: u64) -> Option<u64> {
    if let Some(mapping) = mappings.iter().rev().find(|mapping| mapping.virt.contains(&va)) {
        return Some(va - mapping.virt.start + mapping.phys);
    }
    dmap.contains(&va).then(|| va - dmap.start + dmap_phys)
}

/// Appends a part and pads it to a page; says where the part itself stands.
fn append(file: &mut Vec<u8>, bytes: &[u8], page: usize) -> Range<usize> {
    let start = file.len();
    file.extend(bytes);
    let end = file.len();
    file.resize(round_up(end, page), 0);
    start..end
}
