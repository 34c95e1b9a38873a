use crate::{HashTable, Pa, Radix, Va};
use std::ops::Range;

/// How one range of virtual addresses is backed. Both bounds are inclusive: a range may end at the last address.
#[derive(Debug, Clone)]
pub struct Region {
    /// The lowest address.
    pub first: Va,
    /// The highest address.
    pub last: Va,
    /// What backs the range.
    pub via: Via,
}

impl Region {
    /// Whether `va` lies in the range.
    pub fn contains(&self, va: Va) -> bool {
        (self.first..=self.last).contains(&va)
    }
}

/// What backs a range of virtual addresses.
#[derive(Debug, Clone)]
pub enum Via {
    /// Physically contiguous; the range begins at this physical address.
    Linear(Pa),
    /// Page tables in physical memory, whose top table lies at `root`.
    Tables {
        /// The tree's shape.
        form: Radix,
        /// The top table.
        root: Pa,
    },
    /// A plain array of page-table entries of one level in the image file, the first one for the range's first
    /// address. A minidump keeps the kernel's tables so. The entries stay in the file.
    Entries {
        /// The tree's shape.
        form: Radix,
        /// The level the entries are of; 0 is the lowest.
        level: usize,
        /// Byte offsets of the array in the image file.
        at: Range<u64>,
    },
    /// A hashed page table in the image file, at these byte offsets.
    Hash {
        /// The table's shape.
        table: HashTable,
        /// Byte offsets of the table in the image file.
        at: Range<u64>,
    },
    /// The image stores this range by virtual address (`/proc/kcore`, `/dev/kmem`).
    Stored,
}
