//! How a kernel's page tables are found in plain physical memory, by the kernel's symbols.
//!
//! Nothing is believed that does not prove itself: page tables count only if they map the very variable that led to
//! them back to the physical address it was read from.

use crate::{Fault, Pa, Radix, ReadPhys, Region, Va, Via, uint};

/// Finds a kernel in physical memory.
pub type Locate = fn(&dyn Facts) -> Result<Located, Lost>;

/// What is known of an image before its page tables are found.
pub trait Facts: ReadPhys {
    /// The value of a symbol.
    fn symbol(&self, name: &str) -> Option<u64>;

    /// Where the dump itself says that the kernel was loaded.
    fn delta(&self) -> Option<Delta> {
        None
    }

    /// A number that the kernel itself tells of its memory: `NUMBER(name)` of Linux's VMCOREINFO, or `PAGESIZE`;
    /// or a register that controls a CPU, as a note of the image has it.
    fn number(&self, _name: &str) -> Option<u64> {
        None
    }
}

/// The program header `PT_DUMP_DELTA` of a FreeBSD full dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delta {
    /// `p_vaddr`: the kernel's base address.
    pub va: Va,
    /// `p_paddr`: the physical address that belongs to it.
    pub pa: Pa,
    /// `p_align`.
    pub align: u64,
}

/// A kernel found in physical memory.
#[derive(Debug, Clone)]
pub struct Located {
    /// The physical address that its text begins at, or belongs to its base.
    pub at: Pa,
    /// How that is known.
    pub by: By,
    /// Its address space.
    pub regions: Vec<Region>,
}

/// How it is known where a kernel was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// The dump says so ([`Delta`]).
    Dump,
    /// Kernels of this kind are always loaded there.
    Fixed,
    /// By trying, and these other places would do as well.
    Search(Vec<Pa>),
}

/// Why a kernel's page tables were not found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// A symbol is not known.
    NoSymbol(&'static str),
    /// The variable that leads to the page tables cannot be read.
    Unreadable(&'static str, Fault),
    /// The variable, expected at this address, does not lead to page tables that map it there.
    Unproved(&'static str, Pa),
    /// Nowhere is there such a variable that leads to page tables that map it there.
    Nowhere(&'static str),
}

/// Kernel addresses and the physical ones behind them, as far as the kernel was loaded in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) va: u64,
    pub(crate) pa: u64,
}

impl Base {
    /// The physical address of a symbol. None if the sum leaves the address space.
    pub(crate) fn pa(self, symbol: u64) -> Option<Pa> {
        symbol.checked_sub(self.va)?.checked_add(self.pa).map(Pa)
    }
}

/// The first place that proves itself: of those that are known, then of all that are possible.
pub(crate) fn first_proved(
    known: impl IntoIterator<Item = (Base, By)>,
    possible: impl Iterator<Item = Base>,
    prove: impl Fn(Base) -> Result<(Pa, Vec<Region>), Lost>,
) -> Result<Located, Lost> {
    let mut failed = None;
    for (base, by) in known {
        match prove(base) {
            Ok((at, regions)) => return Ok(Located { at, by, regions }),
            Err(lost) => failed = failed.or(Some(lost)),
        }
    }
    let mut last = Lost::Nowhere("kernel");
    let mut proved = possible.filter_map(|base| prove(base).map_err(|lost| last = lost).ok());
    let first = proved.next();
    let others = proved.map(|(at, _)| at).collect();
    match first {
        Some((at, regions)) => Ok(Located { at, by: By::Search(others), regions }),
        None => Err(failed.unwrap_or(last.nowhere())),
    }
}

impl Lost {
    /// What the last of all possible places lacked, none of them had.
    fn nowhere(self) -> Self {
        match self {
            Self::Unreadable(name, _) | Self::Unproved(name, _) => Self::Nowhere(name),
            other => other,
        }
    }
}

/// A region whose tables lie at `root`; both bounds are inclusive.
pub(crate) fn tables(first: u64, last: u64, form: Radix, root: Pa) -> Region {
    Region { first: Va(first), last: Va(last), via: Via::Tables { form, root } }
}

/// A variable of the kernel's that holds the physical address of a top table.
pub(crate) struct RootVariable {
    pub(crate) name: &'static str,
    pub(crate) va: u64,
    pub(crate) bytes: usize,
}

impl RootVariable {
    pub(crate) fn find(facts: &dyn Facts, name: &'static str, bytes: usize) -> Result<Self, Lost> {
        Ok(Self { name, va: facts.symbol(name).ok_or(Lost::NoSymbol(name))?, bytes })
    }

    /// The top table, if the variable lies where `base` says and the tree maps it there.
    pub(crate) fn prove(&self, facts: &dyn Facts, form: &Radix, base: Base) -> Result<Pa, Lost> {
        let unproved = |pa| Lost::Unproved(self.name, pa);
        let pa = base.pa(self.va).ok_or(unproved(Pa(base.pa)))?;
        let mut word = [0; 8];
        let word = word.get_mut(..self.bytes).unwrap_or_default();
        facts.read_phys(pa, word).map_err(|why| Lost::Unreadable(self.name, why))?;
        let root = Pa(uint(word, form.big_endian));
        let proved = root.0 != 0 && form.maps(facts, root, Va(self.va), pa);
        proved.then_some(root).ok_or(unproved(pa))
    }
}
