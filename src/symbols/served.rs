//! The symbol file that is announced to debuggers, so that their users need no file at all.
//!
//! A kernel file cannot always be announced as it is. gdb on Linux has no handler for FreeBSD's brand (EI_OSABI 9): it
//! cuts pointers to 32 bits and rejects our target description. And a kernel without unwind information gives one frame
//! per thread. So the announced file is made here: the kernel's sections without their contents, its symbols, no brand,
//! and unwind information that says what the kernel's code does, which is to keep frame pointers. A kernel file with
//! debug information is copied instead, and only the brand changed.

mod debug_info;
mod frames;
mod modules;
mod save;
mod sections;
mod table;
mod write;

pub use self::modules::ModuleFile;
pub use self::save::{Sources, save};

use self::debug_info::Declared;
use self::frames::Frames;
use self::sections::Loaded;
use super::{KernelFile, Kind, Symbol, kallsyms};
use crate::kernel::state::Module;
use crate::{Error, Kvm, Result, cache};
use goblin::elf::header::{ET_DYN, ET_EXEC};
use kgdbserver_arch::Va;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

const EI_OSABI: u64 = 7;
const E_TYPE: u64 = 16;
const EH_FRAME: &str = ".eh_frame";
/// gdb takes the outermost frame for the entry function's where the entry point lies in no function, and stops there.
const ENTRY_BYTES: u64 = 16;

/// The symbol files of an image, each made when a debugger first asks for it.
pub struct SymbolFile {
    kvm: Arc<Kvm>,
    program: OnceLock<Option<PathBuf>>,
    shared: OnceLock<Option<PathBuf>>,
    modules: OnceLock<Vec<ModuleFile>>,
}

impl SymbolFile {
    /// The symbol files of an image.
    pub fn new(kvm: Arc<Kvm>) -> Self {
        Self { kvm, program: OnceLock::new(), shared: OnceLock::new(), modules: OnceLock::new() }
    }

    /// The same of a kernel that was looked at anew: its own names are the same, its modules may be others.
    #[must_use]
    pub fn anew(&self, kvm: Arc<Kvm>) -> Self {
        let (program, shared) = (self.program.clone(), self.shared.clone());
        Self { kvm, program, shared, modules: OnceLock::new() }
    }

    /// Whether there are names to make one from.
    pub fn is_possible(&self) -> bool {
        self.kvm.symbols().file().is_some() || self.kvm.symbols().table().is_some()
    }

    /// The path of the kernel's, in the user's cache folder unless it is the kernel file itself; none if there are no names,
    /// or it cannot be written.
    pub fn path(&self) -> Option<&Path> {
        let make = || make(&self.kvm).inspect_err(unusable).unwrap_or_default();
        self.program.get_or_init(make).as_deref()
    }

    /// The path of a copy that says it is a shared object. lldb takes an executable among the libraries for the program that
    /// is debugged, and forgets then where everything is.
    pub fn shared(&self) -> Option<&Path> {
        // The type has two bytes, of which the upper one is 0.
        let change = (E_TYPE + u64::from(self.kvm.space().machine.big_endian), ET_DYN as u8);
        let copy = || cache::keep_copy(self.path()?, &[change]).inspect_err(unusable).ok();
        self.shared.get_or_init(copy).as_deref()
    }

    /// The modules', in the kernel's order.
    pub fn modules(&self) -> &[ModuleFile] {
        let failed = |error: &Error| log::warn!("debuggers will not know the modules: {error}");
        self.modules.get_or_init(|| modules::make(&self.kvm).inspect_err(failed).unwrap_or_default())
    }

    /// Makes those that gdb asks for.
    pub fn make(&self) {
        self.path();
        self.modules();
    }

    /// Whether that was done.
    pub fn is_made(&self) -> bool {
        self.program.get().is_some() && self.modules.get().is_some()
    }

    /// The paths that debuggers were told of so far.
    pub fn announced(&self) -> impl Iterator<Item = &Path> {
        let kernels = [&self.program, &self.shared].into_iter().filter_map(|file| file.get()?.as_deref());
        let modules = self.modules.get().into_iter().flatten();
        kernels.chain(modules.map(|file| file.path.as_path()))
    }
}

fn unusable(error: &Error) {
    log::warn!("debuggers must load the kernel file themselves: {error}");
}

/// What is announced of a kernel.
enum Announced {
    /// The kernel file has all that debuggers want.
    Itself(PathBuf),
    /// All but its brand.
    Branded(PathBuf),
    Made(Vec<u8>),
}

const UNBRANDED: &[(u64, u8)] = &[(EI_OSABI, 0)];

fn make(kvm: &Kvm) -> Result<Option<PathBuf>> {
    Ok(match announced(kvm)? {
        Some(Announced::Itself(path)) => Some(std::path::absolute(&path).map_err(Error::io(&path))?),
        Some(Announced::Branded(path)) => Some(cache::keep_copy(&path, UNBRANDED)?),
        Some(Announced::Made(bytes)) => Some(cache::keep(&bytes)?),
        None => None,
    })
}

fn announced(kvm: &Kvm) -> Result<Option<Announced>> {
    let file = kvm.symbols().file();
    if let Some(file) = file.filter(|file| has_debug_info(file)) {
        let path = file.source().path().to_owned();
        return Ok(Some(if file.os_abi() == 0 { Announced::Itself(path) } else { Announced::Branded(path) }));
    }
    Names::of_kernel(kvm).map(|names| Ok(Announced::Made(synthesise(names, kvm)?))).transpose()
}

fn has_debug_info(file: &KernelFile) -> bool {
    file.sections().iter().any(|section| section.name == ".debug_info")
}

/// The kernel's names in a file of our own, at the addresses that the kernel was linked for: a debugger slides this file
/// as it would slide the kernel's.
fn synthesise(names: Names<'_>, kvm: &Kvm) -> Result<Vec<u8>> {
    let (kernel, slide) = (Frames::of(kvm), kvm.symbols().slide());
    let mut sections = names.sections();
    let code: Vec<Range<u64>> =
        sections.iter().filter(|section| section.execute).map(|s| s.range.clone()).collect();
    let named = Named { entry: entry_symbol(&names, &code), names };
    let frames = match kvm.kernel().ok().and_then(|kernel| kernel.unwind_table()) {
        Some(table) => table::of_kernel(kvm, table, &named.functions(), slide)?,
        None => kernel.eh_frame(&code, &kernel.exceptions(&named))?,
    };
    let declared = Declared::of_kernel(kvm, &named);
    sections::add_data(&mut sections, declared.iter().flat_map(Declared::variables));
    // By the first segment gdb finds out how far the kernel was moved. It holds all sections from there on.
    let ends = sections.iter().map(|section| section.range.end);
    let segment = |start: Va| start.0..ends.filter(|end| *end > start.0).max().unwrap_or(start.0);
    let segment = kvm.linux().and_then(|_| kvm.symbols().first_segment()).map(segment);
    let (entry, flags) = (named.entry_point(), named.names.flags());
    let head = write::Head { kind: ET_EXEC, entry, flags, segment };
    let mut tables = vec![(EH_FRAME, frames)];
    if let Some(declared) = declared {
        tables.extend(declared.sections(kernel.machine)?);
    }
    write::elf(&sections, &named, &head, tables, kernel.machine)
}

/// Where the names come from.
enum Names<'a> {
    File(&'a KernelFile),
    /// The image's own table, of a kernel that runs so many bytes above the addresses it was linked for.
    Table(&'a kallsyms::Table, u64),
    /// A module's symbols, at the addresses where they are.
    Module(&'a Module, &'a [Symbol]),
}

impl<'a> Names<'a> {
    /// Those of its file, if that has some, or else the image's own.
    fn of_kernel(kvm: &'a Kvm) -> Option<Self> {
        let symbols = kvm.symbols();
        let of_file = || symbols.file().filter(|file| file.symbols().next().is_some());
        of_file()
            .map(|file| Self::File(file))
            .or_else(|| Some(Self::Table(symbols.table()?, symbols.slide())))
    }

    fn symbols(&self) -> Box<dyn Iterator<Item = Symbol> + '_> {
        match self {
            Self::File(file) => Box::new(file.symbols()),
            // gdb shows 0 for a program counter that nobody knows, and the name of what is there: until 6.14 the first of
            // x86-64's per-CPU variables.
            Self::Table(table, slide) => Box::new(
                table
                    .symbols()
                    .filter(|symbol| symbol.va.0 != 0)
                    .map(|symbol| Symbol { va: Va(symbol.va.0.wrapping_sub(*slide)), ..symbol }),
            ),
            Self::Module(_, symbols) => Box::new(symbols.iter().cloned()),
        }
    }

    fn sections(&self) -> Vec<Loaded<'a>> {
        match self {
            Self::File(file) => sections::of_file(file),
            Self::Table(table, slide) => sections::of_table(table, *slide),
            Self::Module(module, _) => sections::of_module(module),
        }
    }

    fn entry(&self) -> u64 {
        match self {
            Self::File(file) => file.entry().0,
            Self::Table(..) | Self::Module(..) => 0,
        }
    }

    fn flags(&self) -> u32 {
        match self {
            Self::File(file) => file.flags(),
            Self::Table(..) | Self::Module(..) => 0,
        }
    }
}

/// The symbols of the file that is made. They are gone through as often as is needed, and never held: a kernel has a
/// hundred thousand.
struct Named<'a> {
    names: Names<'a>,
    /// One for the entry point, where the kernel has none.
    entry: Option<Symbol>,
}

impl Named<'_> {
    fn symbols(&self) -> impl Iterator<Item = Symbol> + '_ {
        self.entry.iter().cloned().chain(self.names.symbols())
    }

    fn entry_point(&self) -> u64 {
        self.entry.as_ref().map_or_else(|| self.names.entry(), |symbol| symbol.va.0)
    }

    /// Where code begins that has a name, in ascending order.
    fn functions(&self) -> Vec<u64> {
        let code = self.symbols().filter(|symbol| symbol.kind == Kind::Text);
        let mut starts: Vec<u64> = code.map(|symbol| symbol.va.0).collect();
        starts.sort_unstable();
        starts
    }
}

fn entry_symbol(names: &Names<'_>, code: &[Range<u64>]) -> Option<Symbol> {
    let entry = names.entry();
    let holds = |s: Symbol| s.function && (s.va.0..s.va.0.saturating_add(s.size)).contains(&entry);
    let missing = !names.symbols().any(holds);
    missing.then(|| Symbol {
        name: "kernel_entry".into(),
        va: Va(code.first().map_or(0, |range| range.start)),
        size: ENTRY_BYTES,
        kind: Kind::Text,
        function: true,
        global: false,
    })
}
