//! No memory at all: a textdump's, and that of a running system which is only asked by sysctl(3).

use super::{Addr, Census, Memory};
use kgdbserver_arch::{Fault, Pa, Region, Va, Via};

/// The memory of an image that has none.
pub(super) struct NoMemory;

impl NoMemory {
    /// All addresses, which lead to the same answer.
    pub(super) const REGION: Region = Region { first: Va(0), last: Va(u64::MAX), via: Via::Linear(Pa(0)) };
}

impl Memory for NoMemory {
    fn read(&self, _: Addr, _: &mut [u8]) -> Result<usize, Fault> {
        Err(Fault::NoMemory)
    }

    fn locate(&self, _: Pa) -> Result<u64, Fault> {
        Err(Fault::NoMemory)
    }

    fn pages(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        Box::new(std::iter::empty())
    }

    fn census(&self) -> Census {
        Census { dumped: 0, cut_off: 0 }
    }
}
