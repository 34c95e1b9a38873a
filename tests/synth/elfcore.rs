//! ELF cores of kernels, of either class and byte order: a program header for each stretch of physical memory.

use super::bytes::{Endian, put};
use std::collections::BTreeMap;

pub const PT_LOAD: u32 = 1;
pub const PT_NOTE: u32 = 4;
pub const PT_DUMP_DELTA: u32 = 0x6fb5_d000;

pub const EM_386: u16 = 3;
pub const EM_PPC: u16 = 20;
pub const EM_PPC64: u16 = 21;
pub const EM_S390: u16 = 22;
pub const EM_ARM: u16 = 40;
pub const EM_X86_64: u16 = 62;
pub const EM_AARCH64: u16 = 183;

const ET_CORE: u16 = 4;
const STANDALONE: u8 = 255;
const PAGE: usize = 4096;

/// What the file is to hold.
#[derive(Clone, Debug)]
pub struct ElfCore {
    pub endian: Endian,
    pub wide: bool,
    pub machine: u16,
    /// `e_ident[EI_OSABI]`: 255 in what FreeBSD writes.
    pub brand: u8,
    /// `e_ehsize`.
    pub own_size: u16,
    pub headers: Vec<ProgramHeader>,
    /// Where the program headers stand, if not behind the file's header.
    pub headers_at: Option<u64>,
    /// Writes the number of program headers into a section header, as if it did not fit.
    pub many: bool,
}

/// A program header, and the bytes that it stands for. What is given as `Some` is written instead of what would be right.
#[derive(Clone, Debug, Default)]
pub struct ProgramHeader {
    pub kind: u32,
    pub vaddr: u64,
    pub paddr: u64,
    pub align: u64,
    pub bytes: Vec<u8>,
    pub offset: Option<u64>,
    pub filesz: Option<u64>,
    pub memsz: Option<u64>,
}

impl ElfCore {
    pub fn new(machine: u16, endian: Endian, wide: bool) -> Self {
        let own_size = if wide { 64 } else { 52 };
        let brand = STANDALONE;
        Self { endian, wide, machine, brand, own_size, headers: Vec::new(), headers_at: None, many: false }
    }

    /// As Linux's capture kernel writes it, with these segments.
    pub fn linux(machine: u16, endian: Endian, headers: Vec<ProgramHeader>) -> Self {
        Self { brand: 0, headers, ..Self::new(machine, endian, true) }
    }

    /// As QEMU writes it since 7.1: two section headers before the program headers, and `e_ehsize` is a pointer's size.
    pub fn qemu(self) -> Self {
        Self { own_size: 8, headers_at: Some(192), ..self }
    }

    /// A segment for each run of pages, by physical address; `p_vaddr` says the same, as FreeBSD writes it.
    pub fn of_pages(machine: u16, endian: Endian, wide: bool, pages: &BTreeMap<u64, Vec<u8>>) -> Self {
        let mut core = Self::new(machine, endian, wide);
        for (pa, page) in pages {
            match core.headers.last_mut() {
                Some(last) if last.paddr + last.bytes.len() as u64 == *pa => last.bytes.extend(page),
                _ => core.headers.push(ProgramHeader::load(*pa, page)),
            }
        }
        core
    }

    pub fn with_delta(mut self, vaddr: u64, paddr: u64, align: u64) -> Self {
        self.headers.push(ProgramHeader {
            kind: PT_DUMP_DELTA,
            vaddr,
            paddr,
            align,
            ..ProgramHeader::default()
        });
        self
    }

    pub fn build(&self) -> Vec<u8> {
        let entry = if self.wide { 56 } else { 32 };
        let at = self.headers_at.unwrap_or(if self.wide { 64 } else { 52 }) as usize;
        let mut file = vec![0; (at + self.headers.len() * entry).next_multiple_of(PAGE)];
        for (index, header) in self.headers.iter().enumerate() {
            let written = self.program_header(header, file.len() as u64);
            put(&mut file, at + index * entry, &written);
            file.extend(&header.bytes);
            file.resize(file.len().next_multiple_of(PAGE), 0);
        }
        let sections_at = if self.many { file.len() } else { 0 };
        if self.many {
            file.extend(self.section_header());
        }
        put(&mut file, 0, &self.file_header(at, entry, sections_at));
        file
    }

    fn file_header(&self, at: usize, entry: usize, sections_at: usize) -> Vec<u8> {
        let e = self.endian;
        let data = if e == Endian::Little { 1 } else { 2 };
        let mut header = vec![0x7f, b'E', b'L', b'F', 1 + u8::from(self.wide), data, 1, self.brand];
        header.resize(16, 0);
        header.extend(e.u16(ET_CORE));
        header.extend(e.u16(self.machine));
        header.extend(e.u32(1));
        for word in [0, at, sections_at] {
            header.extend(self.word(word as u64));
        }
        header.extend(e.u32(0));
        let count = if self.many { 0xffff } else { self.headers.len() };
        let section = if self.wide { 64 } else { 40 };
        header.extend(e.u16(self.own_size));
        for half in [entry, count, section, usize::from(self.many), 0] {
            header.extend(e.u16(half as u16));
        }
        header
    }

    fn program_header(&self, header: &ProgramHeader, at: u64) -> Vec<u8> {
        let size = header.bytes.len() as u64;
        let offset = header.offset.unwrap_or(if size == 0 { 0 } else { at });
        let (filesz, memsz) = (header.filesz.unwrap_or(size), header.memsz.unwrap_or(size));
        let (kind, flags) = (self.endian.u32(header.kind).to_vec(), self.endian.u32(7).to_vec());
        let [offset, vaddr, paddr, filesz, memsz, align] =
            [offset, header.vaddr, header.paddr, filesz, memsz, header.align].map(|word| self.word(word));
        match self.wide {
            true => [kind, flags, offset, vaddr, paddr, filesz, memsz, align].concat(),
            false => [kind, offset, vaddr, paddr, filesz, memsz, flags, align].concat(),
        }
    }

    /// The empty section, whose `sh_info` counts the program headers.
    fn section_header(&self) -> Vec<u8> {
        let (size, info) = if self.wide { (64, 44) } else { (40, 28) };
        let mut header = vec![0; size];
        put(&mut header, info, &self.endian.u32(self.headers.len() as u32));
        header
    }

    fn word(&self, value: u64) -> Vec<u8> {
        if self.wide { self.endian.u64(value).to_vec() } else { self.endian.u32(value as u32).to_vec() }
    }
}

impl ProgramHeader {
    pub fn load(paddr: u64, bytes: &[u8]) -> Self {
        Self { kind: PT_LOAD, vaddr: paddr, paddr, align: 4096, bytes: bytes.to_vec(), ..Self::default() }
    }
}
