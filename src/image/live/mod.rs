//! The kernel that runs on this machine. Its memory is a device, and changes while it is read.
//!
//! All code of the project that only one operating system has stands here.

#[allow(dead_code, reason = "one BSD has no use for the other's tables; the decisions are tested everywhere")]
mod bsd;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "the decisions are tested everywhere"))]
mod denial;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux's memory is passed on"))]
mod descriptor;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "the decisions are tested everywhere"))]
mod iomem;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux withholds pages"))]
mod kcore;
mod kmem;
#[cfg(target_os = "linux")]
mod linux;
pub(crate) mod own;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux has them"))]
mod page_flags;
mod privileges;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "the decisions are tested everywhere"))]
mod proc;
mod vkernel;

pub use privileges::User;

use super::Image;
use crate::Result;
use crate::kernel::Hints;
use crate::symbols::Resolver;
use own::Own;
use std::os::fd::RawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The format of an image that runs.
const NAME: &str = "running kernel";

/// What stands for the running kernel in the place of an image's path.
pub const DEFAULT: &str = if cfg!(target_os = "linux") { "/proc/kcore" } else { "/dev/mem" };

/// Where the running kernel's memory is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// `/proc/kcore`: an ELF core of all memory. Where the kernel has none, `/dev/mem`.
    Kcore,
    /// `/dev/mem`: physical memory as it lies; on a BSD with `/dev/kmem`, where addresses are the kernel's own.
    Mem,
    /// `/dev/null`: no memory, and what a BSD tells by sysctl(3) alone, for which nobody needs to be root.
    Null,
    /// `/proc/PID/mem`: the memory of a process that is itself a kernel, DragonFly's vkernel(7).
    Process(u32),
    /// `/proc/kcore`, opened by somebody who may, and passed on as an open descriptor.
    Descriptor(RawFd),
}

impl Device {
    /// What is meant by a name in the place of an image's.
    pub fn named(path: &Path) -> Option<Self> {
        let text = path.to_str()?;
        match text {
            "/proc/kcore" => Some(Self::Kcore),
            "/dev/mem" => Some(Self::Mem),
            "/dev/null" => Some(Self::Null),
            _ => match text.strip_prefix("fd:") {
                Some(number) => Some(Self::Descriptor(number.parse().ok()?)),
                None => {
                    let pid = text.strip_prefix("/proc/")?.strip_suffix("/mem")?;
                    Some(Self::Process(pid.parse().ok()?))
                }
            },
        }
    }

    /// Its name in messages.
    pub fn path(self) -> String {
        match self {
            Self::Kcore => "/proc/kcore".into(),
            Self::Mem => "/dev/mem".into(),
            Self::Null => "/dev/null".into(),
            Self::Process(pid) => format!("/proc/{pid}/mem"),
            Self::Descriptor(number) => format!("fd:{number}"),
        }
    }
}

/// A running kernel.
pub(crate) struct Live {
    /// Its memory.
    pub(crate) image: Image,
    /// What its system tells of it beside its memory.
    pub(crate) hints: Hints,
    /// The system itself, where it is the one that we run on.
    pub(crate) own: Option<Arc<dyn Own>>,
    /// The kernel's file, as the system names it.
    pub(crate) file: Option<PathBuf>,
    /// By how much the kernel's addresses are higher than its file's; wraps.
    pub(crate) slide: u64,
    /// Finds names where there is no file.
    pub(crate) resolver: Option<Resolver>,
    /// Whether its memory was opened for writing too.
    pub(crate) writable: bool,
}

impl Live {
    /// A kernel of which nothing but memory is known.
    fn of(image: Image) -> Self {
        let hints = Hints::default();
        Self { image, hints, own: None, file: None, slide: 0, resolver: None, writable: false }
    }
}

/// Opens the running kernel, perhaps for writing too. Nothing of it is kept: each read goes to the device.
///
/// # Errors
/// The system denies it: says why, and what to do.
pub(crate) fn open(device: Device, write: bool) -> Result<Live> {
    match device {
        Device::Process(pid) => vkernel::open(pid, write),
        _ => open_own(device, write),
    }
}

#[cfg(target_os = "linux")]
fn open_own(device: Device, write: bool) -> Result<Live> {
    linux::open(device, write)
}

#[cfg(any(target_os = "freebsd", target_os = "dragonfly"))]
fn open_own(device: Device, write: bool) -> Result<Live> {
    bsd::open(device, write)
}

#[cfg(not(any(target_os = "linux", target_os = "freebsd", target_os = "dragonfly")))]
fn open_own(device: Device, _: bool) -> Result<Live> {
    let name = std::env::consts::OS;
    Err(crate::Error::Unsupported(format!(
        "{}: running kernels of {name} cannot be opened by this build; name a dump",
        device.path()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_have_names() {
        let named = |name: &str| Device::named(Path::new(name));
        assert_eq!(named("/proc/kcore"), Some(Device::Kcore));
        assert_eq!(named("/dev/mem"), Some(Device::Mem));
        assert_eq!(named("/dev/null"), Some(Device::Null));
        assert_eq!(named("fd:7"), Some(Device::Descriptor(7)));
        assert_eq!(named("/proc/12/mem"), Some(Device::Process(12)));
        for other in [
            "fd:",
            "fd:x",
            "fd:7.gz",
            "vmcore",
            "/proc/kcore2",
            "/proc/self/mem",
            "/proc//mem",
            "/proc/1/maps",
        ] {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
