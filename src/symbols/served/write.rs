//! Writes an ELF file of sections, unwind information and symbols.

use super::Named;
use super::sections::Loaded;
use crate::symbols::Kind;
use crate::{Error, Result};
use goblin::container::{Container, Ctx};
use goblin::elf::header::EM_RISCV;
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_LOAD};
use goblin::elf::section_header::{
    SHF_ALLOC, SHF_EXECINSTR, SHN_ABS, SHT_NOBITS, SHT_NOTE, SHT_NULL, SHT_PROGBITS, SHT_STRTAB, SHT_SYMTAB,
};
use goblin::elf::sym::{STB_GLOBAL, STB_LOCAL, STT_FUNC, STT_NOTYPE, STT_OBJECT};
use goblin::elf::{Header, ProgramHeader, SectionHeader, Sym};
use kgdbserver_arch::Machine;
use scroll::ctx::{IntoCtx, SizeWith};
use scroll::{Cwrite, Pwrite};
use std::ops::Range;

/// How code for RISC-V passes floating-point numbers. gdb 16 refuses a file that has them in registers if the target, as a
/// kernel's threads, has no such registers.
const EF_RISCV_FLOAT_ABI: u32 = 6;

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

/// What stands in the file's header.
pub(super) struct Head {
    /// ET_EXEC or ET_DYN.
    pub(super) kind: u16,
    /// Where execution begins.
    pub(super) entry: u64,
    /// The processor's own flags.
    pub(super) flags: u32,
    /// The only segment; none for a file without segments.
    pub(super) segment: Option<Range<u64>>,
}

/// The ELF file: the kernel's sections, those with information on it, the symbols and their names.
pub(super) fn elf(
    loaded: &[Loaded<'_>],
    named: &Named<'_>,
    head: &Head,
    tables: Vec<(&'static str, Vec<u8>)>,
    machine: Machine,
) -> Result<Vec<u8>> {
    let endian = if machine.big_endian { scroll::BE } else { scroll::LE };
    let ctx = Ctx::new(if machine.ptr_bytes == 8 { Container::Big } else { Container::Little }, endian);
    let (table, names) = symbol_table(named, loaded, ctx)?;
    let locals = named.symbols().filter(|symbol| !symbol.global).count() + 1;
    let mut parts = vec![Part::new("", SHT_NULL, Vec::new())];
    parts.extend(loaded.iter().map(Part::of));
    parts.extend(tables.into_iter().map(|(name, bytes)| Part::new(name, SHT_PROGBITS, bytes)));
    let mut symtab = Part::new(".symtab", SHT_SYMTAB, table);
    symtab.header.sh_entsize = Sym::size(ctx.container) as u64;
    symtab.header.sh_link = u32::try_from(parts.len() + 1).unwrap_or(0);
    symtab.header.sh_info = u32::try_from(locals).unwrap_or(u32::MAX);
    parts.push(symtab);
    parts.push(Part::new(".strtab", SHT_STRTAB, names));
    assemble(parts, head, machine, ctx)
}

/// The symbols, and their names.
fn symbol_table(named: &Named<'_>, loaded: &[Loaded<'_>], ctx: Ctx) -> Result<(Vec<u8>, Vec<u8>)> {
    let (mut table, mut names) = (Vec::new(), vec![0]);
    put(&mut table, Sym::default(), ctx);
    let [local, global] = [false, true].map(|global| named.symbols().filter(move |s| s.global == global));
    // ELF wants local symbols first.
    for symbol in local.chain(global) {
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
fn assemble(mut parts: Vec<Part<'_>>, head: &Head, machine: Machine, ctx: Ctx) -> Result<Vec<u8>> {
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
    let segment = head.segment.as_ref().map(program_header);
    let segment_bytes = segment.as_ref().map_or(0, |_| ProgramHeader::size_with(&ctx));
    let start = (Header::size(ctx) + segment_bytes).next_multiple_of(8);
    for part in &mut parts {
        body.resize(body.len().next_multiple_of(8), 0);
        part.header.sh_offset = (start + body.len()) as u64;
        body.append(&mut part.bytes);
    }
    body.resize(body.len().next_multiple_of(8), 0);
    let mut header = Header::new(ctx);
    header.e_type = head.kind;
    header.e_machine = machine.arch.elf_machine;
    header.e_entry = head.entry;
    header.e_flags = match machine.arch.elf_machine {
        EM_RISCV => head.flags & !EF_RISCV_FLOAT_ABI,
        _ => head.flags,
    };
    header.e_phoff = if segment.is_some() { Header::size(ctx) as u64 } else { 0 };
    header.e_phnum = u16::from(segment.is_some());
    header.e_shoff = (start + body.len()) as u64;
    header.e_shnum = count;
    header.e_shstrndx = count - 1;
    let mut file = Vec::new();
    put(&mut file, header, ctx);
    let at = file.len();
    file.resize(start, 0);
    if let Some(segment) = segment {
        let failed = |error: goblin::error::Error| Error::Unsupported(format!("program header: {error}"));
        file.pwrite_with(segment, at, ctx).map_err(failed)?;
    }
    file.append(&mut body);
    parts.into_iter().for_each(|part| put(&mut file, part.header, ctx));
    Ok(file)
}

/// A segment that holds the sections of a range, and none of their bytes.
fn program_header(segment: &Range<u64>) -> ProgramHeader {
    ProgramHeader {
        p_type: PT_LOAD,
        p_flags: PF_R | PF_W | PF_X,
        p_vaddr: segment.start,
        p_paddr: segment.start,
        p_memsz: segment.end.saturating_sub(segment.start),
        p_align: 4096,
        ..ProgramHeader::default()
    }
}

/// Appends a structure as it stands in a file.
fn put<T: SizeWith<Ctx> + IntoCtx<Ctx>>(out: &mut Vec<u8>, value: T, ctx: Ctx) {
    let at = out.len();
    out.resize(at + T::size_with(&ctx), 0);
    out.cwrite_with(value, at, ctx);
}
