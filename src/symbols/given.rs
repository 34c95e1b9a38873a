//! What a user may give for a kernel: its file, or its names or its types alone.

use super::kallsyms::{self, Table};
use super::{KernelFile, btf, elf};
use crate::image::Source;
use crate::{Error, Result};
use std::sync::Arc;

/// As much as is looked at to recognise a file.
const HEAD: u64 = 4096;
/// No kernel's table of symbols is larger, nor its types.
const SIZE_LIMIT: u64 = 1 << 28;

/// What a file tells of a kernel.
pub(crate) enum Given {
    /// Everything: it is the kernel's own file.
    File(KernelFile),
    /// Its names: `System.map`, or a copy of `/proc/kallsyms`.
    Names(Table),
    /// Its types: BTF, as `/sys/kernel/btf/vmlinux` has it.
    Types(Vec<u8>),
}

/// Whether a file is to be taken for a kernel's own, or for one that tells its names or its types.
pub fn is_kernel(source: &dyn Source) -> bool {
    let head = head(source);
    elf::is_kernel(source) || kallsyms::is_text(&head) || btf::is_btf(&head)
}

impl Given {
    /// Reads a file, which is what its content says.
    ///
    /// # Errors
    /// It is none of all this, or corrupt.
    pub(crate) fn open(source: Arc<dyn Source>) -> Result<Self> {
        let all = || {
            let too_long = || Error::Usage(format!("{}: too long for a kernel's", source.path().display()));
            let len = Some(source.len()).filter(|len| *len <= SIZE_LIMIT).ok_or_else(too_long)?;
            source.bytes(0, len).map_err(Error::io(source.path()))
        };
        match head(&*source) {
            head if kallsyms::is_text(&head) => Ok(Self::Names(kallsyms::parse(&all()?)?)),
            head if btf::is_btf(&head) => Ok(Self::Types(all()?)),
            _ => KernelFile::open(source).map(Self::File),
        }
    }
}

fn head(source: &dyn Source) -> Vec<u8> {
    source.bytes(0, source.len().min(HEAD)).unwrap_or_default()
}
