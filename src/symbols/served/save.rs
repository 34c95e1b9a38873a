//! The same file for a user who wants to keep it.

use super::{Announced, Names, UNBRANDED, announced};
use crate::{Error, Kvm, Result};
use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

/// Where a symbol file's parts come from, in words.
pub struct Sources {
    /// Names and addresses.
    pub symbols: String,
    /// Types, or "none".
    pub types: &'static str,
    /// How stacks are unwound.
    pub unwinding: &'static str,
}

/// Writes the file that debuggers are told of, with the addresses that the kernel was linked for: a debugger that loads
/// it and connects is told how far the kernel was moved. A file that is there is replaced only if `replace` says so.
///
/// # Errors
/// There are no names to make one from; the file exists, or it cannot be written.
pub fn save(kvm: &Kvm, path: &Path, replace: bool) -> Result<Sources> {
    let exists = || Error::Usage(format!("{}: is there already; --replace replaces it", path.display()));
    if !replace && path.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let missing = "no symbols: the image has none of its own, so name the kernel file";
    let announced = announced(kvm)?.ok_or_else(|| Error::Unsupported(missing.into()))?;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The file that is replaced may be the kernel file that is being read.
    let mut unfinished = tempfile::Builder::new();
    let unfinished = unfinished.permissions(Permissions::from_mode(0o666)).tempfile_in(folder);
    let mut unfinished = unfinished.map_err(Error::io(path))?;
    fill(&announced, unfinished.as_file_mut()).map_err(Error::io(path))?;
    let kept = match replace {
        true => unfinished.persist(path),
        false => unfinished.persist_noclobber(path),
    };
    match kept {
        Ok(_) => Ok(sources(kvm, &announced)),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Err(exists()),
        Err(error) => Err(Error::io(path)(error.error)),
    }
}

fn fill(announced: &Announced, file: &mut File) -> io::Result<()> {
    match announced {
        Announced::Itself(original) => io::copy(&mut File::open(original)?, file).map(drop),
        Announced::Branded(original) => {
            io::copy(&mut File::open(original)?, file)?;
            UNBRANDED.iter().try_for_each(|(offset, byte)| file.write_all_at(&[*byte], *offset))
        }
        Announced::Made(bytes) => file.write_all(bytes),
    }
}

fn sources(kvm: &Kvm, announced: &Announced) -> Sources {
    const OWN: &str = "the kernel file's";
    let symbols = match Names::of_kernel(kvm) {
        Some(Names::Table(table, _)) => format!("{} of the image's own kallsyms", table.len()),
        _ => OWN.to_owned(),
    };
    if !matches!(announced, Announced::Made(_)) {
        return Sources { symbols, types: OWN, unwinding: OWN };
    }
    let types = kvm.symbols().types().declarations().map_or("none", |(kind, _)| kind);
    let orc = kvm.kernel().is_ok_and(|kernel| kernel.unwind_table().is_some());
    Sources { symbols, types, unwinding: if orc { "ORC" } else { "frame pointers" } }
}
