//! CTF, the compact C type format: the section `.SUNW_ctf` of FreeBSD's kernels, as FreeBSD's ctf(5) describes it.
//!
//! Version 2 has type numbers of 16 bits. FreeBSD 14 outgrew them: its version 3 is the same with wider words. (GNU's
//! CTF, section `.ctf`, is another format that has the same name.)
//!
//! A bit field is a member whose type is an integer of fewer bits. There are no enums of fewer bits, so a bit field of an
//! enum type looks like a whole enum.

use super::KernelFile;
use super::types::{Field, Graph, MEMBER_LIMIT, Names, Opened, Ref, Scalar, Shape, Space, inflate};
use crate::{Error, Result};

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
    Some(Ctf::parse(&section, target).map(|ctf| Box::new(ctf) as Box<dyn Graph>))
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
        let [_, parent, _, _, _, types, names, names_len] = words;
        if parent != 0 {
            return Err(Error::Unsupported("CTF that builds on that of another file".into()));
        }
        let size = u64::from(names) + u64::from(names_len);
        let body = body_of(section, flags, size)?;
        if types > names {
            return Err(corrupt(0, "the types do not end before the names"));
        }
        let strings = (names as usize, body.len());
        let mut ctf = Self { body, form, target, strings, places: Vec::new(), names: Names::default() };
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
        for (name, value) in self.enumerators(head) {
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

    fn enumerators(&self, head: &Head) -> impl Iterator<Item = (u32, i32)> {
        let mut from = self.cursor(head.details);
        let count = if head.kind == kind::ENUM { head.count } else { 0 };
        (0..count).map_while(move |_| Some((from.u32()?, from.u32()?.cast_signed())))
    }

    fn fields(&self, head: &Head) -> Option<Vec<Field<'_>>> {
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
        let place = (name & FOREIGN_NAME == 0).then(|| self.strings.0.checked_add(name as usize)).flatten();
        let text = place.and_then(|place| self.body.get(place..self.strings.1)).unwrap_or_default();
        text.get(..memchr::memchr(0, text).unwrap_or(0)).unwrap_or_default()
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
        let head = self.find(ty)?;
        let scalar = |size, signed| Shape::Scalar(Scalar { size, signed, bits: None });
        Some(match head.kind {
            kind::INTEGER => Shape::Scalar(self.integer(&head)?),
            kind::FLOAT => scalar(head.size, false),
            kind::POINTER => scalar(self.target.ptr_bytes, false),
            // As compilers do it: unsigned unless a value needs the sign.
            kind::ENUM => scalar(head.size, self.enumerators(&head).any(|(_, value)| value < 0)),
            kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT => Shape::Alias(head.size),
            kind::ARRAY => {
                let mut from = self.cursor(head.details);
                let (of, _) = (from.word(self.form)?.into(), from.word(self.form)?);
                Shape::Array { of, count: from.u32()?.into() }
            }
            kind::STRUCT | kind::UNION => Shape::Composite { size: head.size, fields: self.fields(&head)? },
            _ => return None,
        })
    }

    fn enumerator(&self, name: &str) -> Option<i64> {
        self.names.get(Space::Enumerator, name).map(u64::cast_signed)
    }

    fn big_endian(&self) -> bool {
        self.target.big_endian
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
mod tests {
    //! The sections are built from the format's description, with nothing of the parser's.

    use super::super::types::{Bits, Member, Types};
    use super::*;
    use std::io::Write;

    const ALL: [(u8, bool); 4] = [(2, false), (2, true), (3, false), (3, true)];

    struct Builder {
        version: u8,
        big: bool,
        types: Vec<u8>,
        names: Vec<u8>,
        count: u32,
    }

    impl Builder {
        fn new((version, big): (u8, bool)) -> Self {
            Self { version, big, types: Vec::new(), names: vec![0], count: 0 }
        }

        fn name(&mut self, name: &str) -> u32 {
            let at = self.names.len() as u32;
            self.names.extend(name.bytes().chain([0]));
            if name.is_empty() { 0 } else { at }
        }

        fn half(&mut self, value: u32) {
            let value = value as u16;
            self.types.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
        }

        fn full(&mut self, value: u32) {
            self.types.extend(if self.big { value.to_be_bytes() } else { value.to_le_bytes() });
        }

        fn narrow(&mut self, value: u32) {
            if self.version == 2 { self.half(value) } else { self.full(value) }
        }

        /// A type's head; its number.
        fn ty(&mut self, name: &str, kind: u32, count: u32, size: u32) -> u32 {
            let name = self.name(name);
            self.full(name);
            self.narrow(if self.version == 2 {
                kind * 2048 + 1024 + count
            } else {
                kind << 26 | 1 << 25 | count
            });
            self.narrow(size);
            self.count += 1;
            self.count
        }

        fn int(&mut self, name: &str, size: u32, encoding: u32, bits: u32) -> u32 {
            let ty = self.ty(name, 1, 0, size);
            self.full(encoding << 24 | bits);
            ty
        }

        fn array(&mut self, of: u32, count: u32) -> u32 {
            let ty = self.ty("", 4, 0, 0);
            self.narrow(of);
            self.narrow(of);
            self.full(count);
            ty
        }

        fn members(&mut self, members: &[(&str, u32, u32)]) {
            for (name, ty, bit) in members {
                let name = self.name(name);
                self.full(name);
                self.narrow(*ty);
                self.narrow(*bit);
            }
        }

        fn large_member(&mut self, name: &str, ty: u32, bit: u64) {
            let name = self.name(name);
            self.full(name);
            if self.version == 2 {
                self.half(ty);
                self.half(0);
            } else {
                self.full(ty);
            }
            self.full((bit >> 32) as u32);
            self.full(bit as u32);
        }

        fn enumerators(&mut self, values: &[(&str, i32)]) {
            for (name, value) in values {
                let name = self.name(name);
                self.full(name);
                self.full(value.cast_unsigned());
            }
        }

        fn build(&self, compressed: bool) -> Vec<u8> {
            let mut body = vec![0xee; 8]; // labels, objects, functions: not looked at
            body.extend(&self.types);
            let words = [0, 0, 0, 4, 4, 8, 8 + self.types.len() as u32, self.names.len() as u32];
            body.extend(&self.names);
            self.wrap(words, &body, compressed)
        }

        fn wrap(&self, words: [u32; 8], body: &[u8], compressed: bool) -> Vec<u8> {
            let mut out = if self.big { vec![0xcf, 0xf1] } else { vec![0xf1, 0xcf] };
            out.extend([self.version, compressed.into()]);
            for word in words {
                out.extend(if self.big { word.to_be_bytes() } else { word.to_le_bytes() });
            }
            if !compressed {
                out.extend(body);
                return out;
            }
            let mut encoder = flate2::write::ZlibEncoder::new(out, flate2::Compression::best());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }

        fn parse(&self, bytes: &[u8]) -> Result<Types> {
            let target = Target { big_endian: self.big, ptr_bytes: 8 };
            Ctf::parse(bytes, target).map(|ctf| Types::from_graph("CTF", Box::new(ctf)))
        }

        fn types(&self) -> Types {
            let plain = self.parse(&self.build(false)).unwrap();
            let packed = self.parse(&self.build(true)).unwrap();
            assert_eq!(plain.size_of("proc"), packed.size_of("proc"));
            packed
        }
    }

    /// What C would call:
    /// ```c
    /// typedef int pid_t;
    /// enum state { EMBRYO, ZOMBIE = 5, GONE = -1 };
    /// struct map { long *head; volatile pid_t users; };
    /// struct proc { struct proc *next; const pid_t pid; union { int a; struct { char b[4]; }; };
    ///               unsigned flags : 5, low : 3; _Bool yes : 1; enum state state; int grid[3][4]; struct map map; pid_t none[]; };
    /// ```
    fn sample(form: (u8, bool)) -> Builder {
        let mut b = Builder::new(form);
        let five = b.int("unsigned int", 4, 0, 5);
        let three = b.int("unsigned int", 4, 0, 3);
        let int = b.int("int", 4, 1, 32);
        let bit = b.int("_Bool", 1, 5, 1);
        let char = b.int("char", 1, 3, 8);
        let pid = b.ty("pid_t", 10, 0, int);
        let constant = b.ty("", 12, 0, pid);
        let volatile = b.ty("", 11, 0, pid);
        let proc_ptr = b.ty("", 3, 0, 21);
        // Three arguments: an odd number of halves in version 2.
        b.ty("", 5, 3, int);
        (0..3).for_each(|_| b.narrow(int));
        if form.0 == 2 {
            b.half(0);
        }
        b.ty("map", 9, 0, 0);
        let map = b.ty("map", 6, 2, 16);
        b.members(&[("head", proc_ptr, 0), ("users", volatile, 64)]);
        let state = b.ty("state", 8, 3, 4);
        b.enumerators(&[("EMBRYO", 0), ("ZOMBIE", 5), ("GONE", -1)]);
        let chars = b.array(char, 4);
        let inner = b.ty("", 6, 1, 4);
        b.members(&[("b", chars, 0)]);
        let union = b.ty("", 7, 2, 4);
        b.members(&[("a", int, 0), ("", inner, 0)]);
        let row = b.array(int, 4);
        let grid = b.array(row, 3);
        let none = b.array(pid, 0);
        b.ty("", 0, 0, 0);
        let members = [
            ("next", proc_ptr, 0),
            ("pid", constant, 64),
            ("", union, 96),
            ("flags", five, 128),
            ("low", three, 133),
            ("yes", bit, 136),
            ("state", state, 160),
            ("grid", grid, 192),
            ("map", map, 576),
            ("none", none, 704),
        ];
        assert_eq!(b.ty("proc", 6, members.len() as u32, 88), 21);
        b.members(&members);
        b.ty("proc_t", 10, 0, 21);
        b
    }

    fn scalar(offset: u64, size: u64, signed: bool) -> Option<Member> {
        Some(Member { offset, size, bits: None, signed, elements: None, element_size: size })
    }

    #[test]
    fn members_are_found_in_every_version_and_byte_order() {
        for form in ALL {
            let types = sample(form).types();
            let member = |path| types.member("proc", path);
            assert_eq!(member("next"), scalar(0, 8, false));
            assert_eq!(member("pid"), scalar(8, 4, true));
            assert_eq!(member("a"), scalar(12, 4, true));
            assert_eq!(member("b").map(|m| (m.offset, m.size, m.elements)), Some((12, 4, Some(4))));
            assert_eq!(member("state"), scalar(20, 4, true));
            assert_eq!(member("map"), scalar(72, 16, false));
            assert_eq!(member("map.users"), scalar(80, 4, true));
            let array = |offset, size, elements| Member {
                elements: Some(elements),
                element_size: 4,
                ..scalar(offset, size, true).unwrap()
            };
            assert_eq!(member("grid"), Some(array(24, 48, 12)));
            assert_eq!(member("none"), Some(array(88, 0, 0)));
            assert_eq!(types.member("proc_t", "pid"), member("pid"));
            for missing in ["", ".", "map.", "nothing", "next.pid", "pid.x", "map.nothing", "grid.x"] {
                assert_eq!(member(missing), None, "{missing}");
            }
        }
    }

    #[test]
    fn bit_fields_count_from_the_machines_first_bit() {
        for form in ALL {
            let types = sample(form).types();
            let (flags, low) = (types.member("proc", "flags").unwrap(), types.member("proc", "low").unwrap());
            let bits = |offset, width| Some(Bits { offset, width });
            let expected = if form.1 { (bits(3, 5), bits(0, 3)) } else { (bits(0, 5), bits(5, 3)) };
            assert_eq!((flags.bits, low.bits), expected);
            assert_eq!((flags.offset, flags.size, low.offset), (16, 1, 16));
            // flags = 0b10110, low = 0b101, as C stores them on either kind of machine
            let byte = if form.1 { 0b1011_0101 } else { 0b1011_0110 };
            assert_eq!(flags.value(&[byte], form.1), Some(0b10110));
            assert_eq!(low.value(&[byte], form.1), Some(0b101));
            let yes = types.member("proc", "yes").unwrap();
            assert_eq!((yes.offset, yes.value(&[if form.1 { 0x80 } else { 1 }], form.1)), (17, Some(1)));
        }
    }

    #[test]
    fn sizes_and_enumerators() {
        for form in ALL {
            let types = sample(form).types();
            let sizes = ["proc", "proc_t", "pid_t", "map", "state", "int", "unsigned int", "nothing"];
            let expected = [Some(88), Some(88), Some(4), Some(16), Some(4), Some(4), None, None];
            assert_eq!(sizes.map(|name| types.size_of(name)), expected);
            let values = ["EMBRYO", "ZOMBIE", "GONE", "state"].map(|name| types.enumerator(name));
            assert_eq!(values, [Some(0), Some(5), Some(-1), None]);
            assert_eq!(types.source(), "CTF");
        }
    }

    #[test]
    fn large_structures_have_wide_offsets() {
        for form in ALL {
            let mut b = Builder::new(form);
            let int = b.int("int", 4, 1, 32);
            // The last small one, the first large one, and one whose size needs 64 bits.
            let (edge, wide) = if form.0 == 2 { (1 << 13, 0xffff) } else { (1 << 29, 0xffff_ffff) };
            b.ty("small", 6, 1, edge - 1);
            b.members(&[("x", int, 4096)]);
            b.ty("large", 6, 2, edge);
            b.large_member("x", int, 32);
            b.large_member("y", int, u64::from(edge) * 8 - 32);
            b.ty("huge", 6, 1, wide);
            b.full(3);
            b.full(16);
            b.large_member("x", int, 3 << 35);
            let types = b.types();
            assert_eq!(types.member("small", "x"), scalar(512, 4, true));
            assert_eq!(types.member("large", "x"), scalar(4, 4, true));
            assert_eq!(types.member("large", "y"), scalar(u64::from(edge) - 4, 4, true));
            assert_eq!(types.member("huge", "x"), scalar(3 << 32, 4, true));
            assert_eq!(types.size_of("huge"), Some(3 << 32 | 16));
        }
    }

    #[test]
    fn cycles_end() {
        for form in ALL {
            let mut b = Builder::new(form);
            b.ty("a", 10, 0, 2);
            b.ty("b", 10, 0, 1);
            b.ty("self", 6, 2, 8);
            b.members(&[("", 3, 0), ("", 3, 0)]);
            b.ty("array", 10, 0, 5);
            b.array(5, 1);
            b.ty("missing", 10, 0, 99);
            let types = b.types();
            for name in ["a", "b", "array", "missing"] {
                assert_eq!(types.size_of(name), None, "{name}");
                assert_eq!(types.member(name, "x"), None, "{name}");
            }
            assert_eq!(types.member("self", "x"), None);
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for form in ALL {
            let b = sample(form);
            let refused = |bytes: &[u8]| b.parse(bytes).is_err();
            for bytes in [b.build(false), b.build(true)] {
                assert!((0..bytes.len()).all(|len| refused(&bytes[..len])), "a shorter one");
            }
            let other_order = Builder { big: !form.1, ..sample(form) }.build(false);
            assert!(refused(&other_order));
            for version in [0, 1, 4] {
                assert!(refused(&Builder { version, ..sample(form) }.build(false)));
            }
            assert!(refused(&b.wrap([0, 0, 0, 0, 0, 9, 8, 0], &[0; 8], false)), "types behind the names");
            assert!(refused(&b.wrap([0, 1, 0, 0, 0, 0, 0, 1], &[0; 8], false)), "a child");
            assert!(refused(&b.wrap([0, 0, 0, 0, 0, 0, u32::MAX, u32::MAX], &[0; 8], true)), "sizes");
            assert!(refused(&b.wrap([0, 0, 0, 0, 0, 0, 0, 1 << 10], &[0; 4 << 20], true)), "a bomb");

            let mut absurd = Builder::new(form);
            absurd.ty("x", 6, 1000, 8);
            assert!(b.parse(&absurd.build(false)).is_err(), "1000 members, none there");
            let mut unknown = Builder::new(form);
            unknown.ty("x", 14, 0, 8);
            assert!(b.parse(&unknown.build(false)).is_err(), "a kind that there is not");
        }
    }

    #[test]
    fn damage_is_survived() {
        let mut state = 0x9e37_79b9_u32;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as usize
        };
        for form in ALL {
            let sound = sample(form).build(false);
            for _ in 0..1000 {
                let mut bytes = sound.clone();
                for _ in 0..4 {
                    let at = random() % bytes.len();
                    bytes[at] = random() as u8;
                }
                let Ok(types) = sample(form).parse(&bytes) else { continue };
                for path in ["next", "b", "flags", "grid", "map.users"] {
                    let _ = types.member("proc", path);
                }
                let _ = (types.size_of("proc_t"), types.enumerator("GONE"));
            }
        }
    }
}
