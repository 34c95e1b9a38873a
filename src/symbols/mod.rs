//! Names and addresses of the kernel's functions and variables.

pub mod btf;
#[cfg(test)]
mod compiled;
mod ctf;
mod debug_file;
pub mod debuginfod;
mod dwarf;
mod elf;
mod elf_hash;
mod elf_names;
pub(crate) mod given;
pub mod kallsyms;
pub mod loaded;
pub mod served;
mod types;
pub mod vmlinux;

pub use elf::{KernelFile, Section};
pub use given::is_kernel;
pub use types::{Bits, Member, Types};

use types::Graph;

use crate::{Error, Result};
use kgdbserver_arch::Va;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, OnceLock};

/// Looks a symbol's address up by name: what `kvm_open2` takes.
pub type Resolver = Arc<dyn Fn(&str) -> Option<u64> + Send + Sync>;

/// Reads BTF from where an image, or a file beside it, has some.
pub type ReadBtf = Arc<dyn Fn() -> Option<Vec<u8>> + Send + Sync>;

/// A kernel's own table of symbols, read when first asked for.
pub type LazyTable = LazyLock<Option<kallsyms::Table>, Box<dyn FnOnce() -> Option<kallsyms::Table> + Send>>;

/// A named address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// Its name.
    pub name: String,
    /// Its address.
    pub va: Va,
    /// Its size in bytes; 0 if not known.
    pub size: u64,
    /// The kind of section it lies in.
    pub kind: Kind,
    /// Whether it is marked as a function.
    pub function: bool,
    /// Whether it is visible outside its source file.
    pub global: bool,
}

/// What a symbol names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A plain number.
    Absolute,
    /// Code.
    Text,
    /// Initialised data.
    Data,
    /// Data that starts as zeros.
    Bss,
}

impl Symbol {
    /// The letter that nm(1) prints: upper case for a global symbol.
    pub fn letter(&self) -> char {
        let letter = match self.kind {
            Kind::Absolute => 'a',
            Kind::Text => 't',
            Kind::Data => 'd',
            Kind::Bss => 'b',
        };
        if self.global { letter.to_ascii_uppercase() } else { letter }
    }

    /// The `n_type` of nlist(3).
    pub fn n_type(&self) -> u8 {
        const N_EXT: u8 = 1;
        let kind = match self.kind {
            Kind::Absolute => 2,
            Kind::Text => 4,
            Kind::Data => 6,
            Kind::Bss => 8,
        };
        kind | if self.global { N_EXT } else { 0 }
    }
}

/// All that is known of names: a kernel file, a resolver, both or nothing.
#[derive(Clone, Default)]
pub struct Symbols {
    file: Option<Arc<KernelFile>>,
    /// Where the file's kernel runs.
    moved: Moved,
    resolver: Option<Resolver>,
    /// The table of symbols in the image, asked where the file has no answer.
    table: Option<Arc<LazyTable>>,
    /// The file that the table was read from, if it is not the image.
    map: Option<Arc<Path>>,
    /// What the image itself tells of a few names; asked last.
    told: Option<Resolver>,
    btf: Option<ReadBtf>,
    given: Option<GivenBtf>,
    types: Arc<OnceLock<Types>>,
}

/// BTF that the user gave.
#[derive(Clone)]
struct GivenBtf {
    bytes: Arc<Vec<u8>>,
    graph: Arc<dyn Graph>,
}

/// A kernel that runs at other addresses than it was linked for.
#[derive(Debug, Clone, Default)]
struct Moved {
    /// By how much its addresses are higher; wraps.
    slide: u64,
    /// Link-time addresses that are offsets into per-CPU areas, and do not move with the kernel.
    fixed: Range<u64>,
}

impl Moved {
    fn runs_at(&self, symbol: Symbol) -> Symbol {
        let stays = symbol.kind == Kind::Absolute || self.fixed.contains(&symbol.va.0);
        let slide = if stays { 0 } else { self.slide };
        Symbol { va: Va(symbol.va.0.wrapping_add(slide)), ..symbol }
    }
}

impl Symbols {
    /// Symbols of a kernel file, a resolver, or both; the resolver is asked first. The kernel's types come from its file,
    /// and from the file of debugging information that lies beside it, if there is one.
    pub fn new(file: Option<Arc<KernelFile>>, resolver: Option<Resolver>) -> Self {
        Self { file, resolver, ..Self::default() }
    }

    /// The same, with a kernel file.
    #[must_use]
    pub fn with_file(self, file: Arc<KernelFile>) -> Self {
        Self { file: Some(file), types: Arc::default(), ..self }
    }

    /// The same, of a kernel that runs `slide` bytes (modulo 2^64) above the addresses that its file has. Until Linux 6.15,
    /// per-CPU variables of x86-64 are linked at 0: these addresses stay as they are.
    #[must_use]
    pub fn moved_by(self, slide: u64) -> Self {
        let per_cpu = |section: &&Section| section.name == ".data..percpu" && section.header.sh_addr == 0;
        let sections = self.file.iter().flat_map(|file| file.sections());
        // With the symbol at their end.
        let fixed =
            sections.filter(per_cpu).map(|section| 0..section.header.sh_size.saturating_add(1)).next();
        Self { moved: Moved { slide, fixed: fixed.unwrap_or_default() }, ..self }
    }

    /// By how much the kernel's addresses are higher than its file's; wraps.
    pub fn slide(&self) -> u64 {
        self.moved.slide
    }

    /// The address that the first segment of a Linux kernel's file begins at, before it was moved: `_text`, which a table
    /// of functions only does not have. Kernels are linked at multiples of 2 MiB.
    pub fn first_segment(&self) -> Option<Va> {
        const ALIGNMENT: u64 = 2 << 20;
        let linked = |name| Some(self.address(name)?.0.wrapping_sub(self.moved.slide));
        let in_file = || self.file.as_ref()?.first_segment();
        let text = || linked("_text").or_else(|| Some(linked("_stext")? & !(ALIGNMENT - 1))).map(Va);
        in_file().or_else(text)
    }

    /// The same, and the names of a table, asked where the file has no answer.
    #[must_use]
    pub fn with_table(self, table: LazyTable) -> Self {
        Self { table: Some(Arc::new(table)), ..self }
    }

    /// The same, and a table that a file has, instead of the image's own. It holds the addresses where the kernel runs.
    #[must_use]
    pub fn with_map(self, table: kallsyms::Table, path: PathBuf) -> Self {
        let table = LazyTable::new(Box::new(move || Some(table)));
        Self { map: Some(path.into()), ..self.with_table(table) }
    }

    /// The file that the table of symbols was read from, if it is not the image.
    pub fn map(&self) -> Option<&Path> {
        self.map.as_deref()
    }

    /// The table of symbols, the image's own if no other was given; none if there is none, or it cannot be read.
    pub fn table(&self) -> Option<&kallsyms::Table> {
        self.table.as_ref()?.as_ref().as_ref()
    }

    /// The same names and types, and a resolver that is asked last.
    #[must_use]
    pub fn or_told(self, told: Resolver) -> Self {
        Self { told: Some(told), ..self }
    }

    /// The same names, and types from BTF that the kernel file does not have: the image's own. Read when types are first
    /// asked for, if the kernel file has no BTF itself.
    #[must_use]
    pub fn with_btf(self, btf: ReadBtf) -> Self {
        Self { btf: Some(btf), types: Arc::default(), ..self }
    }

    /// The same names, and types from BTF that comes before all others.
    ///
    /// # Errors
    /// It is corrupt, or no kernel's.
    pub fn with_given_btf(self, btf: Vec<u8>) -> Result<Self> {
        let graph: Arc<dyn Graph> = Arc::from(btf::parse(btf.clone())?);
        let kernel = graph.named("task_struct").is_some();
        let other = "BTF without task_struct: a module's, which is of no use without the kernel's?";
        kernel.then_some(()).ok_or_else(|| Error::Unsupported(other.into()))?;
        let given = Some(GivenBtf { bytes: Arc::new(btf), graph });
        Ok(Self { given, types: Arc::default(), ..self })
    }

    /// The BTF that comes before all others.
    pub(crate) fn given_btf(&self) -> Option<&Vec<u8>> {
        self.given.as_ref().map(|given| &*given.bytes)
    }

    /// The same names and types, and a resolver that is asked first.
    #[must_use]
    pub fn with_resolver(&self, resolver: Resolver) -> Self {
        Self { resolver: Some(resolver), ..self.clone() }
    }

    /// The kernel's types. The file of debugging information is looked for when they are first asked for: to know that
    /// it belongs to the kernel may take reading all of it.
    pub fn types(&self) -> &Types {
        self.types.get_or_init(|| {
            let given = self.given.as_ref().map(|given| Types::of_graph(btf::NAME, given.graph.clone()));
            let types = given.unwrap_or_default();
            let types = match &self.file {
                Some(file) => types.with_debug_file(file.clone()),
                None => types,
            };
            let types = match self.file.as_ref().and_then(|file| debug_file::find(file)) {
                Some(debug_file) => types.with_debug_file(debug_file),
                None => types,
            };
            match self.btf.clone() {
                Some(btf) => types.with_btf(move || btf()),
                None => types,
            }
        })
    }

    /// The kernel file.
    pub fn file(&self) -> Option<&Arc<KernelFile>> {
        self.file.as_ref()
    }

    /// Whether there is nothing to ask.
    pub fn is_empty(&self) -> bool {
        self.file.is_none() && self.resolver.is_none() && self.table.is_none()
    }

    /// The symbol of this name; failing that, of the name without one leading underscore: callers of nlist(3) still
    /// write `_nprocs`, as a.out compilers did.
    pub fn by_name(&self, name: &str) -> Option<Symbol> {
        self.exactly(name).or_else(|| self.exactly(name.strip_prefix('_')?))
    }

    /// The address of a symbol.
    pub fn address(&self, name: &str) -> Option<Va> {
        self.by_name(name).map(|symbol| symbol.va)
    }

    /// Where a Linux kernel's per-CPU variables were linked. Each CPU has copies of them elsewhere.
    pub fn per_cpu(&self) -> Option<Range<Va>> {
        Some(self.address("__per_cpu_start")?..self.address("__per_cpu_end")?)
    }

    /// The nearest symbol at or below an address, and the distance to it in bytes.
    pub fn by_address(&self, va: Va) -> Option<(Symbol, u64)> {
        let moved = || self.file.as_ref()?.by_address(Va(va.0.wrapping_sub(self.moved.slide)));
        let in_table = || self.table()?.by_address(va);
        let symbol = moved().map(|symbol| self.moved.runs_at(symbol)).or_else(in_table)?;
        let distance = va.0.checked_sub(symbol.va.0)?;
        Some((symbol, distance))
    }

    fn exactly(&self, name: &str) -> Option<Symbol> {
        // What a resolver finds counts as external data, as in kvm_nlist2.
        let resolved = |va| Symbol {
            name: name.to_owned(),
            va: Va(va),
            size: 0,
            kind: Kind::Data,
            function: false,
            global: true,
        };
        let ask = |resolver: &Option<Resolver>| resolver.as_ref()?(name).map(resolved);
        let in_file = || Some(self.moved.runs_at(self.file.as_ref()?.by_name(name)?));
        let in_table = || self.table()?.by_name(name);
        ask(&self.resolver).or_else(in_file).or_else(in_table).or_else(|| ask(&self.told))
    }
}
