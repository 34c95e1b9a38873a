//! The folder of files that can be made again: symbol files for debuggers, and (see `image`) unpacked images.

use crate::{Error, Result};
use std::ffi::OsStr;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Files and folders that are kept for the next time.
const KEPT: usize = 16;

/// Writes a symbol file into the cache under the name that its content gives it, unless it is there already.
pub(crate) fn keep(bytes: &[u8]) -> Result<PathBuf> {
    let folder = folder()?;
    let path = folder.join(format!("kernel-{:016x}.elf", hash(bytes)));
    if std::fs::metadata(&path).is_ok_and(|meta| meta.len() == bytes.len() as u64) {
        return Ok(path);
    }
    finish(&folder, &path, |file| file.write_all(bytes))
}

/// Copies a symbol file into the cache with some bytes changed: their offsets, and what they become. File systems that can
/// share the rest of the bytes do. A file that is as long and as old as one that was copied before is the same. One that
/// needs no change is not copied.
pub(crate) fn keep_copy(original: &Path, changes: &[(u64, u8)]) -> Result<PathBuf> {
    if has(original, changes).map_err(Error::io(original))? {
        return std::path::absolute(original).map_err(Error::io(original));
    }
    let folder = folder()?;
    let meta = std::fs::metadata(original).map_err(Error::io(original))?;
    let identity = (std::path::absolute(original).ok(), meta.len(), meta.modified().ok(), changes);
    let path = folder.join(format!("kernel-{:016x}.elf", hash(identity)));
    if std::fs::metadata(&path).is_ok_and(|copy| copy.len() == meta.len()) {
        return Ok(path);
    }
    finish(&folder, &path, |file| {
        std::io::copy(&mut File::open(original)?, file)?;
        changes.iter().try_for_each(|(offset, byte)| file.write_all_at(&[*byte], *offset))
    })
}

/// Whether a file's bytes at some offsets are these.
fn has(path: &Path, bytes: &[(u64, u8)]) -> std::io::Result<bool> {
    let file = File::open(path)?;
    let mut are = bytes.iter().map(|(offset, byte)| {
        let mut found = [0];
        file.read_exact_at(&mut found, *offset).map(|()| found == [*byte])
    });
    are.try_fold(true, |all, same| Ok(all && same?))
}

/// Writes files into a folder of their own in the cache, whose name their contents give it, unless it is there already.
pub(crate) fn keep_all(kind: &str, files: &[(&str, &[u8])]) -> Result<PathBuf> {
    let folder = folder()?;
    let path = folder.join(format!("{kind}-{:016x}.d", hash(files)));
    if path.is_dir() {
        return Ok(path);
    }
    let unfinished = tempfile::tempdir_in(&folder).map_err(Error::io(&folder))?;
    for (name, bytes) in files {
        let file = unfinished.path().join(name);
        std::fs::write(&file, bytes).map_err(Error::io(&file))?;
    }
    match std::fs::rename(unfinished.path(), &path) {
        Err(error) if !path.is_dir() => return Err(Error::io(&path)(error)),
        _ => clean(&folder, &path), // or another server was faster
    }
    Ok(path)
}

fn hash(content: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}

/// Makes a file that others see only once it is whole: a debugger must never see half of one.
fn finish(
    folder: &Path,
    path: &Path,
    fill: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<PathBuf> {
    let mut unfinished = tempfile::NamedTempFile::new_in(folder).map_err(Error::io(folder))?;
    fill(unfinished.as_file_mut()).map_err(Error::io(folder))?;
    unfinished.persist(path).map_err(|error| Error::io(path)(error.error))?;
    clean(folder, path);
    Ok(path.to_owned())
}

/// `$XDG_CACHE_HOME/kgdbserver`; a temporary folder of this process where there is none and no home.
pub(crate) fn folder() -> Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    let folder =
        base.map(|base| base.join("kgdbserver")).filter(|folder| std::fs::create_dir_all(folder).is_ok());
    folder.map_or_else(temporary, Ok)
}

fn temporary() -> Result<PathBuf> {
    static MADE: Mutex<Option<PathBuf>> = Mutex::new(None);
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(folder) = made.as_ref().filter(|folder| folder.is_dir()) {
        return Ok(folder.clone());
    }
    let folder = tempfile::Builder::new().prefix("kgdbserver-").tempdir().map(tempfile::TempDir::keep);
    Ok(made.insert(folder.map_err(Error::io("a temporary folder"))?).clone())
}

/// Removes the oldest files and folders of the cache, as far as there are too many.
fn clean(folder: &Path, new: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let age = |path: PathBuf| Some((std::fs::metadata(&path).ok()?.modified().ok()?, path));
    let kept = |extension: &OsStr| extension == "elf" || extension == "d";
    let ours = |path: &PathBuf| path != new && path.extension().is_some_and(kept);
    let mut files: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(ours).filter_map(age).collect();
    files.sort_unstable();
    let surplus = (files.len() + 1).saturating_sub(KEPT);
    for (_, path) in files.into_iter().take(surplus) {
        // Another server may have been faster.
        let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_no_change_is_not_copied() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"kernel").unwrap();
        assert_eq!(keep_copy(file.path(), &[(0, b'k'), (5, b'l')]).unwrap(), file.path());
        assert!(!has(file.path(), &[(0, b'k'), (5, b'm')]).unwrap());
        keep_copy(file.path(), &[(6, 0)]).expect_err("behind its end");
    }
}
