//! The layout of BTF, after the kernel's `Documentation/bpf/btf.rst` and `include/uapi/linux/btf.h`.

use std::ops::Range;

/// Bytes that all BTF of a byte order starts with: the magic number, version 1, no flags.
pub(super) const START: usize = 4;
const LITTLE: [u8; START] = [0x9f, 0xeb, 1, 0];
const BIG: [u8; START] = [0xeb, 0x9f, 1, 0];
/// Bytes of a header without the layouts, which Linux added in 2026.
const HEADER: usize = 24;
/// Bytes of the head of a type.
const HEAD: usize = 12;

/// The kinds of types.
pub(super) mod kind {
    pub(crate) const INT: u32 = 1;
    pub(crate) const PTR: u32 = 2;
    pub(crate) const ARRAY: u32 = 3;
    pub(crate) const STRUCT: u32 = 4;
    pub(crate) const UNION: u32 = 5;
    pub(crate) const ENUM: u32 = 6;
    pub(crate) const FWD: u32 = 7;
    pub(crate) const TYPEDEF: u32 = 8;
    pub(crate) const VOLATILE: u32 = 9;
    pub(crate) const CONST: u32 = 10;
    pub(crate) const RESTRICT: u32 = 11;
    pub(crate) const FUNC: u32 = 12;
    pub(crate) const FUNC_PROTO: u32 = 13;
    pub(crate) const VAR: u32 = 14;
    pub(crate) const DATASEC: u32 = 15;
    pub(crate) const FLOAT: u32 = 16;
    pub(crate) const DECL_TAG: u32 = 17;
    pub(crate) const TYPE_TAG: u32 = 18;
    pub(crate) const ENUM64: u32 = 19;
}

/// Where the parts of BTF lie in its bytes.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub(super) big_endian: bool,
    pub(super) types: Range<usize>,
    pub(super) strings: Range<usize>,
    /// How long types are that were unknown when this was written; empty in most kernels.
    pub(super) layouts: Range<usize>,
}

/// What all types start with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) name: u32,
    pub(super) kind: u32,
    /// How many members, enumerators, parameters it has.
    pub(super) count: usize,
    /// Of a structure: its members' offsets hold the widths of bit fields. Of an enum: it has a sign.
    pub(super) flag: bool,
    /// The size, or the type it refers to: the place is the same.
    pub(super) size: u32,
    /// Where its members or other details start.
    pub(super) details: usize,
}

/// What BTF starts with.
pub(super) fn start(big_endian: bool) -> [u8; START] {
    if big_endian { BIG } else { LITTLE }
}

pub(super) fn word(bytes: [u8; 4], big_endian: bool) -> u32 {
    if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

impl Header {
    /// The header that `bytes` start with, whose parts may reach beyond them; none if it is none.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<4>();
        let big_endian = match *words.first()? {
            LITTLE => false,
            BIG => true,
            _ => return None,
        };
        let word = |at: usize| words.get(at).map(|bytes| word(*bytes, big_endian) as usize);
        let len = word(1).filter(|len| *len >= HEADER)?;
        let part = |at: usize| {
            let start = len.checked_add(word(at)?)?;
            Some(start..start.checked_add(word(at + 1)?)?)
        };
        let layouts = if len >= HEADER + 8 { part(6)? } else { 0..0 };
        Some(Self { big_endian, types: part(2)?, strings: part(4)?, layouts })
    }

    /// The bytes of all parts, the header's own included.
    pub(super) fn len(&self) -> usize {
        self.types.end.max(self.strings.end).max(self.layouts.end)
    }
}

impl Head {
    /// The head at `at`.
    #[inline]
    pub(super) fn parse(bytes: &[u8], at: usize, big_endian: bool) -> Option<Self> {
        let (words, _) = bytes.get(at..at.checked_add(HEAD)?)?.as_chunks::<4>();
        let [name, info, size] = *words else { return None };
        let info = word(info, big_endian);
        Some(Self {
            name: word(name, big_endian),
            // Until 2026 the kind had five of these bits and the count 16; the others were zero.
            kind: info >> 24 & 0x7f,
            count: (info & 0xff_ffff) as usize,
            flag: info >> 31 != 0,
            size: word(size, big_endian),
            details: at + HEAD,
        })
    }

    /// Bytes behind the head, once and for each of its `count`; none if the kind is not known.
    #[inline]
    pub(super) fn layout(&self) -> Option<[u8; 2]> {
        Some(match self.kind {
            kind::INT | kind::VAR | kind::DECL_TAG => [4, 0],
            kind::ARRAY => [12, 0],
            kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => [0, 12],
            kind::ENUM | kind::FUNC_PROTO => [0, 8],
            kind::PTR | kind::FWD | kind::FUNC | kind::FLOAT => [0, 0],
            kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => [0, 0],
            _ => return None,
        })
    }

    /// Where a type of this layout ends.
    #[inline]
    pub(super) fn end(&self, [once, each]: [u8; 2]) -> Option<usize> {
        self.count.checked_mul(each.into())?.checked_add(once.into())?.checked_add(self.details)
    }
}
