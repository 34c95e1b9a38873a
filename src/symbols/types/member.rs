//! Members of structures, found in a graph of types.

use super::graph::{Field, Graph, Ref, Scalar, Shape};

/// Typedefs, qualifiers and arrays in a row: what goes deeper is a cycle.
const CHAIN: usize = 64;
/// Structures looked through for one member: the largest of real kernels has fewer than a hundred anonymous parts.
const PARTS: usize = 1024;
/// Where a member lies in its structure, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Bytes from the start of the structure. For a bit field, to the first byte that holds some of it.
    pub offset: u64,
    /// Bytes in all; 0 for a flexible array. For a bit field, the bytes that hold some of it: 1 to 9.
    pub size: u64,
    /// Which of the bits, for a bit field.
    pub bits: Option<Bits>,
    /// Whether it is a signed integer, or an array of these.
    pub signed: bool,
    /// The elements of an array, those of all dimensions together; 0 for a flexible array.
    pub elements: Option<u64>,
    /// Bytes of one element; of the whole, if it is no array.
    pub element_size: u64,
}

/// Which bits a bit field has of the number that its bytes are, these taken in the machine's byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bits {
    /// Bits below it, of that number: always 0 to 7.
    pub offset: u8,
    /// Bits that it has: 1 to 64.
    pub width: u8,
}

/// What there is to know of a type without its members.
pub(super) struct Measure {
    element: Scalar,
    elements: Option<u64>,
}

impl Member {
    /// The number that the member's bytes hold; a signed one is extended to 64 bits.
    ///
    /// None if these are not `size` bytes, or if the member is an array or has more than 64 bits: that is no number.
    pub fn value(&self, bytes: &[u8], big_endian: bool) -> Option<u64> {
        if bytes.len() as u64 != self.size || self.elements.is_some() || bytes.len() > 9 {
            return None;
        }
        let Bits { offset, width } = self.bits.unwrap_or(Bits { offset: 0, width: bytes.len() as u8 * 8 });
        let join = |number: u128, byte: &u8| number << 8 | u128::from(*byte);
        let number = if big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) };
        let unused = 64_u32.checked_sub(width.into()).filter(|unused| *unused < 64)?;
        let high = (number.checked_shr(offset.into())? as u64) << unused;
        let extended =
            if self.signed { (high.cast_signed() >> unused).cast_unsigned() } else { high >> unused };
        Some(extended)
    }
}

impl Measure {
    pub(super) fn size(&self) -> Option<u64> {
        self.element.size.checked_mul(self.elements.unwrap_or(1))
    }
}

pub(super) fn member(graph: &dyn Graph, structure: Ref, path: &str) -> Option<Member> {
    let mut at = Field { name: &[], ty: structure, bit_offset: 0, bit_size: None };
    for name in path.split('.') {
        let field = find_field(graph, at.ty, name)?;
        at = Field { bit_offset: at.bit_offset.checked_add(field.bit_offset)?, ..field };
    }
    let measure = measure(graph, at.ty)?;
    let Measure { element, elements } = measure;
    let bits = at.bit_size.map(|width| (0, width)).or(element.bits.filter(|_| elements.is_none()));
    match bits {
        Some((skip, width)) => {
            bit_field(at.bit_offset.checked_add(skip)?, width, element.signed, graph.big_endian())
        }
        // Not on a byte and without a width: a bit field of an enum type, whose width CTF has no place for.
        None if !at.bit_offset.is_multiple_of(8) => None,
        None => Some(Member {
            offset: at.bit_offset / 8,
            size: measure.size()?,
            bits: None,
            signed: element.signed,
            elements,
            element_size: element.size,
        }),
    }
}

/// A bit field by the bytes that it touches. The declared type's bytes would do as well, but not every source knows these,
/// and in a packed structure the field can reach beyond them.
fn bit_field(bit_offset: u64, width: u64, signed: bool, big_endian: bool) -> Option<Member> {
    let width = u8::try_from(width).ok().filter(|width| (1..=64).contains(width))?;
    let before = (bit_offset % 8) as u8;
    let size = (before + width).div_ceil(8);
    let offset = if big_endian { size * 8 - before - width } else { before };
    Some(Member {
        offset: bit_offset / 8,
        size: size.into(),
        bits: Some(Bits { offset, width }),
        signed,
        elements: None,
        element_size: size.into(),
    })
}

/// A member by name, here or in an anonymous part; its offset is from the start of `structure`.
fn find_field<'a>(graph: &'a dyn Graph, structure: Ref, name: &str) -> Option<Field<'a>> {
    let mut parts = vec![(structure, 0_u64)];
    for _ in 0..PARTS {
        let (part, start) = parts.pop()?;
        let Some(Shape::Composite { fields, .. }) = stripped(graph, part) else { continue };
        for field in fields {
            let bit_offset = start.checked_add(field.bit_offset)?;
            if field.name == name.as_bytes() && !name.is_empty() {
                return Some(Field { bit_offset, ..field });
            }
            if field.name.is_empty() && field.bit_size.is_none() && parts.len() < PARTS {
                parts.push((field.ty, bit_offset));
            }
        }
    }
    None
}

/// A type without its typedefs and qualifiers.
fn stripped(graph: &dyn Graph, mut ty: Ref) -> Option<Shape<'_>> {
    for _ in 0..CHAIN {
        match graph.shape(ty)? {
            Shape::Alias(of) => ty = of,
            shape => return Some(shape),
        }
    }
    None
}

pub(super) fn measure(graph: &dyn Graph, mut ty: Ref) -> Option<Measure> {
    let mut elements = None;
    for _ in 0..CHAIN {
        match stripped(graph, ty)? {
            Shape::Array { of, count } => {
                elements = Some(elements.unwrap_or(1_u64).checked_mul(count)?);
                ty = of;
            }
            Shape::Scalar(element) => return Some(Measure { element, elements }),
            Shape::Composite { size, .. } => {
                return Some(Measure { element: Scalar { size, ..Scalar::default() }, elements });
            }
            Shape::Alias(_) => return None,
        }
    }
    None
}
