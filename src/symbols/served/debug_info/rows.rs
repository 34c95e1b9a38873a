//! `.debug_abbrev`: what each kind of entry has.

use gimli::constants::*;
use gimli::write::{EndianVec, Writer};
use gimli::{DwAt, DwForm, DwTag, LittleEndian};

/// A kind of entry. Its name and its type come first, if it has them: whether it does is part of its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Row {
    Unit,
    Base,
    Pointer,
    Const,
    Volatile,
    Restrict,
    Typedef,
    Array,
    Dimension,
    Unbounded,
    Structure,
    DeclaredStructure,
    Union,
    DeclaredUnion,
    Member,
    BitField,
    Enum,
    DeclaredEnum,
    SignedValue,
    Value,
    Function,
    Parameter,
    Rest,
    Variable,
    Routine,
}

type Attributes = &'static [(DwAt, DwForm)];

const NONE: Attributes = &[];
const SIZE: Attributes = &[(DW_AT_byte_size, DW_FORM_udata)];
const DECLARED: Attributes = &[(DW_AT_declaration, DW_FORM_flag_present)];

/// In the order of `Row`: the tag, whether other entries lie inside, and what follows the name and the type.
static ROWS: &[(Row, DwTag, bool, Attributes)] = &[
    (
        Row::Unit,
        DW_TAG_compile_unit,
        true,
        &[(DW_AT_name, DW_FORM_strp), (DW_AT_producer, DW_FORM_strp), (DW_AT_language, DW_FORM_data1)],
    ),
    (
        Row::Base,
        DW_TAG_base_type,
        false,
        &[(DW_AT_encoding, DW_FORM_data1), (DW_AT_byte_size, DW_FORM_udata)],
    ),
    (Row::Pointer, DW_TAG_pointer_type, false, SIZE),
    (Row::Const, DW_TAG_const_type, false, NONE),
    (Row::Volatile, DW_TAG_volatile_type, false, NONE),
    (Row::Restrict, DW_TAG_restrict_type, false, NONE),
    (Row::Typedef, DW_TAG_typedef, false, NONE),
    (Row::Array, DW_TAG_array_type, true, NONE),
    (Row::Dimension, DW_TAG_subrange_type, false, &[(DW_AT_count, DW_FORM_udata)]),
    (Row::Unbounded, DW_TAG_subrange_type, false, NONE),
    (Row::Structure, DW_TAG_structure_type, true, SIZE),
    (Row::DeclaredStructure, DW_TAG_structure_type, false, DECLARED),
    (Row::Union, DW_TAG_union_type, true, SIZE),
    (Row::DeclaredUnion, DW_TAG_union_type, false, DECLARED),
    (Row::Member, DW_TAG_member, false, &[(DW_AT_data_member_location, DW_FORM_udata)]),
    (
        Row::BitField,
        DW_TAG_member,
        false,
        &[(DW_AT_bit_size, DW_FORM_udata), (DW_AT_data_bit_offset, DW_FORM_udata)],
    ),
    (Row::Enum, DW_TAG_enumeration_type, true, SIZE),
    (Row::DeclaredEnum, DW_TAG_enumeration_type, false, DECLARED),
    (Row::SignedValue, DW_TAG_enumerator, false, &[(DW_AT_const_value, DW_FORM_sdata)]),
    (Row::Value, DW_TAG_enumerator, false, &[(DW_AT_const_value, DW_FORM_udata)]),
    (Row::Function, DW_TAG_subroutine_type, true, &[(DW_AT_prototyped, DW_FORM_flag_present)]),
    (Row::Parameter, DW_TAG_formal_parameter, false, NONE),
    (Row::Rest, DW_TAG_unspecified_parameters, false, NONE),
    (
        Row::Variable,
        DW_TAG_variable,
        false,
        &[(DW_AT_external, DW_FORM_flag_present), (DW_AT_location, DW_FORM_exprloc)],
    ),
    (
        Row::Routine,
        DW_TAG_subprogram,
        true,
        &[
            (DW_AT_external, DW_FORM_flag_present),
            (DW_AT_prototyped, DW_FORM_flag_present),
            (DW_AT_low_pc, DW_FORM_addr),
            (DW_AT_high_pc, DW_FORM_udata),
        ],
    ),
];

impl Row {
    /// The code of an entry of this kind, with or without a name and a type.
    pub(super) fn code(self, named: bool, typed: bool) -> u64 {
        1 + self as u64 * 4 + u64::from(named) + 2 * u64::from(typed)
    }
}

/// The table, with all that `code` can return.
pub(super) fn abbreviations() -> gimli::write::Result<Vec<u8>> {
    let mut out = EndianVec::new(LittleEndian); // which makes no difference: all are bytes
    for (row, tag, inside, rest) in ROWS {
        for (named, typed) in [(false, false), (true, false), (false, true), (true, true)] {
            let name = named.then_some((DW_AT_name, DW_FORM_strp));
            let ty = typed.then_some((DW_AT_type, DW_FORM_ref4));
            let attributes = name.into_iter().chain(ty).chain(rest.iter().copied());
            let words = attributes.flat_map(|(name, form)| [u64::from(name.0), u64::from(form.0)]);
            let head = [row.code(named, typed), tag.0.into(), u64::from(*inside)];
            head.into_iter().chain(words).chain([0, 0]).try_for_each(|word| out.write_uleb128(word))?;
        }
    }
    out.write_u8(0)?;
    Ok(out.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_their_codes() {
        let codes: Vec<_> = ROWS.iter().map(|(row, ..)| row.code(false, false)).collect();
        let expected: Vec<_> = (0..ROWS.len() as u64).map(|number| 1 + number * 4).collect();
        assert_eq!(codes, expected);
    }
}
