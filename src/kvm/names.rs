//! Names and their addresses.

use super::Kvm;
use crate::symbols::Symbol;
use crate::{Error, Result};
use kgdbserver_arch::Va;
use std::sync::atomic::Ordering;

/// A decimal number, or a hexadecimal one after `0x`.
pub fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// One name of kvm_nlist(3), and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nlist {
    /// The name; an empty one ends the list.
    pub n_name: String,
    /// nlist(3)'s type; 0 if the name was not found.
    pub n_type: u8,
    /// The address; 0 if the name was not found.
    pub n_value: u64,
}

impl Nlist {
    /// A name to look up.
    pub fn new(name: impl Into<String>) -> Self {
        Self { n_name: name.into(), ..Self::default() }
    }
}

impl Kvm {
    /// kvm_nlist2(3): looks up every name up to the first empty one, and returns how many were not found.
    ///
    /// # Errors
    /// None for an image.
    pub fn nlist2(&self, list: &mut [Nlist]) -> Result<usize> {
        let mut unresolved = 0;
        for entry in list.iter_mut().take_while(|entry| !entry.n_name.is_empty()) {
            let found = self.symbol(&entry.n_name);
            unresolved += usize::from(found.is_none());
            (entry.n_type, entry.n_value) = found.map_or((0, 0), |symbol| (symbol.n_type(), symbol.va.0));
        }
        Ok(unresolved)
    }

    /// kvm_nlist(3), whose values are as wide as the host's `long`.
    ///
    /// # Errors
    /// For an image of another architecture; use [`Self::nlist2`].
    pub fn nlist(&self, list: &mut [Nlist]) -> Result<usize> {
        if !self.native() {
            return self.noted(Err(Error::Usage("kvm_nlist of non-native vmcore".into())));
        }
        self.nlist2(list)
    }

    /// The symbol of a name; failing that, the variable of the network stack (VNET) or of the CPU that
    /// [`Self::dpcpu_setcpu`] chose (DPCPU) that has this name, at the address of its copy. Linux's per-CPU variables have
    /// symbols too, which lead nowhere: there the copy comes first. Then come the symbols of modules, and
    /// last what the system that we run on finds.
    pub fn symbol(&self, name: &str) -> Option<Symbol> {
        let copy = || {
            let cpu = self.dpcpu.load(Ordering::Relaxed);
            let found = self.kernel().ok()?.copied_variable(self.space(), name, cpu)?;
            self.noted(found).ok()
        };
        match self.symbols.by_name(name) {
            Some(symbol) if !self.is_per_cpu(&symbol) => Some(symbol),
            found => copy().or(found).or_else(|| self.module_symbol(name)).or_else(|| self.own_symbol(name)),
        }
    }

    /// The address that a text means: a decimal number, a hexadecimal one after `0x`, a symbol with or without an offset
    /// (`hz+0x10`), or else digits that can only be hexadecimal.
    ///
    /// # Errors
    /// An offset that is no number, a symbol that is not known.
    pub fn evaluate(&self, text: &str) -> Result<Va> {
        if let Some(number) = number(text) {
            return Ok(Va(number));
        }
        let (name, offset) = text.split_once('+').unwrap_or((text, "0"));
        let offset = number(offset).ok_or_else(|| Error::Usage(format!("{offset}: not an offset")))?;
        let digits = || u64::from_str_radix(name, 16).ok().map(Va);
        let va = self.symbol(name).map(|symbol| symbol.va).or_else(digits);
        va.map(|va| Va(va.0.wrapping_add(offset))).ok_or_else(|| Error::NoSymbol(name.into()))
    }

    /// With or without one leading underscore, as in [`crate::symbols::Symbols::by_name`].
    fn own_symbol(&self, name: &str) -> Option<Symbol> {
        let own = self.own.as_deref()?;
        own.symbol(name).or_else(|| own.symbol(name.strip_prefix('_')?))
    }

    fn is_per_cpu(&self, symbol: &Symbol) -> bool {
        self.linux().is_some() && self.symbols.per_cpu().is_some_and(|area| area.contains(&symbol.va))
    }
}
