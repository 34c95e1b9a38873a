//! What Linux says of its pages: /proc/kpageflags, a word for each (Documentation/admin-guide/mm/pagemap.rst).

use kgdbserver_arch::Pa;
use std::fs::File;
use std::os::unix::fs::FileExt;

const HWPOISON: u64 = 1 << 19;
const NOPAGE: u64 = 1 << 20;
/// Since 5.2.
const OFFLINE: u64 = 1 << 23;

const WORD: usize = 8;
/// Pages whose flags one read asks for.
const FEW: usize = 512;

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

    /// The flags of the page of an address, and of the next ones that `len` bytes reach into, as far as one read goes.
    pub(super) fn of(&self, Pa(pa): Pa, len: usize) -> Few {
        let first = pa / self.page_bytes;
        let pages = (pa % self.page_bytes + len as u64).div_ceil(self.page_bytes);
        let mut few = Few { first, read: 0, words: [0; FEW * WORD] };
        let wanted = usize::try_from(pages).unwrap_or(usize::MAX).saturating_mul(WORD).min(few.words.len());
        let words = few.words.get_mut(..wanted).unwrap_or_default();
        few.read = self.file.read_at(words, first.saturating_mul(WORD as u64)).unwrap_or(0) / WORD;
        few
    }
}

/// The flags of a few pages in a row.
pub(super) struct Few {
    first: u64,
    read: usize,
    words: [u8; FEW * WORD],
}

impl Few {
    /// Whether the kernel gives zeros for a page instead of what is in it; none if it is not one of these.
    pub(super) fn is_withheld(&self, page: u64) -> Option<bool> {
        let index = usize::try_from(page.checked_sub(self.first)?).ok().filter(|index| *index < self.read)?;
        let word = self.words.get(index * WORD..)?.first_chunk()?;
        Some(u64::from_ne_bytes(*word) & (HWPOISON | NOPAGE | OFFLINE) != 0)
    }
}
