//! Writes an image's memory as a dump that other tools open too: an ELF core, or a kdump-compressed one.
//!
//! What the image left out on purpose stays left out, and what cannot be read is left out as well, and counted.

mod elf;
mod headers;
mod kdump;
mod linux;
mod notes;
mod plan;

use crate::image::{Addr, Image};
use crate::{Error, Kvm, Result};
use kgdbserver_arch::{Fault, Pa};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A format of dumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An ELF core: memory as it is, with holes for pages of zeros.
    Elf,
    /// A kdump-compressed dump: every page packed for itself.
    Kdump(Packing),
}

/// How a kdump-compressed dump packs pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Small and quick; older tools do not know it.
    Zstd,
    /// Known by all tools, and slow.
    Zlib,
}

/// Hears how many bytes of memory are written, and of how many.
pub type Progress<'a> = dyn Fn(u64, u64) + Sync + 'a;

/// How a dump is written.
pub struct Settings<'a> {
    /// The format.
    pub format: Format,
    /// A file that is there is replaced.
    pub replace: bool,
    /// Hears how far it is.
    pub progress: &'a Progress<'a>,
    /// Set by someone else to end it early.
    pub stop: &'a AtomicBool,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of it that could not be read, and are not in the dump.
    pub lost: u64,
    /// Bytes of the file, with its holes.
    pub file: u64,
}

/// Writes a dump of all that an image holds. The file appears when it is complete.
///
/// # Errors
/// A file is there already, or cannot be written; an image whose memory alone would not be a dump; it was told to stop.
pub fn write(kvm: &Kvm, path: &Path, settings: &Settings<'_>) -> Result<Written> {
    refuse(kvm, path, settings)?;
    let _still = kvm.still()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let new = tempfile::NamedTempFile::new_in(folder).map_err(Error::io(path))?;
    let job = Job { kvm, image: kvm.image(), file: new.as_file(), path, settings };
    let written = match settings.format {
        Format::Elf => elf::write(&job)?,
        Format::Kdump(packing) => kdump::write(&job, packing)?,
    };
    let kept = match settings.replace {
        true => new.persist(path),
        false => new.persist_noclobber(path),
    };
    kept.map_err(|error| Error::io(path)(error.error))?;
    Ok(written)
}

/// What can be told before anything is written.
fn refuse(kvm: &Kvm, path: &Path, settings: &Settings<'_>) -> Result<()> {
    let there = path.symlink_metadata().ok();
    if there.is_some() && !settings.replace {
        return Err(Error::Usage(format!("{}: is there already; --replace replaces it", path.display())));
    }
    if there.is_some_and(|meta| !meta.is_file()) {
        return Err(Error::Usage(format!("{}: not a file", path.display())));
    }
    if kvm.image().plain.is_none() && kvm.is_live() {
        let why = "the devices do not tell where a running kernel has memory; FreeBSD since 14 dumps itself: savecore -L";
        return Err(Error::Unsupported(why.into()));
    }
    if kvm.image().plain.is_none() {
        return Err(Error::Unsupported(format!(
            "a {} keeps its page tables apart from memory, and other dumps have no place for them: it cannot be written \
             in another format",
            kvm.image().format
        )));
    }
    if settings.format != Format::Elf && kvm.linux().is_none() {
        return Err(Error::Unsupported("only Linux has kdump-compressed dumps: use --format elf".into()));
    }
    Ok(())
}

/// Whether two paths lead to the same file.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| path.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
    id(one).is_some_and(|one| id(other) == Some(one))
}

/// A dump that is being written.
struct Job<'a> {
    kvm: &'a Kvm,
    image: &'a Image,
    file: &'a File,
    path: &'a Path,
    settings: &'a Settings<'a>,
}

impl Job<'_> {
    fn io(&self, error: io::Error) -> Error {
        Error::io(self.path)(error)
    }

    /// Tells how far it is.
    ///
    /// # Errors
    /// It was told to stop.
    fn tell(&self, done: u64, total: u64) -> Result<()> {
        (self.settings.progress)(done, total);
        match self.settings.stop.load(Ordering::Relaxed) {
            true => Err(self.io(io::ErrorKind::Interrupted.into())),
            false => Ok(()),
        }
    }

    /// Fills `buf` from a page that the image says it holds; false if it cannot be read after all.
    fn read(&self, pa: u64, buf: &mut [u8]) -> bool {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let Some(at) = pa.checked_add(done as u64) else { return false };
            match self.image.memory.read(Addr::Phys(Pa(at)), rest) {
                Ok(got) => done += got,
                Err(why) => {
                    log::info!("left out: {}", crate::describe(why));
                    return false;
                }
            }
        }
        true
    }

    /// Whether the file of the image that would hold a page ends before it, or is not at hand.
    fn is_lost(&self, pa: Pa) -> bool {
        matches!(self.image.memory.locate(pa), Err(Fault::CutOff(_) | Fault::PartMissing(_)))
    }
}

fn is_zero(page: &[u8]) -> bool {
    page.iter().all(|byte| *byte == 0)
}
