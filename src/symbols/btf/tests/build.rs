//! BTF built from the format's description, with nothing of the parser's.

/// The bit in front of a kind that says: bit fields have their width in the offset, or the enum has a sign.
pub(crate) const FLAG: u32 = 0x80;

#[derive(Clone)]
pub(crate) struct Builder {
    pub(crate) big: bool,
    types: Vec<u8>,
    names: Vec<u8>,
    layouts: Vec<u8>,
    /// The id of the latest type, and the offset of the first name.
    pub(crate) last: u32,
    first_name: u32,
}

impl Builder {
    pub(crate) fn new(big: bool) -> Self {
        Self { big, types: Vec::new(), names: vec![0], layouts: Vec::new(), last: 0, first_name: 0 }
    }

    /// BTF of a module, over this one.
    pub(crate) fn module(&self) -> Self {
        let first_name = self.first_name + self.names.len() as u32;
        Self { names: Vec::new(), first_name, last: self.last, ..Self::new(self.big) }
    }

    fn word(&self, value: u32) -> [u8; 4] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    pub(crate) fn words(&mut self, values: &[u32]) -> &mut Self {
        for value in values {
            let bytes = self.word(*value);
            self.types.extend(bytes);
        }
        self
    }

    pub(crate) fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = self.first_name + self.names.len() as u32;
        self.names.extend(name.bytes().chain([0]));
        at
    }

    /// A type's head; its id.
    pub(crate) fn ty(&mut self, name: &str, kind: u32, count: u32, size: u32) -> u32 {
        let name = self.name(name);
        self.words(&[name, kind << 24 | count, size]);
        self.last += 1;
        self.last
    }

    pub(crate) fn int(&mut self, name: &str, size: u32, encoding: u32, skip: u32, bits: u32) -> u32 {
        let ty = self.ty(name, 1, 0, size);
        self.words(&[encoding << 24 | skip << 16 | bits]);
        ty
    }

    pub(crate) fn array(&mut self, of: u32, count: u32) -> u32 {
        let ty = self.ty("", 3, 0, 0);
        self.words(&[of, of, count]);
        ty
    }

    /// A structure (kind 4) or a union (5); members are name, type, offset.
    pub(crate) fn composite(
        &mut self,
        name: &str,
        kind: u32,
        size: u32,
        members: &[(&str, u32, u32)],
    ) -> u32 {
        let ty = self.ty(name, kind, members.len() as u32, size);
        for (name, of, offset) in members {
            let name = self.name(name);
            self.words(&[name, *of, *offset]);
        }
        ty
    }

    /// An enum of 32 bits (kind 6) or 64 (19).
    pub(crate) fn enumeration(&mut self, name: &str, kind: u32, size: u32, values: &[(&str, u64)]) -> u32 {
        let ty = self.ty(name, kind, values.len() as u32, size);
        for (name, value) in values {
            let name = self.name(name);
            self.words(&[name, *value as u32]);
            if kind & !FLAG == 19 {
                self.words(&[(*value >> 32) as u32]);
            }
        }
        ty
    }

    /// Tells the layouts of all kinds up to one, which has so many bytes behind its head, once and for each element.
    pub(crate) fn layout(&mut self, kind: u8, once: u8, each: u8) -> &mut Self {
        self.layouts = [0, 0, 0, 0].repeat(kind.into());
        self.layouts.extend([once, each, 0, 0]);
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let (types, layouts) = (self.types.len() as u32, self.layouts.len() as u32);
        let parts = [0, types, types + layouts, self.names.len() as u32, types, layouts];
        let parts = if self.layouts.is_empty() { &parts[..4] } else { &parts };
        let mut out = self.header(8 + 4 * parts.len() as u32, parts);
        out.extend(self.types.iter().chain(&self.layouts).chain(&self.names));
        out
    }

    /// A header of a length that the caller chooses.
    pub(crate) fn header(&self, len: u32, parts: &[u32]) -> Vec<u8> {
        let mut out = if self.big { vec![0xeb, 0x9f] } else { vec![0x9f, 0xeb] };
        out.extend([1, 0]);
        out.extend([len].iter().chain(parts).flat_map(|value| self.word(*value)));
        out
    }
}
