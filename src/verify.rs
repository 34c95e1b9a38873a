//! Whether a kernel file is the one that wrote an image.

use crate::space::Space;
use crate::symbols::{KernelFile, Symbol};
use crate::{Error, Result};
use goblin::elf::section_header::SHT_NOTE;
use kgdbserver_arch::Va;

/// How far a kernel file can be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// These agree between the file and the image.
    Verified(Vec<String>),
    /// Nothing could be compared: the image lacks the pages, or the file the contents.
    Unverified,
    /// They disagree, and the user said to go on.
    Forced(String),
}

impl Verdict {
    /// What is known by both.
    #[must_use]
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Verified(mut what), Self::Verified(more)) => {
                what.extend(more);
                Self::Verified(what)
            }
            (Self::Unverified, other) | (other @ Self::Forced(_), _) => other,
            (_, other @ Self::Forced(_)) => other,
            (known, Self::Unverified) => known,
        }
    }
}

const BUILD_ID: &str = "the build id";
const VERSION: &str = "version";

const LINUX: &str = "linux_banner";

/// The constants that tell the version: FreeBSD's and Linux's.
const VERSIONS: &[&str] = &[VERSION, LINUX];

/// Constants of BSD's kernels, which the file and the running kernel hold alike.
const CONSTANTS: &[&str] = &[
    VERSION,
    "osreldate",
    "pcb_size",
    "proc_off_p_pid",
    "proc_off_p_comm",
    "proc_off_p_list",
    "proc_off_p_threads",
    "thread_off_td_tid",
    "thread_off_td_pcb",
];

/// No constant is larger.
const LIMIT: u64 = 4096;

/// What is known of the kernel that was imaged.
pub struct Witness<'a> {
    /// Its memory.
    pub mem: &'a Space,
    /// By how much its addresses are higher than its file's; wraps.
    pub slide: u64,
    /// The version string that came with the image, in a dump header or an `info.N`; it counts where memory lacks its own.
    pub version: Option<&'a str>,
    /// The build id that came with the image.
    pub build_id: Option<Vec<u8>>,
}

/// Compares what both should hold alike. The first disagreement is an error.
pub fn compare(file: &KernelFile, image: &Witness<'_>) -> Result<Verdict> {
    machine(file, image.mem)?;
    let mut agreed: Vec<String> = told_build_id(file, image.build_id.as_deref())?.into_iter().collect();
    for (what, va, len) in build_id(file).into_iter().chain(constants(file)) {
        let runs_at = Va(va.0.wrapping_add(image.slide));
        let Some((ours, theirs)) = file.contents(va, len).zip(bytes_of(image.mem, runs_at, len)) else {
            continue;
        };
        // Zeros say nothing: the page may have been trimmed from the image, and a constant may be 0 (p_list is at 0).
        if theirs.iter().all(|byte| *byte == 0) {
            continue;
        }
        if ours != theirs {
            let show: fn(&[u8]) -> String = if what == BUILD_ID { hex } else { show };
            return Err(Error::Mismatch { what, kernel: show(&ours), image: show(&theirs) });
        }
        agreed.push(what);
    }
    if !agreed.iter().any(|what| VERSIONS.contains(&what.as_str())) {
        agreed.extend(told_version(file, image.version)?);
    }
    Ok(if agreed.is_empty() { Verdict::Unverified } else { Verdict::Verified(agreed) })
}

/// Compares with the build id that the kernel told.
fn told_build_id(file: &KernelFile, told: Option<&[u8]>) -> Result<Option<String>> {
    let Some((ours, told)) = file.build_id().zip(told) else { return Ok(None) };
    let what = BUILD_ID.to_owned();
    match ours == told {
        true => Ok(Some(what)),
        false => Err(Error::Mismatch { what, kernel: hex(&ours), image: hex(told) }),
    }
}

/// Compares with the version string of a dump header, which is cut at 191 bytes.
fn told_version(file: &KernelFile, told: Option<&str>) -> Result<Option<String>> {
    let ours = version(file);
    let Some((ours, told)) = ours.as_deref().zip(told) else { return Ok(None) };
    if same_version(ours, told) {
        return Ok(Some("the version that the dump's header tells".into()));
    }
    let what = "the version".to_owned();
    Err(Error::Mismatch { what, kernel: format!("{ours:?}"), image: format!("{told:?}") })
}

/// A kernel file's version string. A Linux kernel has another one, which no dump header tells, and drivers of it have
/// variables of this name.
pub(crate) fn version(file: &KernelFile) -> Option<String> {
    if file.global(LINUX).is_some() {
        return None;
    }
    let symbol = file.by_name(VERSION).filter(|symbol| (1..=LIMIT).contains(&symbol.size))?;
    let bytes = file.contents(symbol.va, symbol.size)?;
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(crate::kernel::text(text).trim().to_owned()).filter(|text| !text.is_empty())
}

/// Whether a version string is what was told of it: perhaps its beginning only, its lines perhaps indented anew.
pub(crate) fn same_version(whole: &str, told: &str) -> bool {
    let mut words = whole.split_whitespace();
    let mut told = told.split_whitespace().peekable();
    while let Some(word) = told.next() {
        let same =
            words.next().is_some_and(|ours| ours == word || told.peek().is_none() && ours.starts_with(word));
        if !same {
            return false;
        }
    }
    true
}

fn machine(file: &KernelFile, image: &Space) -> Result<()> {
    if file.machine() == Some(image.machine) {
        return Ok(());
    }
    let what = "the machine".to_owned();
    Err(Error::Mismatch { what, kernel: file.machine_name(), image: image.machine.arch.name.into() })
}

/// The build id, as the linker's note has it in memory too.
fn build_id(file: &KernelFile) -> Option<(String, Va, u64)> {
    /// Three words, and `GNU`.
    const HEADER: u64 = 16;
    let mut notes =
        file.sections().iter().filter(|section| section.header.sh_type == SHT_NOTE && section.is_alloc());
    let note = &notes.find(|section| section.name == ".note.gnu.build-id")?.header;
    let len = note.sh_size.checked_sub(HEADER).filter(|len| (1..=LIMIT).contains(len))?;
    Some((BUILD_ID.into(), Va(note.sh_addr.checked_add(HEADER)?), len))
}

/// In a Linux kernel the other names are not looked for, or are those of a driver's variables.
fn constants(file: &KernelFile) -> Vec<(String, Va, u64)> {
    let constant =
        |symbol: Symbol| (1..=LIMIT).contains(&symbol.size).then_some((symbol.name, symbol.va, symbol.size));
    match file.global(LINUX).and_then(constant) {
        Some(banner) => vec![banner],
        None => CONSTANTS.iter().filter_map(|name| constant(file.by_name(name)?)).collect(),
    }
}

fn bytes_of(image: &Space, va: Va, len: u64) -> Option<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(len).ok()?];
    image.read_exact(va, &mut bytes).ok().map(|()| bytes)
}

/// Text in quotes, all else in hexadecimal.
fn show(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let printable = |byte: &u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n' | b'\t');
    if text.len() > 4 && text.iter().all(printable) {
        return format!("{:?}", String::from_utf8_lossy(text).trim_end());
    }
    hex(bytes)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
