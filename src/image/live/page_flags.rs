//! What Linux says of its pages: /proc/kpageflags, a word for each (Documentation/admin-guide/mm/pagemap.rst).

use kgdbserver_arch::Pa;
use std::fs::File;
use std::os::unix::fs::FileExt;

const HWPOISON: u64 = 1 << 19;
const NOPAGE: u64 = 1 << 20;
/// Since 5.2.
const OFFLINE: u64 = 1 << 23;

/// The flags of all pages.
#[derive(Debug)]
pub(super) struct PageFlags {
    pub(super) file: File,
    /// The running kernel's: on arm64 16 or 64 KiB, too.
    pub(super) page_bytes: u64,
}

impl PageFlags {
    pub(super) fn new(file: File) -> Self {
        Self { file, page_bytes: rustix::param::page_size() as u64 }
    }

    /// Whether the kernel gives zeros for the page of an address instead of what is in it.
    pub(super) fn is_withheld(&self, Pa(pa): Pa) -> bool {
        let mut word = [0; 8];
        let read = self.file.read_exact_at(&mut word, (pa / self.page_bytes).saturating_mul(8));
        read.is_ok() && u64::from_ne_bytes(word) & (HWPOISON | NOPAGE | OFFLINE) != 0
    }
}
