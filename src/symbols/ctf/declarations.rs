//! CTF, type by type.

use super::{BOOL, CHAR, Ctf, kind};
use crate::symbols::types::declared::{
    Declarations, Declared, Encoding, Prototype, Qualifier, integer_encoding,
};
use crate::symbols::types::{Field, Ref, Scalar};
use crate::symbols::{Kind, Symbol};
use goblin::elf::sym::{STT_FUNC, STT_OBJECT};
use std::ops::Range;

/// Encodings of floating-point numbers that have one part: single, double, long double.
const REAL: [u32; 3] = [1, 2, 6];

impl Declarations for Ctf {
    fn ids(&self) -> Range<Ref> {
        1..1 + self.places.len() as u64
    }

    fn declared(&self, ty: Ref) -> Option<Declared<'_>> {
        let head = self.find(ty)?;
        let (name, of, size) = (self.string(head.name), head.size, head.size);
        Some(match head.kind {
            kind::INTEGER => {
                Declared::Base { name, encoding: self.encoding(&head)?, number: self.integer(&head)? }
            }
            kind::FLOAT => {
                let real = REAL.contains(&(self.cursor(head.details).u32()? >> 24));
                let number = Scalar { size, ..Scalar::default() };
                Declared::Base { name, encoding: Encoding::Float, number: Some(number).filter(|_| real)? }
            }
            kind::POINTER => Declared::Pointer { to: of, size: self.target.ptr_bytes },
            // As compilers do it: unsigned unless a value needs the sign.
            kind::ENUM => {
                Declared::Enum { name, size, signed: self.enumerators_of(&head).any(|(_, value)| value < 0) }
            }
            kind::TYPEDEF => Declared::Typedef { name, of },
            kind::CONST => Declared::Qualified(Qualifier::Const, of),
            kind::VOLATILE => Declared::Qualified(Qualifier::Volatile, of),
            kind::RESTRICT => Declared::Qualified(Qualifier::Restrict, of),
            kind::ARRAY => {
                let mut from = self.cursor(head.details);
                let (of, _) = (from.word(self.form)?.into(), from.word(self.form)?);
                Declared::Array { of, count: from.u32()?.into() }
            }
            kind::STRUCT | kind::UNION => Declared::Composite { union: head.kind == kind::UNION, name, size },
            // What it will be stands in the place of a size, or nothing does.
            kind::FORWARD => Declared::Forward { union: size == u64::from(kind::UNION), name },
            kind::FUNCTION => Declared::Function(of),
            _ => return None,
        })
    }

    fn fields(&self, ty: Ref) -> Option<Vec<Field<'_>>> {
        self.fields_of(&self.find(ty)?)
    }

    fn enumerators(&self, ty: Ref) -> Vec<(&[u8], u64)> {
        let Some(head) = self.find(ty) else { return Vec::new() };
        let value = |(name, value)| (self.string(name), i64::from(value).cast_unsigned());
        self.enumerators_of(&head).map(value).collect()
    }

    fn parameters(&self, ty: Ref) -> Vec<Ref> {
        let Some(head) = self.find(ty).filter(|head| head.kind == kind::FUNCTION) else { return Vec::new() };
        let mut from = self.cursor(head.details);
        (0..head.count).map_while(|_| Some(from.word(self.form)?.into())).collect()
    }

    fn functions(&self) -> Vec<(String, Prototype)> {
        let told = self.symbols(STT_FUNC).zip(self.prototypes());
        told.filter_map(|(symbol, prototype)| Some((symbol.name, prototype?))).collect()
    }

    fn variables(&self) -> Vec<(String, Ref)> {
        self.symbols(STT_OBJECT).zip(self.objects()).map(|(symbol, ty)| (symbol.name, ty)).collect()
    }
}

/// What is told of functions and objects stands in the order of the file's symbols, without names.
impl Ctf {
    /// The file's symbols of one of ELF's types, as ctfmerge(1) counts them.
    fn symbols(&self, st_type: u8) -> impl Iterator<Item = Symbol> {
        let counts = move |symbol: &Symbol| {
            let nothing = st_type == STT_OBJECT && symbol.kind == Kind::Absolute && symbol.va.0 == 0;
            !nothing && !["_START_", "_END_"].contains(&symbol.name.as_str())
        };
        self.file.iter().flat_map(move |file| file.symbols_of(st_type)).filter(counts)
    }

    fn objects(&self) -> impl Iterator<Item = Ref> {
        let mut from = self.cursor(self.objects.start);
        let count = self.objects.len() / self.form.word;
        (0..count).map_while(move |_| Some(from.word(self.form)?.into()))
    }

    /// What is told of each function: kind and count, what it returns, what it takes; or, of one that is not known, a
    /// single word of zeros.
    fn prototypes(&self) -> impl Iterator<Item = Option<Prototype>> {
        let mut from = self.cursor(self.functions.start);
        std::iter::from_fn(move || {
            if from.at >= self.functions.end {
                return None;
            }
            let info = from.word(self.form)?;
            let (kind, count) = (info >> self.form.kind_shift, info & self.form.count_mask);
            if (kind, count) == (kind::UNKNOWN, 0) {
                return Some(None);
            }
            let returns = from.word(self.form)?.into();
            let end = from.at.checked_add((count as usize).checked_mul(self.form.word)?)?;
            if end > self.functions.end {
                return None;
            }
            let parameter = |_| Some(from.word(self.form)?.into());
            Some(Some(Prototype { returns, parameters: (0..count).map_while(parameter).collect() }))
        })
    }

    fn encoding(&self, head: &super::Head) -> Option<Encoding> {
        Some(match self.cursor(head.details).u32()? >> 24 {
            bits if bits & BOOL != 0 => Encoding::Boolean,
            bits if bits & CHAR != 0 && head.size == 1 => Encoding::Character,
            _ => integer_encoding(self.string(head.name), head.size),
        })
    }
}
