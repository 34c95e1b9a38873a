//! The one architecture that gdbstub is told of: the real one is data, sent as a target description at run time.

use gdbstub::arch::{Arch, Registers};

/// Any machine, with addresses of up to 64 bits.
pub(super) enum AnyArch {}

impl Arch for AnyArch {
    type Usize = u64;
    type Registers = AnyRegisters;
    type BreakpointKind = usize;
    // The front answers `p` and `P`.
    type RegId = ();
}

/// Registers as they go into a `g` packet.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct AnyRegisters {
    pub(super) pc: u64,
    pub(super) bytes: Vec<Option<u8>>,
}

impl Registers for AnyRegisters {
    type ProgramCounter = u64;

    fn pc(&self) -> u64 {
        self.pc
    }

    fn gdb_serialize(&self, write_byte: impl FnMut(Option<u8>)) {
        self.bytes.iter().copied().for_each(write_byte);
    }

    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.bytes = bytes.iter().copied().map(Some).collect();
        Ok(())
    }
}
