//! BTF, the types of a Linux kernel: the section `.BTF` of a vmlinux, and a part of the running kernel's memory.
//!
//! The kernel's build makes it of all DWARF (since Linux 5.2, with pahole): every type once, 100,000 of them in 4 MB. A
//! module has its own, which continues the kernel's: its ids and the offsets of its names go on where those end.
//!
//! A type whose length is not known hides all that follow it: those before it stay usable.

mod declarations;
mod find;
mod format;

pub use find::{find, read};

use super::KernelFile;
use super::types::declared::{self, Declarations};
use super::types::{Field, Graph, MEMBER_LIMIT, Names, Opened, Ref, Scalar, Shape, Space, name_at};
use crate::{Error, Result};
use format::{Head, Header, kind};
use std::sync::{Arc, OnceLock};

pub(super) const NAME: &str = "BTF";
const SECTION: &str = ".BTF";
/// A kernel has 1 to 10 MB of it.
const SIZE_LIMIT: u64 = 64 << 20;
/// Bits of an integer's encoding.
const SIGNED: u32 = 1;
const CHARACTER: u32 = 2;
const BOOLEAN: u32 = 4;
/// What C's `long` may be called. On Linux it is as long as a pointer, whose length BTF does not tell.
const LONGS: [&[u8]; 4] = [b"long int", b"long unsigned int", b"long", b"unsigned long"];

/// The types of a kernel, or those that a module adds to them.
struct Btf {
    bytes: Vec<u8>,
    header: Header,
    /// The kernel's, which a module's continues.
    base: Option<Arc<Btf>>,
    /// The first id, and the offset of the first name.
    first: (u32, u32),
    /// Where the type of each id is.
    places: Vec<u32>,
    names: Names,
    enumerators: OnceLock<Names>,
    traits: Traits,
    /// Whether no type was left out.
    whole: bool,
}

/// What only some of the types tell, and holds for all.
#[derive(Debug, Clone, Copy, Default)]
struct Traits {
    ptr_bytes: Option<u64>,
    /// Enums tell whether they have a sign, as pahole 1.24 made them do; before, none did.
    signed_enums: bool,
}

/// Whether a file that begins so is BTF.
pub(super) fn is_btf(head: &[u8]) -> bool {
    [false, true].iter().any(|big_endian| head.starts_with(&format::start(*big_endian)))
}

/// The types of a file's BTF section, if it has one.
pub(super) fn open(file: &KernelFile) -> Option<Opened> {
    let mut sections = file.sections().iter();
    let section = sections.find(|section| section.name == SECTION && !section.is_nobits())?;
    match section.header.sh_size {
        0..=SIZE_LIMIT => Some(parse(file.section(SECTION)?)),
        size => Some(Err(corrupt(0, format!("{size} bytes of it")))),
    }
}

/// The types of a kernel's BTF.
pub(super) fn parse(bytes: Vec<u8>) -> Opened {
    Btf::parse(bytes, None).map(|btf| Box::new(btf) as Box<dyn Graph>)
}

impl Btf {
    fn parse(bytes: Vec<u8>, base: Option<Arc<Btf>>) -> Result<Self> {
        let header = Header::parse(&bytes).ok_or_else(|| corrupt(0, "no BTF of version 1 starts here"))?;
        if bytes.len() < header.len() || header.len() as u64 > SIZE_LIMIT {
            return Err(corrupt(0, format!("{} bytes of {}", bytes.len(), header.len())));
        }
        if base.as_ref().is_some_and(|base| base.header.big_endian != header.big_endian) {
            return Err(corrupt(0, "not in the byte order of what it continues"));
        }
        let first = base.as_ref().map_or((1, 0), |base| base.end());
        let traits = base.as_ref().map(|base| base.traits).unwrap_or_default();
        let mut btf = Self {
            places: Vec::with_capacity(header.types.len() / 32),
            bytes,
            header,
            base,
            first,
            names: Names::default(),
            enumerators: OnceLock::new(),
            traits,
            whole: true,
        };
        btf.index();
        Ok(btf)
    }

    /// Goes through all types once.
    fn index(&mut self) {
        let mut names = Names::default();
        let mut at = self.header.types.start;
        while at < self.header.types.end {
            let Some((head, end)) = self.head_at(at) else {
                log::warn!(
                    "BTF from byte {at:#x} on is left out: a type that is not known, or that is cut off"
                );
                self.whole = false;
                break;
            };
            let id = u64::from(self.first.0) + self.places.len() as u64;
            self.places.push(at as u32);
            self.learn(&head);
            if let Some(space) = space_of(&head) {
                names.add(space, self.string(head.name), id);
            }
            at = end;
        }
        self.names = names;
    }

    /// The head of the type at a place, and where the type ends.
    fn head_at(&self, at: usize) -> Option<(Head, usize)> {
        let head = Head::parse(&self.bytes, at, self.header.big_endian)?;
        let end = head.end(head.layout().or_else(|| self.told_layout(head.kind))?)?;
        (end <= self.header.types.end).then_some((head, end))
    }

    /// The layout of a kind as the BTF itself tells it.
    fn told_layout(&self, kind: u32) -> Option<[u8; 2]> {
        let (layouts, _) = self.bytes.get(self.header.layouts.clone())?.as_chunks::<4>();
        match layouts.get(kind as usize) {
            Some([once, each, ..]) => Some([*once, *each]),
            None => self.base.as_ref()?.told_layout(kind),
        }
    }

    fn learn(&mut self, head: &Head) {
        match head.kind {
            kind::INT if self.traits.ptr_bytes.is_none() && LONGS.contains(&self.string(head.name)) => {
                self.traits.ptr_bytes = Some(head.size.into());
            }
            kind::ENUM => self.traits.signed_enums |= head.flag,
            _ => {}
        }
    }

    /// The id and the offset of a name that come next.
    fn end(&self) -> (u32, u32) {
        let (id, name) = self.first;
        (id.saturating_add(self.places.len() as u32), name.saturating_add(self.header.strings.len() as u32))
    }

    /// A type by its id, and whose it is.
    fn find(&self, ty: Ref) -> Option<(&Self, Head)> {
        match ty.checked_sub(self.first.0.into()) {
            None => self.base.as_ref()?.find(ty),
            Some(index) => {
                let at = *self.places.get(usize::try_from(index).ok()?)?;
                Some((self, Head::parse(&self.bytes, at as usize, self.header.big_endian)?))
            }
        }
    }

    /// A name; empty if there is none.
    fn string(&self, name: u32) -> &[u8] {
        match (name.checked_sub(self.first.1), &self.base) {
            (None, Some(base)) => base.string(name),
            (None, None) => &[],
            (Some(offset), _) => {
                let names = self.bytes.get(self.header.strings.clone()).unwrap_or_default();
                name_at(names, offset as usize)
            }
        }
    }

    /// What follows the head of a type: a member, an enumerator and so on has so many words.
    fn records<const WORDS: usize>(&self, head: &Head) -> impl Iterator<Item = [u32; WORDS]> {
        let bytes = self.bytes.get(head.details..).unwrap_or_default();
        let (records, _) = bytes.as_chunks::<4>().0.as_chunks::<WORDS>();
        let big_endian = self.header.big_endian;
        records.iter().map(move |record| record.map(|bytes| format::word(bytes, big_endian)))
    }

    fn fields(&self, head: &Head) -> Option<Vec<Field<'_>>> {
        let field = |[name, ty, offset]: [u32; 3]| {
            let (bit_offset, width) =
                if head.flag { (offset & 0xff_ffff, offset >> 24) } else { (offset, 0) };
            Field {
                name: self.string(name),
                ty: ty.into(),
                bit_offset: bit_offset.into(),
                bit_size: (width != 0).then_some(width.into()),
            }
        };
        (head.count <= MEMBER_LIMIT).then(|| self.records(head).take(head.count).map(field).collect())
    }

    /// An integer. Until pahole 1.13 the type of a bit field was one of its bits.
    fn integer(&self, head: &Head) -> Option<Scalar> {
        let [data] = self.records(head).next()?;
        let (encoding, skip, width) =
            (data >> 24 & 0xf, u64::from(data >> 16 & 0xff), u64::from(data & 0xff));
        let size = u64::from(head.size);
        let whole = skip == 0 && width == size * 8;
        Some(Scalar { size, signed: encoding & SIGNED != 0, bits: (!whole).then_some((skip, width)) })
    }

    fn is_signed_enum(&self, head: &Head) -> bool {
        let negative = |[_, value]: [u32; 2]| value.cast_signed() < 0;
        let old = head.kind == kind::ENUM && !self.traits.signed_enums;
        head.flag || old && self.records(head).take(head.count).any(negative)
    }

    fn index_enumerators(&self) -> Names {
        let mut names = Names::default();
        for at in &self.places {
            if let Some(head) = Head::parse(&self.bytes, *at as usize, self.header.big_endian) {
                self.add_enumerators(&head, &mut names);
            }
        }
        names
    }

    fn add_enumerators(&self, head: &Head, names: &mut Names) {
        self.enumerators_of(head)
            .into_iter()
            .for_each(|(name, value)| names.add(Space::Enumerator, name, value));
    }

    /// The names and values of an enum; nothing of another type.
    fn enumerators_of(&self, head: &Head) -> Vec<(&[u8], u64)> {
        let signed = self.is_signed_enum(head);
        let extended =
            |value: u32| if signed { i64::from(value.cast_signed()).cast_unsigned() } else { value.into() };
        match head.kind {
            kind::ENUM => {
                let records = self.records(head).take(head.count);
                records.map(|[name, value]| (self.string(name), extended(value))).collect()
            }
            kind::ENUM64 => {
                let records = self.records(head).take(head.count);
                let value = |low, high| u64::from(high) << 32 | u64::from(low);
                records.map(|[name, low, high]| (self.string(name), value(low, high))).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Graph for Btf {
    fn named(&self, name: &str) -> Option<Ref> {
        self.names.get(Space::Tag, name).or_else(|| self.names.get(Space::Ordinary, name))
    }

    fn shape(&self, ty: Ref) -> Option<Shape<'_>> {
        declared::shape(self, ty)
    }

    fn enumerator(&self, name: &str) -> Option<i64> {
        let enumerators = self.enumerators.get_or_init(|| self.index_enumerators());
        enumerators.get(Space::Enumerator, name).map(u64::cast_signed)
    }

    fn big_endian(&self) -> bool {
        self.header.big_endian
    }

    fn is_whole(&self) -> bool {
        self.base.is_none() && self.whole
    }

    fn declarations(&self) -> Option<&dyn Declarations> {
        Some(self)
    }

    fn continued(self: Arc<Self>, part: Vec<u8>) -> Option<Opened> {
        Some(Btf::parse(part, Some(self)).map(|btf| Box::new(btf) as Box<dyn Graph>))
    }
}

/// The name space of what a type defines; a forward declaration defines nothing.
fn space_of(head: &Head) -> Option<Space> {
    match head.kind {
        kind::STRUCT | kind::UNION | kind::ENUM | kind::ENUM64 => Some(Space::Tag),
        kind::TYPEDEF | kind::INT | kind::FLOAT => Some(Space::Ordinary),
        _ => None,
    }
}

fn corrupt(offset: u64, what: impl Into<String>) -> Error {
    Error::Corrupt { format: "BTF", offset, what: what.into() }
}

#[cfg(test)]
pub(super) mod tests;
