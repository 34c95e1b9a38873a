//! The folder of files that can be made again: symbol files for debuggers, and (see `image`) unpacked images.

use crate::{Error, Result};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Files that are kept for the next time.
const KEPT: usize = 16;

/// Writes a symbol file into the cache under the name that its content gives it, unless it is there already.
pub(crate) fn keep(bytes: &[u8]) -> Result<PathBuf> {
    let folder = folder()?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let path = folder.join(format!("kernel-{:016x}.elf", hasher.finish()));
    if std::fs::metadata(&path).is_ok_and(|meta| meta.len() == bytes.len() as u64) {
        return Ok(path);
    }
    // A debugger must never see half a file.
    let mut unfinished = tempfile::NamedTempFile::new_in(&folder).map_err(Error::io(&folder))?;
    std::io::Write::write_all(&mut unfinished, bytes).map_err(Error::io(&folder))?;
    unfinished.persist(&path).map_err(|error| Error::io(&path)(error.error))?;
    clean(&folder, &path);
    Ok(path)
}

/// `$XDG_CACHE_HOME/kgdbserver`; a new temporary folder where there is none and no home.
pub(crate) fn folder() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let folder =
        base.map(|base| base.join("kgdbserver")).filter(|folder| std::fs::create_dir_all(folder).is_ok());
    let temporary = || tempfile::Builder::new().prefix("kgdbserver-").tempdir().map(tempfile::TempDir::keep);
    folder.map_or_else(|| temporary().map_err(Error::io("a temporary folder")), Ok)
}

/// Removes the oldest files of the cache, as far as there are too many.
fn clean(folder: &Path, new: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let age = |path: PathBuf| Some((std::fs::metadata(&path).ok()?.modified().ok()?, path));
    let ours = |path: &PathBuf| path != new && path.extension().is_some_and(|extension| extension == "elf");
    let mut files: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(ours).filter_map(age).collect();
    files.sort_unstable();
    let surplus = (files.len() + 1).saturating_sub(KEPT);
    for (_, path) in files.into_iter().take(surplus) {
        let _ = std::fs::remove_file(path); // another server may have been faster
    }
}
