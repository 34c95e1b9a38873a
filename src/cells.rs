//! How far what is known of an address holds around it.

use crate::space::Space;
use kgdbserver_arch::{HashTable, Rights, Va, Via};

/// Addresses side by side of which one decision holds: that of a page-table entry, or of a region without any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The lowest address.
    pub first: Va,
    /// The highest address.
    pub last: Va,
    /// Whether they are mapped.
    pub access: Access,
}

/// Whether addresses are mapped. What is mapped need not be in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// They are not.
    Unmapped,
    /// They are; what for, if the image tells.
    Mapped(Option<Rights>),
}

impl Space {
    /// What holds of an address, and as far around it as one entry decides. Costs one walk.
    pub fn cell(&self, va: Va) -> Cell {
        let (first, last) = self.undisputed(va);
        let Some(region) = self.region(va) else { return Cell { first, last, access: Access::Unmapped } };
        let mut last_step = None;
        let place = self.follow(region, va, &mut |step| last_step = Some(step));
        let bits = match &region.via {
            Via::Linear(_) | Via::Stored => 64,
            Via::Tables { form, .. } => form.decides(last_step),
            Via::Entries { form, level, .. } => {
                last_step.map_or(form.shift(*level), |step| form.decides(Some(step)))
            }
            Via::Hash { .. } => HashTable::PAGE_SHIFT,
        };
        let within = 1u64.checked_shl(bits.into()).map_or(u64::MAX, |size| size - 1);
        let access = place.map_or(Access::Unmapped, |place| Access::Mapped(place.rights));
        Cell { first: first.max(Va(va.0 & !within)), last: last.min(Va(va.0 | within)), access }
    }

    /// The lowest and the highest address around one in which the same region counts, or none.
    pub(crate) fn undisputed(&self, va: Va) -> (Va, Va) {
        let (mut first, mut last) = (Va(0), Va(u64::MAX));
        for region in self.regions() {
            if region.contains(va) {
                return (first.max(region.first), last.min(region.last));
            }
            if region.last < va {
                first = first.max(Va(region.last.0 + 1));
            } else {
                last = last.min(Va(region.first.0 - 1));
            }
        }
        (first, last)
    }

    /// How many bytes from an unmapped address on are surely unmapped too, at least 1. Address spaces are vast and
    /// mostly empty: a walk over one goes on from there.
    pub fn hole(&self, va: Va) -> u64 {
        match self.cell(va) {
            Cell { last, access: Access::Unmapped, .. } => (last.0 - va.0).saturating_add(1),
            _ => 1,
        }
    }

    /// How many bytes from an address that cannot be read on need not be tried, at least 1: what is not mapped, or else the
    /// rest of its page (of `page` bytes).
    pub fn gap(&self, va: Va, page: u64) -> u64 {
        let rest_of_page = page - va.0 % page;
        let Ok(va) = self.canonical(va) else { return rest_of_page };
        let cell = self.cell(va);
        let rest = (cell.last.0 - va.0).saturating_add(1);
        if cell.access == Access::Unmapped { rest } else { rest.min(rest_of_page) }
    }
}
