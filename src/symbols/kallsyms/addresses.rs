//! What the numbers in `kallsyms_offsets` and `kallsyms_addresses` mean.

use super::{bad, read};
use crate::Result;
use crate::space::Space;
use kgdbserver_arch::{Machine, Va};

/// The addresses of a table's symbols, as one release or another keeps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// Pointers: until 4.5, and later where CONFIG_KALLSYMS_BASE_RELATIVE was not set.
    Pointers(Va),
    /// 32 bits each, and the value of `kallsyms_relative_base`: from 4.6 to 6.19.
    Offsets(Va, u64),
    /// 32 bits each, and nothing else: since 7.0.
    Places(Va),
}

impl Stored {
    /// The addresses of `count` symbols; they need not be in order.
    ///
    /// # Errors
    /// They are not in the image, or not of this kind.
    pub(super) fn read(self, space: &Space, count: usize) -> Result<Vec<u64>> {
        let machine = space.machine;
        let (at, width) = match self {
            Self::Pointers(at) => (at, machine.ptr_bytes.into()),
            Self::Offsets(at, _) | Self::Places(at) => (at, 4),
        };
        let bytes = read(space, "its addresses", at, count.saturating_mul(width))?;
        let values = bytes.chunks_exact(width).map(|bytes| machine.uint(bytes));
        match self {
            Self::Pointers(_) => Ok(values.collect()),
            Self::Offsets(_, base) => from_base(machine, &narrow(values), base).map_err(|why| bad(at, why)),
            Self::Places(at) => Ok(from_places(machine, &narrow(values), at)),
        }
    }
}

fn narrow(values: impl Iterator<Item = u64>) -> Vec<u32> {
    values.map(|value| value as u32).collect()
}

/// The lowest address is the base, so its offset is 0. Where per-CPU variables begin at address 0 (x86_64 until 6.14,
/// CONFIG_KALLSYMS_ABSOLUTE_PERCPU), theirs stand as they are, and the others count from -1 downwards.
fn from_base(machine: Machine, values: &[u32], base: u64) -> Result<Vec<u64>, String> {
    let first_negative = values.iter().find(|value| value.cast_signed() < 0);
    let absolute_percpu = first_negative == Some(&u32::MAX);
    if !absolute_percpu && values.first() != Some(&0) {
        return Err("the offsets do not begin at the base".into());
    }
    let address = |value: &u32| match absolute_percpu {
        true if value.cast_signed() >= 0 => u64::from(*value),
        true => wrapped(machine, base.wrapping_add(u64::from(!value))),
        false => wrapped(machine, base.wrapping_add(u64::from(*value))),
    };
    Ok(values.iter().map(address).collect())
}

/// Each number counts from its own place. In kernels of 32 bits that cannot be moved it is the address itself; such
/// numbers are in order, while distances to aliases of one address are not.
fn from_places(machine: Machine, values: &[u32], at: Va) -> Vec<u64> {
    if machine.ptr_bytes == 4 && values.is_sorted() {
        return values.iter().copied().map(u64::from).collect();
    }
    let places = (0..).step_by(4).map(|offset: u64| at.0.wrapping_add(offset));
    let address =
        |(place, value): (u64, &u32)| wrapped(machine, place.wrapping_add_signed(value.cast_signed().into()));
    places.zip(values).map(address).collect()
}

/// An address of a machine whose pointers may have 32 bits.
fn wrapped(machine: Machine, address: u64) -> u64 {
    if machine.ptr_bytes == 4 { address & u64::from(u32::MAX) } else { address }
}
