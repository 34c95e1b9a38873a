//! What an image's wrapping tells of the dump: a kernel dump header, savecore(8)'s `info.N`, a textdump's files.

use std::fs;
use std::path::{Path, PathBuf};

/// What is told; absent is what nobody told. Nothing of it is needed to read memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// What was taken off, outermost first: `dump device`, `zstd`.
    pub layers: Vec<&'static str>,
    /// The machine's name.
    pub hostname: Option<String>,
    /// When it was dumped, in seconds since 1970.
    pub dump_time: Option<u64>,
    /// The kernel's version string, which may be cut short.
    pub version: Option<String>,
    /// The panic message, which may be cut short.
    pub panic: Option<String>,
    /// FreeBSD's name for the architecture.
    pub architecture: Option<String>,
    /// The kernel's messages, oldest first.
    pub log: Option<String>,
    /// Which pages makedumpfile(8) was told to leave out, the bits of its `-d`.
    pub dump_level: Option<u32>,
    /// How many files of a split set are at hand, and what the others hold.
    pub parts: Option<String>,
    /// What makedumpfile(8) overwrote in the dump, in its own words.
    pub erased: Option<String>,
}

impl Facts {
    /// Keeps what is known, and takes the rest from `other`.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            layers: self.layers,
            hostname: self.hostname.or(other.hostname),
            dump_time: self.dump_time.or(other.dump_time),
            version: self.version.or(other.version),
            panic: self.panic.or(other.panic),
            architecture: self.architecture.or(other.architecture),
            log: self.log.or(other.log),
            dump_level: self.dump_level.or(other.dump_level),
            parts: self.parts.or(other.parts),
            erased: self.erased.or(other.erased),
        }
    }

    /// What savecore(8) noted about the dump in that file: `info.N`, in the same folder.
    pub(super) fn beside(image: &Path) -> Self {
        let info = sibling(image, "info").filter(|info| info.is_file());
        info.and_then(|info| Self::from_info(&info)).unwrap_or_default()
    }

    /// Reads an `info.N`; none if it cannot be read.
    pub fn from_info(path: &Path) -> Option<Self> {
        const LIMIT: u64 = 64 << 10; // savecore writes about one kilobyte
        let small = fs::metadata(path).ok().filter(|meta| meta.is_file() && meta.len() <= LIMIT);
        let text = crate::kernel::text(&fs::read(path).ok().filter(|_| small.is_some())?);
        let field = |name: &str| field(&text, name);
        Some(Self {
            hostname: field("Hostname"),
            version: field("Version String"),
            panic: field("Panic String"),
            architecture: field("Architecture"),
            ..Self::default()
        })
    }
}

/// The fields that can follow a text of several lines: such a text's own lines may hold colons too.
const FIELDS: &[&str] =
    &["Panic String:", "Dump Parity:", "Bounds:", "Dump Status:", "Version String:", "Magic:"];

/// A field's value: the rest of its line, and the lines up to the next field. A version string has two lines.
fn field(info: &str, name: &str) -> Option<String> {
    let mut lines = info.lines().map(str::trim);
    let first = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim();
    let more = lines.take_while(|line| !FIELDS.iter().any(|field| line.starts_with(field)));
    let more: Vec<&str> = if name.ends_with("String") { more.collect() } else { Vec::new() };
    let text = std::iter::once(first).chain(more).collect::<Vec<_>>().join("\n").trim().to_owned();
    Some(text).filter(|text| !text.is_empty())
}

/// The file of the same dump with another name: `key.3` beside `vmcore_encrypted.3` and `vmcore_encrypted.3.zst`.
pub(super) fn sibling(image: &Path, name: &str) -> Option<PathBuf> {
    // savecore's vmcore_encrypted.last leads to vmcore_encrypted.3, and key.last to key.3.
    let file = image.file_name()?.to_str()?;
    let number = file.split('.').rev().find(|part| !part.is_empty() && !matches!(*part, "gz" | "zst"))?;
    let numbered = number == "last" || number.bytes().all(|byte| byte.is_ascii_digit());
    numbered.then(|| image.with_file_name(format!("{name}.{number}")))
}
