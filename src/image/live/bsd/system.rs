//! What is asked of a running BSD. All that is more than a system call stands on this side of it, and is tested on a made-up
//! system.

use crate::{Error, Result};
use std::fs::File;
use std::io;

/// A running FreeBSD or DragonFly, as its system calls show it.
pub(in crate::image::live) trait System: Send + Sync {
    /// sysctl(3): fills `buf`, and returns how many bytes there are; with an empty `buf`, how many there are about.
    ///
    /// # Errors
    /// ENOMEM if they do not fit, ENOENT if there is no such node; EPERM and others.
    fn sysctl(&self, mib: &[i32], buf: &mut [u8]) -> io::Result<usize>;

    /// sysctlnametomib(3): a node's numbers, by its name.
    fn mib(&self, name: &str) -> io::Result<Vec<i32>>;

    /// kldsym(2): the address and the size of a symbol of the kernel, or of a module that is loaded.
    fn kldsym(&self, name: &str) -> Option<(u64, u64)>;

    /// devname(3): the name of a character device in /dev.
    fn device_name(&self, device: u64) -> Option<String>;

    /// Opens a device, perhaps for writing too.
    fn open(&self, path: &str, write: bool) -> io::Result<File>;

    /// Whether we are root.
    fn is_root(&self) -> bool;
}

/// No answer is larger.
const LIMIT: usize = 256 << 20;
/// A list that grows is asked for this often.
const ATTEMPTS: usize = 16;

/// All that a node tells. What is told may have grown since it was measured, so there is room for a tenth more; and where even
/// that is not enough it is measured again, as libkvm does.
///
/// # Errors
/// Those of [`System::sysctl`]; ENOMEM too if it grows all the while.
pub(super) fn read(system: &dyn System, mib: &[i32]) -> io::Result<Vec<u8>> {
    let mut room = 0;
    for _ in 0..ATTEMPTS {
        let size = system.sysctl(mib, &mut [])?.max(room);
        room = size.saturating_add(size / 10);
        if room == 0 {
            return Ok(Vec::new());
        }
        if room > LIMIT {
            break;
        }
        let mut bytes = vec![0; room];
        match system.sysctl(mib, &mut bytes) {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => {}
            told => {
                bytes.truncate(told?);
                return Ok(bytes);
            }
        }
    }
    Err(io::Error::from_raw_os_error(libc::ENOMEM))
}

/// All that a node tells, by its name.
///
/// # Errors
/// Those of [`read`], with the name.
pub(super) fn named(system: &dyn System, name: &str) -> Result<Vec<u8>> {
    let read = system.mib(name).and_then(|mib| read(system, &mib));
    read.map_err(|error| refused(name, &error))
}

/// An integer of a node, be it as wide as it may; none if there is no such node.
pub(super) fn number(system: &dyn System, name: &str) -> Option<u64> {
    let bytes = named(system, name).ok()?;
    matches!(bytes.len(), 4 | 8).then(|| uint(&bytes))
}

/// A text of a node; none if there is no such node, or no text in it.
pub(super) fn text(system: &dyn System, name: &str) -> Option<String> {
    let bytes = named(system, name).ok()?;
    let text = crate::kernel::text(bytes.split(|byte| *byte == 0).next().unwrap_or_default());
    Some(text.trim_end().to_owned()).filter(|text| !text.is_empty())
}

/// What the system has against a question.
pub(super) fn refused(name: &str, error: &io::Error) -> Error {
    Error::Unsupported(format!("cannot read sysctl {name}: {error}"))
}

/// An unsigned integer of up to 8 bytes, in the byte order of the system that we run on.
pub(super) fn uint(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    let at = if cfg!(target_endian = "big") { 8 - bytes.len().min(8) } else { 0 };
    word.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = *from);
    u64::from_ne_bytes(word)
}
