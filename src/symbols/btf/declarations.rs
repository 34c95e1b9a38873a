//! BTF, type by type.

use super::format::{Head, kind};
use super::{BOOLEAN, Btf, CHARACTER};
use crate::symbols::types::declared::{
    Declarations, Declared, Encoding, Prototype, Qualifier, integer_encoding,
};
use crate::symbols::types::{Field, Graph, Ref, Scalar};
use std::ops::Range;

impl Declarations for Btf {
    fn ids(&self) -> Range<Ref> {
        let (end, _) = self.end();
        self.first.0.into()..end.into()
    }

    fn known(&self, name: &str) -> Option<Ref> {
        self.named(name).or_else(|| self.base.as_ref()?.known(name))
    }

    fn declared(&self, ty: Ref) -> Option<Declared<'_>> {
        let (btf, head) = self.find(ty)?;
        let (name, of, size) = (btf.string(head.name), Ref::from(head.size), u64::from(head.size));
        Some(match head.kind {
            kind::INT => Declared::Base { name, encoding: btf.encoding(&head)?, number: btf.integer(&head)? },
            kind::FLOAT => {
                let number = Scalar { size, ..Scalar::default() };
                Declared::Base { name, encoding: Encoding::Float, number }
            }
            kind::PTR => Declared::Pointer { to: of, size: self.traits.ptr_bytes? },
            kind::ENUM | kind::ENUM64 => Declared::Enum { name, size, signed: btf.is_signed_enum(&head) },
            kind::TYPEDEF => Declared::Typedef { name, of },
            kind::CONST => Declared::Qualified(Qualifier::Const, of),
            kind::VOLATILE => Declared::Qualified(Qualifier::Volatile, of),
            kind::RESTRICT => Declared::Qualified(Qualifier::Restrict, of),
            kind::TYPE_TAG => Declared::Same(of),
            kind::ARRAY => {
                let [of, _, count] = btf.records(&head).next()?;
                Declared::Array { of: of.into(), count: count.into() }
            }
            kind::STRUCT | kind::UNION => Declared::Composite { union: head.kind == kind::UNION, name, size },
            kind::FWD => Declared::Forward { union: head.flag, name },
            kind::FUNC_PROTO => Declared::Function(of),
            _ => return None,
        })
    }

    fn fields(&self, ty: Ref) -> Option<Vec<Field<'_>>> {
        let (btf, head) = self.find(ty)?;
        btf.fields(&head)
    }

    fn enumerators(&self, ty: Ref) -> Vec<(&[u8], u64)> {
        self.find(ty).map(|(btf, head)| btf.enumerators_of(&head)).unwrap_or_default()
    }

    fn parameters(&self, ty: Ref) -> Vec<Ref> {
        let Some((btf, head)) = self.find(ty).filter(|(_, head)| head.kind == kind::FUNC_PROTO) else {
            return Vec::new();
        };
        btf.records(&head).take(head.count).map(|[_, ty]| ty.into()).collect()
    }

    fn functions(&self) -> Vec<(String, Prototype)> {
        let prototype = |(name, ty)| {
            let (_, head) = self.find(ty).filter(|(_, head)| head.kind == kind::FUNC_PROTO)?;
            Some((name, Prototype { returns: head.size.into(), parameters: self.parameters(ty) }))
        };
        self.symbols_of(kind::FUNC).filter_map(prototype).collect()
    }

    fn variables(&self) -> Vec<(String, Ref)> {
        self.symbols_of(kind::VAR).collect()
    }
}

impl Btf {
    /// Functions or variables.
    fn symbols_of(&self, kind: u32) -> impl Iterator<Item = (String, Ref)> {
        let heads = self.ids().filter_map(|id| Some(self.find(id)?.1));
        let name = |head: &Head| String::from_utf8_lossy(self.string(head.name)).into_owned();
        heads.filter(move |head| head.kind == kind).map(move |head| (name(&head), head.size.into()))
    }

    fn encoding(&self, head: &Head) -> Option<Encoding> {
        let [data] = self.records(head).next()?;
        Some(match data >> 24 & 0xf {
            bits if bits & BOOLEAN != 0 => Encoding::Boolean,
            bits if bits & CHARACTER != 0 && head.size == 1 => Encoding::Character,
            _ => integer_encoding(self.string(head.name), head.size.into()),
        })
    }
}
