//! Linked lists in kernel memory.

use crate::space::Space;
use crate::{Error, Result};
use kgdbserver_arch::Va;
use std::collections::HashSet;

/// No list of processes, threads or modules is longer; a corrupt one may be.
const LIMIT: usize = 1 << 20;

/// The structures of a list (queue(3)) that begins at `first`, and whose elements point to the next at `next` bytes.
///
/// Ends at a null pointer. A pointer that leads nowhere or back to where the walk has been ends it too, as the last
/// item.
pub(super) fn walk(
    mem: &Space,
    what: &'static str,
    first: Va,
    next: u64,
) -> impl Iterator<Item = Result<Va>> {
    let mut seen = HashSet::new();
    let mut here = first;
    std::iter::from_fn(move || {
        let va = std::mem::take(&mut here);
        if va == Va(0) {
            return None;
        }
        if !seen.insert(va) || seen.len() > LIMIT {
            return Some(Err(Error::BadStructure { what, va, why: "the list comes back to it".into() }));
        }
        // An element whose link cannot be read is itself unreadable: the rest of the list is lost with it.
        match mem.pointer(Va(va.0.saturating_add(next))) {
            Ok(link) => {
                here = link;
                Some(Ok(va))
            }
            Err(error) => Some(Err(Error::BadStructure { what, va, why: error.to_string() })),
        }
    })
}
