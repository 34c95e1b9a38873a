//! Names and addresses of the kernel's functions and variables.

mod ctf;
mod debug_file;
mod dwarf;
mod elf;
mod elf_hash;
pub mod served;
mod types;

pub use elf::{KernelFile, Section, is_kernel};
pub use types::{Bits, Member, Types};

use kgdbserver_arch::Va;
use std::sync::{Arc, OnceLock};

/// Looks a symbol's address up by name: what `kvm_open2` takes.
pub type Resolver = Arc<dyn Fn(&str) -> Option<u64> + Send + Sync>;

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
    resolver: Option<Resolver>,
    types: Arc<OnceLock<Types>>,
}

impl Symbols {
    /// Symbols of a kernel file, a resolver, or both; the resolver is asked first. The kernel's types come from its file,
    /// and from the file of debugging information that lies beside it, if there is one.
    pub fn new(file: Option<Arc<KernelFile>>, resolver: Option<Resolver>) -> Self {
        Self { file, resolver, types: Arc::default() }
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
            let Some(file) = &self.file else { return Types::default() };
            let types = Types::of(file.clone());
            match debug_file::find(file) {
                Some(debug_file) => types.with_debug_file(debug_file),
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
        self.file.is_none() && self.resolver.is_none()
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

    /// The nearest symbol at or below an address, and the distance to it in bytes.
    pub fn by_address(&self, va: Va) -> Option<(Symbol, u64)> {
        let symbol = self.file.as_ref()?.by_address(va)?;
        let distance = va.0 - symbol.va.0;
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
        let resolver = self.resolver.as_ref();
        resolver
            .and_then(|resolver| resolver(name))
            .map(resolved)
            .or_else(|| self.file.as_ref()?.by_name(name))
    }
}
