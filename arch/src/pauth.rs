//! Pointer authentication: codes in the upper bits of signed addresses (64-bit ARM, FEAT_PAuth).

use crate::Va;

/// Selects the half of the address space, so it never belongs to a code: set in the kernel's addresses.
const KERNELS_HALF: u64 = 1 << 55;
/// The processor ignores these bits of a program's addresses (top byte ignore).
const TOP_BYTE: u64 = 0xff << 56;

/// The bits of a kernel's addresses that may hold a code. In an address without one they are all set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PacMask(u64);

impl PacMask {
    /// The mask as a kernel tells it (Linux: `KERNELPACMASK`); none if it leaves no room for a code. Bit 55 does not
    /// count.
    pub const fn new(bits: u64) -> Option<Self> {
        match bits & !KERNELS_HALF {
            0 => None,
            bits => Some(Self(bits)),
        }
    }

    /// All bits above addresses of `bits` bits: the top byte is not ignored in the kernel's half.
    pub const fn above(bits: u8) -> Option<Self> {
        match u64::MAX.checked_shl(bits as u32) {
            Some(mask) => Self::new(mask),
            None => None,
        }
    }

    /// An address without its code, in either half of the address space.
    pub const fn strip(self, va: Va) -> Va {
        if va.0 & KERNELS_HALF == 0 { Va(va.0 & !self.0) } else { Va(va.0 | self.0) }
    }

    /// How many of the lower bits belong to the address.
    pub const fn address_bits(self) -> u32 {
        self.0.trailing_zeros()
    }

    /// The bits of a kernel's address.
    pub const fn high(self) -> u64 {
        self.0
    }

    /// The bits of a program's address: its top byte is not for a code.
    pub const fn low(self) -> u64 {
        self.0 & !TOP_BYTE
    }
}
