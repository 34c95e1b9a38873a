//! Backtraces by frame pointers.

use crate::space::Space;
use kgdbserver_arch::{Registers, Va};
use std::collections::HashSet;

/// No kernel stack holds more frames.
const LIMIT: usize = 10_000;

/// The code addresses of a thread's frames, innermost first: the program counter, then return addresses.
///
/// A chain ends at a frame pointer of 0, at one that cannot be read, or where it comes back to a frame it has been at.
/// Frame pointers need not grow: an interrupt switches stacks. What code built without frame pointers left in the
/// register is followed too, and ends soon: the list is as good as the kernel's build.
pub fn backtrace(mem: &Space, registers: &Registers) -> Vec<Va> {
    let layout = &mem.machine.arch.frames;
    let Some(pc) = registers.pc() else { return Vec::new() };
    let mut trace = vec![Va(pc)];
    let mut frame = registers.get(layout.register).unwrap_or(0);
    let mut seen = HashSet::new();
    while frame != 0 && seen.insert(frame) && trace.len() < LIMIT {
        let word = |at: u64, offset: i32| mem.pointer(Va(at.checked_add_signed(offset.into())?)).ok();
        let Some(Va(caller)) = word(frame, layout.caller_fp) else { break };
        let home = if layout.back_chain { caller } else { frame };
        let Some(Va(address)) = word(home, layout.return_address) else { break };
        if address == 0 {
            break;
        }
        trace.push(Va(address));
        frame = caller;
    }
    trace
}
