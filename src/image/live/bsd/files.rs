//! Open files, as `kern.file` gives them: an array of FreeBSD's `struct xfile`, or of DragonFly's `struct kinfo_file`.

use super::system::uint;
use crate::kernel::files::kind;
use crate::kernel::state::OpenFile;
use crate::kernel::{dragonfly, freebsd};
use crate::{Error, Result};
use kgdbserver_arch::Va;
use std::collections::HashMap;

/// What the two structures differ in, on machines of 64 bits. The rest lies at the same places.
pub(in crate::image::live) struct Layout {
    /// Where the flags lie.
    flag: usize,
    /// The words for kinds, by number.
    kinds: &'static [&'static str],
}

/// sys/file.h.
pub(super) static FREEBSD: Layout = Layout { flag: 72, kinds: freebsd::FILE_KINDS };
/// sys/kinfo.h.
pub(super) static DRAGONFLY: Layout = Layout { flag: 64, kinds: dragonfly::FILE_KINDS };

impl Layout {
    /// The files of an array; `names` has the names of processes by their numbers.
    ///
    /// # Errors
    /// It is no array of such structures.
    pub(super) fn files(&self, array: &[u8], names: &HashMap<u32, String>) -> Result<Vec<OpenFile>> {
        if array.is_empty() {
            return Ok(Vec::new());
        }
        // Each begins with its own size.
        let told = array.get(..8).map(uint).and_then(|size| usize::try_from(size).ok());
        let size = told.filter(|size| *size >= self.flag + 4 && array.len().is_multiple_of(*size));
        let bad = || Error::Unsupported(format!("kern.file: {} bytes of unknown structures", array.len()));
        Ok(array.chunks_exact(size.ok_or_else(bad)?).map(|file| self.file(file, names)).collect())
    }

    fn file(&self, bytes: &[u8], names: &HashMap<u32, String>) -> OpenFile {
        let number = |at: usize, len: usize| uint(bytes.get(at..at + len).unwrap_or_default());
        let pid = number(8, 4) as u32;
        OpenFile {
            pid,
            comm: names.get(&pid).cloned().unwrap_or_default(),
            fd: number(16, 4) as u32,
            va: Va(number(24, 8)),
            kind: Some(kind(self.kinds, number(32, 2))),
            flag: Some(number(self.flag, 4) as u32),
            count: Some(number(36, 4) as u32),
            offset: Some(number(48, 8).cast_signed()),
            data: Some(Va(number(56, 8))).filter(|data| data.0 != 0),
            path: None,
        }
    }
}
