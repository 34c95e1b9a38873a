use kgdbserver_arch::{Fault, Va};
use std::{io, path::PathBuf};

/// This crate's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong. Every text says what was tried; what to do next stands there where we know it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A running kernel that may not be read.
    #[error("{}: {why}", path.display())]
    Denied {
        /// Its device.
        path: PathBuf,
        /// The reason, and what to do.
        why: String,
    },
    /// No format recognised the file.
    #[error("{}: not a kernel image that this build knows (tried: {tried})", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// The formats that were tried.
        tried: String,
    },
    /// The file claims a format and breaks its rules.
    #[error("corrupt {format} at byte {offset:#x}: {what}")]
    Corrupt {
        /// The format that the file claims.
        format: &'static str,
        /// Where in the file.
        offset: u64,
        /// Which rule is broken.
        what: String,
    },
    /// Recognised, but not something this build can do.
    #[error("{0}")]
    Unsupported(String),
    /// A symbol that neither the kernel file nor the resolver knows.
    #[error("{0}: no such symbol")]
    NoSymbol(String),
    /// An address that cannot be read.
    #[error("invalid address ({va}): {}", describe(*why))]
    Fault {
        /// The virtual address.
        va: Va,
        /// Why not.
        why: Fault,
    },
    /// A structure of the kernel that cannot be believed.
    #[error("{what} at {va}: {why}")]
    BadStructure {
        /// Its kind: `proc`, `thread`.
        what: &'static str,
        /// Where it lies.
        va: Va,
        /// What is wrong with it.
        why: String,
    },
    /// A write, to an image that cannot be written; the text is libkvm's.
    #[error("kvm_write not implemented for dead kernels")]
    ReadOnly,
    /// A write that the operating system refused.
    #[error("{va}: not written: {source}")]
    Unwritten {
        /// The virtual address.
        va: Va,
        /// The system's reason.
        source: io::Error,
    },
    /// An overlay is full.
    #[error("the overlay holds {limit} bytes of changes, which is all that it may (--overlay-limit)")]
    OverlayFull {
        /// How many bytes that are.
        limit: usize,
    },
    /// The kernel file is not the one that wrote the image.
    #[error(
        "the kernel file does not belong to this image: {what} is {kernel} in the kernel file and {image} in the image \
         (find the kernel that wrote the image, or override with --force)"
    )]
    Mismatch {
        /// What was compared.
        what: String,
        /// Its value in the kernel file.
        kernel: String,
        /// Its value in the image.
        image: String,
    },
    /// The caller asked for something that cannot be, in libkvm's words where it has some.
    #[error("{0}")]
    Usage(String),
}

/// A fault, in words.
pub fn describe(why: Fault) -> String {
    match why {
        Fault::NoRegion => "the image knows no mapping for this part of the address space".into(),
        Fault::NotMapped => "the kernel's page tables map nothing here".into(),
        Fault::NotInImage(pa) => format!("physical address {pa} is not in the image"),
        Fault::Excluded(pa) => format!("physical address {pa} was left out of the image on purpose"),
        Fault::CutOff(pa) => {
            format!("physical address {pa} was dumped, but the image file is cut off before it")
        }
        Fault::NoMemory => "this image holds no memory".into(),
        Fault::Unreadable(pa) => {
            format!("physical address {pa} is in the image, but reading the file failed")
        }
        Fault::Damaged(pa) => format!("physical address {pa} is in the image, but its page there is damaged"),
        Fault::PartMissing(pa) => {
            format!("physical address {pa} is in another file of the split set: name all its files")
        }
    }
}

impl Error {
    /// An I/O error with its path.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
