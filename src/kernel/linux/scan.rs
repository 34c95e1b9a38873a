//! A search through the kernel's own image, for what no symbol leads to: a table of symbols may have functions only
//! (without `KALLSYMS_ALL`).

use crate::space::Space;
use kgdbserver_arch::Va;
use std::sync::OnceLock;

/// What is looked through from the kernel's text on: no kernel's data begin further away.
const RANGE: u64 = 256 << 20;
/// The smallest page there is.
const PAGE: u64 = 4096;
const PIECE: usize = 1 << 20;
/// What is looked for may lie across the end of a piece; then it is at the start of the next one.
const OVERLAP: usize = 64;

/// Where a search found something. As it does not move while the kernel runs, it is looked for once, and not at each question
/// to a running kernel.
#[derive(Debug, Default)]
pub(super) struct Place(OnceLock<Va>);

impl Place {
    /// The place; the first time by a search.
    pub(super) fn or_find(&self, search: impl FnOnce() -> Option<Va>) -> Option<Va> {
        let known = self.0.get().copied();
        known.or_else(|| search().map(|found| *self.0.get_or_init(|| found)))
    }
}

/// Shows `look` the kernel's image from `text` on, a piece after the other, until it finds something. Pieces begin where
/// something is mapped, and on a multiple of a word.
pub(super) fn find<T>(mem: &Space, text: u64, mut look: impl FnMut(Va, &[u8]) -> Option<T>) -> Option<T> {
    let end = text.checked_add(RANGE).filter(|end| *end <= u64::MAX - RANGE)?;
    let mut piece = vec![0; PIECE];
    let mut at = text;
    while at < end {
        let (got, fault) = mem.read_prefix(Va(at), &mut piece);
        if let Some(found) = look(Va(at), piece.get(..got)?) {
            return Some(found);
        }
        at = match fault {
            None => at + (PIECE - OVERLAP) as u64,
            // Behind a page that is mapped, and not in the image, the next one may be.
            Some(_) => (at + got as u64).checked_add(mem.hole(Va(at + got as u64)))?.next_multiple_of(PAGE),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_not_looked_for_again() {
        let place = Place::default();
        assert_eq!(place.or_find(|| None), None);
        assert_eq!(place.or_find(|| Some(Va(1))), Some(Va(1)), "what was not found is looked for again");
        assert_eq!(place.or_find(|| panic!("a second search")), Some(Va(1)));
    }
}
