//! The strings that the bytes of packed names stand for.

use std::ops::Range;

/// No name is believed that is longer, in bytes. Linux's own limit is 512 since 6.1, and was 128.
const NAME_LIMIT: usize = 2048;
/// There is a token for every value of a byte.
const COUNT: usize = 256;

/// A table of tokens.
#[derive(Debug, Clone)]
pub(super) struct Tokens {
    text: Vec<u8>,
    /// Where each one lies in `text`.
    spans: Vec<Range<u16>>,
    /// The hash of each one, and that of all but its first byte.
    hashes: Vec<[Hash; 2]>,
}

impl Tokens {
    /// The tokens of a `token_table`, whose `token_index` says where they begin. Both must tell the same: each token is
    /// visible text, ends with NUL, and is followed by the next.
    pub(super) fn new(table: &[u8], index: &[u16]) -> Result<Self, String> {
        if index.len() != COUNT {
            return Err(format!("{} tokens", index.len()));
        }
        let mut expected = 0;
        let mut spans = Vec::with_capacity(COUNT);
        for (number, start) in index.iter().enumerate() {
            let text = table.get(usize::from(*start)..).unwrap_or_default();
            let len = memchr::memchr(0, text).filter(|_| usize::from(*start) == expected);
            let end = len.and_then(|len| u16::try_from(expected + len).ok());
            let end = end.ok_or_else(|| format!("token {number} does not begin where its index says"))?;
            if !text.iter().take(usize::from(end - *start)).all(|byte| is_visible(*byte)) {
                return Err(format!("token {number} is no text"));
            }
            expected = usize::from(end) + 1;
            spans.push(*start..end);
        }
        Ok(Self::hashed(table.get(..expected).unwrap_or_default().to_vec(), spans))
    }

    /// Each byte stands for itself.
    pub(super) fn plain() -> Self {
        let spans = (0..COUNT as u16).map(|byte| byte..byte + 1).collect();
        Self::hashed((0..=u8::MAX).collect(), spans)
    }

    fn hashed(text: Vec<u8>, spans: Vec<Range<u16>>) -> Self {
        let mut tokens = Self { text, spans, hashes: Vec::new() };
        let hashes = (0..=u8::MAX).map(|byte| {
            let token = tokens.get(byte);
            [Hash::of(token), Hash::of(token.get(1..).unwrap_or_default())]
        });
        tokens.hashes = hashes.collect();
        tokens
    }

    fn span(&self, byte: u8) -> Range<usize> {
        self.spans.get(usize::from(byte)).map_or(0..0, |span| span.start.into()..span.end.into())
    }

    /// What a byte stands for.
    pub(super) fn get(&self, byte: u8) -> &[u8] {
        self.text.get(self.span(byte)).unwrap_or_default()
    }

    /// How many bytes a packed name has in full, its letter included.
    pub(super) fn expanded(&self, packed: &[u8]) -> usize {
        packed.iter().map(|byte| self.span(*byte).len()).sum()
    }

    /// Whether a packed name begins with a letter, and is of sensible length.
    pub(super) fn make_name(&self, packed: &[u8]) -> bool {
        let letter = packed.first().is_some_and(|byte| !self.span(*byte).is_empty());
        letter && (2..=NAME_LIMIT).contains(&self.expanded(packed))
    }

    /// The hash of a packed name without its letter.
    pub(super) fn hash(&self, packed: &[u8]) -> Hash {
        let hash = |(at, byte): (usize, &u8)| self.hashes.get(usize::from(*byte))?.get(usize::from(at == 0));
        packed.iter().enumerate().filter_map(hash).fold(Hash::of(b""), |sum, token| sum.then(*token))
    }
}

/// What a symbol's name can be made of: no blanks, no control characters.
pub(super) fn is_visible(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}

/// A polynomial over the bytes of a string: that of a packed name can be had without unpacking it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hash {
    value: u64,
    /// The base to the power of the string's length.
    power: u64,
}

impl Hash {
    /// Odd, or the first bytes of long strings would not count.
    const BASE: u64 = 0x9e37_79b9_7f4a_7c15;

    /// The hash of a string.
    pub(super) fn of(text: &[u8]) -> Self {
        let byte = |byte: &u8| Self { value: u64::from(*byte) + 1, power: Self::BASE };
        text.iter().map(byte).fold(Self { value: 0, power: 1 }, Self::then)
    }

    /// The hash of this string and another behind it.
    fn then(self, other: Self) -> Self {
        let value = self.value.wrapping_mul(other.power).wrapping_add(other.value);
        Self { value, power: self.power.wrapping_mul(other.power) }
    }

    /// The part of it that is kept in an index.
    pub(super) fn key(self) -> u32 {
        (self.value >> 32) as u32
    }
}
