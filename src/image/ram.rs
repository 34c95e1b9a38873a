//! Physical memory for unit tests.

use super::{Addr, Census, Memory};
use kgdbserver_arch::{Fault, Pa};
use std::collections::BTreeMap;

/// Stretches of bytes by their addresses, and nothing between them. They do not overlap.
pub(crate) struct Ram(BTreeMap<u64, Vec<u8>>);

impl Ram {
    /// One stretch that begins at 0.
    pub(crate) fn at_zero(bytes: Vec<u8>) -> Self {
        Self::from_iter([(0, bytes)])
    }
}

impl FromIterator<(u64, Vec<u8>)> for Ram {
    fn from_iter<T: IntoIterator<Item = (u64, Vec<u8>)>>(stretches: T) -> Self {
        Self(stretches.into_iter().collect())
    }
}

impl Memory for Ram {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Fault> {
        let Addr::Phys(pa) = at else { return Err(Fault::NoRegion) };
        let before = self.0.range(..=pa.0).next_back();
        let rest = before.and_then(|(start, bytes)| bytes.get((pa.0 - start) as usize..));
        let rest = rest.filter(|rest| !rest.is_empty()).ok_or(Fault::NotInImage(pa))?;
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn locate(&self, pa: Pa) -> Result<u64, Fault> {
        Ok(pa.0)
    }

    fn pages(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        Box::new(std::iter::empty())
    }

    fn census(&self) -> Census {
        Census { dumped: 0, cut_off: 0 }
    }
}
