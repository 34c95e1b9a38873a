//! Writes an image's memory as a dump that other tools open too: an ELF core, a kdump-compressed one, or a minidump as it is.
//!
//! What the image left out on purpose stays left out, and what cannot be read is left out as well, and counted.

mod elf;
mod headers;
mod kdump;
mod linux;
mod mapped;
mod minidump;
mod notes;
mod plan;
mod threads;
mod words;

use crate::image::zeros::is_zero;
use crate::image::{Addr, Image};
use crate::space::Space;
use crate::{Error, Kvm, Result};
use kgdbserver_arch::{Fault, Pa, Va, Via};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// A format of dumps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An ELF core: memory as it is, with holes for pages of zeros.
    Elf(Abi),
    /// A kdump-compressed dump: every page packed for itself.
    Kdump(Packing),
    /// A minidump byte for byte, out of what it was wrapped in.
    Minidump,
}

/// Whose ELF core that of a minidump looks like: debuggers know a core's threads by its system's notes. Others tell by the notes
/// that they have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Abi {
    /// FreeBSD's: for lldb, and a gdb that knows FreeBSD.
    #[default]
    FreeBsd,
    /// Linux's: for any other gdb.
    Linux,
}

/// How a kdump-compressed dump packs pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// Small and quick; older tools do not know it.
    Zstd,
    /// Known by all tools, and slow.
    Zlib,
}

/// Bytes read at a time.
const CHUNK: usize = 1 << 20;

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
    let physical = kvm.space().physical();
    let job = Job { kvm, image: kvm.image(), physical, file: new.as_file(), path, settings };
    let written = match settings.format {
        Format::Elf(abi) => elf::write(&job, abi)?,
        Format::Kdump(packing) => kdump::write(&job, packing)?,
        Format::Minidump => minidump::write(&job)?,
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
    unfit(kvm, settings.format).map_or(Ok(()), |why| Err(Error::Unsupported(why)))
}

/// Why an image cannot be written in a format.
fn unfit(kvm: &Kvm, format: Format) -> Option<String> {
    let image = kvm.image();
    let name = image.format;
    let by_va = || image.regions.iter().any(|region| matches!(region.via, Via::Stored));
    Some(match (format, &image.plain, &image.kept) {
        (_, None, None) if kvm.is_live() => {
            "the devices do not tell where a running kernel has memory; FreeBSD since 14 dumps itself: savecore -L".into()
        }
        (_, None, None) => format!("a {name} has no physical memory that could be written"),
        (Format::Minidump, None, Some(_)) => return None,
        (Format::Minidump, ..) => format!(
            "only a minidump is written as one, and this is a {name}: which pages a kernel would dump is not known"
        ),
        (Format::Kdump(_), ..) if kvm.linux().is_none() => {
            "only Linux has kdump-compressed dumps: use --format elf".into()
        }
        _ if by_va() => {
            format!("this {name} tells virtual addresses only: there is no physical memory to be written")
        }
        _ => return None,
    })
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
    /// Its memory by physical addresses.
    physical: Space,
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

    /// Reads memory that the image says it holds; returns how many bytes of it can be read after all.
    fn read(&self, pa: u64, buf: &mut [u8]) -> usize {
        let (got, fault) = self.physical.read_prefix(Va(pa), buf);
        if let Some(why) = fault {
            log::info!("left out: {}", crate::describe(why));
        }
        got
    }

    /// Copies bytes of the image file, and tells how far it is until it is done.
    fn copy(&self, from: &Range<u64>, to: u64) -> Result<()> {
        let total = from.end.saturating_sub(from.start);
        let mut buf = vec![0; CHUNK];
        for done in (0..total).step_by(CHUNK) {
            self.tell(done, total)?;
            let len = (total - done).min(CHUNK as u64) as usize;
            let chunk = buf.get_mut(..len).unwrap_or_default();
            let at = from.start + done;
            if self.image.memory.read(Addr::File(at), chunk) != Ok(len) {
                let what = format!("{len} bytes from byte {at:#x} of the image on cannot be read");
                return Err(Error::Unsupported(what));
            }
            self.store(chunk, to + done, 1 << self.image.page_shift)?;
        }
        Ok(())
    }

    /// Writes what is not zeros, in blocks of so many bytes: the rest is a hole in the file.
    fn store(&self, bytes: &[u8], offset: u64, block: usize) -> Result<()> {
        let blocks: Vec<&[u8]> = bytes.chunks(block).collect();
        let mut at = 0;
        for run in blocks.chunk_by(|one, next| is_zero(one) == is_zero(next)) {
            let len: usize = run.iter().map(|block| block.len()).sum();
            let run_bytes = bytes.get(at..at + len).unwrap_or_default();
            if !run.first().is_none_or(|block| is_zero(block)) {
                self.file.write_all_at(run_bytes, offset + at as u64).map_err(|error| self.io(error))?;
            }
            at += len;
        }
        Ok(())
    }

    /// Whether the file of the image that would hold a page ends before it, or is not at hand.
    fn is_lost(&self, pa: Pa) -> bool {
        matches!(self.image.memory.locate(pa), Err(Fault::CutOff(_) | Fault::PartMissing(_)))
    }
}
