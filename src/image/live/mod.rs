//! The kernel that runs on this machine. Its memory is a device, and changes while it is read.
//!
//! All code of the project that only one operating system has stands here.

#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "the decisions are tested everywhere"))]
mod denial;
mod descriptor;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "the decisions are tested everywhere"))]
mod iomem;
mod kcore;
#[cfg(target_os = "linux")]
mod linux;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "only Linux has them"))]
mod page_flags;
mod privileges;
pub(crate) mod proc;

pub use privileges::User;

use super::Image;
use crate::Result;
use crate::kernel::Hints;
use std::os::fd::RawFd;
use std::path::Path;

/// What stands for the running kernel in the place of an image's path.
pub const DEFAULT: &str = if cfg!(target_os = "linux") { "/proc/kcore" } else { "/dev/mem" };

/// Where the running kernel's memory is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Device {
    /// `/proc/kcore`: an ELF core of all memory. Where the kernel has none, `/dev/mem`.
    Kcore,
    /// `/dev/mem`: physical memory as it lies.
    Mem,
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
            _ => Some(Self::Descriptor(text.strip_prefix("fd:")?.parse().ok()?)),
        }
    }

    /// Its name in messages.
    pub fn path(self) -> String {
        match self {
            Self::Kcore => "/proc/kcore".into(),
            Self::Mem => "/dev/mem".into(),
            Self::Descriptor(number) => format!("fd:{number}"),
        }
    }
}

/// A running kernel.
pub struct Live {
    /// Its memory.
    pub image: Image,
    /// What its system tells of it beside its memory.
    pub hints: Hints,
}

/// Opens the running kernel. Nothing of it is kept: each read goes to the device.
///
/// # Errors
/// The system denies it: says why, and what to do.
#[cfg(target_os = "linux")]
pub fn open(device: Device) -> Result<Live> {
    linux::open(device)
}

/// Opens the running kernel.
///
/// # Errors
/// Always: this build cannot do it on this system.
#[cfg(not(target_os = "linux"))]
pub fn open(device: Device) -> Result<Live> {
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
        assert_eq!(named("fd:7"), Some(Device::Descriptor(7)));
        for other in ["fd:", "fd:x", "fd:7.gz", "vmcore", "/proc/kcore2"] {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
