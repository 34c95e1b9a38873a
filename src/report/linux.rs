//! What was found out of a Linux kernel, and where from.

use crate::kernel::linux::{Origin, Told};
use crate::kvm::Kvm;
use kgdbserver_arch::{Pa, Radix, Via};

/// The tree of the kernel's page tables.
pub struct Tables {
    /// The top table.
    pub root: Pa,
    /// Levels of tables.
    pub levels: usize,
    /// Bytes of a page.
    pub page_size: u64,
}

/// The kernel's page tables; none if its regions are not made of them.
pub fn tables(kvm: &Kvm) -> Option<Tables> {
    let of = |via: &Via| match via {
        Via::Tables { form: Radix { index_bits, page_shift, .. }, root } => {
            Some(Tables { root: *root, levels: index_bits.len(), page_size: 1 << page_shift })
        }
        _ => None,
    };
    kvm.space().regions().iter().find_map(|region| of(&region.via))
}

/// One word for where VMCOREINFO was found.
pub fn origin(told: &Told) -> &'static str {
    match told.origin {
        Origin::Note => "note",
        Origin::File(_) => "file",
        Origin::At(_) => "address",
        Origin::Search(_) => "search",
        Origin::Registers(_) => "registers",
    }
}

/// Lines of `info`.
pub(super) fn facts(kvm: &Kvm) -> Vec<(&'static str, String)> {
    let Some(told) = kvm.linux() else { return Vec::new() };
    let symbols = kvm.symbols();
    let moved = |slide: u64| {
        if slide == 0 { "not moved".into() } else { format!("moved up by {slide:#x}") }
    };
    let is_told = told.info.slide().is_some() || symbols.file().is_some();
    let tables = tables(kvm).map(|Tables { root, levels, page_size }| {
        format!("{levels} levels, pages of {page_size} bytes, root at physical {root}")
    });
    let whose = if symbols.map().is_some() { "the kernel file" } else { "the image's own kallsyms" };
    let of_table = || symbols.table().map(|table| format!("{} of {whose}", table.len()));
    let of_file = symbols.file().map(|_| "the kernel file's".to_owned());
    let given = if symbols.given_btf().is_some() { ", of the file given" } else { "" };
    let signed = kvm.pac_mask().map(|mask| format!("codes in the bits {:#018x} of addresses", mask.high()));
    [
        ("VMCOREINFO", Some(told.origin.to_string())),
        ("KASLR", is_told.then(|| moved(symbols.slide()))),
        ("page tables", tables),
        ("pointers", signed),
        ("symbols", of_file.or_else(of_table)),
        ("types", Some(format!("{}{given}", symbols.types().source()))),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}
