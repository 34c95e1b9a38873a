//! Memory for unit tests of what is put over another memory.

use super::{Addr, Census, Memory, Unwritten};
use kgdbserver_arch::{Fault, Pa, Va};

/// Memory none of whose answers is what [`Memory`] says by default, or what a wrapper would make up.
pub(crate) struct Odd;

impl Memory for Odd {
    fn read(&self, _: Addr, buf: &mut [u8]) -> Result<usize, Fault> {
        buf.fill(0x55);
        Ok(buf.len())
    }

    fn write(&self, _: Addr, data: &[u8], _: Va) -> Result<usize, Unwritten> {
        Ok(data.len())
    }

    fn locate(&self, pa: Pa) -> Result<u64, Fault> {
        Ok(!pa.0)
    }

    fn pages(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        Box::new(std::iter::once(Pa(0x1000)))
    }

    fn left_out(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        Box::new(std::iter::once(Pa(0x2000)))
    }

    fn census(&self) -> Census {
        Census { dumped: 3, cut_off: 4 }
    }

    fn is_live(&self) -> bool {
        true
    }
}

/// A wrapper tells all that the memory below it tells.
#[track_caller]
pub(crate) fn check(over: &dyn Memory) {
    assert_eq!(over.locate(Pa(1)), Ok(!1));
    assert_eq!(over.pages().collect::<Vec<_>>(), [Pa(0x1000)]);
    assert_eq!(over.left_out().collect::<Vec<_>>(), [Pa(0x2000)]);
    assert_eq!(over.census(), Odd.census());
    assert!(over.is_live());
}

/// And passes on what is written.
#[track_caller]
pub(crate) fn check_write(over: &dyn Memory) {
    assert_eq!(over.write(Addr::Phys(Pa(0)), &[1, 2], Va(0)).ok(), Some(2));
}
