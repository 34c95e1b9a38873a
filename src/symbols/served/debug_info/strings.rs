//! `.debug_str`: every name once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

#[derive(Default)]
pub(super) struct Strings<'a> {
    bytes: Vec<u8>,
    places: HashMap<&'a [u8], u32>,
    /// Where it says what wrote the file.
    pub(super) producer: u32,
    /// Where it says what the types come from.
    pub(super) kind: u32,
}

impl<'a> Strings<'a> {
    pub(super) fn new(producer: &str, kind: &str) -> Self {
        let bytes = [kind.as_bytes(), &[0], producer.as_bytes(), &[0]].concat();
        Self { bytes, places: HashMap::new(), producer: kind.len() as u32 + 1, kind: 0 }
    }

    /// Where a name is. Names come from files of limited size, which are smaller than what 32 bits can tell.
    pub(super) fn add(&mut self, name: &'a [u8]) -> u32 {
        match self.places.entry(name) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) => {
                let place = self.bytes.len() as u32;
                self.bytes.extend_from_slice(name);
                self.bytes.push(0);
                *new.insert(place)
            }
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
