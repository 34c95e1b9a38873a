//! Kernel modules: FreeBSD and DragonFly keep them in the same list.

use super::fields::{Fields, offset};
use super::state::Module;
use super::{Listing, lists, text};
use crate::Result;
use kgdbserver_arch::Va;

/// No path is longer (MAXPATHLEN).
const PATH_BYTES: usize = 1024;

/// Offsets in bytes into `struct linker_file`.
pub(super) struct Offsets {
    pub(super) next: u64,
    pub(super) filename: u64,
    /// DragonFly keeps no paths.
    pub(super) pathname: Option<u64>,
    pub(super) address: u64,
}

/// The files of `linker_files` in the order of loading, without the kernel itself.
pub(super) fn all(fields: &Fields<'_>, offsets: &Offsets) -> Result<Listing<Module>> {
    let first = fields.head("linker_files")?;
    let kernel = fields.head("linker_kernel_file").ok().filter(|va| va.0 != 0);
    let files = lists::walk(fields.mem, "linker_file", first, offsets.next);
    let modules = files.filter(|va| va.as_ref().ok() != kernel.as_ref() || va.is_err());
    let mut list = Listing::from_results(modules.map(|va| module(fields, offsets, va?)));
    // Where the variable says nothing, the kernel is known by its name.
    list.items.retain(|module| kernel.is_some() || module.name != "kernel");
    Ok(list)
}

fn module(fields: &Fields<'_>, offsets: &Offsets, va: Va) -> Result<Module> {
    let string = |at: u64| match fields.mem.pointer(offset(va, at)?)? {
        Va(0) => Ok(String::new()),
        string => fields.mem.string(string, PATH_BYTES).map(|bytes| text(&bytes)),
    };
    Ok(Module {
        va,
        name: string(offsets.filename)?,
        path: offsets.pathname.and_then(|at| string(at).ok()).filter(|path| !path.is_empty()),
        address: fields.mem.pointer(offset(va, offsets.address)?)?,
        size: fields.uint(va, "linker_file", "size").ok(),
        build_id: None,
        sections: Vec::new(),
        parts: Vec::new(),
    })
}
