//! Memory of a machine that runs meanwhile.

use super::{Addr, Census, Memory, Unwritten};
use kgdbserver_arch::{Fault, Pa, Va};
use std::sync::Arc;

/// Any memory, and that it changes.
pub(crate) struct Running(pub(crate) Arc<dyn Memory>);

impl Memory for Running {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Fault> {
        self.0.read(at, buf)
    }

    fn write(&self, at: Addr, data: &[u8], va: Va) -> Result<usize, Unwritten> {
        self.0.write(at, data, va)
    }

    fn is_live(&self) -> bool {
        true
    }

    fn locate(&self, pa: Pa) -> Result<u64, Fault> {
        self.0.locate(pa)
    }

    fn pages(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        self.0.pages()
    }

    fn left_out(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        self.0.left_out()
    }

    fn census(&self) -> Census {
        self.0.census()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::odd::{Odd, check, check_write};

    #[test]
    fn it_hides_nothing() {
        let running = Running(Arc::new(Odd));
        check(&running);
        check_write(&running);
    }
}
