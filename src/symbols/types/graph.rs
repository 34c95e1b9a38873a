//! Type information as its source stores it.

use super::declared::Declarations;
use crate::Result;
use std::sync::Arc;

/// A structure with more members is not believed.
pub(in crate::symbols) const MEMBER_LIMIT: usize = 1 << 16;
/// The types of a file, or why they cannot be used.
pub(in crate::symbols) type Opened = Result<Box<dyn Graph>>;

/// A type in its source: an id, or a place.
pub(in crate::symbols) type Ref = u64;

/// Type information as its source stores it.
pub(in crate::symbols) trait Graph: Send + Sync {
    /// The definition that has this name: of a structure, a union or an enum; else of a typedef or a base type.
    fn named(&self, name: &str) -> Option<Ref>;

    /// What a type is made of; none if the source does not say, or what it says cannot be.
    fn shape(&self, ty: Ref) -> Option<Shape<'_>>;

    /// The value of an enumerator, of any enum.
    fn enumerator(&self, name: &str) -> Option<i64>;

    /// The byte order of the machine.
    fn big_endian(&self) -> bool;

    /// Whether what it does not know need not be looked for elsewhere: DWARF of 200 MB takes a second to say no.
    fn is_whole(&self) -> bool {
        false
    }

    /// All of it, where that is not too much.
    fn declarations(&self) -> Option<&dyn Declarations> {
        None
    }

    /// The types of a module that builds on these; none if this kind has nothing of the sort.
    fn continued(self: Arc<Self>, _module: Vec<u8>) -> Option<Opened> {
        None
    }
}

/// What a type is made of.
#[derive(Debug)]
pub(in crate::symbols) enum Shape<'a> {
    /// A number or a pointer.
    Scalar(Scalar),
    /// Another name for a type, or a qualified one.
    Alias(Ref),
    /// So many elements of a type.
    Array { of: Ref, count: u64 },
    /// A structure or a union.
    Composite { size: u64, fields: Vec<Field<'a>> },
}

/// A number or a pointer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::symbols) struct Scalar {
    /// In bytes.
    pub size: u64,
    pub signed: bool,
    /// Offset and width, if the type stands for these bits only: how CTF and old BTF say that a member is a bit field.
    pub bits: Option<(u64, u64)>,
}

/// A member as its source stores it.
#[derive(Debug, Clone, Copy)]
pub(in crate::symbols) struct Field<'a> {
    /// Empty if it has none.
    pub name: &'a [u8],
    pub ty: Ref,
    /// Bits from the start of the structure in the machine's order: on a big-endian machine the highest bit of a byte
    /// comes first. All sources count like this.
    pub bit_offset: u64,
    /// The width of a bit field, if the source says it of members.
    pub bit_size: Option<u64>,
}
