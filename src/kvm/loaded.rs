//! The modules that the kernel has loaded, and their names.

use super::Kvm;
use crate::kernel::state::Module;
use crate::symbols::Symbol;
use crate::symbols::loaded::{Loaded, nearest};
use crate::{Error, Result};
use kgdbserver_arch::Va;

impl Kvm {
    /// The modules whose memory is known, read when first asked for; none where the image cannot tell.
    pub fn loaded(&self) -> &[Loaded] {
        self.loaded.get_or_init(|| {
            let modules = self.list(|kernel, mem| kernel.modules(mem));
            let modules = modules.map(|list| list.items).unwrap_or_default();
            modules.into_iter().filter(|module| !module.parts.is_empty()).map(Loaded::new).collect()
        })
    }

    /// The module that an address lies in.
    pub fn loaded_at(&self, va: Va) -> Option<&Loaded> {
        self.loaded().iter().find(|loaded| loaded.part(va).is_some())
    }

    /// A module's symbols, in ascending order.
    pub fn symbols_of<'a>(&self, loaded: &'a Loaded) -> &'a [Symbol] {
        loaded.symbols(|module| {
            let failed = |error: &Error| log::warn!("the symbols of the module {}: {error}", module.name);
            let read = self.kernel().and_then(|kernel| kernel.module_symbols(&self.space, module));
            read.inspect_err(failed).unwrap_or_default()
        })
    }

    /// What continues the kernel's types with a module's own, in the same form; none if it has none. Where memory does not lead
    /// to it, it is taken from where the system that runs shows it.
    ///
    /// # Errors
    /// Something of it cannot be read.
    pub fn module_types(&self, module: &Module) -> Result<Option<Vec<u8>>> {
        let in_memory = self.kernel()?.module_types(&self.space, module);
        // A name is memory's: it is not to lead into another folder.
        let named = self.hints.btf.as_ref().filter(|_| !module.name.contains('/'));
        match (in_memory, named) {
            (Err(error), Some(kernels)) => {
                std::fs::read(kernels.with_file_name(&module.name)).map(Some).map_err(|_| error)
            }
            (in_memory, _) => in_memory,
        }
    }

    /// The nearest symbol at or below an address, and the distance to it in bytes. In a module's memory only the module's
    /// own symbols count.
    pub fn symbol_at(&self, va: Va) -> Option<(Symbol, u64)> {
        let Some(loaded) = self.loaded_at(va) else {
            return self.symbols.by_address(Va(va.0.wrapping_sub(self.image.kerndisp)));
        };
        let (symbol, distance) = nearest(self.symbols_of(loaded), loaded.part(va)?, va)?;
        Some((symbol.clone(), distance))
    }

    /// A module's symbol of this name; of several that of the module that was loaded last, and there a global one first.
    pub(super) fn module_symbol(&self, name: &str) -> Option<Symbol> {
        self.loaded().iter().find_map(|loaded| {
            let named = || self.symbols_of(loaded).iter().filter(|symbol| symbol.name == name);
            named().find(|symbol| symbol.global).or_else(|| named().next()).cloned()
        })
    }
}
