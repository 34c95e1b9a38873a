//! Unpacked images, kept for the next open.
//!
//! They lie in the user's cache folder, readable by the user only. A file gets its name when it is complete, so one
//! that was left behind half written is never taken for a whole one.

use super::wrapped::Settings;
use super::zeros::is_zero;
use super::{Source, Store};
use crate::{Error, Result};
use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tempfile::NamedTempFile;

/// Disk space that is left to others where the user sets no limit.
const RESERVE: u64 = 1 << 30;

/// Disk space is asked for in steps of this size: asking takes a look at the folder.
const STEP: u64 = 64 << 20;

/// A half written file this old belongs to nobody.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// Names end so: a whole image, one whose compressed form is cut off, one being written.
const WHOLE: &str = ".whole";
const CUT: &str = ".cut";
const WRITING: &str = ".writing";

/// The folder.
pub(super) struct Cache {
    folder: PathBuf,
    limit: Option<u64>,
    boot: Option<String>,
}

impl Cache {
    /// Makes the folder if need be, and clears what nobody can use any more.
    pub(super) fn open(settings: &Settings) -> Result<Self> {
        let folder = match &settings.cache {
            Some(folder) => folder.clone(),
            None => crate::cache::folder()?.join("images"),
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(Error::io(&folder))?;
        let cache = Self { folder, limit: settings.cache_limit, boot: boot() };
        cache.files().filter(|file| cache.is_useless(file)).for_each(|file| file.remove());
        Ok(cache)
    }

    /// The name under which an unpacked source is kept: says which file it came from, in which state, and through which
    /// layers. None if that file is not known.
    pub(super) fn name(&self, source: &dyn Source, layers: &[&str]) -> Option<String> {
        let path = fs::canonicalize(source.path()).ok()?;
        let meta = fs::metadata(&path).ok()?;
        let mut hasher = DefaultHasher::new(); // another Rust may hash otherwise: that unpacks once more
        (&path, layers, meta.dev(), source.len()).hash(&mut hasher);
        // A dump device stays the same file whatever is dumped to it: the ends of the stream tell (headers, checksum).
        for at in [0, source.len().saturating_sub(4096)] {
            source.bytes(at, source.len().min(4096)).ok()?.hash(&mut hasher);
        }
        let (size, inode, place) = (meta.len(), meta.ino(), hasher.finish());
        let time = meta.mtime().wrapping_mul(1_000_000_000).wrapping_add(meta.mtime_nsec());
        let file: String = path.file_name()?.to_string_lossy().chars().take(40).collect();
        let boot = self.boot.as_deref().unwrap_or("synced");
        Some(format!("{file}-{size:x}-{time:x}-{inode:x}-{place:016x}-{boot}"))
    }

    /// A file kept under that name, and whether it is cut off; `path` is its name in messages.
    pub(super) fn find(&self, name: &str, path: &Path) -> Option<(Store, bool)> {
        [(WHOLE, false), (CUT, true)].into_iter().find_map(|(suffix, cut)| {
            let file = File::open(self.folder.join(format!("{name}{suffix}"))).ok()?;
            // The oldest is removed first; what is used is not old. A read-only folder serves all the same.
            let _ = file.set_modified(SystemTime::now());
            Some((Store::of(file, path).ok()?, cut))
        })
    }

    /// A new file to be filled.
    pub(super) fn spill(&self) -> Result<Spill<'_>> {
        let file = tempfile::Builder::new().suffix(WRITING).tempfile_in(&self.folder);
        let file = file.map_err(Error::io(&self.folder))?;
        Ok(Spill { cache: self, file, len: 0, on_disk: 0, granted: 0 })
    }

    fn files(&self) -> impl Iterator<Item = Kept> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| {
            let meta = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            let path = entry.path();
            let ours = |end: &&str| path.to_str().is_some_and(|path| path.ends_with(*end));
            let writing = [WHOLE, CUT, WRITING].iter().find(|end| ours(end)).map(|end| *end == WRITING)?;
            Some(Kept { path, writing, used: meta.modified().ok()?, on_disk: meta.blocks() * 512 })
        })
    }

    /// What is left of a process that was killed, or of an earlier boot.
    fn is_useless(&self, file: &Kept) -> bool {
        let age = SystemTime::now().duration_since(file.used).unwrap_or_default();
        let boot = self.boot.as_deref();
        let of_this_boot = |boot: &str| file.path.to_str().is_some_and(|path| path.contains(boot));
        if file.writing { age > ABANDONED } else { boot.is_some_and(|boot| !of_this_boot(boot)) }
    }

    /// How many bytes a file being written, which takes `has` already, may take in all: at least `wanted`, for which the
    /// least recently used files are removed.
    fn grant(&self, has: u64, wanted: u64) -> Result<u64> {
        let mut others: Vec<Kept> = self.files().filter(|file| !file.writing).collect();
        others.sort_by_key(|file| std::cmp::Reverse(file.used));
        loop {
            let allowed = self.allowed(&others, has)?;
            if allowed >= wanted {
                return Ok(allowed.min(wanted.saturating_add(STEP)));
            }
            let oldest = others.pop().ok_or_else(|| self.full(wanted))?;
            log::info!("removed to make room: {}", oldest.path.display());
            oldest.remove();
        }
    }

    fn allowed(&self, others: &[Kept], has: u64) -> Result<u64> {
        if let Some(limit) = self.limit {
            let taken: u64 = others.iter().map(|file| file.on_disk).sum();
            return Ok(limit.saturating_sub(taken));
        }
        let disk =
            rustix::fs::statvfs(&self.folder).map_err(|error| Error::io(&self.folder)(error.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        Ok(has.saturating_add(free.saturating_sub(RESERVE)))
    }

    fn full(&self, wanted: u64) -> Error {
        let limit = match self.limit {
            Some(limit) => format!("--cache-limit allows {limit} bytes"),
            None => format!("only the {RESERVE} bytes that are left to others are free"),
        };
        Error::Unsupported(format!(
            "{}: unpacking the image takes {wanted} bytes or more, but {limit} (XDG_CACHE_HOME names another folder)",
            self.folder.display()
        ))
    }
}

/// Names this boot of the machine, on Linux. A file is not forced to the disk, which would take longer than unpacking
/// it; if the machine loses power, its name may survive and its bytes not. So files of an earlier boot are not believed.
/// Where a boot has no name, they are forced to the disk.
fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id: String = id.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    Some(format!("boot{id}")).filter(|_| !id.is_empty())
}

/// A file in the folder.
struct Kept {
    path: PathBuf,
    writing: bool,
    used: SystemTime,
    on_disk: u64,
}

impl Kept {
    fn remove(&self) {
        if let Err(error) = fs::remove_file(&self.path) {
            log::debug!("{}: {error}", self.path.display());
        }
    }
}

/// A file being filled, with holes for blocks of zeros.
pub(super) struct Spill<'a> {
    cache: &'a Cache,
    file: NamedTempFile,
    len: u64,
    on_disk: u64,
    granted: u64,
}

/// Smaller holes save nothing on most file systems.
const BLOCK: usize = 4096;

impl Spill<'_> {
    /// Bytes so far, holes included.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Appends.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut at = self.len;
        for run in bytes.chunks(BLOCK).collect::<Vec<_>>().chunk_by(|a, b| is_zero(a) == is_zero(b)) {
            let len: usize = run.iter().map(|block| block.len()).sum();
            let start = usize::try_from(at - self.len).unwrap_or(usize::MAX);
            if let Some(bytes) =
                bytes.get(start..start + len).filter(|_| !run.first().is_some_and(|block| is_zero(block)))
            {
                self.store(at, bytes)?;
            }
            at += len as u64;
        }
        self.len = at;
        Ok(())
    }

    fn store(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let after = self.on_disk + bytes.len() as u64;
        if after > self.granted {
            self.granted = self.cache.grant(self.on_disk, after)?;
        }
        self.on_disk = after;
        self.file.as_file().write_all_at(bytes, at).map_err(Error::io(&self.cache.folder))
    }

    /// Ends the file and opens it; `path` is its name in messages. Under a `name`, it is kept.
    pub(super) fn finish(self, name: Option<&str>, cut: bool, path: &Path) -> Result<Store> {
        let failed = |error: io::Error| Error::io(&self.cache.folder)(error);
        self.file.as_file().set_len(self.len).map_err(failed)?;
        let Some(name) = name else { return Store::of(self.file.into_file(), path) };
        if self.cache.boot.is_none() {
            self.file.as_file().sync_data().map_err(failed)?;
        }
        let kept = self.cache.folder.join(format!("{name}{}", if cut { CUT } else { WHOLE }));
        let file = self.file.persist(&kept).map_err(|error| Error::io(&kept)(error.error))?;
        Store::of(file, path)
    }
}
