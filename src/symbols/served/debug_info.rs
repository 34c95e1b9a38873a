//! `.debug_info`: what BTF or CTF declares, as DWARF.

mod globals;
mod rows;
mod sound;
mod strings;
mod writer;

use super::Named;
use crate::symbols::Types;
use crate::symbols::types::Ref;
use crate::symbols::types::declared::{Declarations, Prototype};
use crate::{Kvm, Result};
use globals::Told;
use kgdbserver_arch::{Machine, Va};
use std::ops::Range;

/// A text that is longer is none.
const TEXT_LIMIT: usize = 4096;

/// The types of a kernel or a module, and what is of these types, at the addresses of its file.
pub(super) struct Declared<'a> {
    /// What the types come from.
    kind: &'static str,
    types: &'a dyn Declarations,
    globals: Vec<Global>,
}

/// The sections of debugging information.
pub(super) struct DebugInfo {
    info: Vec<u8>,
    abbreviations: Vec<u8>,
    strings: Vec<u8>,
}

/// A function or a variable, and where it is.
struct Global {
    name: String,
    va: Va,
    /// Its bytes; 0 if they are not known.
    size: u64,
    what: What,
}

/// What a function or a variable is.
enum What {
    Function(Prototype),
    Variable(Form, Ref),
}

/// What a variable is to its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Pointer,
    /// As many of them as it has bytes for.
    Array,
    /// Characters up to a zero.
    Text,
}

impl<'a> Declared<'a> {
    /// What is known of a kernel; none if its types are not told, or in a form that is a debugger's own.
    pub(super) fn of_kernel(kvm: &'a Kvm, named: &Named<'_>) -> Option<Self> {
        let (kind, types) = kvm.symbols().types().declarations()?;
        let slide = kvm.symbols().slide();
        let address = |name: &str| {
            let found = || kvm.kernel().ok()?.found_variable(name);
            Some(Va(kvm.symbols().address(name).or_else(found)?.0.wrapping_sub(slide)))
        };
        let text_size = |va: Va| {
            let text = kvm.space().string(Va(va.0.wrapping_add(slide)), TEXT_LIMIT).ok()?;
            Some(text.len() as u64 + 1)
        };
        let told = Told { address: &address, text_size: &text_size };
        Some(Self { kind, types, globals: globals::globals(types, named.symbols(), Some(&told)) })
    }

    /// What is known of a module, by its own types.
    pub(super) fn of_module(types: &'a Types, named: &Named<'_>) -> Option<Self> {
        let (kind, types) = types.declarations()?;
        Some(Self { kind, types, globals: globals::globals(types, named.symbols(), None) })
    }

    /// Where its variables are.
    pub(super) fn variables(&self) -> impl Iterator<Item = Range<u64>> {
        let variables = self.globals.iter().filter(|global| matches!(global.what, What::Variable(..)));
        variables.map(|global| global.va.0..global.va.0.saturating_add(global.size.max(1)))
    }

    /// The sections that tell of it.
    pub(super) fn sections(&self, machine: Machine) -> Result<[(&'static str, Vec<u8>); 3]> {
        let DebugInfo { info, abbreviations, strings } =
            writer::write(self.types, self.kind, &self.globals, machine)?;
        Ok([(".debug_info", info), (".debug_abbrev", abbreviations), (".debug_str", strings)])
    }
}

#[cfg(test)]
mod tests;
