//! How a kernel's top page table is found.
//!
//! Nothing is believed that does not prove itself: a tree counts only if it maps the address of its own top table to the
//! place that it was read from. That tells the tree's form, too: how large pages are, and how many levels there are.

use super::{Paging, UserPaging};
use crate::full::tables;
use crate::{Entry, Facts, Lost, Pa, Radix, Rights, Va};

/// A form that a kernel may choose for its page tables.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shape {
    /// The kernel's own tree.
    pub(super) kernel: Radix,
    /// The same for processes. Some of their pages are there although the processor is told otherwise.
    pub(super) user: Radix,
    /// The lowest address that may be the kernel's.
    pub(super) first: u64,
}

impl Shape {
    /// The same with bits in entries that say nothing of the address.
    pub(super) fn ignoring(self, ignored: u64) -> Self {
        let form = |form: Radix| Radix { ignored, ..form };
        Self { kernel: form(self.kernel), user: form(self.user), ..self }
    }

    /// The same with entries stored most significant byte first.
    pub(super) fn big_endian(self) -> Self {
        let form = |form: Radix| Radix { big_endian: true, ..form };
        Self { kernel: form(self.kernel), user: form(self.user), ..self }
    }

    /// Whether an address may be the kernel's. That of another processor may be too wide.
    fn may_have(&self, va: u64) -> bool {
        va >= self.first && (self.first != 0 || va <= self.kernel.last())
    }

    /// Address spaces of which the kernel has the upper end, and a process as much at the lower end.
    pub(super) fn halves(&self, root: Pa) -> Paging {
        Paging {
            kernel: vec![tables(self.first, u64::MAX, self.kernel, root)],
            user: UserPaging { form: self.user, last: Va(!self.first), levels: None },
            big_endian: Some(self.kernel.big_endian),
        }
    }
}

/// The kernel's top table, by a symbol.
pub(super) struct Top {
    name: &'static str,
    pub(super) va: u64,
}

impl Top {
    /// The first of these symbols that is known.
    pub(super) fn find(facts: &dyn Facts, names: &[&'static str]) -> Result<Self, Lost> {
        let known = |name: &&'static str| Some(Self { name, va: facts.symbol(name)? });
        names.iter().find_map(known).ok_or(Lost::NoSymbol(names.first().copied().unwrap_or_default()))
    }

    /// The form and the place that prove each other, at the first of the places that are told. If none is told: anywhere
    /// in the lowest 64 GiB; a kernel's physical addresses differ from its virtual ones by a multiple of `step`.
    pub(super) fn prove(
        &self,
        facts: &dyn Facts,
        shapes: &[Shape],
        told: &[Pa],
        step: usize,
    ) -> Result<(Shape, Pa), Lost> {
        const LIMIT: u64 = 64 << 30;
        let fits = |shape: &&Shape| shape.may_have(self.va);
        let proves = |shape: &Shape, pa| shape.kernel.maps(facts, pa, Va(self.va), pa);
        let prove = |pa| shapes.iter().filter(fits).find(|shape| proves(shape, pa)).map(|shape| (*shape, pa));
        if let Some(first) = told.first() {
            let why = match facts.read_phys(*first, &mut [0; 8]) {
                Ok(()) => Lost::Unproved(self.name, *first),
                Err(fault) => Lost::Unreadable(self.name, fault),
            };
            return told.iter().copied().find_map(prove).ok_or(why);
        }
        let mut places = (self.va % step as u64..LIMIT).step_by(step).map(Pa);
        places.find_map(prove).ok_or(Lost::Nowhere(self.name))
    }
}

/// The page of an entry that its process may not touch.
pub(super) fn untouchable(entry: Entry) -> Entry {
    match entry {
        Entry::Leaf { pa, shift, .. } => {
            Entry::Leaf { pa, shift, rights: Rights { write: false, execute: false } }
        }
        _ => Entry::Absent,
    }
}
