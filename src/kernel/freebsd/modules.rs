//! Kernel modules.

use crate::Result;
use crate::kernel::fields::{Fields, offset};
use crate::kernel::state::Module;
use crate::kernel::{Listing, lists, text};
use kgdbserver_arch::Va;

/// No path is longer (MAXPATHLEN).
const PATH_BYTES: usize = 1024;

/// Offsets in bytes into `struct linker_file`.
struct Offsets {
    next: u64,
    filename: u64,
    pathname: u64,
    address: u64,
}

impl Offsets {
    fn find(fields: &Fields<'_>) -> Result<Self> {
        let find = |exported: &str, member| {
            super::offsets::exported(fields.symbols, fields.mem, exported, "linker_file", member)
        };
        Ok(Self {
            next: find("kld_off_next", "link.tqe_next")?,
            filename: find("kld_off_filename", "filename")?,
            pathname: find("kld_off_pathname", "pathname")?,
            address: find("kld_off_address", "address")?,
        })
    }
}

/// The files of `linker_files` in the order of loading, without the kernel itself.
pub(super) fn all(fields: &Fields<'_>) -> Result<Listing<Module>> {
    let first = fields.head("linker_files")?;
    let offsets = Offsets::find(fields)?;
    let kernel = fields.head("linker_kernel_file").ok().filter(|va| va.0 != 0);
    let files = lists::walk(fields.mem, "linker_file", first, offsets.next);
    let modules = files.filter(|va| va.as_ref().ok() != kernel.as_ref() || va.is_err());
    let mut list = Listing::from_results(modules.map(|va| module(fields, &offsets, va?)));
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
        path: string(offsets.pathname).ok().filter(|path| !path.is_empty()),
        address: fields.mem.pointer(offset(va, offsets.address)?)?,
        size: fields.uint(va, "linker_file", "size").ok(),
    })
}
