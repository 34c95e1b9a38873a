//! Changes to an image, in a file: JSON that people can read, with what tells this image from others.
//!
//! ```json
//! {
//!   "kgdbserver-patch": 1,
//!   "image": { "format": "ELF core", "size": 553784603, "kernel": "6.1.0-56-cloud-amd64", "build-id": "79..", "head": "3d.." },
//!   "changes": [ { "physical": "0x1e05780", "virtual": "0xffffffff8de05780", "was": "0200", "now": "0300" } ]
//! }
//! ```
//!
//! `head` is the SHA-1 of the file's first 64 KiB, where headers and registers stand. `physical` is where the bytes lie; `stored`
//! instead in an image that stores memory by virtual address. `virtual` is where their writer saw them.

use crate::image::overlay::Change;
use crate::image::{Addr, Image};
use crate::{Error, Result};
use kgdbserver_arch::{Pa, Va};
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

const VERSION: u32 = 1;

/// What the digest of a file covers.
const HEAD: usize = 64 << 10;

/// The patch of an overlay that is full has half of it.
const SIZE_LIMIT: u64 = 512 << 20;

/// Changes to an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Patch {
    #[serde(rename = "kgdbserver-patch")]
    version: u32,
    image: Identity,
    changes: Vec<Row>,
}

/// What tells an image from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Identity {
    format: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    kernel: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    build_id: Option<String>,
    head: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    physical: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    stored: Option<String>,
    #[serde(rename = "virtual")]
    va: String,
    was: String,
    now: String,
}

impl Identity {
    pub(crate) fn of(image: &Image, kernel: Option<String>, build_id: Option<String>) -> Self {
        let mut head = vec![0; HEAD];
        let got = image.memory.read(Addr::File(0), &mut head).unwrap_or(0);
        head.truncate(got);
        let head = crate::kvm::digits(&Sha1::digest(&head));
        Self { format: image.format.into(), size: image.size, kernel, build_id, head }
    }
}

impl Patch {
    pub(crate) fn new(image: Identity, changes: &[Change]) -> Self {
        Self { version: VERSION, image, changes: changes.iter().map(Row::of).collect() }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or is no patch of this version.
    pub fn load(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(Error::io(path))?;
        if !file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= SIZE_LIMIT) {
            return Err(Error::Usage(format!("{}: not a file, or too large for a patch", path.display())));
        }
        let mut text = String::new();
        file.take(SIZE_LIMIT).read_to_string(&mut text).map_err(Error::io(path))?;
        let patch: Self = serde_json::from_str(&text)
            .map_err(|error| Error::Usage(format!("{}: not a patch: {error}", path.display())))?;
        match patch.version {
            VERSION => Ok(patch),
            other => {
                Err(Error::Usage(format!("{}: a patch of version {other}, not {VERSION}", path.display())))
            }
        }
    }

    /// Writes a file, whole or not at all; one that is there is replaced only if it is a patch.
    ///
    /// # Errors
    /// It cannot be written, or something else is there.
    pub fn save(&self, path: &Path) -> Result<()> {
        if path.symlink_metadata().is_ok() && Self::load(path).is_err() {
            return Err(Error::Usage(format!("{}: is there already, and is no patch", path.display())));
        }
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let io = |error: std::io::Error| Error::io(path)(error);
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(io)?;
        serde_json::to_writer_pretty(&mut file, self).map_err(|error| io(error.into()))?;
        file.write_all(b"\n").map_err(io)?;
        file.persist(path).map_err(|error| io(error.error))?;
        Ok(())
    }

    /// Its changes, for an image.
    pub(crate) fn changes_of(&self, image: &Identity) -> Result<Vec<Change>> {
        if self.image != *image {
            return Err(Error::Usage(format!(
                "the patch is another image's: it was made for {}, and this is {}",
                self.image.describe(),
                image.describe()
            )));
        }
        let change = |row: &Row| {
            row.change().ok_or_else(|| Error::Usage(format!("a change in the patch makes no sense: {row:?}")))
        };
        self.changes.iter().map(change).collect()
    }
}

impl Identity {
    fn describe(&self) -> String {
        let kernel = self.kernel.as_ref().map(|kernel| format!(" of {kernel}")).unwrap_or_default();
        let head = self.head.get(..12).unwrap_or(&self.head);
        format!("{} of {} bytes{kernel}, which begins with {head}..", self.format, self.size)
    }
}

impl Row {
    fn of(change: &Change) -> Self {
        let hex = |address: u64| Some(format!("{address:#x}"));
        let (physical, stored) = match change.at {
            Addr::Phys(Pa(pa)) => (hex(pa), None),
            Addr::Virt(Va(va)) => (None, hex(va)),
            Addr::File(_) => (None, None),
        };
        let (was, now) = (crate::kvm::digits(&change.was), crate::kvm::digits(&change.now));
        Self { physical, stored, va: format!("{:#x}", change.va.0), was, now }
    }

    /// None for what no overlay would have saved.
    fn change(&self) -> Option<Change> {
        let number = |text: &String| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
        let at = match (&self.physical, &self.stored) {
            (Some(pa), None) => Addr::Phys(Pa(number(pa)?)),
            (None, Some(va)) => Addr::Virt(Va(number(va)?)),
            _ => return None,
        };
        let (was, now) = (bytes(&self.was)?, bytes(&self.now)?);
        let fits = was.len() == now.len() && !now.is_empty() && at.checked_add(now.len() as u64).is_some();
        Some(Change { at, va: Va(number(&self.va)?), was, now }).filter(|_| fits)
    }
}

fn bytes(digits: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| {
        let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2 && !text.starts_with('+'))?;
        u8::from_str_radix(text, 16).ok()
    };
    digits.as_bytes().chunks(2).map(pair).collect()
}
