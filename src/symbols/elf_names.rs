//! The names of an ELF file's symbols.

use crate::image::Source;

/// No name is longer: C++ and Rust names of a few KiB exist.
const NAME_LIMIT: usize = 4096;
/// Bytes of names read at a time when all are searched, and when some are looked at.
const SEARCHED: u64 = 1 << 16;
const LOOKED_AT: usize = 256;

/// A string table, of which only a piece is held: a kernel's has a megabyte and more, which the allocator would keep.
pub(super) struct Names<'a> {
    source: &'a dyn Source,
    at: u64,
    len: u64,
    first: usize,
    piece: Vec<u8>,
}

impl<'a> Names<'a> {
    pub(super) fn of(source: &'a dyn Source, (at, len): (u64, u64)) -> Self {
        Self { source, at, len, first: 0, piece: Vec::new() }
    }

    /// The string at an offset; none if it has no end.
    pub(super) fn get(&mut self, at: usize) -> Option<&[u8]> {
        for size in [LOOKED_AT, NAME_LIMIT] {
            if self.held(at).is_none() {
                self.load(at, size)?;
            }
        }
        self.held(at)
    }

    fn held(&self, at: usize) -> Option<&[u8]> {
        let rest = self.piece.get(at.checked_sub(self.first)?..)?;
        rest.get(..memchr::memchr(0, rest)?)
    }

    fn load(&mut self, at: usize, size: usize) -> Option<()> {
        let left = usize::try_from(self.len.checked_sub(at as u64)?).ok()?;
        self.piece.resize(left.min(size), 0);
        let got = self.source.read_at(self.at.checked_add(at as u64)?, &mut self.piece).ok()?;
        self.piece.truncate(got);
        self.first = at;
        Some(())
    }

    /// Where a name stands, and where the end of a longer one is the same; ascending.
    pub(super) fn places(&self, name: &str) -> Vec<usize> {
        let wanted: Vec<u8> = name.bytes().chain([0]).collect();
        let mut places = Vec::new();
        for first in (0..self.len).step_by(SEARCHED as usize) {
            let size = (self.len - first).min(SEARCHED + wanted.len() as u64 - 1);
            let Ok(bytes) = self.source.bytes(self.at + first, size) else { break };
            places.extend(memchr::memmem::find_iter(&bytes, &wanted).map(|place| first as usize + place));
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Store;
    use std::io::Write;

    /// What is asked of a table of names that begins behind one byte of something else.
    fn of<T>(table: &[u8], ask: impl FnOnce(Names<'_>) -> T) -> T {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"x").and_then(|()| file.write_all(table)).unwrap();
        let store = Store::open(file.path()).unwrap();
        ask(Names::of(&store, (1, table.len() as u64)))
    }

    #[test]
    fn a_name_is_found_wherever_pieces_end() {
        let end = SEARCHED as usize;
        for at in end - 12..end + 2 {
            let mut table = vec![b'.'; end * 2];
            table[at - 1..at + 7].copy_from_slice(b"\0allproc");
            table[at + 7] = 0;
            assert_eq!(of(&table, |names| names.places("allproc")), [at], "at {at}");
            assert_eq!(of(&table, |names| names.places("proc")), [at + 3], "the end of a longer one");
            assert_eq!(of(&table, |names| names.places("allpro")), [0; 0], "only the beginning");
        }
        assert_eq!(of(b"\0hz\0nhz\0", |names| names.places("hz")), [1, 5]);
    }

    #[test]
    fn names_of_any_length_are_read_up_to_a_limit() {
        let name = |length: usize| vec![b'n'; length];
        for length in [0, 1, LOOKED_AT - 1, LOOKED_AT, NAME_LIMIT - 1] {
            let table = [b"\0", name(length).as_slice(), b"\0next\0"].concat();
            of(&table, |mut names| {
                assert_eq!(names.get(1), Some(name(length).as_slice()), "{length}");
                assert_eq!(names.get(length + 2), Some(b"next".as_slice()), "{length}");
                assert_eq!(names.get(1), Some(name(length).as_slice()), "back again");
                assert_eq!(names.get(table.len()), None, "behind the table");
            });
        }
        let endless = name(NAME_LIMIT + 8);
        assert_eq!(of(&endless, |mut names| names.get(0).map(<[u8]>::len)), None);
    }
}
