//! The folder in which savecore(8) saves dumps, and the kernels that wrote them.

use crate::image::{Facts, Store};
use crate::symbols::KernelFile;
use crate::{Error, Result, verify};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::{fmt, fs};

/// Where savecore(8) saves unless told otherwise.
pub const DEFAULT: &str = "/var/crash";

/// Which dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// The one saved last.
    Last,
    /// The one with that number.
    Number(u32),
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "last" => Ok(Self::Last),
            number => number.parse().map(Self::Number).map_err(|_| "a number, or: last".into()),
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last => f.write_str("last"),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// A dump, and its kernel if that was found too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The dump.
    pub image: PathBuf,
    /// The kernel file.
    pub kernel: Option<PathBuf>,
}

/// What savecore calls a dump, before the number and behind it; the plain ones first, as they open fastest.
static NAMES: &[(&str, &[&str])] = &[
    ("vmcore", &["", ".zst", ".gz"]),
    ("vmcore_encrypted", &["", ".zst", ".gz"]),
    ("textdump.tar", &["", ".zst", ".gz"]),
    ("livecore", &["", ".zst", ".gz"]),
];

/// Kernels that somebody put beside the dump.
static KERNELS: &[&str] = &["kernel", "kernel.debug"];

/// Finds a dump. Its kernel is the file beside it, `kernel.N` or `kernel.debug.N`, or else the one among
/// `boot/*/kernel` whose version string is that of `info.N`.
///
/// # Errors
/// No such dump; says what was looked for.
pub fn find(folder: &Path, which: Which, boot: &Path) -> Result<Found> {
    fs::read_dir(folder).map_err(Error::io(folder))?;
    let number = match which {
        Which::Number(number) => Some(number),
        Which::Last => last(folder),
    };
    let image =
        number.and_then(|number| names(number).map(|name| folder.join(name)).find(|path| path.is_file()));
    let image = image.ok_or_else(|| Error::Unsupported(missing(folder, which)))?;
    let kernel = number.and_then(|number| kernel(folder, number, boot));
    Ok(Found { image, kernel })
}

fn names(number: impl fmt::Display) -> impl Iterator<Item = String> {
    let both = NAMES.iter().flat_map(|(name, ends)| ends.iter().map(move |end| (name, end)));
    both.map(move |(name, end)| format!("{name}.{number}{end}"))
}

fn missing(folder: &Path, which: Which) -> String {
    let looked: Vec<_> = NAMES
        .iter()
        .map(|(name, ends)| format!("{name}.{which}[{}]", ends.join("|").trim_start_matches('|')))
        .collect();
    format!("{}: no dump {which}; looked for {}", folder.display(), looked.join(", "))
}

/// Where savecore's links lead, `info.last` and `vmcore.last`; without links, the highest number.
fn last(folder: &Path) -> Option<u32> {
    let links = std::iter::once("info.last".to_owned()).chain(names("last"));
    let linked = links.filter_map(|link| number_in(&fs::read_link(folder.join(link)).ok()?));
    let entries = || fs::read_dir(folder).into_iter().flatten().flatten();
    let all = || entries().filter_map(|entry| dump_number(Path::new(&entry.file_name())));
    linked.into_iter().next().or_else(|| all().max())
}

fn dump_number(path: &Path) -> Option<u32> {
    let number = number_in(path)?;
    names(number).any(|name| path.as_os_str() == name.as_str()).then_some(number)
}

/// The last part of a name that is a number: 3 in `vmcore.3.zst`.
fn number_in(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.rsplit('.').find_map(|part| part.parse().ok())
}

fn kernel(folder: &Path, number: u32, boot: &Path) -> Option<PathBuf> {
    let beside = KERNELS.iter().map(|name| folder.join(format!("{name}.{number}")));
    beside.into_iter().find(|path| path.is_file()).or_else(|| {
        let told = Facts::from_info(&folder.join(format!("info.{number}")))?.version?;
        let folders = fs::read_dir(boot).into_iter().flatten().flatten();
        let mut kernels: Vec<_> = folders.map(|folder| folder.path().join("kernel")).collect();
        kernels.sort();
        kernels
            .into_iter()
            .find(|path| version_of(path).is_some_and(|ours| verify::same_version(&ours, &told)))
    })
}

fn version_of(kernel: &Path) -> Option<String> {
    verify::version(&KernelFile::open(Arc::new(Store::open(kernel).ok()?)).ok()?)
}
