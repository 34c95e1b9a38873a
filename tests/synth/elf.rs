//! ELF files: sections, symbols, and a segment for each section that is loaded.

use super::bytes::{Endian, put, round_up};
use std::collections::BTreeMap;

pub const ET_EXEC: u16 = 2;
pub const ET_DYN: u16 = 3;
pub const ET_CORE: u16 = 4;

pub const EM_X86_64: u16 = 62;

pub const SHT_PROGBITS: u32 = 1;
pub const SHT_NOTE: u32 = 7;
const SHT_SYMTAB: u32 = 2;
const SHT_STRTAB: u32 = 3;
const SHT_HASH: u32 = 5;
const SHT_NOBITS: u32 = 8;

pub const SHF_WRITE: u64 = 1;
pub const SHF_ALLOC: u64 = 2;
pub const SHF_EXECINSTR: u64 = 4;

pub const STT_NOTYPE: u8 = 0;
pub const STT_OBJECT: u8 = 1;
pub const STT_FUNC: u8 = 2;

const SHN_ABS: u16 = 0xfff1;
const STB_GLOBAL: u8 = 1;
const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;

const PAGE: usize = 4096;

/// Sizes of ELF's structures: file header, program header, section header, symbol.
type Sizes = [usize; 4];
const SIZES_64: Sizes = [64, 56, 64, 24];
const SIZES_32: Sizes = [52, 32, 40, 16];

/// What the file is to hold.
#[derive(Clone, Debug)]
pub struct Elf {
    pub endian: Endian,
    /// Bytes of an address: 4 or 8.
    pub word: u64,
    pub flags: u32,
    pub machine: u16,
    /// `ET_EXEC`, `ET_DYN` or `ET_CORE`.
    pub kind: u16,
    pub os_abi: u8,
    pub entry: u64,
    pub sections: Vec<Section>,
    pub symbols: Vec<Symbol>,
    /// Whether a hash table of the symbols is in the file, as a linker makes for what others link against.
    pub hashed: bool,
}

#[derive(Clone, Debug)]
pub struct Section {
    pub name: String,
    /// Ignored for `Contents::Zeros`, which is always NOBITS.
    pub kind: u32,
    pub flags: u64,
    pub address: u64,
    pub contents: Contents,
}

#[derive(Clone, Debug)]
pub enum Contents {
    Bytes(Vec<u8>),
    /// That many bytes in memory, none in the file.
    Zeros(u64),
}

/// A global symbol.
#[derive(Clone, Debug)]
pub struct Symbol {
    pub name: String,
    pub address: u64,
    pub size: u64,
    /// `STT_NOTYPE`, `STT_OBJECT` or `STT_FUNC`.
    pub kind: u8,
    /// The section it lies in, by name; `None` for an absolute symbol.
    pub section: Option<String>,
}

impl Elf {
    /// An empty x86-64 executable.
    pub fn amd64() -> Self {
        Self {
            endian: Endian::Little,
            word: 8,
            flags: 0,
            machine: EM_X86_64,
            kind: ET_EXEC,
            os_abi: 0,
            entry: 0,
            sections: Vec::new(),
            symbols: Vec::new(),
            hashed: false,
        }
    }

    /// Adds a loaded `.note.gnu.build-id`.
    pub fn with_build_id(mut self, address: u64, id: &[u8]) -> Self {
        const NT_GNU_BUILD_ID: u32 = 3;
        let mut note = Vec::new();
        for word in [4, id.len() as u32, NT_GNU_BUILD_ID] {
            note.extend(self.endian.u32(word));
        }
        note.extend(b"GNU\0");
        note.extend(id);
        note.resize(round_up(note.len(), 4), 0);
        self.sections.push(Section {
            name: ".note.gnu.build-id".into(),
            kind: SHT_NOTE,
            flags: SHF_ALLOC,
            address,
            contents: Contents::Bytes(note),
        });
        self
    }

    fn sizes(&self) -> Sizes {
        if self.word == 4 { SIZES_32 } else { SIZES_64 }
    }

    /// An address, an offset or a size.
    fn word(&self, value: u64) -> Vec<u8> {
        match self.word {
            4 => self.endian.u32(u32::try_from(value).expect("32 bits")).to_vec(),
            _ => self.endian.u64(value).to_vec(),
        }
    }

    pub fn build(&self) -> Vec<u8> {
        let [file_header, program_header, section_header, _] = self.sizes();
        let sections = self.all_sections();
        let segments: Vec<(u32, &Section)> = self.segments().collect();
        let mut file = vec![0; file_header + segments.len() * program_header];
        let offsets: Vec<usize> = sections.iter().map(|s| append(&mut file, s)).collect();

        for (i, (kind, section)) in segments.iter().enumerate() {
            let index = sections.iter().position(|s| s.name == section.name).unwrap();
            let header = self.program_header(*kind, section, offsets[index]);
            put(&mut file, file_header + i * program_header, &header);
        }
        file.resize(round_up(file.len(), 8), 0);
        let headers_at = file.len();
        file.resize(headers_at + section_header, 0);
        let names = Strings::of(sections.iter().map(|s| s.name.as_str()));
        for (section, offset) in sections.iter().zip(offsets) {
            let about = if section.kind == SHT_HASH { ".symtab" } else { ".strtab" };
            let link = sections.iter().position(|s| s.name == about).unwrap() as u32 + 1;
            file.extend(self.section_header(section, names.at(&section.name), offset, link));
        }
        put(&mut file, 0, &self.file_header(segments.len(), headers_at, sections.len() + 1));
        file
    }

    /// A segment for each section that is loaded, by address as the format demands, and another for each note.
    fn segments(&self) -> impl Iterator<Item = (u32, &Section)> {
        let mut loaded: Vec<&Section> = self.sections.iter().filter(|s| s.is_loaded()).collect();
        loaded.sort_by_key(|s| s.address);
        loaded
            .into_iter()
            .map(|s| (PT_LOAD, s))
            .chain(self.sections.iter().filter(|s| s.kind == SHT_NOTE).map(|s| (PT_NOTE, s)))
    }

    /// The sections, and behind them the tables.
    fn all_sections(&self) -> Vec<Section> {
        let mut all = self.sections.clone();
        let names = Strings::of(self.symbols.iter().map(|s| s.name.as_str()));
        let symbols = self.symbol_table(&all, &names);
        all.push(Section::table(".symtab", SHT_SYMTAB, symbols));
        all.push(Section::table(".strtab", SHT_STRTAB, names.bytes));
        if self.hashed {
            all.push(Section::table(".hash", SHT_HASH, self.hash_table()));
        }
        let names = Strings::of(all.iter().map(|s| s.name.as_str()).chain([".shstrtab"]));
        all.push(Section::table(".shstrtab", SHT_STRTAB, names.bytes));
        all
    }

    /// Numbers of buckets and symbols; the first symbol of each bucket; the next of each symbol's. 0 ends a bucket.
    fn hash_table(&self) -> Vec<u8> {
        let count = self.symbols.len() + 1;
        let buckets = count.div_ceil(2);
        let (mut first, mut next) = (vec![0; buckets], vec![0; count]);
        for (index, symbol) in (1..).zip(&self.symbols) {
            let bucket = hash(&symbol.name) as usize % buckets;
            next[index as usize] = first[bucket];
            first[bucket] = index;
        }
        let words = [buckets as u32, count as u32].into_iter().chain(first).chain(next);
        words.flat_map(|word| self.endian.u32(word)).collect()
    }

    fn symbol_table(&self, sections: &[Section], names: &Strings) -> Vec<u8> {
        let mut table = vec![0; self.sizes()[3]];
        for symbol in &self.symbols {
            let home = symbol.section.as_ref().map_or(SHN_ABS, |name| {
                let index = sections.iter().position(|s| s.name == *name);
                index.unwrap_or_else(|| panic!("{} lies in no section {name}", symbol.name)) as u16 + 1
            });
            let (name, info) =
                (self.endian.u32(names.at(&symbol.name)), [(STB_GLOBAL << 4) | symbol.kind, 0]);
            let place = [self.word(symbol.address), self.word(symbol.size)].concat();
            let parts: [&[u8]; 4] = match self.word {
                4 => [&name, &place, &info, &self.endian.u16(home)],
                _ => [&name, &info, &self.endian.u16(home), &place],
            };
            table.extend(parts.concat());
        }
        table
    }

    fn file_header(&self, segments: usize, sections_at: usize, sections: usize) -> Vec<u8> {
        let e = self.endian;
        let data = if e == Endian::Little { 1 } else { 2 };
        let class = if self.word == 4 { 1 } else { 2 };
        let mut header = vec![0x7f, b'E', b'L', b'F', class, data, 1, self.os_abi];
        header.resize(16, 0);
        header.extend(e.u16(self.kind));
        header.extend(e.u16(self.machine));
        header.extend(e.u32(1));
        let [file_header, program_header, section_header, _] = self.sizes();
        for word in [self.entry, file_header as u64, sections_at as u64] {
            header.extend(self.word(word));
        }
        header.extend(e.u32(self.flags));
        for half in [file_header, program_header, segments, section_header, sections, sections - 1] {
            header.extend(e.u16(half as u16));
        }
        header
    }

    fn program_header(&self, kind: u32, section: &Section, offset: usize) -> Vec<u8> {
        let mut header = Vec::new();
        header.extend(self.endian.u32(kind));
        if self.word == 8 {
            header.extend(self.endian.u32(section.rights()));
        }
        let in_file = section.in_file().len() as u64;
        let (address, size) = (section.address, section.size());
        let alignment = if kind == PT_LOAD { PAGE as u64 } else { section.alignment() };
        for word in [offset as u64, address, address, in_file, size] {
            header.extend(self.word(word));
        }
        if self.word == 4 {
            header.extend(self.endian.u32(section.rights()));
        }
        header.extend(self.word(alignment));
        header
    }

    fn section_header(&self, section: &Section, name: u32, offset: usize, link_to: u32) -> Vec<u8> {
        let (link, info, entry) = match section.kind {
            SHT_SYMTAB => (link_to, 1, self.sizes()[3] as u64),
            SHT_HASH => (link_to, 0, 4),
            _ => (0, 0, 0),
        };
        let e = self.endian;
        let mut header = Vec::new();
        header.extend(e.u32(name));
        header.extend(e.u32(section.kind()));
        for word in [section.flags, section.address, offset as u64, section.size()] {
            header.extend(self.word(word));
        }
        header.extend(e.u32(link));
        header.extend(e.u32(info));
        header.extend(self.word(section.alignment()));
        header.extend(self.word(entry));
        header
    }
}

impl Section {
    fn table(name: &str, kind: u32, bytes: Vec<u8>) -> Self {
        Self { name: name.into(), kind, flags: 0, address: 0, contents: Contents::Bytes(bytes) }
    }

    fn is_loaded(&self) -> bool {
        self.flags & SHF_ALLOC != 0
    }

    fn kind(&self) -> u32 {
        match self.contents {
            Contents::Bytes(_) => self.kind,
            Contents::Zeros(_) => SHT_NOBITS,
        }
    }

    fn size(&self) -> u64 {
        match &self.contents {
            Contents::Bytes(bytes) => bytes.len() as u64,
            Contents::Zeros(size) => *size,
        }
    }

    fn in_file(&self) -> &[u8] {
        match &self.contents {
            Contents::Bytes(bytes) => bytes,
            Contents::Zeros(_) => &[],
        }
    }

    fn alignment(&self) -> u64 {
        match self.kind {
            SHT_NOTE => 4,
            SHT_STRTAB => 1,
            SHT_SYMTAB => 8,
            _ => 16,
        }
    }

    /// The rights of its segment: execute 1, write 2, read 4.
    fn rights(&self) -> u32 {
        let execute = u32::from(self.flags & SHF_EXECINSTR != 0);
        let write = u32::from(self.flags & SHF_WRITE != 0) << 1;
        4 | write | execute
    }
}

/// Appends a section's bytes, at an offset that equals its address modulo the page, as loaders want it.
fn append(file: &mut Vec<u8>, section: &Section) -> usize {
    let within = section.address as usize % PAGE;
    let unit = if section.is_loaded() { PAGE } else { section.alignment() as usize };
    let offset = round_up(file.len().saturating_sub(within), unit) + within;
    if !section.in_file().is_empty() {
        file.resize(offset, 0);
        file.extend(section.in_file());
    }
    offset
}

/// ELF's hash of a name, in 64 bits for the shifts' sake.
fn hash(name: &str) -> u32 {
    let mut hash = 0_u64;
    for byte in name.bytes() {
        hash = (hash * 16 + u64::from(byte)) & 0xffff_ffff;
        let top = hash >> 28;
        hash = (hash ^ (top << 4)) & 0x0fff_ffff;
    }
    hash as u32
}

/// A string table.
struct Strings {
    bytes: Vec<u8>,
    places: BTreeMap<String, u32>,
}

impl Strings {
    fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut table = Self { bytes: vec![0], places: BTreeMap::new() };
        for name in names {
            table.places.insert(name.into(), table.bytes.len() as u32);
            table.bytes.extend(name.bytes().chain([0]));
        }
        table
    }

    fn at(&self, name: &str) -> u32 {
        self.places[name]
    }
}
