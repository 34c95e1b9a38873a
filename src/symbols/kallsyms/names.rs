//! Names as kallsyms packs them.

use super::tokens::{Hash, Tokens};
use std::ops::Range;

/// How the length in front of a packed name is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lengths {
    /// In one byte, until 6.0.
    Byte,
    /// In seven bits; since 6.1 the eighth says that the next byte holds seven more, the higher ones.
    SevenBits,
}

impl Lengths {
    /// Where in `packed` the tokens of the name lie that begins at `at`.
    pub(super) fn tokens(self, packed: &[u8], at: usize) -> Option<Range<usize>> {
        let low = usize::from(*packed.get(at)?);
        let (start, len) = match self {
            Self::SevenBits if low > 0x7f => {
                (at + 2, low & 0x7f | usize::from(*packed.get(at + 1)? & 0x7f) << 7)
            }
            _ => (at + 1, low),
        };
        (len != 0 && start + len <= packed.len()).then_some(start..start + len)
    }

    /// Where each of the first `count` names begins, and where the last one ends; none if they do not lie in `packed`.
    pub(super) fn walk(self, packed: &[u8], count: usize) -> Option<(Vec<u32>, usize)> {
        // A name takes two bytes at least.
        let mut starts = Vec::with_capacity(count.min(packed.len() / 2));
        let mut at = 0;
        for _ in 0..count {
            starts.push(u32::try_from(at).ok()?);
            at = self.tokens(packed, at)?.end;
        }
        Some((starts, at))
    }
}

/// The names of a table. They stay packed, in about 12 bytes each.
#[derive(Debug, Clone)]
pub(super) struct Names {
    packed: Vec<u8>,
    /// Where each name begins in `packed`, in the order of the symbols.
    starts: Vec<u32>,
    lengths: Lengths,
    tokens: Tokens,
}

impl Names {
    /// Names that begin at `starts` in `packed`. Each must have a letter, and a sensible length.
    pub(super) fn new(
        packed: Vec<u8>,
        starts: Vec<u32>,
        lengths: Lengths,
        tokens: Tokens,
    ) -> Result<Self, String> {
        let names = Self { packed, starts, lengths, tokens };
        let is_bad = |number: &usize| !names.tokens.make_name(names.packed_name(*number));
        match (0..names.len()).find(is_bad) {
            Some(number) => Err(format!("name {number} is no symbol's")),
            None => Ok(names),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    fn packed_name(&self, number: usize) -> &[u8] {
        let start = self.starts.get(number).and_then(|start| usize::try_from(*start).ok());
        let tokens = start.and_then(|start| self.lengths.tokens(&self.packed, start));
        tokens.and_then(|tokens| self.packed.get(tokens)).unwrap_or_default()
    }

    /// nm(1)'s letter for a symbol: it stands in front of the name.
    pub(super) fn letter(&self, number: usize) -> u8 {
        let first = self.packed_name(number).first();
        first.and_then(|byte| self.tokens.get(*byte).first()).copied().unwrap_or(b'?')
    }

    /// A name, in pieces.
    fn pieces(&self, number: usize) -> impl Iterator<Item = &[u8]> {
        let pieces = self.packed_name(number).iter().map(|byte| self.tokens.get(*byte));
        pieces.enumerate().map(|(at, piece)| if at == 0 { piece.get(1..).unwrap_or_default() } else { piece })
    }

    /// A name.
    pub(super) fn text(&self, number: usize) -> String {
        let mut text = Vec::with_capacity(self.tokens.expanded(self.packed_name(number)));
        self.pieces(number).for_each(|piece| text.extend_from_slice(piece));
        String::from_utf8(text).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// Whether a name is this one. Most differ in their first piece.
    pub(super) fn is(&self, number: usize, name: &[u8]) -> bool {
        let left = self.pieces(number).try_fold(name, |left, piece| left.strip_prefix(piece));
        left.is_some_and(<[u8]>::is_empty)
    }

    /// The hash of a name.
    pub(super) fn hash(&self, number: usize) -> Hash {
        self.tokens.hash(self.packed_name(number))
    }

    /// Gives the symbols another order, by their numbers.
    pub(super) fn reorder(&mut self, order: impl Iterator<Item = u32>) {
        self.starts = order.filter_map(|number| self.starts.get(number as usize).copied()).collect();
    }
}
