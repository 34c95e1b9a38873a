//! Looks for the kernel file of a Linux image: the vmlinux with the build id that the image tells, or, of kernels that
//! tell none (before 5.9), with the release.

use super::KernelFile;
use crate::image::{Source, Store};
use crate::verify::hex;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// Where a system keeps it: `{id}` is the build id from its third digit on, behind a folder of the first two.
const SYSTEM: &[&str] = &[
    "usr/lib/debug/.build-id/{first}/{id}.debug",
    // Debian and Ubuntu; SUSE adds a suffix.
    "usr/lib/debug/boot/vmlinux-{release}",
    "usr/lib/debug/boot/vmlinux-{release}.debug",
    // Fedora and its kin; with /lib in /usr, SUSE since 15.3.
    "usr/lib/debug/lib/modules/{release}/vmlinux",
    "usr/lib/debug/usr/lib/modules/{release}/vmlinux",
    "usr/lib/debug/usr/lib/modules/{release}/vmlinux.debug",
    "boot/vmlinux-{release}",
    "lib/modules/{release}/vmlinux",
    // Where the kernel was built.
    "lib/modules/{release}/build/vmlinux",
];
/// What it is called beside the image.
const BESIDE: &[&str] = &["vmlinux", "vmlinux-{release}", "vmlinux-{release}.debug", "{first}{id}.debug"];
/// The banner begins so.
const BANNER: &str = "Linux version ";

/// What was found, and what was looked at.
#[derive(Default)]
pub struct Search {
    /// The kernel file.
    pub found: Option<KernelFile>,
    /// Files and servers in the order in which they were tried, and what came of it.
    pub looked: Vec<(String, Outcome)>,
}

/// What came of looking at one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is the kernel's.
    Found,
    /// There is nothing.
    Absent,
    /// It is another kernel's: its build id, or what else is not the same.
    Other(String),
    /// It cannot be used, and why.
    Unusable(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Found => f.write_str("found"),
            Self::Absent => f.write_str("not there"),
            Self::Other(what) => write!(f, "another kernel's ({what})"),
            Self::Unusable(why) => f.write_str(why),
        }
    }
}

impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search").field("looked", &self.looked).finish_non_exhaustive()
    }
}

/// A kernel, as an image tells of it.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its build id.
    pub build_id: Option<&'a [u8]>,
    /// Its release, as uname(1) prints it.
    pub release: &'a str,
}

/// Looks beside the image and where systems keep kernels.
pub fn find(wanted: &Wanted<'_>, image: &Path) -> Search {
    find_below(Path::new("/"), wanted, image)
}

/// The same in another system's files, which lie below `root`.
pub fn find_below(root: &Path, wanted: &Wanted<'_>, image: &Path) -> Search {
    let beside = BESIDE.iter().filter_map(|place| Some(image.parent()?.join(wanted.fill(place)?)));
    let system = SYSTEM.iter().filter_map(|place| Some(root.join(wanted.fill(place)?)));
    let mut search = Search::default();
    for path in beside.chain(system) {
        if search.look(wanted, &path) {
            break;
        }
    }
    search
}

impl Search {
    /// Looks at one more file; true if it is the one.
    pub(super) fn look(&mut self, wanted: &Wanted<'_>, path: &Path) -> bool {
        let (outcome, file) = match wanted.open(path) {
            Ok(file) => (Outcome::Found, Some(file)),
            Err(outcome) => (outcome, None),
        };
        self.looked.push((path.display().to_string(), outcome));
        self.found = file;
        self.found.is_some()
    }
}

impl Wanted<'_> {
    /// A place with what is known filled in; none if that is too little, or would lead elsewhere: an image may claim any
    /// release.
    fn fill(&self, place: &str) -> Option<PathBuf> {
        let id = self.build_id.map(hex).unwrap_or_default();
        let (first, rest) = id.split_at_checked(2).filter(|(_, rest)| !rest.is_empty()).unwrap_or_default();
        let known = |name: &str, value: &str| !place.contains(name) || !value.is_empty();
        let mut parts = Path::new(self.release).components();
        let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == self.release);
        let release = if plain { self.release } else { "" };
        let values = [("{first}", first), ("{id}", rest), ("{release}", release)];
        let complete = values.iter().all(|(name, value)| known(name, value));
        complete.then(|| {
            values.iter().fold(place.to_owned(), |place, (name, value)| place.replace(name, value)).into()
        })
    }

    /// Opens a file, if it is this kernel's.
    pub(super) fn open(&self, path: &Path) -> Result<KernelFile, Outcome> {
        match std::fs::metadata(path) {
            Ok(meta) if !meta.is_file() => return Err(Outcome::Unusable("not a file".into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(Outcome::Absent),
            _ => {}
        }
        // The place is told apart.
        let prefix = format!("{}: ", path.display());
        let unusable = |error: crate::Error| {
            let why = error.to_string();
            Outcome::Unusable(why.strip_prefix(&prefix).unwrap_or(&why).to_owned())
        };
        let source: Arc<dyn Source> = Arc::new(Store::open(path).map_err(unusable)?);
        let file = KernelFile::open(source).map_err(unusable)?;
        match (self.build_id, file.build_id()) {
            (Some(ours), Some(theirs)) if ours == theirs => Ok(file),
            (Some(_), Some(theirs)) => Err(Outcome::Other(format!("build id {}", hex(&theirs)))),
            (Some(_), None) => Err(Outcome::Unusable("it has no build id".into())),
            (None, _) => self.has_release(&file).map(|()| file),
        }
    }

    /// Whether a file's banner tells the release.
    fn has_release(&self, file: &KernelFile) -> Result<(), Outcome> {
        let banner = file.by_name("linux_banner").filter(|banner| banner.size < 4096);
        let banner = banner.and_then(|banner| file.contents(banner.va, banner.size)).unwrap_or_default();
        let banner = String::from_utf8_lossy(&banner).into_owned();
        match banner.strip_prefix(BANNER).and_then(|rest| rest.split_whitespace().next()) {
            Some(release) if release == self.release => Ok(()),
            Some(release) => Err(Outcome::Other(format!("release {release}"))),
            None => Err(Outcome::Unusable("it does not tell its release".into())),
        }
    }
}
