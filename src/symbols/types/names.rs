//! Names of types.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// Longer names are not believed.
const NAME_LIMIT: usize = 512;

/// Definitions by name; the first of a name stays. The names are hashed with a secret key and not kept: two of them, 64
/// bits each, will not meet, and a file cannot make the table larger than itself.
#[derive(Default)]
pub(in crate::symbols) struct Names {
    key: RandomState,
    places: HashMap<(Space, u64), u64>,
}

/// What a name stands for: C keeps these apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::symbols) enum Space {
    /// `struct name`, `union name`, `enum name`.
    Tag,
    /// A typedef or a base type.
    Ordinary,
    /// An enumerator; its value is kept, not a type.
    Enumerator,
}

impl Names {
    pub(in crate::symbols) fn add(&mut self, space: Space, name: &[u8], place: u64) {
        if !name.is_empty() && name.len() <= NAME_LIMIT {
            self.places.entry((space, self.key.hash_one(name))).or_insert(place);
        }
    }

    pub(in crate::symbols) fn get(&self, space: Space, name: &str) -> Option<u64> {
        self.places.get(&(space, self.key.hash_one(name.as_bytes()))).copied()
    }
}

/// The name at an offset of a table of names; empty if there is none, or one that is longer than any.
pub(in crate::symbols) fn name_at(names: &[u8], offset: usize) -> &[u8] {
    let rest = names.get(offset..).unwrap_or_default();
    // A table without ends would be gone through for every name in it.
    let rest = rest.get(..NAME_LIMIT).unwrap_or(rest);
    rest.get(..memchr::memchr(0, rest).unwrap_or(0)).unwrap_or_default()
}
