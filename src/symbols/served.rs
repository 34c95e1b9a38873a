//! The symbol file that is announced to debuggers, so that their users need no file at all.
//!
//! A kernel file cannot always be announced as it is. gdb on Linux has no handler for FreeBSD's brand (EI_OSABI 9): it
//! cuts pointers to 32 bits and rejects our target description. And a kernel without unwind information gives one frame
//! per thread. So the announced file is made here: the kernel's sections without their contents, its symbols, no brand,
//! and unwind information that says what the kernel's code does, which is to keep frame pointers. A kernel file with
//! debug information is copied instead, and only the brand changed.

mod frames;
mod write;

use super::{KernelFile, Kind, Section, Symbol};
use crate::{Error, Kvm, Result, cache};
use goblin::elf::section_header::{SHF_EXECINSTR, SHT_NOTE};
use kgdbserver_arch::Va;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

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
    let debug_info = file.sections().iter().any(|section| section.name == ".debug_info");
    let bytes = match (debug_info, file.os_abi()) {
        (true, 0) => {
            return Ok(Some(
                std::path::absolute(file.source().path()).map_err(Error::io(file.source().path()))?,
            ));
        }
        (true, _) => unbranded(file)?,
        (false, _) => synthesise(file, kvm)?,
    };
    cache::keep(&bytes).map(Some)
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

/// The kernel's names in a file of our own.
fn synthesise(file: &KernelFile, kvm: &Kvm) -> Result<Vec<u8>> {
    let machine = kvm.space().machine;
    let codes = kvm.pac_mask();
    let loaded = loaded_sections(file);
    let code: Vec<Range<u64>> =
        loaded.iter().filter(|section| section.execute).map(|s| s.range.clone()).collect();
    let named = Named { entry: entry_symbol(file, &code), file };
    let entry = named.entry.as_ref().map_or(file.entry(), |symbol| symbol.va);
    let frames = frames::eh_frame(&code, &frames::exceptions(&named, machine), machine, codes)?;
    write::elf(&loaded, &named, (entry.0, file.flags()), frames, machine)
}

/// The symbols of the file that is made. They are gone through as often as is needed, and never held: a kernel has a
/// hundred thousand.
struct Named<'a> {
    file: &'a KernelFile,
    /// One for the entry point, where the kernel has none.
    entry: Option<Symbol>,
}

impl Named<'_> {
    fn symbols(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.entry.iter().cloned().chain(self.file.symbols())
    }
}

fn entry_symbol(file: &KernelFile, code: &[Range<u64>]) -> Option<Symbol> {
    let entry = file.entry().0;
    let holds = |s: Symbol| s.function && (s.va.0..s.va.0.saturating_add(s.size)).contains(&entry);
    let missing = !file.symbols().any(holds);
    missing.then(|| Symbol {
        name: "kernel_entry".into(),
        va: Va(code.first().map_or(0, |range| range.start)),
        size: ENTRY_BYTES,
        kind: Kind::Text,
        function: true,
        global: false,
    })
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
