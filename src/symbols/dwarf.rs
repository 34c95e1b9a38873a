//! DWARF, versions 2 to 5, through gimli: the definitions of types, found by name.
//!
//! A kernel's `.debug_info` can have hundreds of MiB. Its units are gone through in order and only as far as needed: what
//! is common, `struct proc` or `task_struct`, is in one of the first.

use super::KernelFile;
use super::types::{Field, Graph, MEMBER_LIMIT, Names, Opened, Ref, Scalar, Shape, Space, inflate};
use crate::{Error, Result};
use gimli::constants as dw;
use gimli::{
    Abbreviations, AttributeValue, DebugAbbrev, DebugInfo, DebugInfoOffset, DebugLineStr, DebugStr,
    DebugStrOffsets, DebugStrOffsetsBase, DebuggingInformationEntry, EndianSlice, Operation, RunTimeEndian,
    UnitHeader, UnitOffset,
};
use std::sync::{Mutex, OnceLock, PoisonError};

/// No section may become larger than this when it is decompressed.
const SIZE_LIMIT: u64 = 1 << 30;
/// Linux has 5,000 to 20,000.
const UNIT_LIMIT: usize = 1 << 20;
const SHF_COMPRESSED: u64 = 1 << 11;
const ELFCOMPRESS_ZLIB: u64 = 1;

type Slice<'a> = EndianSlice<'a, RunTimeEndian>;
type Entry<'a> = DebuggingInformationEntry<Slice<'a>>;
type Value<'a> = AttributeValue<Slice<'a>>;

/// The debugging information of a file.
struct Dwarf {
    endian: RunTimeEndian,
    info: Vec<u8>,
    abbreviations: Vec<u8>,
    strings: Vec<u8>,
    line_strings: Vec<u8>,
    string_offsets: Vec<u8>,
    /// In the order of the section.
    units: Vec<Unit>,
    index: Mutex<Index>,
}

struct Unit {
    /// Where it starts in `.debug_info`.
    start: usize,
    /// Read when a type in it is looked at.
    prepared: OnceLock<Option<Prepared>>,
}

/// What is needed to read a unit's entries.
struct Prepared {
    abbreviations: Abbreviations,
    string_offsets: DebugStrOffsetsBase<usize>,
}

/// A unit while it is read.
struct Reader<'a> {
    dwarf: &'a Dwarf,
    header: UnitHeader<Slice<'a>>,
    prepared: &'a Prepared,
}

/// The names in the units before `next`.
#[derive(Default)]
struct Index {
    next: usize,
    names: Names,
}

/// The types of a file's DWARF, if it has some.
pub(super) fn open(file: &KernelFile) -> Option<Opened> {
    let info = section(file, ".debug_info")?;
    let other = |name: &str| section(file, name).unwrap_or_else(|| Ok(Vec::new()));
    Some(info.and_then(|info| of_sections(file.is_big_endian(), info, other)))
}

/// The types of `.debug_info`, and of the sections that it needs.
pub(super) fn of_sections(
    big_endian: bool,
    info: Vec<u8>,
    other: impl Fn(&str) -> Result<Vec<u8>>,
) -> Opened {
    Ok(Box::new(Dwarf::new(big_endian, info, other)?))
}

impl Dwarf {
    fn new(big_endian: bool, info: Vec<u8>, section: impl Fn(&str) -> Result<Vec<u8>>) -> Result<Self> {
        let mut dwarf = Self {
            endian: if big_endian { RunTimeEndian::Big } else { RunTimeEndian::Little },
            info,
            abbreviations: section(".debug_abbrev")?,
            strings: section(".debug_str")?,
            line_strings: section(".debug_line_str")?,
            string_offsets: section(".debug_str_offsets")?,
            units: Vec::new(),
            index: Mutex::default(),
        };
        dwarf.units = dwarf.list_units();
        Ok(dwarf)
    }

    /// Where the units are; those before a broken one can still be used.
    fn list_units(&self) -> Vec<Unit> {
        let mut headers = self.debug_info().units();
        let next = || match headers.next() {
            Ok(header) => Some(Unit { start: header?.debug_info_offset()?.0, prepared: OnceLock::new() }),
            Err(error) => {
                log::warn!(".debug_info is corrupt, its rest is left out: {error}");
                None
            }
        };
        std::iter::from_fn(next).take(UNIT_LIMIT).collect()
    }

    fn debug_info(&self) -> DebugInfo<Slice<'_>> {
        DebugInfo::new(&self.info, self.endian)
    }

    fn header(&self, unit: &Unit) -> gimli::Result<UnitHeader<Slice<'_>>> {
        self.debug_info().header_from_offset(DebugInfoOffset(unit.start))
    }

    fn prepare(&self, header: &UnitHeader<Slice<'_>>) -> gimli::Result<Prepared> {
        let section = DebugAbbrev::new(&self.abbreviations, self.endian);
        let abbreviations = section.abbreviations(header.debug_abbrev_offset())?;
        let root = header.entry(&abbreviations, header.root_offset())?;
        let string_offsets = match root.attr_value(dw::DW_AT_str_offsets_base) {
            Some(AttributeValue::DebugStrOffsetsBase(base)) => base,
            _ => DebugStrOffsetsBase(0),
        };
        Ok(Prepared { abbreviations, string_offsets })
    }

    /// The unit that a place in `.debug_info` lies in, and the place in it.
    fn locate(&self, place: Ref) -> Option<(Reader<'_>, UnitOffset)> {
        let place = usize::try_from(place).ok()?;
        let after = self.units.partition_point(|unit| unit.start <= place);
        let unit = self.units.get(after.checked_sub(1)?)?;
        let header = self.header(unit).ok()?;
        let prepared = unit.prepared.get_or_init(|| self.prepare(&header).ok()).as_ref()?;
        let offset = DebugInfoOffset(place).to_unit_offset(&header)?;
        Some((Reader { dwarf: self, header, prepared }, offset))
    }

    fn entry(&self, ty: Ref) -> Option<(Reader<'_>, Entry<'_>)> {
        let (reader, offset) = self.locate(ty)?;
        let entry = reader.header.entry(&reader.prepared.abbreviations, offset).ok()?;
        Some((reader, entry))
    }

    /// A name's place or value; goes on through the units until one has the name.
    fn lookup(&self, space: Space, name: &str) -> Option<u64> {
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = index.names.get(space, name) {
                return Some(found);
            }
            let unit = self.units.get(index.next)?;
            index.next += 1;
            if let Err(error) = self.scan(unit, &mut index.names) {
                log::warn!(
                    "the unit at {:#x} of .debug_info is left out from where it is corrupt: {error}",
                    unit.start
                );
            }
        }
    }

    fn scan(&self, unit: &Unit, names: &mut Names) -> gimli::Result<()> {
        let header = self.header(unit)?;
        // Not kept: most units are only passed through.
        let prepared = &self.prepare(&header)?;
        Reader { dwarf: self, header, prepared }.scan(names)
    }
}

impl<'a> Reader<'a> {
    /// Adds the types defined at the unit's top level, and the enumerators in these.
    fn scan(&self, names: &mut Names) -> gimli::Result<()> {
        let abbreviations = &self.prepared.abbreviations;
        let mut entries = self.header.entries_raw(abbreviations, None)?;
        let mut entry = Entry::null();
        entries.read_entry(&mut entry)?;
        // Depths count from where reading started: the root's children are at 1, and at 0 after a leap.
        let (mut top, mut in_enum) = (1, false);
        while !entries.is_empty() && entries.next_depth() >= top {
            let is_top = entries.next_depth() == top;
            let is_wanted = is_top || in_enum && entries.next_depth() == top + 1;
            if !is_wanted {
                if let Some(abbreviation) = entries.read_abbreviation()? {
                    entries.skip_attributes(abbreviation.attributes())?;
                }
                continue;
            }
            if !entries.read_entry(&mut entry)? {
                continue;
            }
            self.remember(&entry, names);
            if is_top {
                in_enum = entry.tag() == dw::DW_TAG_enumeration_type;
                let sibling = self.sibling(&entry).filter(|place| !in_enum && *place > entries.next_offset());
                if let Some(sibling) = sibling {
                    entries = self.header.entries_raw(abbreviations, Some(sibling))?;
                    top = 0;
                }
            }
        }
        Ok(())
    }

    fn sibling(&self, entry: &Entry<'a>) -> Option<UnitOffset> {
        match entry.attr_value(dw::DW_AT_sibling)? {
            AttributeValue::UnitRef(offset) => Some(offset),
            _ => None,
        }
    }

    fn remember(&self, entry: &Entry<'a>, names: &mut Names) {
        let place = entry.offset().to_debug_info_offset(&self.header);
        let (Some(space), Some(place)) = (space_of(entry.tag()), place) else { return };
        if entry.has_attr(dw::DW_AT_declaration) {
            return;
        }
        let value = match space {
            Space::Enumerator => number(entry, dw::DW_AT_const_value),
            _ => Some(place.0 as u64),
        };
        if let Some(value) = value {
            names.add(space, self.name(entry), value);
        }
    }

    /// An entry's name; empty if it has none.
    fn name(&self, entry: &Entry<'a>) -> &'a [u8] {
        let name = entry.attr_value(dw::DW_AT_name).and_then(|value| self.string(value));
        name.map(|name| name.slice()).unwrap_or_default()
    }

    fn string(&self, value: Value<'a>) -> Option<Slice<'a>> {
        let endian = self.dwarf.endian;
        let strings = DebugStr::new(&self.dwarf.strings, endian);
        match value {
            AttributeValue::String(string) => Some(string),
            AttributeValue::DebugStrRef(offset) => strings.get_str(offset).ok(),
            AttributeValue::DebugLineStrRef(offset) => {
                DebugLineStr::from(Slice::new(&self.dwarf.line_strings, endian)).get_str(offset).ok()
            }
            AttributeValue::DebugStrOffsetsIndex(index) => {
                let offsets = DebugStrOffsets::from(Slice::new(&self.dwarf.string_offsets, endian));
                let format = self.header.format();
                let offset = offsets.get_str_offset(format, self.prepared.string_offsets, index).ok()?;
                strings.get_str(offset).ok()
            }
            _ => None,
        }
    }

    /// The type that an entry is of.
    fn type_of(&self, entry: &Entry<'a>) -> Option<Ref> {
        let place = match entry.attr_value(dw::DW_AT_type)? {
            AttributeValue::UnitRef(offset) => offset.to_debug_info_offset(&self.header)?,
            AttributeValue::DebugInfoRef(offset) => offset,
            _ => return None,
        };
        Some(place.0 as u64)
    }

    fn shape(&self, entry: &Entry<'a>) -> Option<Shape<'a>> {
        let size = number(entry, dw::DW_AT_byte_size);
        let scalar = |size, signed| Shape::Scalar(Scalar { size, signed, bits: None });
        match entry.tag() {
            dw::DW_TAG_base_type | dw::DW_TAG_enumeration_type => Some(scalar(size?, self.is_signed(entry))),
            dw::DW_TAG_pointer_type => {
                Some(scalar(size.unwrap_or_else(|| self.header.address_size().into()), false))
            }
            dw::DW_TAG_structure_type | dw::DW_TAG_union_type | dw::DW_TAG_class_type => {
                Some(Shape::Composite { size: size?, fields: self.fields(entry)? })
            }
            dw::DW_TAG_array_type => {
                Some(Shape::Array { of: self.type_of(entry)?, count: self.count(entry)? })
            }
            dw::DW_TAG_typedef
            | dw::DW_TAG_const_type
            | dw::DW_TAG_volatile_type
            | dw::DW_TAG_restrict_type
            | dw::DW_TAG_atomic_type => self.type_of(entry).map(Shape::Alias),
            _ => None,
        }
    }

    /// Of a base type, or of an enum; GCC states an enum's encoding, clang its base type.
    fn is_signed(&self, entry: &Entry<'a>) -> bool {
        let encoding = |entry: &Entry<'_>| match entry.attr_value(dw::DW_AT_encoding) {
            Some(AttributeValue::Encoding(encoding)) => Some(encoding),
            _ => None,
        };
        let base = || encoding(&self.dwarf.entry(self.type_of(entry)?)?.1);
        let encoding = encoding(entry).or_else(base);
        matches!(encoding, Some(dw::DW_ATE_signed | dw::DW_ATE_signed_char))
    }

    /// The children of an entry.
    fn children(&self, parent: &Entry<'a>) -> Option<Vec<Entry<'a>>> {
        let mut found = Vec::new();
        let mut entries =
            self.header.entries_raw(&self.prepared.abbreviations, Some(parent.offset())).ok()?;
        entries.read_entry(&mut Entry::null()).ok()?;
        while entries.next_depth() > 0 {
            let depth = entries.next_depth();
            let mut entry = Entry::null();
            if entries.read_entry(&mut entry).ok()? && depth == 1 {
                found.push(entry);
            }
            if found.len() > MEMBER_LIMIT {
                return None;
            }
        }
        Some(found)
    }

    fn fields(&self, structure: &Entry<'a>) -> Option<Vec<Field<'a>>> {
        let children = self.children(structure)?;
        let members = children.iter().filter(|child| child.tag() == dw::DW_TAG_member);
        Some(members.filter_map(|member| self.field(member)).collect())
    }

    fn field(&self, member: &Entry<'a>) -> Option<Field<'a>> {
        let bit_size = number(member, dw::DW_AT_bit_size);
        let start = self.byte_offset(member)?.checked_mul(8)?;
        let offset = number(member, dw::DW_AT_data_bit_offset)
            .or_else(|| self.old_bit_offset(member, bit_size?))
            .unwrap_or(0);
        let bit_offset = start.checked_add_signed(offset.cast_signed())?;
        Some(Field { name: self.name(member), ty: self.type_of(member)?, bit_offset, bit_size })
    }

    /// 0 if it is not stated: so it is for members of unions.
    fn byte_offset(&self, member: &Entry<'a>) -> Option<u64> {
        match member.attr_value(dw::DW_AT_data_member_location) {
            None => Some(0),
            // DWARF 2: an expression that adds it to the structure's address.
            Some(AttributeValue::Exprloc(expression)) => {
                match expression.operations(self.header.encoding()).next().ok()?? {
                    Operation::PlusConstant { value } => Some(value),
                    _ => None,
                }
            }
            Some(_) => number(member, dw::DW_AT_data_member_location),
        }
    }

    /// A bit field's offset as until DWARF 3, from the highest bit of the number that it is part of.
    fn old_bit_offset(&self, member: &Entry<'a>, bit_size: u64) -> Option<u64> {
        let from_top = number(member, dw::DW_AT_bit_offset)?;
        if self.dwarf.big_endian() {
            return Some(from_top);
        }
        let storage = number(member, dw::DW_AT_byte_size).or_else(|| self.size_of(self.type_of(member)?))?;
        Some(storage.checked_mul(8)?.wrapping_sub(from_top).wrapping_sub(bit_size))
    }

    fn size_of(&self, mut ty: Ref) -> Option<u64> {
        for _ in 0..16 {
            match self.dwarf.shape(ty)? {
                Shape::Alias(of) => ty = of,
                Shape::Scalar(scalar) => return Some(scalar.size),
                _ => return None,
            }
        }
        None
    }

    /// The elements of an array, of all dimensions; one without a bound is flexible and counts as 0.
    fn count(&self, array: &Entry<'a>) -> Option<u64> {
        let children = self.children(array)?;
        let ranges = children.iter().filter(|child| child.tag() == dw::DW_TAG_subrange_type);
        let count = |range: &Entry<'_>| {
            let bound = || Some(number(range, dw::DW_AT_upper_bound)?.wrapping_add(1));
            number(range, dw::DW_AT_count).or_else(bound).unwrap_or(0)
        };
        ranges.map(count).try_fold(1_u64, u64::checked_mul)
    }
}

impl Graph for Dwarf {
    fn named(&self, name: &str) -> Option<Ref> {
        self.lookup(Space::Tag, name).or_else(|| self.lookup(Space::Ordinary, name))
    }

    fn shape(&self, ty: Ref) -> Option<Shape<'_>> {
        let (reader, entry) = self.entry(ty)?;
        reader.shape(&entry)
    }

    fn enumerator(&self, name: &str) -> Option<i64> {
        self.lookup(Space::Enumerator, name).map(u64::cast_signed)
    }

    fn big_endian(&self) -> bool {
        self.endian == RunTimeEndian::Big
    }
}

fn space_of(tag: dw::DwTag) -> Option<Space> {
    match tag {
        dw::DW_TAG_structure_type | dw::DW_TAG_union_type => Some(Space::Tag),
        dw::DW_TAG_class_type | dw::DW_TAG_enumeration_type => Some(Space::Tag),
        dw::DW_TAG_typedef | dw::DW_TAG_base_type => Some(Space::Ordinary),
        dw::DW_TAG_enumerator => Some(Space::Enumerator),
        _ => None,
    }
}

/// An attribute's number; a negative one as two's complement.
fn number(entry: &Entry<'_>, attribute: dw::DwAt) -> Option<u64> {
    let value = entry.attr_value(attribute)?;
    value.udata_value().or_else(|| value.sdata_value().map(i64::cast_unsigned))
}

/// A section's bytes, decompressed; none if there is no such section.
fn section(file: &KernelFile, name: &str) -> Option<Result<Vec<u8>>> {
    let bytes = file.section(name)?;
    let same = file.sections().iter().find(|section| section.name == name && !section.is_nobits());
    let header = &same?.header;
    if header.sh_flags & SHF_COMPRESSED == 0 {
        return Some(Ok(bytes));
    }
    let bad = || Error::Corrupt {
        format: "DWARF",
        offset: header.sh_offset,
        what: format!("{name} cannot be decompressed"),
    };
    Some(decompress(file, &bytes).ok_or_else(bad))
}

/// The bytes of a section that starts with ELF's compression header: kind, size, alignment.
fn decompress(file: &KernelFile, bytes: &[u8]) -> Option<Vec<u8>> {
    // 64-bit: the kind has four bytes of padding behind it, the other two have eight bytes.
    let (size_at, word, start) = if file.is_64_bit() { (8, 8, 24) } else { (4, 4, 12) };
    let kind = unsigned(bytes.get(..4)?, file.is_big_endian());
    let size = unsigned(bytes.get(size_at..size_at + word)?, file.is_big_endian());
    (kind == ELFCOMPRESS_ZLIB).then(|| inflate(bytes.get(start..)?, size, SIZE_LIMIT))?
}

fn unsigned(bytes: &[u8], big_endian: bool) -> u64 {
    let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    if big_endian { bytes.iter().fold(0, join) } else { bytes.iter().rev().fold(0, join) }
}

#[cfg(test)]
mod tests;
