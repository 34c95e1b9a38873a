//! Kernel images: what holds bytes of memory.
//!
//! A [`Source`] is the bytes of a file; a [`Format`] makes of them an [`Image`], whose [`Memory`] answers "bytes at this
//! physical address". What the image itself says of virtual addresses stands in [`Image::regions`].

mod avml;
mod dumpdev;
pub(crate) mod elf;
mod encrypted;
mod extents;
mod facts;
mod flattened;
mod header;
mod kdump;
mod keys;
mod lime;
#[allow(unsafe_code)] // what the systems' own interfaces need
pub mod live;
mod minidump;
mod moment;
mod no_memory;
mod notes;
#[cfg(test)]
mod odd;
pub mod overlay;
mod packed;
mod page_cache;
mod pages;
mod part;
#[cfg(test)]
pub(crate) mod ram;
pub(crate) mod raw;
pub(crate) mod running;
mod set;
#[allow(unsafe_code)] // maps files, and survives their being cut short
mod store;
mod textdump;
mod unpacked;
mod wrapped;
pub(crate) mod zeros;

pub use facts::Facts;
pub(crate) use moment::Moment;
pub use notes::{Note, PRSTATUS};
pub use overlay::Overlay;
pub use raw::RawMemory;
pub use set::files_of;
pub use store::Store;
pub use wrapped::Settings;

use crate::{Error, Result};
use kgdbserver_arch::{Arch, ByteOrder, Delta, Fault, Machine, Minidump, Pa, Region, Va};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::{fmt, io};
use wrapped::Layers;

/// The bytes of a file, a device, or a part of one.
pub trait Source: Send + Sync {
    /// Where it came from, for messages.
    fn path(&self) -> &Path;

    /// Bytes in all.
    fn len(&self) -> u64;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that are really there, and not just holes that read as zeros: what an allocation may be as large as.
    fn stored(&self) -> u64 {
        self.len()
    }

    /// Reads from byte `offset` on; short only at the end.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// The same for a few bytes far from all others of interest. A look at a mapped file brings in what lies around it.
    fn read_lone_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.read_at(offset, buf)
    }

    /// The file behind it, if it was opened for writing and byte `n` of the one is byte `n` of the other.
    fn writer(&self) -> Option<&std::fs::File> {
        None
    }

    /// Fills `buf`, or fails.
    fn read_exact_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        match self.read_at(offset, buf)? {
            n if n == buf.len() => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// The bytes of a range. The range must lie in the source, and not be longer than what is stored there, which bounds
    /// what is allocated.
    fn bytes(&self, offset: u64, len: u64) -> io::Result<Vec<u8>> {
        let end = offset.checked_add(len).filter(|_| len <= self.stored());
        let inside = end.is_some_and(|end| end <= self.len());
        let len = usize::try_from(len).ok().filter(|_| inside).ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut bytes = vec![0; len];
        self.read_exact_at(offset, &mut bytes)?;
        Ok(bytes)
    }
}

/// A place in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Addr {
    /// Physical memory.
    Phys(Pa),
    /// Memory that the image stores by virtual address.
    Virt(Va),
    /// A byte of the image file itself: what a minidump keeps of the page tables.
    File(u64),
}

impl Addr {
    /// The place some bytes further on.
    pub(crate) fn checked_add(self, bytes: u64) -> Option<Self> {
        Some(match self {
            Self::Phys(pa) => Self::Phys(pa.checked_add(bytes)?),
            Self::Virt(va) => Self::Virt(va.checked_add(bytes)?),
            Self::File(offset) => Self::File(offset.checked_add(bytes)?),
        })
    }
}

/// The memory that an image holds.
pub trait Memory: Send + Sync {
    /// Reads the longest prefix that the image holds without a break; at least one byte, or the reason why not.
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Fault>;

    /// Writes the longest prefix that can be written at once, which may be less than could be in all; at least one byte,
    /// or the reason why not. `va` is the writer's address of that place, for whoever keeps a record.
    fn write(&self, at: Addr, data: &[u8], va: Va) -> Result<usize, Unwritten> {
        let _ = (at, data, va);
        Err(Unwritten::ReadOnly)
    }

    /// Whether a write is a store of the very kernel that the memory is of, which faults where its page tables forbid it.
    fn obeys_rights(&self) -> bool {
        false
    }

    /// The byte of the image file where a physical address is stored.
    fn locate(&self, pa: Pa) -> Result<u64, Fault>;

    /// The physical pages that were dumped, in ascending order.
    fn pages(&self) -> Box<dyn Iterator<Item = Pa> + '_>;

    /// The physical pages that were there and were left out on purpose, in ascending order, as far as the image tells.
    fn left_out(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        Box::new(std::iter::empty())
    }

    /// How many pages were dumped, and how many of these the file lacks. Counts them all: not for the open path.
    fn census(&self) -> Census;

    /// Whether it is that of a system that runs: then it changes while it is read.
    fn is_live(&self) -> bool {
        false
    }
}

/// Why memory could not be written.
#[derive(Debug)]
pub enum Unwritten {
    /// It cannot be read either.
    Fault(Fault),
    /// The image is only read.
    ReadOnly,
    /// An overlay holds as many bytes of changes as it may.
    Full(usize),
    /// The operating system refused.
    Io(io::Error),
}

impl From<Fault> for Unwritten {
    fn from(why: Fault) -> Self {
        Self::Fault(why)
    }
}

/// A count of an image's pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Census {
    /// Pages that were dumped.
    pub dumped: u64,
    /// Dumped pages that lie behind the end of the file, or in a file of a split set that was not given.
    pub cut_off: u64,
}

/// An opened image.
#[derive(Clone)]
pub struct Image {
    /// The format's name.
    pub format: &'static str,
    /// Another system whose images of this version look just the same.
    pub shared_with: Option<&'static str>,
    /// The format's version, where it has one.
    pub version: Option<u32>,
    /// The machine that was imaged; none where only a kernel file can tell.
    pub machine: Option<Machine>,
    /// log2 of the page size in bytes.
    pub page_shift: u8,
    /// Bytes of the file.
    pub size: u64,
    /// Its memory.
    pub memory: Arc<dyn Memory>,
    /// What the image itself says of virtual addresses. Nothing where it holds plain physical memory: then the kernel's
    /// page tables are found by its symbols ([`crate::kernel::locate`]).
    pub regions: Vec<Region>,
    /// The direct map among the regions, for walking all pages.
    pub direct_map: Option<Region>,
    /// What the image's wrapping tells of the dump.
    pub facts: Facts,
    /// By how much the kernel's addresses are higher than its file's; wraps. The regions also hold the kernel at its
    /// file's addresses.
    pub kerndisp: u64,
    /// What is odd about the file, though it can be used.
    pub warnings: Vec<String>,
    /// Of an image that holds plain memory.
    pub plain: Option<Plain>,
    /// Of an image that keeps the kernel's page tables apart from memory.
    pub kept: Option<Kept>,
}

/// Where a minidump's header and its page tables lie in the file, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// A page.
    pub header: Range<u64>,
    /// The section of page tables; may be empty.
    pub tables: Range<u64>,
}

/// Memory as it is, in segments of an ELF core or in ranges of a raw file, and what else that core tells.
#[derive(Debug, Clone, Default)]
pub struct Plain {
    /// How many segments or ranges hold memory.
    pub segments: usize,
    /// Where its notes lie in the file, in bytes. They may go beyond its end.
    pub notes: Vec<Range<u64>>,
    /// Where VMCOREINFO lies in the file, in bytes, if a header tells so and no note.
    pub vmcoreinfo: Option<Range<u64>>,
    /// Where a FreeBSD kernel was loaded.
    pub delta: Option<Delta>,
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image")
            .field("format", &self.format)
            .field("regions", &self.regions)
            .finish_non_exhaustive()
    }
}

/// Reads the headers of several files.
pub type OpenSet = fn(Vec<Arc<dyn Source>>) -> Result<Image>;

/// One dump format.
pub struct Format {
    /// Its name.
    pub name: &'static str,
    /// Whether the source is of this format, at a glance.
    pub probe: fn(&dyn Source) -> bool,
    /// Reads the headers.
    pub open: fn(Arc<dyn Source>) -> Result<Image>,
    /// Reads the headers of several files that are one dump, in any order; none where a dump is always one file.
    pub set: Option<OpenSet>,
}

/// Every format, in the order in which they are tried.
pub static FORMATS: &[Format] =
    &[minidump::FORMAT, textdump::FORMAT, elf::FORMAT, lime::FORMAT, kdump::FORMAT];

/// What an image may be wrapped in, in the order in which it is tried.
pub fn wrappings() -> impl Iterator<Item = &'static str> {
    wrapped::WRAPPERS.iter().map(|wrapper| wrapper.name)
}

/// The format of a source, if one recognises it.
pub fn recognise(source: &dyn Source) -> Option<&'static Format> {
    FORMATS.iter().find(|format| (format.probe)(source))
}

/// Whether the source is an image at a glance, be it wrapped.
pub fn is_image(source: &dyn Source) -> bool {
    recognise(source).is_some() || wrapped::is_wrapped(source)
}

/// Whether the source may be one of several files that are one image, as far as that is seen at a glance.
pub fn may_be_part(source: &dyn Source) -> bool {
    recognise(source).map_or_else(|| wrapped::is_wrapped(source), |format| format.set.is_some())
}

/// Opens an image; reads headers only, unless it must be unpacked first.
///
/// # Errors
/// No format recognises it, or it breaks its format's rules; a wrapping that cannot be taken off.
pub fn open(source: Arc<dyn Source>, settings: &Settings) -> Result<Image> {
    let path = source.path().to_owned();
    let mut layers = Layers::new(settings);
    let (format, inner) = unwrap(source, &mut layers)?;
    let mut image = match settings.parts.as_slice() {
        [] => (format.open)(inner)?,
        parts => set::open(format, inner, parts, &mut layers)?,
    };
    image.warnings.splice(0..0, layers.warnings);
    let names = layers.facts.layers.clone();
    let told = std::mem::take(&mut image.facts).or(layers.facts).or(Facts::beside(&path));
    image.facts = Facts { layers: names, ..told };
    image.machine = image.machine.or_else(|| machine_named(image.facts.architecture.as_deref()?));
    Ok(image)
}

/// Takes off layers until a format recognises what is left.
fn unwrap(source: Arc<dyn Source>, layers: &mut Layers<'_>) -> Result<(&'static Format, Arc<dyn Source>)> {
    let path = source.path().to_owned();
    let mut inner = source;
    loop {
        if let Some(format) = recognise(&*inner) {
            log::debug!("{}: {}", path.display(), format.name);
            return Ok((format, inner));
        }
        inner = layers.take_off(&inner)?.ok_or_else(|| unknown(&path, layers))?;
    }
}

fn unknown(path: &Path, layers: &Layers<'_>) -> Error {
    let formats: Vec<_> = FORMATS.iter().map(|format| format.name).collect();
    let tried = formats.join(", ");
    match layers.facts.layers.as_slice() {
        [] => Error::UnknownFormat { path: path.to_owned(), tried },
        _ if layers.decrypted() => Error::Unsupported(format!(
            "{}: decrypted, and no kernel image came out: is the key file that of another dump?",
            path.display()
        )),
        names => Error::Unsupported(format!(
            "{}: what is wrapped in it ({}) is not a kernel image that this build knows (tried: {tried})",
            path.display(),
            names.join(", ")
        )),
    }
}

/// The machine that FreeBSD calls so: its name for the processor, or the one in a minidump's magic, often both. armv6 and
/// armv7 are arm; what ends in `le` has a sister of the other byte order.
fn machine_named(architecture: &str) -> Option<Machine> {
    let base = architecture.strip_suffix("le").unwrap_or(architecture);
    let base = if base.starts_with("armv") { "arm" } else { base };
    let rows = kgdbserver_arch::ALL.iter().filter_map(|arch| Some((*arch, arch.freebsd?.minidumps.first()?)));
    let is =
        |(arch, row): &(&Arch, &Minidump)| arch.name == base || row.magic.rsplit('/').next() == Some(base);
    let (arch, row) = rows.into_iter().find(is)?;
    let big_endian = row.order == ByteOrder::OfVersion && base == architecture;
    Some(Machine { arch, big_endian, ptr_bytes: row.ptr_bytes })
}
