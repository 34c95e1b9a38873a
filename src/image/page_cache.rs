//! Pages that took work to make, kept for the next reader: set-associative, as a processor's cache.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes of pages that one image keeps: the page tables and the busiest structures of a large machine.
const CAPACITY: usize = 16 << 20;

/// Pages of a set. A reader looks at all of them.
const WAYS: usize = 8;

/// A bounded number of pages. Readers of different sets do not wait for each other.
pub(super) struct PageCache {
    page_bytes: usize,
    /// There is always one set.
    first: Mutex<Set>,
    more: Box<[Mutex<Set>]>,
}

/// The pages of a set, the one used last in front.
type Set = [Way; WAYS];

/// One page; its memory is taken when first needed, and then kept.
#[derive(Default)]
struct Way {
    number: Option<u64>,
    bytes: Box<[u8]>,
}

impl PageCache {
    /// An empty cache of pages of this size.
    pub(super) fn new(page_bytes: usize) -> Self {
        let sets = CAPACITY / WAYS / page_bytes.max(1);
        let more = (1..sets).map(|_| Mutex::default()).collect();
        Self { page_bytes, first: Mutex::default(), more }
    }

    /// Copies bytes of a page, from byte `within` on, if the page is there; returns whether it was. `buf` must not reach
    /// beyond the page.
    pub(super) fn copy(&self, number: u64, within: usize, buf: &mut [u8]) -> bool {
        find(&mut self.set(number), number).is_some_and(|page| copy(page, within, buf))
    }

    /// Copies as [`Self::copy`] does, from a page that is made if it is not there.
    pub(super) fn copy_or_make<E>(
        &self,
        number: u64,
        within: usize,
        buf: &mut [u8],
        make: impl FnOnce(&mut [u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        // Held while the page is made, so that it is made once.
        let mut set = self.set(number);
        if find(&mut set, number).is_some_and(|page| copy(page, within, buf)) {
            return Ok(());
        }
        set.rotate_right(1); // what was not used for the longest time gives way
        let [way, ..] = &mut *set;
        way.number = None;
        if way.bytes.is_empty() {
            way.bytes = vec![0; self.page_bytes].into();
        }
        make(&mut way.bytes)?;
        way.number = Some(number);
        copy(&way.bytes, within, buf);
        Ok(())
    }

    fn set(&self, number: u64) -> MutexGuard<'_, Set> {
        // Page tables lie at equal distances: a plain remainder would put them all into the same few sets.
        let hash = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let index = hash as usize % (self.more.len() + 1);
        self.more.get(index).unwrap_or(&self.first).lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A page of the set, brought to its front.
fn find(set: &mut Set, number: u64) -> Option<&[u8]> {
    let at = set.iter().position(|way| way.number == Some(number))?;
    set.get_mut(..=at)?.rotate_right(1);
    set.first().map(|way| &*way.bytes)
}

/// Whether the page reaches so far.
fn copy(page: &[u8], within: usize, buf: &mut [u8]) -> bool {
    let bytes = page.get(within..).and_then(|rest| rest.get(..buf.len()));
    bytes.inspect(|bytes| buf.copy_from_slice(bytes)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 4096;

    /// Whether the page had to be made. It is filled with its number.
    fn read(cache: &PageCache, number: u64) -> bool {
        let (mut buf, mut made) = ([0; 8], false);
        let make = |page: &mut [u8]| {
            made = true;
            page.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&number.to_le_bytes()));
            Ok::<(), ()>(())
        };
        cache.copy_or_make(number, PAGE - 8, &mut buf, make).unwrap();
        assert_eq!(u64::from_le_bytes(buf), number);
        made
    }

    #[test]
    fn a_page_is_made_once() {
        let cache = PageCache::new(PAGE);
        assert!(!cache.copy(7, 0, &mut [0; 8]));
        assert!(read(&cache, 7) && !read(&cache, 7));
        let mut buf = [0; 8];
        assert!(cache.copy(7, 8, &mut buf) && buf == 7u64.to_le_bytes());
    }

    #[test]
    fn it_is_bounded_and_keeps_what_is_used() {
        let cache = PageCache::new(PAGE);
        let pages = (CAPACITY / PAGE) as u64;
        for number in 0..4 * pages {
            read(&cache, number);
            assert!(!read(&cache, number / 1000 * 1000), "{number}: in use all the time, and gone");
        }
        let kept = (0..4 * pages).filter(|number| cache.copy(*number, 0, &mut [])).count() as u64;
        assert!((pages * 9 / 10..=pages).contains(&kept), "{kept} of {pages}");
    }

    #[test]
    fn what_could_not_be_made_is_not_there() {
        let cache = PageCache::new(PAGE);
        let fail = |page: &mut [u8]| {
            page.fill(0xee);
            Err("no")
        };
        assert_eq!(cache.copy_or_make(3, 0, &mut [0], fail), Err("no"));
        assert!(!cache.copy(3, 0, &mut [0]) && read(&cache, 3));
    }
}
