//! A kernel file: ELF, read with goblin in pieces, so that a file of 500 MB costs its headers.

use super::elf_hash::HashTable;
use super::elf_names::Names;
use super::{Kind, Symbol};
use crate::image::Source;
use crate::{Error, Result};
use goblin::container::Ctx;
use goblin::elf::header::{EI_OSABI, ELFOSABI_FREEBSD, ET_DYN, ET_EXEC, Header, SELFMAG};
use goblin::elf::note::{NT_GNU_BUILD_ID, NoteDataIterator};
use goblin::elf::program_header::PT_LOAD;
use goblin::elf::section_header::{
    SHF_ALLOC, SHF_EXECINSTR, SHN_ABS, SHN_UNDEF, SHT_NOBITS, SHT_NOTE, SHT_SYMTAB,
};
use goblin::elf::sym::{STB_LOCAL, STT_FILE, STT_FUNC, STT_SECTION};
use goblin::elf::{ProgramHeader, SectionHeader, Sym, Symtab};
use kgdbserver_arch::{Machine, Va};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Symbols read at a time when the whole table is gone through.
const CHUNK: u64 = 4096;
/// Names looked up one at a time before an index pays. Linux's walkers ask for dozens; a file with an index of its own is
/// asked for few that it does not have.
const SCANS: usize = 1;
const SCANS_BESIDE_INDEX: usize = 4;

/// An ELF kernel: its sections and its symbols.
pub struct KernelFile {
    source: Arc<dyn Source>,
    header: Header,
    ctx: Ctx,
    sections: Vec<Section>,
    symtab: Option<Table>,
    /// The file's own index of global symbols, and the table it is about.
    hashed: Option<(HashTable, Table)>,
    /// Hashes of names in the upper halves, indices into the table in the lower ones; sorted. Made when first needed, as
    /// the next is: 60,000 symbols take a millisecond and a megabyte each.
    by_name: OnceLock<Vec<u64>>,
    /// Addresses, sorted, and indices into the table.
    by_address: OnceLock<(Vec<u64>, Vec<u32>)>,
    scans: AtomicUsize,
}

/// A section of a kernel file.
#[derive(Debug, Clone)]
pub struct Section {
    /// Its name; empty if the file names none.
    pub name: String,
    /// goblin's view of the header.
    pub header: SectionHeader,
}

/// Where the symbol table and its names lie in the file: offsets and sizes in bytes.
struct Table {
    at: u64,
    count: u64,
    entry: u64,
    names: (u64, u64),
}

/// Whether the source is an ELF file that can be a kernel: an executable or, where kernels are relocatable, ET_DYN.
pub(super) fn is_kernel(source: &dyn Source) -> bool {
    parse_header(source).is_ok_and(|header| matches!(header.e_type, ET_EXEC | ET_DYN))
}

fn parse_header(source: &dyn Source) -> Result<Header> {
    let mut bytes = [0; 64];
    let got = source.read_at(0, &mut bytes).map_err(Error::io(source.path()))?;
    let bytes = bytes.get(..got).unwrap_or_default();
    if bytes.get(..SELFMAG) != Some(b"\x7fELF") {
        return Err(Error::Usage(format!("{}: kernel is not an ELF file", source.path().display())));
    }
    goblin::elf::Elf::parse_header(bytes).map_err(|error| corrupt(0, error.to_string()))
}

impl KernelFile {
    /// Reads the headers.
    ///
    /// # Errors
    /// Not an ELF file, not an executable, or tables that do not lie in the file.
    pub fn open(source: Arc<dyn Source>) -> Result<Self> {
        let header = parse_header(&*source)?;
        let bad = |error: goblin::error::Error| corrupt(0, error.to_string());
        let ctx = Ctx::new(header.container().map_err(bad)?, header.endianness().map_err(bad)?);
        if !matches!(header.e_type, ET_EXEC | ET_DYN) {
            let path = source.path().display();
            return Err(Error::Unsupported(format!(
                "{path}: an ELF file of type {}, not a kernel",
                header.e_type
            )));
        }
        let sections = read_sections(&*source, &header, ctx)?;
        let symtab = find_symtab(&*source, &sections, ctx)?;
        let hashed = find_hashed(&*source, &sections, ctx);
        let (by_name, by_address, scans) = (OnceLock::new(), OnceLock::new(), AtomicUsize::new(0));
        Ok(Self { source, header, ctx, sections, symtab, hashed, by_name, by_address, scans })
    }

    /// The file.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// The machine it was built for; none if this build does not know it.
    pub fn machine(&self) -> Option<Machine> {
        let arch = kgdbserver_arch::ALL.iter().find(|arch| arch.elf_machine == self.header.e_machine)?;
        let ptr_bytes = if self.ctx.is_big() { 8 } else { 4 };
        Some(Machine { arch, big_endian: !self.ctx.is_little_endian(), ptr_bytes })
    }

    /// Whether it is for a machine that stores the high byte first.
    pub fn is_big_endian(&self) -> bool {
        !self.ctx.is_little_endian()
    }

    /// Whether it is for a machine with pointers of 64 bits.
    pub fn is_64_bit(&self) -> bool {
        self.ctx.is_big()
    }

    /// The machine's name, or ELF's number for it, for messages.
    pub fn machine_name(&self) -> String {
        self.machine()
            .map_or_else(|| format!("ELF machine {}", self.header.e_machine), |m| m.arch.name.into())
    }

    /// The brand in the ELF header: 0 none, 3 Linux, 9 FreeBSD.
    pub fn os_abi(&self) -> u8 {
        self.header.e_ident.get(EI_OSABI).copied().unwrap_or(0)
    }

    /// Whether it has FreeBSD's brand, which debuggers take in different ways.
    pub fn is_freebsds(&self) -> bool {
        self.os_abi() == ELFOSABI_FREEBSD
    }

    /// The processor's own flags: which ABI the code follows.
    pub fn flags(&self) -> u32 {
        self.header.e_flags
    }

    /// Where execution begins.
    pub fn entry(&self) -> Va {
        Va(self.header.e_entry)
    }

    /// The address of the first segment that is loaded.
    pub fn first_segment(&self) -> Option<Va> {
        let entry = ProgramHeader::size(self.ctx) as u64;
        let count = u64::from(self.header.e_phnum);
        let bytes = self.source.bytes(self.header.e_phoff, count * entry).ok()?;
        let headers = ProgramHeader::parse(&bytes, 0, usize::from(self.header.e_phnum), self.ctx).ok()?;
        headers.iter().find(|header| header.p_type == PT_LOAD).map(|header| Va(header.p_vaddr))
    }

    /// The sections, in file order.
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The bytes of a section by name; none if there is no such section or the file has no bytes of it.
    pub fn section(&self, name: &str) -> Option<Vec<u8>> {
        let section = self.sections.iter().find(|section| section.name == name && !section.is_nobits())?;
        self.source.bytes(section.header.sh_offset, section.header.sh_size).ok()
    }

    /// The build id: a note of type `NT_GNU_BUILD_ID`, named GNU, in any section of notes.
    pub fn build_id(&self) -> Option<Vec<u8>> {
        const NOTES_LIMIT: u64 = 1 << 16;
        let is_notes =
            |section: &&Section| section.header.sh_type == SHT_NOTE && section.header.sh_size <= NOTES_LIMIT;
        self.sections.iter().filter(is_notes).find_map(|section| {
            let bytes = self.source.bytes(section.header.sh_offset, section.header.sh_size).ok()?;
            let notes = NoteDataIterator { data: &bytes, size: bytes.len(), offset: 0, ctx: (4, self.ctx) };
            notes
                .map_while(Result::ok)
                .find(|note| (note.name, note.n_type) == ("GNU", NT_GNU_BUILD_ID))
                .map(|note| note.desc.to_vec())
        })
    }

    /// The bytes that the file gives for a range of link-time addresses; none if any of them is not in the file.
    pub fn contents(&self, va: Va, len: u64) -> Option<Vec<u8>> {
        let holds = |section: &&Section| {
            let end = va.0.checked_sub(section.header.sh_addr).and_then(|offset| offset.checked_add(len));
            section.is_alloc() && !section.is_nobits() && end.is_some_and(|end| end <= section.header.sh_size)
        };
        let header = &self.sections.iter().find(holds)?.header;
        self.source.bytes(header.sh_offset.checked_add(va.0 - header.sh_addr)?, len).ok()
    }

    /// The symbol of exactly this name; one with global binding comes first.
    pub fn by_name(&self, name: &str) -> Option<Symbol> {
        self.by_own_hash(name).or_else(|| self.in_symtab(name))
    }

    /// The same if it has global binding. A file with an index of its own is not searched for one that it does not have.
    pub fn global(&self, name: &str) -> Option<Symbol> {
        match self.hashed {
            Some(_) => self.by_own_hash(name),
            None => self.in_symtab(name).filter(|symbol| symbol.global),
        }
    }

    /// As the file's own index finds it: at once, and global symbols only.
    fn by_own_hash(&self, name: &str) -> Option<Symbol> {
        let (hash, table) = self.hashed.as_ref()?;
        let mut symbols =
            hash.candidates(&*self.source, name).filter_map(|index| self.symbol_in(table, index.into()));
        symbols.find(|symbol| symbol.global && symbol.name == name)
    }

    fn in_symtab(&self, name: &str) -> Option<Symbol> {
        let scans = if self.hashed.is_some() { SCANS_BESIDE_INDEX } else { SCANS };
        let candidates = match self.by_name.get() {
            None if self.scans.fetch_add(1, Ordering::Relaxed) < scans => self.scan(name),
            _ => self.with_hash(hash(name.as_bytes())),
        };
        let symbols = candidates.into_iter().filter_map(|index| self.symbol(index.into()));
        symbols.filter(|symbol| symbol.name == name).max_by_key(|symbol| symbol.global)
    }

    /// The symbol that `va` lies in, or else the nearest one below it in the same section.
    pub fn by_address(&self, va: Va) -> Option<Symbol> {
        let (addresses, indices) = self.by_address.get_or_init(|| self.sort_addresses());
        let end = addresses.partition_point(|address| *address <= va.0);
        let address = *addresses.get(end.checked_sub(1)?)?;
        let first = addresses.partition_point(|other| *other < address);
        let names = indices.get(first..end)?.iter().filter_map(|index| self.symbol((*index).into()));
        let best = names.max_by_key(|symbol| (symbol.size != 0, symbol.global))?;
        let section = |va: u64| self.sections.iter().position(|section| section.covers(va));
        let inside = va.0 - address < best.size.max(1);
        (inside || section(va.0).is_some_and(|found| section(address) == Some(found))).then_some(best)
    }

    /// The section that is loaded at an address.
    pub fn section_at(&self, va: Va) -> Option<&Section> {
        self.sections.iter().find(|section| section.covers(va.0))
    }

    /// Every named symbol, in the table's order.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol> + '_ {
        let count = self.symtab.as_ref().map_or(0, |table| table.count);
        (0..count).filter_map(|index| self.symbol(index))
    }

    /// Those of one of ELF's types (`STT_OBJECT`), in the table's order.
    pub fn symbols_of(&self, st_type: u8) -> impl Iterator<Item = Symbol> + '_ {
        let mut indices = Vec::new();
        self.each(|index, sym| indices.extend((sym.st_type() == st_type).then_some(index)));
        indices.into_iter().filter_map(|index| self.symbol(index.into()))
    }

    /// Symbols that have this name, found without an index: first the name's places among the names, then the symbols
    /// that point there.
    fn scan(&self, name: &str) -> Vec<u32> {
        let Some(table) = &self.symtab else { return Vec::new() };
        let places = Names::of(&*self.source, table.names).places(name);
        let mut found = Vec::new();
        self.each(|index, sym| {
            if places.binary_search(&sym.st_name).is_ok() {
                found.push(index);
            }
        });
        found
    }

    /// Symbols whose name has this hash.
    fn with_hash(&self, hash: u32) -> Vec<u32> {
        let sorted = self.by_name.get_or_init(|| self.sort_names());
        let first = sorted.partition_point(|entry| entry >> 32 < u64::from(hash));
        let same = sorted.iter().skip(first).take_while(|entry| **entry >> 32 == u64::from(hash));
        same.map(|entry| *entry as u32).collect()
    }

    fn sort_names(&self) -> Vec<u64> {
        let table = self.symtab.as_ref().map_or((0, 0), |table| table.names);
        let mut names = Names::of(&*self.source, table);
        self.sorted(|index, sym| {
            let name = names.get(sym.st_name).filter(|name| !name.is_empty())?;
            Some(u64::from(hash(name)) << 32 | u64::from(index))
        })
    }

    fn sort_addresses(&self) -> (Vec<u64>, Vec<u32>) {
        let is_address = |sym: &Sym| sym.st_name != 0 && sym.st_shndx != SHN_ABS as usize;
        self.sorted(|index, sym| is_address(sym).then_some((sym.st_value, index))).into_iter().unzip()
    }

    /// What the symbols give that give anything, sorted.
    fn sorted<T: Ord>(&self, mut entry: impl FnMut(u32, &Sym) -> Option<T>) -> Vec<T> {
        let mut sorted = Vec::new();
        self.each(|index, sym| sorted.extend(if is_named_thing(&sym) { entry(index, &sym) } else { None }));
        sorted.sort_unstable();
        sorted.shrink_to_fit();
        sorted
    }

    /// Calls `f` with every entry of the symbol table, as far as the file has it.
    fn each(&self, mut f: impl FnMut(u32, Sym)) {
        let Some(table) = &self.symtab else { return };
        for first in (0..table.count).step_by(CHUNK as usize) {
            let count = CHUNK.min(table.count - first);
            let Ok(bytes) = self.source.bytes(table.at + first * table.entry, count * table.entry) else {
                return;
            };
            let Ok(chunk) = Symtab::parse(&bytes, 0, count as usize, self.ctx) else { return };
            (first..)
                .zip(chunk.iter())
                .for_each(|(index, sym)| f(u32::try_from(index).unwrap_or(u32::MAX), sym));
        }
    }

    fn symbol(&self, index: u64) -> Option<Symbol> {
        self.symbol_in(self.symtab.as_ref()?, index)
    }

    fn symbol_in(&self, table: &Table, index: u64) -> Option<Symbol> {
        if index >= table.count {
            return None;
        }
        let bytes = self.source.bytes(table.at + index * table.entry, table.entry).ok()?;
        let sym = Symtab::parse(&bytes, 0, 1, self.ctx).ok()?.get(0).filter(is_named_thing)?;
        Some(Symbol {
            name: string_at(&*self.source, table.names, sym.st_name).filter(|name| !name.is_empty())?,
            va: Va(sym.st_value),
            size: sym.st_size,
            kind: self.kind(&sym),
            function: sym.st_type() == STT_FUNC,
            global: sym.st_bind() != STB_LOCAL,
        })
    }

    fn kind(&self, sym: &Sym) -> Kind {
        match self.sections.get(sym.st_shndx) {
            _ if sym.st_shndx == SHN_ABS as usize => Kind::Absolute,
            Some(section) if section.header.sh_flags & u64::from(SHF_EXECINSTR) != 0 => Kind::Text,
            Some(section) if section.is_nobits() => Kind::Bss,
            _ => Kind::Data,
        }
    }
}

impl Section {
    /// Whether it occupies memory at run time.
    pub fn is_alloc(&self) -> bool {
        self.header.sh_flags & u64::from(SHF_ALLOC) != 0
    }

    /// Whether the file holds no bytes of it.
    pub fn is_nobits(&self) -> bool {
        self.header.sh_type == SHT_NOBITS
    }

    fn covers(&self, va: u64) -> bool {
        self.is_alloc()
            && va.checked_sub(self.header.sh_addr).is_some_and(|offset| offset < self.header.sh_size)
    }
}

/// Whether the symbol is defined, and stands for more than a file or a section.
fn is_named_thing(sym: &Sym) -> bool {
    sym.st_shndx != SHN_UNDEF as usize && !matches!(sym.st_type(), STT_FILE | STT_SECTION)
}

fn read_sections(source: &dyn Source, header: &Header, ctx: Ctx) -> Result<Vec<Section>> {
    if header.e_shoff == 0 {
        return Ok(Vec::new());
    }
    let entry = SectionHeader::size(ctx) as u64;
    if u64::from(header.e_shentsize) != entry {
        return Err(corrupt(0, format!("section headers of {} bytes", header.e_shentsize)));
    }
    let outside = |_| corrupt(header.e_shoff, "the section headers do not lie in the file");
    let bad = |error: goblin::error::Error| corrupt(header.e_shoff, error.to_string());
    let first = source.bytes(header.e_shoff, entry).map_err(outside)?;
    let first = SectionHeader::parse_from(&first, 0, 1, ctx).map_err(bad)?;
    // A count that does not fit 16 bits stands in the first, empty section, and so does the names' index.
    let (sh_size, sh_link) = first.first().map_or((0, 0), |first| (first.sh_size, first.sh_link));
    let count = if header.e_shnum == 0 { sh_size } else { header.e_shnum.into() };
    let names = if header.e_shstrndx == 0xffff { sh_link as usize } else { header.e_shstrndx.into() };
    let len = count.checked_mul(entry).ok_or_else(|| corrupt(header.e_shoff, "too many section headers"))?;
    let bytes = source.bytes(header.e_shoff, len).map_err(outside)?;
    let parsed = match usize::try_from(count) {
        Ok(count @ 1..) => SectionHeader::parse_from(&bytes, 0, count, ctx).map_err(bad)?,
        _ => Vec::new(),
    };
    let names = parsed.get(names).map(|names| (names.sh_offset, names.sh_size));
    let name = |at: usize| names.and_then(|names| string_at(source, names, at)).unwrap_or_default();
    Ok(parsed.into_iter().map(|header| Section { name: name(header.sh_name), header }).collect())
}

fn find_symtab(source: &dyn Source, sections: &[Section], ctx: Ctx) -> Result<Option<Table>> {
    let symtab = sections.iter().map(|section| &section.header).find(|header| header.sh_type == SHT_SYMTAB);
    symtab.map(|symtab| table(source, sections, symtab, ctx)).transpose()
}

fn find_hashed(source: &dyn Source, sections: &[Section], ctx: Ctx) -> Option<(HashTable, Table)> {
    let hash = HashTable::of(source, sections, !ctx.is_little_endian())?;
    // A file with debugging information only keeps the headers of these sections, and no bytes.
    let symbols = sections.get(hash.symbols).filter(|section| !section.is_nobits())?;
    let table = table(source, sections, &symbols.header, ctx).ok()?;
    Some((hash, table))
}

/// A section that is a symbol table.
fn table(source: &dyn Source, sections: &[Section], symtab: &SectionHeader, ctx: Ctx) -> Result<Table> {
    let entry = Sym::size(ctx.container) as u64;
    if symtab.sh_entsize != entry {
        return Err(corrupt(symtab.sh_offset, format!("symbols of {} bytes", symtab.sh_entsize)));
    }
    let names = sections.get(symtab.sh_link as usize).map(|s| &s.header);
    let names = names.ok_or_else(|| corrupt(symtab.sh_offset, "the symbol table has no names"))?;
    let inside = |header: &SectionHeader| {
        header.sh_offset.checked_add(header.sh_size).is_some_and(|end| end <= source.len())
    };
    if !inside(symtab) || !inside(names) {
        return Err(corrupt(symtab.sh_offset, "the symbol table does not lie in the file"));
    }
    let count = (symtab.sh_size / entry).min(u32::MAX.into());
    Ok(Table { at: symtab.sh_offset, count, entry, names: (names.sh_offset, names.sh_size) })
}

/// A NUL-terminated string of a string table.
fn string_at(source: &dyn Source, table: (u64, u64), at: usize) -> Option<String> {
    Names::of(source, table).get(at).map(|name| String::from_utf8_lossy(name).into_owned())
}

/// Eight bytes at a time, for there are megabytes of names; equal hashes cost no more than a comparison.
fn hash(name: &[u8]) -> u32 {
    let step = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    let (words, rest) = name.as_chunks::<8>();
    let hash = words.iter().fold(name.len() as u64, |hash, word| step(hash, u64::from_le_bytes(*word)));
    let rest = rest.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
    (step(hash, rest) >> 32) as u32
}

fn corrupt(offset: u64, what: impl Into<String>) -> Error {
    Error::Corrupt { format: "ELF kernel file", offset, what: what.into() }
}
