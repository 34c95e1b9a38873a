//! The symbol file that is announced to debuggers, so that their users need no file at all.
//!
//! A kernel file cannot always be announced as it is. gdb on Linux has no handler for FreeBSD's brand (EI_OSABI 9): it
//! cuts pointers to 32 bits and rejects our target description. And a kernel without unwind information gives one frame
//! per thread. So the announced file is made here: the kernel's sections without their contents, its symbols, no brand,
//! and unwind information that says what the kernel's code does, which is to keep frame pointers. A kernel file with
//! debug information is copied instead, and only the brand changed.

use super::{KernelFile, Kind, Section, Symbol};
use crate::{Error, Kvm, Result};
use gimli::write::{
    Address, CallFrameInstruction, CommonInformationEntry, EhFrame, EndianVec, FrameDescriptionEntry,
};
use goblin::container::{Container, Ctx};
use goblin::elf::header::ET_EXEC;
use goblin::elf::section_header::{
    SHF_ALLOC, SHF_EXECINSTR, SHN_ABS, SHT_NOBITS, SHT_NOTE, SHT_NULL, SHT_PROGBITS, SHT_STRTAB, SHT_SYMTAB,
};
use goblin::elf::sym::{STB_GLOBAL, STB_LOCAL, STT_FUNC, STT_NOTYPE, STT_OBJECT};
use goblin::elf::{Header, SectionHeader, Sym};
use kgdbserver_arch::{Machine, Va};
use scroll::Cwrite;
use scroll::ctx::{IntoCtx, SizeWith};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Announced files that are kept for the next time.
const KEPT: usize = 16;
const EI_OSABI: usize = 7;
/// gdb takes the outermost frame for the entry function's where the entry point lies in no function, and stops there.
const ENTRY_BYTES: u64 = 16;

/// The symbol file of an image, made when a debugger first asks for it.
pub struct SymbolFile {
    kvm: Arc<Kvm>,
    path: OnceLock<Option<PathBuf>>,
}

impl SymbolFile {
    /// The symbol file of an image.
    pub fn new(kvm: Arc<Kvm>) -> Self {
        Self { kvm, path: OnceLock::new() }
    }

    /// Whether there is a kernel file to make one from.
    pub fn is_possible(&self) -> bool {
        self.kvm.symbols().file().is_some()
    }

    /// Its path in the user's cache folder; none if there is no kernel file, or it cannot be written.
    pub fn path(&self) -> Option<&Path> {
        let failed = |error: &Error| log::warn!("debuggers must load the kernel file themselves: {error}");
        let make = || make(&self.kvm).inspect_err(failed).unwrap_or_default();
        self.path.get_or_init(make).as_deref()
    }
}

fn make(kvm: &Kvm) -> Result<Option<PathBuf>> {
    let Some(file) = kvm.symbols().file() else { return Ok(None) };
    let bytes = match file.sections().iter().any(|section| section.name == ".debug_info") {
        true => unbranded(file)?,
        false => synthesise(file, kvm.space().machine)?,
    };
    keep(&bytes).map(Some)
}

/// The kernel file without its brand.
fn unbranded(file: &KernelFile) -> Result<Vec<u8>> {
    let source = file.source();
    let mut bytes = source.bytes(0, source.len()).map_err(Error::io(source.path()))?;
    if let Some(brand) = bytes.get_mut(EI_OSABI) {
        *brand = 0;
    }
    Ok(bytes)
}

/// Writes a file into the cache under the name that its content gives it, unless it is there already.
fn keep(bytes: &[u8]) -> Result<PathBuf> {
    let folder = cache_folder()?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let path = folder.join(format!("kernel-{:016x}.elf", hasher.finish()));
    if std::fs::metadata(&path).is_ok_and(|meta| meta.len() == bytes.len() as u64) {
        return Ok(path);
    }
    // A debugger must never see half a file.
    let mut unfinished = tempfile::NamedTempFile::new_in(&folder).map_err(Error::io(&folder))?;
    std::io::Write::write_all(&mut unfinished, bytes).map_err(Error::io(&folder))?;
    unfinished.persist(&path).map_err(|error| Error::io(&path)(error.error))?;
    clean(&folder, &path);
    Ok(path)
}

fn cache_folder() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let folder =
        base.map(|base| base.join("kgdbserver")).filter(|folder| std::fs::create_dir_all(folder).is_ok());
    let temporary = || tempfile::Builder::new().prefix("kgdbserver-").tempdir().map(tempfile::TempDir::keep);
    folder.map_or_else(|| temporary().map_err(Error::io("a temporary folder")), Ok)
}

/// Removes the oldest files of the cache, as far as there are too many.
fn clean(folder: &Path, new: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let age = |path: PathBuf| Some((std::fs::metadata(&path).ok()?.modified().ok()?, path));
    let ours = |path: &PathBuf| path != new && path.extension().is_some_and(|extension| extension == "elf");
    let mut files: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(ours).filter_map(age).collect();
    files.sort_unstable();
    let surplus = (files.len() + 1).saturating_sub(KEPT);
    for (_, path) in files.into_iter().take(surplus) {
        let _ = std::fs::remove_file(path); // another server may have been faster
    }
}

/// The kernel's names in a file of our own.
fn synthesise(file: &KernelFile, machine: Machine) -> Result<Vec<u8>> {
    let loaded = loaded_sections(file);
    let code: Vec<Range<u64>> =
        loaded.iter().filter(|section| section.execute).map(|s| s.range.clone()).collect();
    let mut symbols: Vec<Symbol> = file.symbols().collect();
    let holds = |s: &Symbol, va: u64| s.function && (s.va.0..s.va.0.saturating_add(s.size)).contains(&va);
    let entry = Some(file.entry().0).filter(|va| symbols.iter().any(|symbol| holds(symbol, *va)));
    let entry = entry.unwrap_or_else(|| {
        let first = code.first().map_or(0, |range| range.start);
        symbols.push(Symbol {
            name: "kernel_entry".into(),
            va: Va(first),
            size: ENTRY_BYTES,
            kind: Kind::Text,
            function: true,
            global: false,
        });
        first
    });
    let frames = frames(&code, &outermost(&symbols, machine), machine)?;
    write(&loaded, symbols, entry, frames, machine)
}

/// A loaded section of the kernel.
struct Loaded<'a> {
    name: &'a str,
    range: Range<u64>,
    execute: bool,
    /// The bytes of a note: gdb compares build ids.
    note: Option<Vec<u8>>,
}

/// The kernel's loaded sections. A file with symbols only may have none for its code, which then lies between the
/// kernel's base and its first section.
fn loaded_sections(file: &KernelFile) -> Vec<Loaded<'_>> {
    let mut all: Vec<Loaded<'_>> =
        file.sections().iter().filter_map(|section| loaded(file, section)).collect();
    if !all.iter().any(|section| section.execute) {
        let base = file.by_name("kernbase").map(|symbol| symbol.va.0);
        let end = all.iter().map(|section| section.range.start).min();
        if let Some((base, end)) = base.zip(end).filter(|(base, end)| base < end) {
            all.push(Loaded { name: ".text", range: base..end, execute: true, note: None });
        }
    }
    all
}

fn loaded<'a>(file: &KernelFile, section: &'a Section) -> Option<Loaded<'a>> {
    let header = &section.header;
    if !section.is_alloc() || header.sh_size == 0 || section.name.starts_with(".eh_frame") {
        return None;
    }
    let note = || file.contents(Va(header.sh_addr), header.sh_size);
    Some(Loaded {
        name: &section.name,
        range: header.sh_addr..header.sh_addr.checked_add(header.sh_size)?,
        execute: header.sh_flags & u64::from(SHF_EXECINSTR) != 0,
        note: if header.sh_type == SHT_NOTE { note() } else { None },
    })
}

/// The functions that nothing calls: a stack ends in them, whatever the frame-pointer register holds.
fn outermost(symbols: &[Symbol], machine: Machine) -> Vec<Range<u64>> {
    let names = machine.arch.freebsd.map_or(&[][..], |freebsd| freebsd.outermost);
    let named = symbols.iter().filter(|symbol| names.contains(&symbol.name.as_str()) && symbol.size != 0);
    let mut ranges: Vec<_> = named.map(|symbol| symbol.va.0..symbol.va.0.saturating_add(symbol.size)).collect();
    ranges.sort_unstable_by_key(|range| range.start);
    ranges
}

/// `.eh_frame`: in all of the kernel's code the frame pointer leads to the caller's and to the return address, but for
/// the functions that are nobody's callees.
fn frames(code: &[Range<u64>], outermost: &[Range<u64>], machine: Machine) -> Result<Vec<u8>> {
    let mut table = gimli::write::FrameTable::default();
    let called = table.add_cie(frame_pointer_rule(machine));
    let mut last = frame_pointer_rule(machine);
    last.add_instruction(CallFrameInstruction::Undefined(return_column(machine)));
    let last = table.add_cie(last);
    for (range, ends_here) in code.iter().flat_map(|range| split(range.clone(), outermost)) {
        let length = u32::try_from(range.end - range.start).unwrap_or(u32::MAX);
        let cie = if ends_here { last } else { called };
        table.add_fde(cie, FrameDescriptionEntry::new(Address::Constant(range.start), length));
    }
    let endian = if machine.big_endian { gimli::RunTimeEndian::Big } else { gimli::RunTimeEndian::Little };
    let mut out = EhFrame(EndianVec::new(endian));
    let failed = |error: gimli::write::Error| Error::Unsupported(format!("unwind information: {error}"));
    table.write_eh_frame(&mut out).map_err(failed)?;
    let mut bytes = out.0.into_vec();
    bytes.extend([0; 4]); // the end mark
    Ok(bytes)
}

/// Cuts `holes`, which are sorted, out of a range; the pieces in order, and whether each is a hole. Debuggers want
/// entries that do not overlap.
fn split(range: Range<u64>, holes: &[Range<u64>]) -> Vec<(Range<u64>, bool)> {
    let mut pieces = Vec::new();
    let mut at = range.start;
    for hole in holes.iter().filter(|hole| hole.end <= range.end) {
        if hole.start < at {
            continue; // another name of the same function
        }
        pieces.push((at..hole.start, false));
        pieces.push((hole.clone(), true));
        at = hole.end;
    }
    pieces.push((at..range.end, false));
    pieces.retain(|(piece, _)| !piece.is_empty());
    pieces
}

fn return_column(machine: Machine) -> gimli::Register {
    gimli::Register(machine.arch.frames.dwarf_return_address)
}

fn frame_pointer_rule(machine: Machine) -> CommonInformationEntry {
    let layout = &machine.arch.frames;
    let word = machine.ptr_bytes;
    let encoding = gimli::Encoding { format: gimli::Format::Dwarf32, version: 1, address_size: word };
    let frame = gimli::Register(layout.dwarf_fp);
    let below_cfa = |offset: i32| offset - layout.cfa;
    let mut cie = CommonInformationEntry::new(encoding, 1, if word == 8 { -8 } else { -4 }, return_column(machine));
    cie.add_instruction(CallFrameInstruction::Cfa(frame, layout.cfa));
    cie.add_instruction(CallFrameInstruction::Offset(frame, below_cfa(layout.caller_fp)));
    cie.add_instruction(CallFrameInstruction::Offset(return_column(machine), below_cfa(layout.return_address)));
    cie
}

/// A section of the file, with its bytes, if it has any.
struct Part<'a> {
    name: &'a str,
    header: SectionHeader,
    bytes: Vec<u8>,
}

impl<'a> Part<'a> {
    fn new(name: &'a str, kind: u32, bytes: Vec<u8>) -> Self {
        let sh_size = bytes.len() as u64;
        let header = SectionHeader { sh_type: kind, sh_addralign: 8, sh_size, ..SectionHeader::default() };
        Self { name, header, bytes }
    }

    fn of(section: &Loaded<'a>) -> Self {
        let kind = if section.note.is_some() { SHT_NOTE } else { SHT_NOBITS };
        let mut part = Self::new(section.name, kind, section.note.clone().unwrap_or_default());
        part.header.sh_flags = u64::from(SHF_ALLOC | if section.execute { SHF_EXECINSTR } else { 0 });
        part.header.sh_addr = section.range.start;
        part.header.sh_size = section.range.end - section.range.start;
        part.header.sh_addralign = 1;
        part
    }
}

/// The ELF file: the kernel's sections, `.eh_frame`, the symbols and their names.
fn write(
    loaded: &[Loaded<'_>],
    mut symbols: Vec<Symbol>,
    entry: u64,
    frames: Vec<u8>,
    machine: Machine,
) -> Result<Vec<u8>> {
    let endian = if machine.big_endian { scroll::BE } else { scroll::LE };
    let ctx = Ctx::new(if machine.ptr_bytes == 8 { Container::Big } else { Container::Little }, endian);
    symbols.sort_by_key(|symbol| symbol.global); // ELF wants local symbols first
    let locals = symbols.iter().filter(|symbol| !symbol.global).count() + 1;
    let (table, names) = symbol_table(&symbols, loaded, ctx)?;
    let mut parts = vec![Part::new("", SHT_NULL, Vec::new())];
    parts.extend(loaded.iter().map(Part::of));
    parts.push(Part::new(".eh_frame", SHT_PROGBITS, frames));
    let mut symtab = Part::new(".symtab", SHT_SYMTAB, table);
    symtab.header.sh_entsize = Sym::size(ctx.container) as u64;
    symtab.header.sh_link = u32::try_from(parts.len() + 1).unwrap_or(0);
    symtab.header.sh_info = u32::try_from(locals).unwrap_or(u32::MAX);
    parts.push(symtab);
    parts.push(Part::new(".strtab", SHT_STRTAB, names));
    assemble(parts, entry, machine, ctx)
}

/// The symbols, and their names.
fn symbol_table(symbols: &[Symbol], loaded: &[Loaded<'_>], ctx: Ctx) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut table, mut names) = (Vec::new(), vec![0]);
    put(&mut table, Sym::default(), ctx);
    for symbol in symbols {
        let section = loaded.iter().position(|section| section.range.contains(&symbol.va.0));
        let kind = match symbol.kind {
            _ if symbol.function => STT_FUNC,
            Kind::Data | Kind::Bss if symbol.size != 0 => STT_OBJECT,
            _ => STT_NOTYPE,
        };
        let binding = if symbol.global { STB_GLOBAL } else { STB_LOCAL };
        let entry = Sym {
            st_name: names.len(),
            st_info: binding << 4 | kind,
            st_other: 0,
            st_shndx: section.map_or(SHN_ABS as usize, |position| position + 1),
            st_value: symbol.va.0,
            st_size: symbol.size,
        };
        put(&mut table, entry, ctx);
        names.extend(symbol.name.bytes().chain([0]));
    }
    let fits = u32::try_from(names.len()).is_ok();
    fits.then_some((table, names)).ok_or_else(|| Error::Unsupported("more than 4 GiB of symbol names".into()))
}

/// Lays the parts out behind each other, and puts the headers around them.
fn assemble(mut parts: Vec<Part<'_>>, entry: u64, machine: Machine, ctx: Ctx) -> Result<Vec<u8>> {
    let mut names = vec![0];
    parts.push(Part::new(".shstrtab", SHT_STRTAB, Vec::new()));
    for part in parts.iter_mut().skip(1) {
        part.header.sh_name = names.len();
        names.extend(part.name.bytes().chain([0]));
    }
    let count = u16::try_from(parts.len()).map_err(|_| Error::Unsupported("too many sections".into()))?;
    if let Some(last) = parts.last_mut() {
        last.header.sh_size = names.len() as u64;
        last.bytes = names;
    }
    let mut body = Vec::new();
    let head = Header::size(ctx).next_multiple_of(8);
    for part in &mut parts {
        body.resize(body.len().next_multiple_of(8), 0);
        part.header.sh_offset = (head + body.len()) as u64;
        body.append(&mut part.bytes);
    }
    body.resize(body.len().next_multiple_of(8), 0);
    let mut header = Header::new(ctx);
    header.e_type = ET_EXEC;
    header.e_machine = machine.arch.elf_machine;
    header.e_entry = entry;
    header.e_shoff = (head + body.len()) as u64;
    header.e_shnum = count;
    header.e_shstrndx = count - 1;
    let mut file = Vec::new();
    put(&mut file, header, ctx);
    file.resize(head, 0);
    file.append(&mut body);
    parts.into_iter().for_each(|part| put(&mut file, part.header, ctx));
    Ok(file)
}

/// Appends a structure as it stands in a file.
fn put<T: SizeWith<Ctx> + IntoCtx<Ctx>>(out: &mut Vec<u8>, value: T, ctx: Ctx) {
    let at = out.len();
    out.resize(at + T::size_with(&ctx), 0);
    out.cwrite_with(value, at, ctx);
}
