//! The header that a BSD kernel writes around a dump on its dump device: `struct kerneldumpheader`.
//!
//! 512 bytes; all integers are big endian, whatever the machine. Layouts: FreeBSD's sys/kerneldump.h and savecore(8)'s
//! compatibility header. DragonFly has kept version 1.

use super::facts::Facts;
use crate::{Error, Result};

/// Bytes of the header.
pub(super) const LEN: usize = 512;

pub(super) const NAME: &str = "kernel dump header";

/// What the magic says of the dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Memory.
    Memory,
    /// A textdump.
    Text,
    /// savecore has fetched the dump and marked it so; what kind it was is no longer told.
    Cleared,
}

static MAGICS: &[(&[u8; 19], Kind)] = &[
    (b"FreeBSD Kernel Dump", Kind::Memory),
    (b"FreeBSD Text Dump\0\0", Kind::Text),
    (b"Cleared Kernel Dump", Kind::Cleared),
    (b"DragonFly Kern Dump", Kind::Memory),
    (b"DragonFly Text Dump", Kind::Text),
];

/// Where a version keeps its members: byte offsets, and for texts their size too. What precedes byte 48 never changed.
struct Layout {
    version: u32,
    dumptime: usize,
    blocksize: usize,
    dumpkeysize: Option<usize>,
    dumpextent: Option<usize>,
    hostname: (usize, usize),
    versionstring: (usize, usize),
    panicstring: (usize, usize),
}

/// Versions 2 and 3 were written by 12-CURRENT only: encryption came with 2, compression with 3.
static LAYOUTS: &[Layout] = &[
    Layout {
        version: 1,
        dumptime: 48,
        blocksize: 56,
        dumpkeysize: None,
        dumpextent: None,
        hostname: (60, 64),
        versionstring: (124, 192),
        panicstring: (316, 192),
    },
    Layout {
        version: 2,
        dumptime: 48,
        blocksize: 60,
        dumpkeysize: Some(56),
        dumpextent: None,
        hostname: (64, 64),
        versionstring: (128, 192),
        panicstring: (320, 188),
    },
    Layout {
        version: 3,
        dumptime: 56,
        blocksize: 68,
        dumpkeysize: Some(64),
        dumpextent: Some(48),
        hostname: (73, 64),
        versionstring: (137, 192),
        panicstring: (329, 179),
    },
    Layout {
        version: 4,
        dumptime: 48,
        blocksize: 60,
        dumpkeysize: Some(56),
        dumpextent: Some(496),
        hostname: (64, 64),
        versionstring: (128, 192),
        panicstring: (320, 175),
    },
];

/// A header's values.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    /// Bytes of dump on the medium: of a compressed dump, its compressed size.
    pub(super) dumplength: u64,
    /// Bytes set aside for it on the medium.
    pub(super) dumpextent: u64,
    /// Bytes of the key block; 0 for a dump that is not encrypted.
    pub(super) dumpkeysize: u64,
    /// Bytes that the header itself and the key block are rounded up to.
    pub(super) blocksize: u64,
    pub(super) facts: Facts,
}

/// Whether these bytes begin with one of the magics.
pub(super) fn has_magic(bytes: &[u8]) -> bool {
    kind(bytes).is_some()
}

fn kind(bytes: &[u8]) -> Option<Kind> {
    let is = |magic: &[u8; 19]| bytes.get(..19) == Some(magic) && bytes.get(19) == Some(&0);
    MAGICS.iter().find(|(magic, _)| is(magic)).map(|(_, kind)| *kind)
}

/// Whether the parity holds: all 32-bit words together make 0.
pub(super) fn parity_holds(bytes: &[u8; LEN]) -> bool {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().fold(0, |sum, word| sum ^ u32::from_ne_bytes(*word)) == 0
}

impl Header {
    /// Reads a header that stands at byte `at` of the file.
    ///
    /// # Errors
    /// [`Error::Corrupt`]: no magic, an unknown version, or sizes that contradict each other.
    pub(super) fn parse(bytes: &[u8; LEN], at: u64) -> Result<Self> {
        let corrupt = |what: String| Error::Corrupt { format: NAME, offset: at, what };
        let kind = kind(bytes).ok_or_else(|| corrupt("no magic".into()))?;
        let version = u32_at(bytes, 32);
        let layout = LAYOUTS.iter().find(|layout| layout.version == version);
        let layout = layout.ok_or_else(|| corrupt(format!("version {version}; supported are 1 to 4")))?;
        let dumplength = u64_at(bytes, 40);
        // Before version 3 nothing was compressed, so what is there is all that was set aside.
        let dumpextent = layout.dumpextent.map_or(dumplength, |offset| u64_at(bytes, offset));
        if dumplength > dumpextent {
            return Err(corrupt(format!("{dumplength} bytes of dump in an extent of {dumpextent}")));
        }
        let blocksize = match u64::from(u32_at(bytes, layout.blocksize)) {
            0 => LEN as u64, // version 1 of old kernels, and DragonFly
            size if size.is_power_of_two() && (512..=65536).contains(&size) => size,
            size => return Err(corrupt(format!("blocks of {size} bytes"))),
        };
        let text = |(offset, len): (usize, usize)| text_at(bytes, offset, len);
        let facts = Facts {
            hostname: text(layout.hostname),
            dump_time: Some(u64_at(bytes, layout.dumptime)).filter(|time| *time != 0),
            version: text(layout.versionstring),
            panic: text(layout.panicstring),
            architecture: text((20, 12)),
            ..Facts::default()
        };
        let dumpkeysize = layout.dumpkeysize.map_or(0, |offset| u32_at(bytes, offset).into());
        Ok(Self { kind, dumplength, dumpextent, dumpkeysize, blocksize, facts })
    }
}

fn u32_at(bytes: &[u8; LEN], offset: usize) -> u32 {
    let word = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    u32::from_be_bytes(word.copied().unwrap_or_default())
}

fn u64_at(bytes: &[u8; LEN], offset: usize) -> u64 {
    let word = bytes.get(offset..).and_then(|rest| rest.first_chunk());
    u64::from_be_bytes(word.copied().unwrap_or_default())
}

/// A text up to its first NUL, if there is one character of it.
fn text_at(bytes: &[u8; LEN], offset: usize, len: usize) -> Option<String> {
    let text = bytes.get(offset..)?.get(..len)?.split(|byte| *byte == 0).next()?;
    let text = crate::kernel::text(text);
    Some(text.trim_end().to_owned()).filter(|text| !text.is_empty())
}
