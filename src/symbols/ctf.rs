//! CTF, the compact C type format: the section `.SUNW_ctf` of FreeBSD's kernels, as FreeBSD's ctf(5) describes it.
//!
//! Version 2 has type numbers of 16 bits. FreeBSD 14 outgrew them: its version 3 is the same with wider words. (GNU's
//! CTF, section `.ctf`, is another format that has the same name.)
//!
//! A bit field is a member whose type is an integer of fewer bits. There are no enums of fewer bits, so a bit field of an
//! enum type looks like a whole enum.

use super::KernelFile;
use super::types::declared::{self, Declarations};
use super::types::{Field, Graph, MEMBER_LIMIT, Names, Opened, Ref, Scalar, Shape, Space, inflate, name_at};
use crate::{Error, Result};
use std::ops::Range;
use std::sync::Arc;

mod declarations;

const SECTION: &str = ".SUNW_ctf";
const MAGIC: u16 = 0xcff1;
const HEADER: usize = 36;
const COMPRESSED: u8 = 1;
/// A kernel has 1 to 4 MiB of it.
const SIZE_LIMIT: u64 = 64 << 20;
/// Names with this bit lie in the string table of the ELF file; only symbols have such names.
const FOREIGN_NAME: u32 = 1 << 31;
/// Bits of an integer's encoding. FreeBSD marks `_Bool` as signed, though no compiler extends its sign.
const SIGNED: u32 = 1;
const CHAR: u32 = 2;
const BOOL: u32 = 4;

/// Where the versions differ.
struct Form {
    version: u8,
    /// Bytes of a type number, and of the word that packs kind and count.
    word: usize,
    kind_shift: u32,
    count_mask: u32,
    /// In the place of a size: it does not fit there and follows, in 64 bits.
    large_size: u32,
    /// From this size on, a structure has members with offsets of 64 bits.
    large_struct: u64,
}

static FORMS: [Form; 2] = [
    Form {
        version: 2,
        word: 2,
        kind_shift: 11,
        count_mask: 0x3ff,
        large_size: 0xffff,
        large_struct: 1 << 13,
    },
    Form {
        version: 3,
        word: 4,
        kind_shift: 26,
        count_mask: 0xff_ffff,
        large_size: 0xffff_ffff,
        large_struct: 1 << 29,
    },
];

/// The kinds of types.
mod kind {
    pub(super) const UNKNOWN: u32 = 0;
    pub(super) const INTEGER: u32 = 1;
    pub(super) const FLOAT: u32 = 2;
    pub(super) const POINTER: u32 = 3;
    pub(super) const ARRAY: u32 = 4;
    pub(super) const FUNCTION: u32 = 5;
    pub(super) const STRUCT: u32 = 6;
    pub(super) const UNION: u32 = 7;
    pub(super) const ENUM: u32 = 8;
    pub(super) const FORWARD: u32 = 9;
    pub(super) const TYPEDEF: u32 = 10;
    pub(super) const VOLATILE: u32 = 11;
    pub(super) const CONST: u32 = 12;
    pub(super) const RESTRICT: u32 = 13;
}

/// The types of a `.SUNW_ctf` section.
struct Ctf {
    /// What follows the header, decompressed.
    body: Vec<u8>,
    form: &'static Form,
    target: Target,
    /// Where the names start in the body, and where they end.
    strings: (usize, usize),
    /// Where the types of objects and those of functions are in the body.
    objects: Range<usize>,
    functions: Range<usize>,
    /// The file, whose symbols these are.
    file: Option<KernelFile>,
    /// Where the type of each number is; the first one has the number 1.
    places: Vec<usize>,
    names: Names,
}

/// What CTF does not say of the machine it is for.
#[derive(Clone, Copy)]
struct Target {
    big_endian: bool,
    ptr_bytes: u64,
}

/// A type's first words.
struct Head {
    kind: u32,
    count: u32,
    name: u32,
    /// The size, or the type it refers to: the place is the same.
    size: u64,
    /// Where its members or other details start.
    details: usize,
}

/// Reads numbers, one after the other.
#[derive(Clone)]
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    big_endian: bool,
}

/// The types of a file's CTF section, if it has one.
pub(super) fn open(file: &KernelFile) -> Option<Opened> {
    let section = file.section(SECTION)?;
    let target = Target { big_endian: file.is_big_endian(), ptr_bytes: if file.is_64_bit() { 8 } else { 4 } };
    let with_file = |ctf: Ctf| Ctf { file: KernelFile::open(Arc::clone(file.source())).ok(), ..ctf };
    Some(Ctf::parse(&section, target).map(|ctf| Box::new(with_file(ctf)) as Box<dyn Graph>))
}

impl Ctf {
    fn parse(section: &[u8], target: Target) -> Result<Self> {
        let short = || corrupt(0, "the header is cut off");
        let mut header = Cursor { bytes: section, at: 0, big_endian: target.big_endian };
        if header.u16().ok_or_else(short)? != MAGIC {
            return Err(corrupt(0, "no CTF in the byte order of the machine"));
        }
        let [version, flags] = header.take().ok_or_else(short)?;
        let form = FORMS.iter().find(|form| form.version == version);
        let form = form.ok_or_else(|| Error::Unsupported(format!("CTF of version {version}")))?;
        let mut words = [0; 8];
        for word in &mut words {
            *word = header.u32().ok_or_else(short)?;
        }
        let [_, parent, _, objects, functions, types, names, names_len] = words;
        if parent != 0 {
            return Err(Error::Unsupported("CTF that builds on that of another file".into()));
        }
        let size = u64::from(names) + u64::from(names_len);
        let body = body_of(section, flags, size)?;
        if types > names {
            return Err(corrupt(0, "the types do not end before the names"));
        }
        let strings = (names as usize, body.len());
        let (objects, functions) = (objects as usize..functions as usize, functions as usize..types as usize);
        let (places, names) = (Vec::new(), Names::default());
        let mut ctf = Self { body, form, target, strings, objects, functions, file: None, places, names };
        ctf.index(types as usize)?;
        Ok(ctf)
    }

    /// Goes through all types once.
    fn index(&mut self, first: usize) -> Result<()> {
        let mut at = first;
        while at < self.strings.0 {
            let bad = || corrupt(at as u64, "a type that cannot be, or that is cut off");
            let head = self.head(at).ok_or_else(bad)?;
            let end = self.len_of(&head).and_then(|len| head.details.checked_add(len));
            let end = end.filter(|end| *end <= self.strings.0).ok_or_else(bad)?;
            self.places.push(at);
            self.remember(&head, self.places.len() as u64);
            at = end;
        }
        Ok(())
    }

    fn remember(&mut self, head: &Head, id: Ref) {
        let space = match head.kind {
            kind::STRUCT | kind::UNION | kind::ENUM => Space::Tag,
            kind::TYPEDEF | kind::FLOAT => Space::Ordinary,
            // The types of bit fields are integers as well, and share the name with the full one.
            kind::INTEGER if self.integer(head).is_some_and(|integer| integer.bits.is_none()) => {
                Space::Ordinary
            }
            _ => return,
        };
        let mut names = std::mem::take(&mut self.names);
        names.add(space, self.string(head.name), id);
        for (name, value) in self.enumerators_of(head) {
            names.add(Space::Enumerator, self.string(name), i64::from(value).cast_unsigned());
        }
        self.names = names;
    }

    fn cursor(&self, at: usize) -> Cursor<'_> {
        Cursor { bytes: &self.body, at, big_endian: self.target.big_endian }
    }

    fn head(&self, at: usize) -> Option<Head> {
        let mut from = self.cursor(at);
        let (name, info, size) = (from.u32()?, from.word(self.form)?, from.word(self.form)?);
        let size = if size == self.form.large_size { from.split_u64()? } else { size.into() };
        let (kind, count) = (info >> self.form.kind_shift, info & self.form.count_mask);
        Some(Head { kind, count, name, size, details: from.at })
    }

    /// Bytes of a type behind its head; none if there is no such kind.
    fn len_of(&self, head: &Head) -> Option<usize> {
        let (count, word) = (head.count as usize, self.form.word);
        match head.kind {
            kind::INTEGER | kind::FLOAT => Some(4),
            kind::ARRAY => Some(2 * word + 4),
            // The arguments, filled up to a multiple of four bytes.
            kind::FUNCTION => count.checked_mul(word)?.checked_next_multiple_of(4),
            kind::STRUCT | kind::UNION => {
                count.checked_mul(if self.is_large(head) { 16 } else { 4 + 2 * word })
            }
            kind::ENUM => count.checked_mul(8),
            kind::UNKNOWN | kind::FORWARD | kind::POINTER => Some(0),
            kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT => Some(0),
            _ => None,
        }
    }

    fn is_large(&self, head: &Head) -> bool {
        head.size >= self.form.large_struct
    }

    fn integer(&self, head: &Head) -> Option<Scalar> {
        let data = self.cursor(head.details).u32()?;
        let (encoding, skip, width) = (data >> 24, data >> 16 & 0xff, u64::from(data & 0xffff));
        let whole = Some(width) == head.size.checked_mul(8);
        let bits = (!whole).then_some((skip.into(), width));
        Some(Scalar { size: head.size, signed: encoding & (SIGNED | BOOL) == SIGNED, bits })
    }

    fn enumerators_of(&self, head: &Head) -> impl Iterator<Item = (u32, i32)> {
        let mut from = self.cursor(head.details);
        let count = if head.kind == kind::ENUM { head.count } else { 0 };
        (0..count).map_while(move |_| Some((from.u32()?, from.u32()?.cast_signed())))
    }

    fn fields_of(&self, head: &Head) -> Option<Vec<Field<'_>>> {
        let mut from = self.cursor(head.details);
        if head.count as usize > MEMBER_LIMIT {
            return None;
        }
        (0..head.count).map(|_| self.field(&mut from, self.is_large(head))).collect()
    }

    fn field(&self, from: &mut Cursor<'_>, large: bool) -> Option<Field<'_>> {
        let (name, ty) = (self.string(from.u32()?), from.word(self.form)?.into());
        if large && self.form.word == 2 {
            from.u16()?;
        }
        let bit_offset = if large { from.split_u64()? } else { from.word(self.form)?.into() };
        Some(Field { name, ty, bit_offset, bit_size: None })
    }

    /// A name; empty if there is none.
    fn string(&self, name: u32) -> &[u8] {
        let names = self.body.get(self.strings.0..self.strings.1).unwrap_or_default();
        if name & FOREIGN_NAME == 0 { name_at(names, name as usize) } else { &[] }
    }

    fn find(&self, ty: Ref) -> Option<Head> {
        let index = usize::try_from(ty.checked_sub(1)?).ok()?;
        self.head(*self.places.get(index)?)
    }
}

impl Graph for Ctf {
    fn named(&self, name: &str) -> Option<Ref> {
        self.names.get(Space::Tag, name).or_else(|| self.names.get(Space::Ordinary, name))
    }

    fn shape(&self, ty: Ref) -> Option<Shape<'_>> {
        declared::shape(self, ty)
    }

    fn enumerator(&self, name: &str) -> Option<i64> {
        self.names.get(Space::Enumerator, name).map(u64::cast_signed)
    }

    fn big_endian(&self) -> bool {
        self.target.big_endian
    }

    fn declarations(&self) -> Option<&dyn Declarations> {
        Some(self)
    }
}

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let end = self.at.checked_add(N)?;
        let bytes = self.bytes.get(self.at..end)?.try_into().ok()?;
        self.at = end;
        Some(bytes)
    }

    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take()?;
        Some(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    fn u32(&mut self) -> Option<u32> {
        let bytes = self.take()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }

    fn word(&mut self, form: &Form) -> Option<u32> {
        if form.word == 2 { self.u16().map(u32::from) } else { self.u32() }
    }

    /// 64 bits in two halves: the high one comes first in either byte order.
    fn split_u64(&mut self) -> Option<u64> {
        Some(u64::from(self.u32()?) << 32 | u64::from(self.u32()?))
    }
}

fn body_of(section: &[u8], flags: u8, size: u64) -> Result<Vec<u8>> {
    let stored = section.get(HEADER..).unwrap_or_default();
    let whole = usize::try_from(size).ok().filter(|_| size <= SIZE_LIMIT);
    let body = match flags & COMPRESSED {
        0 => whole.and_then(|size| stored.get(..size)).map(<[u8]>::to_vec),
        _ => whole.and_then(|_| inflate(stored, size, SIZE_LIMIT)),
    };
    body.ok_or_else(|| corrupt(HEADER as u64, format!("there are no {size} bytes of it")))
}

fn corrupt(offset: u64, what: impl Into<String>) -> Error {
    Error::Corrupt { format: "CTF", offset, what: what.into() }
}

#[cfg(test)]
pub(super) mod tests;
