//! What Linux says of its pages: /proc/kpageflags, a word for each (Documentation/admin-guide/mm/pagemap.rst).

use std::fs::File;
use std::os::unix::fs::FileExt;

const HWPOISON: u64 = 1 << 19;
const NOPAGE: u64 = 1 << 20;
/// Since 5.2.
const OFFLINE: u64 = 1 << 23;

/// The flags of all pages.
#[derive(Debug)]
pub(super) struct PageFlags(File);

impl PageFlags {
    pub(super) fn new(file: File) -> Self {
        Self(file)
    }

    /// Whether the kernel gives zeros for a page instead of what is in it.
    pub(super) fn is_withheld(&self, page: u64) -> bool {
        let mut word = [0; 8];
        let read = self.0.read_exact_at(&mut word, page.saturating_mul(8));
        read.is_ok() && u64::from_ne_bytes(word) & (HWPOISON | NOPAGE | OFFLINE) != 0
    }
}
