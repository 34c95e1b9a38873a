//! Linux's kallsyms: the kernel's own table of symbols, found in an image's memory or read from a text file.
//!
//! The table lies in the kernel's read-only data as `scripts/kallsyms.c` wrote it, every part aligned:
//!
//! | Linux | order |
//! |---|---|
//! | until 4.5 | addresses, num_syms, names, markers, token_table, token_index |
//! | 4.6 | offsets, relative_base, num_syms, names, markers, token_table, token_index |
//! | 6.2 | the same, with seqs_of_names behind markers |
//! | 6.4 | num_syms, names, markers, token_table, token_index, offsets, relative_base, seqs_of_names |
//! | 7.0 | the same, without relative_base |
//!
//! `names` holds a length and that many bytes for each symbol; every byte stands for one of the 256 strings of
//! `token_table`, which begin where `token_index` says. The first letter of the whole is nm(1)'s. `markers` tells where
//! every 256th name begins. What an entry of `offsets` means is said in `addresses.rs`.

mod addresses;
mod find;
mod module;
mod names;
mod search;
mod table;
mod text;
mod tokens;

pub use find::find;
pub use module::{ModuleSymbols, module_symbols};
pub use table::Table;
pub use text::{is_text, parse};

use crate::space::Space;
use crate::symbols::Kind;
use crate::{Error, Result};
use kgdbserver_arch::Va;

/// What nm(1)'s letter for a symbol says of its section.
fn kind(letter: u8) -> Kind {
    match letter.to_ascii_lowercase() {
        b'a' => Kind::Absolute,
        // `w`: weak, and no object; `i`: resolved at run time.
        b't' | b'w' | b'i' => Kind::Text,
        b'b' | b's' | b'c' => Kind::Bss,
        _ => Kind::Data,
    }
}

/// Reads a part of the table, which must be in the image as a whole.
fn read(space: &Space, what: &str, va: Va, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let failed = |error: Error| bad(va, format!("{what} cannot be read: {error}"));
    space.read_exact(va, &mut bytes).map_err(failed).map(|()| bytes)
}

fn bad(va: Va, why: String) -> Error {
    Error::BadStructure { what: "kallsyms", va, why }
}
