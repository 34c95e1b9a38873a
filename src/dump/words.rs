//! Members of a C structure.

/// Members, one behind the other, in the machine's byte order.
pub(super) struct Words {
    pub(super) bytes: Vec<u8>,
    big_endian: bool,
}

impl Words {
    pub(super) fn new(big_endian: bool) -> Self {
        Self { bytes: Vec::new(), big_endian }
    }

    pub(super) fn u32(&mut self, value: u32) -> &mut Self {
        let bytes = if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        self.bytes.extend(bytes);
        self
    }

    pub(super) fn u64(&mut self, value: u64) -> &mut Self {
        let bytes = if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        self.bytes.extend(bytes);
        self
    }

    /// An integer as wide as a pointer, at a multiple of its width.
    pub(super) fn word(&mut self, value: u64, ptr_bytes: u8) -> &mut Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(ptr_bytes.into()), 0);
        if ptr_bytes == 8 { self.u64(value) } else { self.u32(value as u32) }
    }

    /// An array of so many characters, the last one a NUL.
    pub(super) fn text(&mut self, text: &str, len: usize) -> &mut Self {
        let end = self.bytes.len() + len;
        self.bytes.extend(text.bytes().take(len.saturating_sub(1)));
        self.bytes.resize(end, 0);
        self
    }
}
