//! Types as C declares them. BTF and CTF are small enough to be gone through whole, and then told to a debugger as DWARF.

use super::{Field, Graph, Ref, Scalar, Shape};
use std::ops::Range;

/// Type information that can be gone through whole. The number 0 is no type: C's `void`.
pub(in crate::symbols) trait Declarations: Graph {
    /// The numbers of all types; of a module's, those that it adds to the kernel's.
    fn ids(&self) -> Range<Ref>;

    /// As [`Graph::named`], and of a module's also the kernel's.
    fn known(&self, name: &str) -> Option<Ref> {
        self.named(name)
    }

    /// A type; none if there is none of this number, or what is said of it cannot be.
    fn declared(&self, ty: Ref) -> Option<Declared<'_>>;

    /// The members of a structure or a union; none if they cannot be.
    fn fields(&self, ty: Ref) -> Option<Vec<Field<'_>>>;

    /// The names and values of an enum. Negative ones are extended to 64 bits.
    fn enumerators(&self, ty: Ref) -> Vec<(&[u8], u64)>;

    /// The parameters of a function type. The last one is no type where more may follow.
    fn parameters(&self, ty: Ref) -> Vec<Ref>;

    /// The functions that are told of, by name.
    fn functions(&self) -> Vec<(String, Prototype)>;

    /// The variables that are told of, by name, and their types.
    fn variables(&self) -> Vec<(String, Ref)>;
}

/// A type, without what has a length of its own. Names are empty where there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::symbols) enum Declared<'a> {
    /// A number.
    Base {
        name: &'a [u8],
        encoding: Encoding,
        number: Scalar,
    },
    /// A pointer of so many bytes.
    Pointer {
        to: Ref,
        size: u64,
    },
    Qualified(Qualifier, Ref),
    /// The same type: what C has no word for.
    Same(Ref),
    Typedef {
        name: &'a [u8],
        of: Ref,
    },
    Array {
        of: Ref,
        count: u64,
    },
    /// A structure or a union of so many bytes.
    Composite {
        union: bool,
        name: &'a [u8],
        size: u64,
    },
    /// An enum of so many bytes.
    Enum {
        name: &'a [u8],
        size: u64,
        signed: bool,
    },
    /// A structure or a union of which only the name is known.
    Forward {
        union: bool,
        name: &'a [u8],
    },
    /// A function that returns this.
    Function(Ref),
}

/// What a function returns and takes; see [`Declarations::parameters`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::symbols) struct Prototype {
    pub(in crate::symbols) returns: Ref,
    pub(in crate::symbols) parameters: Vec<Ref>,
}

/// What the bits of a number mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::symbols) enum Encoding {
    Integer,
    Character,
    Boolean,
    Float,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::symbols) enum Qualifier {
    Const,
    Volatile,
    Restrict,
}

/// What a declared type is made of, as far as it has a size.
pub(in crate::symbols) fn shape<T: Declarations + ?Sized>(types: &T, ty: Ref) -> Option<Shape<'_>> {
    let scalar = |size, signed| Shape::Scalar(Scalar { size, signed, bits: None });
    Some(match types.declared(ty)? {
        Declared::Base { number, .. } => Shape::Scalar(number),
        Declared::Pointer { size, .. } => scalar(size, false),
        Declared::Enum { size, signed, .. } => scalar(size, signed),
        Declared::Qualified(_, of) | Declared::Same(of) | Declared::Typedef { of, .. } => Shape::Alias(of),
        Declared::Array { of, count } => Shape::Array { of, count },
        Declared::Composite { size, .. } => Shape::Composite { size, fields: types.fields(ty)? },
        Declared::Forward { .. } | Declared::Function(_) => return None,
    })
}

/// The encoding of an integer, as far as its name tells: neither BTF nor CTF marks all characters.
pub(in crate::symbols) fn integer_encoding(name: &[u8], size: u64) -> Encoding {
    if size == 1 && name.ends_with(b"char") { Encoding::Character } else { Encoding::Integer }
}
