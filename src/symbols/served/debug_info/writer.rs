//! Writes types and what is of them.
//!
//! A kernel has a hundred thousand types and half a million members. `gimli::write` holds a tree of all before it writes
//! any; here each is written as it is met, and what refers to another gets its place at the end.

use super::rows::{self, Row};
use super::sound::{self, Unsound};
use super::strings::Strings;
use super::{DebugInfo, Form, Global, What};
use crate::symbols::types::declared::{Declarations, Declared, Encoding, Qualifier};
use crate::symbols::types::{Field, Ref, Scalar};
use crate::{Error, Result};
use gimli::constants::{
    DW_ATE_boolean, DW_ATE_float, DW_ATE_signed, DW_ATE_signed_char, DW_ATE_unsigned, DW_ATE_unsigned_char,
    DW_LANG_C99, DW_OP_addr,
};
use gimli::write::{EndianVec, Writer};
use gimli::{DwAte, RunTimeEndian};
use kgdbserver_arch::Machine;
use std::collections::HashSet;

/// The version of DWARF: the first with `DW_AT_data_bit_offset`, which counts bits as BTF and CTF do.
const VERSION: u16 = 4;
/// Typedefs, qualifiers and arrays in a row.
const CHAIN: usize = 64;
/// In place of a type's place: it will be written.
const QUEUED: u32 = u32::MAX;

/// The integers whose values an enum has: bytes, whether signed, names. C leaves them to the compiler, and debuggers want
/// to know.
const UNDERLYING: &[(u64, bool, &[&str])] = &[
    (1, false, &["unsigned char"]),
    (1, true, &["signed char"]),
    (2, false, &["short unsigned int", "unsigned short"]),
    (2, true, &["short int", "short"]),
    (4, false, &["unsigned int"]),
    (4, true, &["int"]),
    (8, false, &["long unsigned int", "unsigned long", "long long unsigned int", "unsigned long long"]),
    (8, true, &["long int", "long", "long long int", "long long"]),
];

/// The types, the part of a module's kernel that these refer to, functions and variables; `kind` is what they come from.
pub(super) fn write<'a>(
    types: &'a dyn Declarations,
    kind: &str,
    globals: &'a [Global],
    machine: Machine,
) -> Result<DebugInfo> {
    let mut writer = DwarfWriter::new(types, machine);
    let failed = |error: gimli::write::Error| Error::Unsupported(format!("types for debuggers: {error}"));
    let strings = Strings::new(&format!("kgdbserver {}", env!("CARGO_PKG_VERSION")), kind);
    writer.strings = strings;
    writer.all(globals).map_err(failed)?;
    Ok(DebugInfo {
        info: writer.out.into_vec(),
        abbreviations: rows::abbreviations().map_err(failed)?,
        strings: writer.strings.into_bytes(),
    })
}

type Written = gimli::write::Result<()>;

struct DwarfWriter<'a> {
    types: &'a dyn Declarations,
    machine: Machine,
    out: EndianVec<RunTimeEndian>,
    strings: Strings<'a>,
    /// Where each type is, by its number; 0 if it is not written.
    places: Vec<u32>,
    /// Types of the kernel that a module's refer to.
    queue: Vec<Ref>,
    /// Those of them that lie inside the module's.
    inside: HashSet<Ref>,
    /// Where a type's place belongs.
    references: Vec<(usize, Ref)>,
    unsound: Unsound,
    underlying: Vec<Option<Ref>>,
}

impl<'a> DwarfWriter<'a> {
    fn new(types: &'a dyn Declarations, machine: Machine) -> Self {
        let endian = if machine.big_endian { RunTimeEndian::Big } else { RunTimeEndian::Little };
        let underlying = |(size, signed, names): &(u64, bool, &[&str])| {
            let is = |ty: &Ref| {
                matches!(types.declared(*ty), Some(Declared::Base { number, .. })
                if number == Scalar { size: *size, signed: *signed, bits: None })
            };
            names.iter().filter_map(|name| types.known(name)).find(is)
        };
        Self {
            types,
            machine,
            out: EndianVec::new(endian),
            strings: Strings::default(),
            places: vec![0; usize::try_from(types.ids().end).unwrap_or(0)],
            queue: Vec::new(),
            inside: HashSet::new(),
            references: Vec::new(),
            unsound: sound::check(types),
            underlying: UNDERLYING.iter().map(underlying).collect(),
        }
    }

    fn all(&mut self, globals: &'a [Global]) -> Written {
        self.out.write_u32(0)?; // the length
        self.out.write_u16(VERSION)?;
        self.out.write_u32(0)?; // the only table of abbreviations
        self.out.write_u8(self.machine.ptr_bytes)?;
        self.begin(Row::Unit)?;
        self.out.write_u32(self.strings.kind)?;
        self.out.write_u32(self.strings.producer)?;
        self.out.write_u8(DW_LANG_C99.0 as u8)?;
        for ty in self.types.ids() {
            self.ty(ty)?;
        }
        globals.iter().try_for_each(|global| self.global(global))?;
        while let Some(ty) = self.queue.pop() {
            self.ty(ty)?;
        }
        self.end()?;
        let length = self.out.len() - 4;
        self.out
            .write_u32_at(0, u32::try_from(length).map_err(|_| gimli::write::Error::LengthOutOfBounds)?)?;
        for (at, ty) in std::mem::take(&mut self.references) {
            self.out.write_u32_at(at, self.place(ty).unwrap_or(0))?;
        }
        Ok(())
    }

    fn ty(&mut self, ty: Ref) -> Written {
        let Some(declared) = self.known(ty) else { return Ok(()) };
        let here = self.out.len() as u32;
        match declared {
            Declared::Same(_) => return Ok(()),
            Declared::Base { name, number, .. } if self.whole(ty, name, number) != ty => return Ok(()),
            Declared::Base { name, encoding, number } => {
                self.entry(Row::Base, name, 0)?;
                self.out.write_u8(encoding_of(encoding, number.signed).0)?;
                self.out.write_uleb128(number.size)?;
            }
            Declared::Pointer { to, size } => {
                self.entry(Row::Pointer, &[], to)?;
                self.out.write_uleb128(size)?;
            }
            Declared::Qualified(qualifier, of) => self.entry(qualified(qualifier), &[], of)?,
            Declared::Typedef { name, of } => self.entry(Row::Typedef, name, of)?,
            Declared::Array { of, count } => self.array(of, count)?,
            Declared::Composite { union, name, size } => self.composite(ty, union, name, size)?,
            Declared::Enum { name, size, signed } => self.enumeration(ty, name, size, signed)?,
            Declared::Forward { union, name } => self.entry(declaration(union), name, 0)?,
            Declared::Function(returns) => self.function(ty, returns)?,
        }
        if let Some(place) = usize::try_from(ty).ok().and_then(|ty| self.places.get_mut(ty)) {
            *place = here;
        }
        Ok(())
    }

    fn array(&mut self, of: Ref, count: u64) -> Written {
        self.entry(Row::Array, &[], of)?;
        match count {
            // `[]`, or `[0]`, which old code writes for it.
            0 => self.begin(Row::Unbounded)?,
            _ => {
                self.begin(Row::Dimension)?;
                self.out.write_uleb128(count)?;
            }
        }
        self.end()
    }

    fn composite(&mut self, ty: Ref, union: bool, name: &'a [u8], size: u64) -> Written {
        let fields = self.types.fields(ty).filter(|_| self.is_whole(ty, name));
        let Some(fields) = fields else { return self.entry(declaration(union), name, 0) };
        self.entry(if union { Row::Union } else { Row::Structure }, name, 0)?;
        self.out.write_uleb128(size)?;
        fields.iter().try_for_each(|field| self.member(field, size))?;
        self.end()
    }

    /// Whether all of a structure is written. What a module's pointers lead to is in the kernel's file, where debuggers find
    /// it by its name.
    fn is_whole(&self, ty: Ref, name: &[u8]) -> bool {
        let own = self.types.ids().contains(&ty);
        (own || name.is_empty() || self.inside.contains(&ty)) && !self.unsound.contains(ty)
    }

    /// Where it was declared only, it is written once more.
    fn queue_whole(&mut self, ty: Ref) {
        let place = usize::try_from(ty).ok().and_then(|ty| self.places.get_mut(ty));
        if let Some(place) = place.filter(|place| **place != QUEUED) {
            *place = QUEUED;
            self.queue.push(ty);
        }
    }

    /// Has all of a member's type written, be it the kernel's.
    fn embed(&mut self, mut ty: Ref) {
        for _ in 0..CHAIN {
            match self.known(ty) {
                Some(
                    Declared::Qualified(_, of)
                    | Declared::Same(of)
                    | Declared::Typedef { of, .. }
                    | Declared::Array { of, .. },
                ) => ty = of,
                Some(Declared::Composite { .. }) => {
                    if !self.types.ids().contains(&ty) && self.inside.insert(ty) {
                        self.queue_whole(ty);
                    }
                    return;
                }
                _ => return,
            }
        }
    }

    /// A member that lies in its structure. Debuggers do not check that it does.
    fn member(&mut self, field: &Field<'a>, size: u64) -> Written {
        let Some(measure) = self.measure(field.ty, 0) else { return Ok(()) };
        let bits = field.bit_size.map(|width| (0, width)).or(measure.bits);
        let (skip, width) = bits.unwrap_or((0, measure.size.saturating_mul(8)));
        let start = field.bit_offset.saturating_add(skip);
        if start.saturating_add(width) > size.saturating_mul(8) {
            return Ok(());
        }
        self.embed(field.ty);
        match bits {
            Some((_, 1..=64)) => {
                self.entry(Row::BitField, field.name, field.ty)?;
                self.out.write_uleb128(width)?;
                self.out.write_uleb128(start)
            }
            None if start % 8 == 0 => {
                self.entry(Row::Member, field.name, field.ty)?;
                self.out.write_uleb128(start / 8)
            }
            _ => Ok(()),
        }
    }

    fn enumeration(&mut self, ty: Ref, name: &'a [u8], size: u64, signed: bool) -> Written {
        let values = self.types.enumerators(ty);
        if values.is_empty() {
            return self.entry(Row::DeclaredEnum, name, 0);
        }
        let known = UNDERLYING.iter().position(|row| (row.0, row.1) == (size, signed));
        let underlying = known.and_then(|row| *self.underlying.get(row)?);
        self.entry(Row::Enum, name, underlying.unwrap_or(0))?;
        self.out.write_uleb128(size)?;
        for (name, value) in values {
            self.entry(if signed { Row::SignedValue } else { Row::Value }, name, 0)?;
            match signed {
                true => self.out.write_sleb128(value.cast_signed())?,
                false => self.out.write_uleb128(value)?,
            }
        }
        self.end()
    }

    fn function(&mut self, ty: Ref, returns: Ref) -> Written {
        self.entry(Row::Function, &[], returns)?;
        self.parameters(&self.types.parameters(ty))
    }

    /// Without names: debuggers would say in every frame that the value of each is not known.
    fn parameters(&mut self, parameters: &[Ref]) -> Written {
        for (number, ty) in parameters.iter().enumerate() {
            match *ty {
                0 if number + 1 == parameters.len() => self.begin(Row::Rest)?,
                ty => self.entry(Row::Parameter, &[], ty)?,
            }
        }
        self.end()
    }

    fn global(&mut self, global: &'a Global) -> Written {
        match &global.what {
            What::Function(prototype) => {
                self.entry(Row::Routine, global.name.as_bytes(), prototype.returns)?;
                self.out.write_udata(global.va.0, self.machine.ptr_bytes)?;
                self.out.write_uleb128(global.size)?;
                self.parameters(&prototype.parameters)
            }
            What::Variable(form, ty) => {
                self.variable(global, *form, *ty)?;
                self.out.write_u8(1 + self.machine.ptr_bytes)?;
                self.out.write_u8(DW_OP_addr.0)?;
                self.out.write_udata(global.va.0, self.machine.ptr_bytes)
            }
        }
    }

    /// A variable's name and type. A pointer or an array is not among the types.
    fn variable(&mut self, global: &'a Global, form: Form, ty: Ref) -> Written {
        let here = self.out.len() as u32;
        match form {
            Form::Plain => return self.entry(Row::Variable, global.name.as_bytes(), ty),
            Form::Pointer => {
                self.entry(Row::Pointer, &[], ty)?;
                self.out.write_uleb128(self.machine.ptr_bytes.into())?;
            }
            Form::Array | Form::Text => {
                let size = self.measure(ty, 0).map_or(0, |measure| measure.size);
                self.array(ty, global.size.checked_div(size).unwrap_or(0))?;
            }
        }
        self.out.write_uleb128(Row::Variable.code(true, true))?;
        self.out.write_u32(self.strings.add(global.name.as_bytes()))?;
        self.out.write_u32(here)
    }

    /// An entry up to its name and its type, each if there is one.
    fn entry(&mut self, row: Row, name: &'a [u8], ty: Ref) -> Written {
        let ty = self.target(ty);
        self.out.write_uleb128(row.code(!name.is_empty(), ty.is_some()))?;
        if !name.is_empty() {
            self.out.write_u32(self.strings.add(name))?;
        }
        if let Some(ty) = ty {
            self.references.push((self.out.len(), ty));
            self.out.write_u32(0)?;
        }
        Ok(())
    }

    fn begin(&mut self, row: Row) -> Written {
        self.out.write_uleb128(row.code(false, false))
    }

    fn end(&mut self) -> Written {
        self.out.write_u8(0)
    }

    /// The type that a reference means, if it is one; it will be written.
    fn target(&mut self, mut ty: Ref) -> Option<Ref> {
        for _ in 0..CHAIN {
            match self.known(ty)? {
                Declared::Same(of) => ty = of,
                Declared::Base { name, number, .. } => return self.queued(self.whole(ty, name, number)),
                _ => return self.queued(ty),
            }
        }
        None
    }

    /// The number that has all bits of which this one has some: such a type only says that a member is a bit field.
    fn whole(&self, ty: Ref, name: &[u8], number: Scalar) -> Ref {
        let named = || self.types.known(std::str::from_utf8(name).ok()?);
        number.bits.and_then(|_| named()).unwrap_or(ty)
    }

    fn queued(&mut self, ty: Ref) -> Option<Ref> {
        let own = self.types.ids().contains(&ty);
        let place = self.places.get_mut(usize::try_from(ty).ok()?)?;
        if *place == 0 && !own {
            *place = QUEUED;
            self.queue.push(ty);
        }
        Some(ty)
    }

    fn place(&self, ty: Ref) -> Option<u32> {
        self.places.get(usize::try_from(ty).ok()?).copied()
    }

    /// A type that can be told.
    fn known(&self, ty: Ref) -> Option<Declared<'a>> {
        let declared = self.types.declared(ty)?;
        let composite = matches!(declared, Declared::Composite { .. });
        (composite || !self.unsound.contains(ty)).then_some(declared)
    }

    /// The bytes of a type that has some, and which bits of it count.
    fn measure(&self, ty: Ref, depth: usize) -> Option<Scalar> {
        let plain = |size| Some(Scalar { size, ..Scalar::default() });
        match self.known(ty).filter(|_| depth < CHAIN)? {
            Declared::Base { number, .. } => Some(number),
            Declared::Pointer { size, .. } | Declared::Enum { size, .. } => plain(size),
            Declared::Composite { size, .. } if !self.unsound.contains(ty) => plain(size),
            Declared::Qualified(_, of) | Declared::Same(of) | Declared::Typedef { of, .. } => {
                self.measure(of, depth + 1)
            }
            Declared::Array { of, count } => plain(self.measure(of, depth + 1)?.size.checked_mul(count)?),
            Declared::Composite { .. } | Declared::Forward { .. } | Declared::Function(_) => None,
        }
    }
}

fn encoding_of(encoding: Encoding, signed: bool) -> DwAte {
    match (encoding, signed) {
        (Encoding::Integer, true) => DW_ATE_signed,
        (Encoding::Integer, false) => DW_ATE_unsigned,
        (Encoding::Character, true) => DW_ATE_signed_char,
        (Encoding::Character, false) => DW_ATE_unsigned_char,
        (Encoding::Boolean, _) => DW_ATE_boolean,
        (Encoding::Float, _) => DW_ATE_float,
    }
}

fn qualified(qualifier: Qualifier) -> Row {
    match qualifier {
        Qualifier::Const => Row::Const,
        Qualifier::Volatile => Row::Volatile,
        Qualifier::Restrict => Row::Restrict,
    }
}

fn declaration(union: bool) -> Row {
    if union { Row::DeclaredUnion } else { Row::DeclaredStructure }
}
