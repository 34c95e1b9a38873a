//! How stacks are unwound where the kernel brings a table for that, instead of frame pointers.

use super::frames::Frame;
use crate::space::Space;
use kgdbserver_arch::{Registers, Va};
use std::collections::HashSet;
use std::ops::Range;

/// No kernel stack holds more frames.
const LIMIT: usize = 10_000;

/// How a caller is found, at one address of the code. Registers are indices into the architecture's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unwind {
    /// Not at all: a stack ends here, or nothing is known of this code.
    End,
    /// Code that was called. The return address lies right below the canonical frame address.
    Called {
        /// The canonical frame address: the caller's stack pointer.
        cfa: Place,
        /// Where the caller's frame pointer is; none if the register still holds it.
        fp: Option<Saved>,
    },
    /// Code that a trap or an interrupt entered by.
    Interrupted {
        /// Where the interrupted registers are.
        at: Place,
        /// All of them, rather than those that the processor itself saved.
        all: bool,
    },
}

/// An address by a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The register.
    pub register: usize,
    /// DWARF's number for it.
    pub dwarf: u16,
    /// Bytes from its value on.
    pub offset: i64,
    /// The address is not that place, but so many bytes from where the pointer at that place leads.
    pub then: Option<i64>,
}

/// Where a frame pointer was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// So many bytes from the canonical frame address.
    Cfa(i64),
    /// So many bytes from where the frame pointer points.
    Fp(i64),
}

/// Offsets of interrupted registers, in bytes from where these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trapped {
    /// The program counter.
    pub pc: u64,
    /// The stack pointer.
    pub sp: u64,
    /// The frame pointer; none if it was not saved, and the register still holds it.
    pub fp: Option<u64>,
    /// Where to see that the trap came from user space: bytes to a word, and the bits of it that are set then.
    pub user: (u64, u64),
    /// Other registers that unwinding restores: DWARF's number, and bytes.
    pub others: Vec<(u16, u64)>,
}

/// A kernel's table.
pub trait Table: Send + Sync {
    /// How the code at an address is unwound; none outside the table's code.
    fn find(&self, mem: &Space, pc: Va) -> Option<Unwind>;

    /// How one frame is unwound that the table knows nothing of, by what lies on the stack; none if that does not tell.
    fn search(&self, mem: &Space, pc: Va, sp: Va) -> Option<Unwind>;

    /// All of the kernel's own: the code's addresses in ascending order, each one's rule good up to the next. The last one
    /// only tells where the code ends.
    fn rows(&self, mem: &Space) -> Vec<(u64, Unwind)>;

    /// The same of a piece of code of the module that is described at an address; none of a module without a table.
    fn module_rows(&self, mem: &Space, module: Va, code: &Range<u64>) -> Vec<(u64, Unwind)>;

    /// What a trap leaves: all registers, or those of the processor.
    fn trapped(&self, all: bool) -> &Trapped;
}

/// A thread's frames by a table, innermost first. Ends where the table says so or does not know the code, at a trap from
/// user space, at a stack that cannot be read, and where it comes back to a frame it has been at.
pub fn backtrace(mem: &Space, registers: &Registers, table: &dyn Table) -> Vec<Frame> {
    let (Some(pc), arch) = (registers.pc(), mem.machine.arch) else { return Vec::new() };
    let mut state = State {
        pc,
        sp: registers.get(arch.sp),
        fp: registers.get(arch.frames.register),
        first: Some(registers),
    };
    let mut frame = Frame { pc: Va(pc), called: false };
    let mut trace = vec![frame];
    let mut seen = HashSet::new();
    while trace.len() < LIMIT && seen.insert((state.pc, state.sp)) {
        let code = Va(frame.pc.0.saturating_sub(u64::from(frame.called)));
        let Some((next, called)) = state.unwind(mem, table, code) else { break };
        if next.pc == 0 {
            break;
        }
        frame = Frame { pc: Va(next.pc), called };
        trace.push(frame);
        state = next;
    }
    trace
}

/// Registers as far as they are known in a frame.
struct State<'a> {
    pc: u64,
    sp: Option<u64>,
    fp: Option<u64>,
    /// All of them, in the innermost frame.
    first: Option<&'a Registers>,
}

impl State<'_> {
    fn unwind(&self, mem: &Space, table: &dyn Table, code: Va) -> Option<(Self, bool)> {
        let by_table = table.find(mem, code).and_then(|unwind| self.caller(mem, table, unwind));
        by_table.or_else(|| self.caller(mem, table, table.search(mem, code, Va(self.sp?))?))
    }

    /// The caller's registers, and whether it called rather than was interrupted.
    fn caller(&self, mem: &Space, table: &dyn Table, unwind: Unwind) -> Option<(Self, bool)> {
        let word = |at: Option<u64>| mem.pointer(Va(at?)).ok().map(|va| va.0);
        match unwind {
            Unwind::End => None,
            Unwind::Called { cfa, fp } => {
                let cfa = self.place(mem, cfa)?;
                let pc = word(cfa.checked_sub(mem.machine.ptr_bytes.into()))?;
                let fp = match fp {
                    None => self.fp,
                    Some(Saved::Cfa(offset)) => word(cfa.checked_add_signed(offset)),
                    Some(Saved::Fp(offset)) => word(self.fp.and_then(|fp| fp.checked_add_signed(offset))),
                };
                Some((Self { pc, sp: Some(cfa), fp, first: None }, true))
            }
            Unwind::Interrupted { at, all } => {
                let (at, trapped) = (self.place(mem, at)?, table.trapped(all));
                let word = |offset: u64| word(at.checked_add(offset));
                let (offset, bits) = trapped.user;
                if word(offset)? & bits == bits {
                    return None;
                }
                let fp = trapped.fp.map_or(self.fp, word);
                Some((Self { pc: word(trapped.pc)?, sp: word(trapped.sp), fp, first: None }, false))
            }
        }
    }

    fn place(&self, mem: &Space, place: Place) -> Option<u64> {
        let arch = mem.machine.arch;
        let value = match place.register {
            register if register == arch.sp => self.sp,
            register if register == arch.frames.register => self.fp,
            register => self.first.and_then(|registers| registers.get(register)),
        };
        let at = value?.checked_add_signed(place.offset)?;
        match place.then {
            None => Some(at),
            Some(more) => mem.pointer(Va(at)).ok()?.0.checked_add_signed(more),
        }
    }
}
