//! Members of kernel structures, read by name. What no type information tells is an error that names it.

use super::text;
use crate::space::Space;
use crate::symbols::{Member, Symbols};
use crate::{Error, Result};
use kgdbserver_arch::Va;

/// No member that is read as text or whole is longer.
const LIMIT: u64 = 4096;

/// A kernel's memory, its names and its types.
#[derive(Clone, Copy)]
pub(super) struct Fields<'a> {
    pub(super) symbols: &'a Symbols,
    pub(super) mem: &'a Space,
}

impl Fields<'_> {
    /// The address of a variable.
    pub(super) fn variable(&self, name: &str) -> Result<Va> {
        self.symbols.address(name).ok_or_else(|| Error::NoSymbol(name.into()))
    }

    /// The value of an `int` variable that counts something, and cannot be negative.
    pub(super) fn count(&self, name: &str) -> Result<u32> {
        let va = self.variable(name)?;
        let value = self.mem.int(va)?;
        u32::try_from(value).map_err(|_| bad("variable", va, format!("{name} is {value}")))
    }

    /// The value of a pointer variable.
    pub(super) fn head(&self, name: &str) -> Result<Va> {
        self.mem.pointer(self.variable(name)?)
    }

    /// Where a member lies in its structure.
    pub(super) fn member(&self, structure: &str, path: &str) -> Result<Member> {
        self.symbols.types().require(structure, path)
    }

    /// The bytes of a structure.
    pub(super) fn size_of(&self, structure: &str) -> Result<u64> {
        let types = self.symbols.types();
        let missing =
            || Error::Unsupported(format!("the size of struct {structure} is needed, and no types tell it"));
        types.size_of(structure).ok_or_else(missing)
    }

    /// Whether the kernel's types know such a member.
    pub(super) fn has(&self, structure: &str, path: &str) -> bool {
        self.symbols.types().member(structure, path).is_some()
    }

    /// The address of a member.
    pub(super) fn at(&self, base: Va, structure: &str, path: &str) -> Result<Va> {
        offset(base, self.member(structure, path)?.offset)
    }

    /// The address of an array's element; it need not be one that the array has.
    pub(super) fn element(&self, base: Va, structure: &str, path: &str, number: u64) -> Result<Va> {
        let array = self.member(structure, path)?;
        offset(base, array.offset.saturating_add(array.element_size.saturating_mul(number)))
    }

    /// An integer member; a signed one is extended to 64 bits.
    pub(super) fn uint(&self, base: Va, structure: &str, path: &str) -> Result<u64> {
        let member = self.member(structure, path)?;
        let bytes = self.bytes_of(base, &member)?;
        let number = member.value(&bytes, self.mem.machine.big_endian);
        number.ok_or_else(|| Error::Unsupported(format!("{structure}.{path} is not a number in this kernel")))
    }

    /// A signed integer member.
    pub(super) fn int(&self, base: Va, structure: &str, path: &str) -> Result<i64> {
        self.uint(base, structure, path).map(u64::cast_signed)
    }

    /// An integer member of at most 32 bits; a negative one reads as its bits.
    pub(super) fn u32(&self, base: Va, structure: &str, path: &str) -> Result<u32> {
        self.uint(base, structure, path).map(|value| value as u32)
    }

    /// A pointer member; null is an address too.
    pub(super) fn pointer(&self, base: Va, structure: &str, path: &str) -> Result<Va> {
        self.uint(base, structure, path).map(Va)
    }

    /// A member that is text: an array of characters, or a pointer to them (null is no text).
    pub(super) fn text(&self, base: Va, structure: &str, path: &str) -> Result<String> {
        let member = self.member(structure, path)?;
        if member.elements.is_some() {
            let bytes = self.bytes_of(base, &member)?;
            return Ok(text(bytes.split(|byte| *byte == 0).next().unwrap_or_default()));
        }
        match self.pointer(base, structure, path)? {
            Va(0) => Ok(String::new()),
            at => self.mem.string(at, 1024).map(|bytes| text(&bytes)),
        }
    }

    /// The bytes of a member, as the machine stores them; at most 4096.
    pub(super) fn bytes(&self, base: Va, structure: &str, path: &str) -> Result<Vec<u8>> {
        self.bytes_of(base, &self.member(structure, path)?)
    }

    fn bytes_of(&self, base: Va, member: &Member) -> Result<Vec<u8>> {
        let size = usize::try_from(member.size.min(LIMIT)).unwrap_or_default();
        let mut bytes = vec![0; size];
        self.mem.read_exact(offset(base, member.offset)?, &mut bytes)?;
        Ok(bytes)
    }
}

/// The address `bytes` behind another one.
pub(super) fn offset(base: Va, bytes: u64) -> Result<Va> {
    base.checked_add(bytes).ok_or_else(|| bad("structure", base, "it reaches past the last address"))
}

/// A structure that cannot be believed.
pub(super) fn bad(what: &'static str, va: Va, why: impl Into<String>) -> Error {
    Error::BadStructure { what, va, why: why.into() }
}
