//! The symbols of a loaded module, from the ELF tables that the kernel keeps of it (`struct mod_kallsyms`).

use super::kind;
use crate::symbols::{Kind, Symbol};
use goblin::container::{Container, Ctx, Endian};
use goblin::elf::section_header::SHN_UNDEF;
use goblin::elf::sym::{STB_LOCAL, STT_FUNC};
use goblin::elf::{Sym, Symtab};
use kgdbserver_arch::{Machine, Va, arm};

/// A module's tables, as far as they could be read.
#[derive(Debug, Clone, Copy)]
pub struct ModuleSymbols<'a> {
    /// The machine that wrote them.
    pub machine: Machine,
    /// Elf32_Sym or Elf64_Sym, `num_symtab` of them. Their values are addresses in memory.
    pub symtab: &'a [u8],
    /// NUL-terminated names.
    pub strtab: &'a [u8],
    /// nm(1)'s letter for each symbol. Until 5.1 there was no such table, and the letter took the place of `st_info`.
    pub typetab: Option<&'a [u8]>,
}

/// A module's symbols in the table's order, of the first `limit` ones of the table. Those without a name are left out,
/// as are undefined ones, and marks for the disassembler, as the kernel does.
pub fn module_symbols(tables: &ModuleSymbols<'_>, limit: usize) -> Vec<Symbol> {
    let container = if tables.machine.ptr_bytes == 8 { Container::Big } else { Container::Little };
    let order = if tables.machine.big_endian { Endian::Big } else { Endian::Little };
    let ctx = Ctx::new(container, order);
    let count = (tables.symtab.len() / Sym::size(container)).min(limit);
    let Ok(symtab) = Symtab::parse(tables.symtab, 0, count, ctx) else { return Vec::new() };
    symtab.iter().enumerate().filter_map(|(number, sym)| symbol(tables, number, &sym)).collect()
}

fn symbol(tables: &ModuleSymbols<'_>, number: usize, sym: &Sym) -> Option<Symbol> {
    let name = tables.strtab.get(sym.st_name..)?;
    let name = name.get(..memchr::memchr(0, name)?)?;
    if name.is_empty() || is_mark(name) || sym.st_shndx == SHN_UNDEF as usize {
        return None;
    }
    let kind = kind(tables.typetab.map_or(Some(sym.st_info), |letters| letters.get(number).copied())?);
    let told = tables.typetab.is_some();
    let function = if told { sym.st_type() == STT_FUNC } else { kind == Kind::Text };
    // The lowest bit of a function's address says that it is Thumb code.
    let thumb = u64::from(function && tables.machine.arch == &arm::ARCH);
    Some(Symbol {
        name: String::from_utf8_lossy(name).into_owned(),
        va: Va(sym.st_value & !thumb),
        size: sym.st_size,
        kind,
        function,
        global: told && sym.st_bind() != STB_LOCAL,
    })
}

/// `$x`, `$d` and others tell code from data; `.L` and `L0` are the compiler's.
fn is_mark(name: &[u8]) -> bool {
    [&b"$"[..], b".L", b"L0"].iter().any(|mark| name.starts_with(mark))
}
