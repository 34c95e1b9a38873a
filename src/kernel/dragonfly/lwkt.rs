//! The registers of a kernel thread, which has no use for a pcb: they are on its own stack.

use super::Fields;
use super::threads::slot;
use crate::Result;
use crate::kernel::Saved;
use crate::kernel::fields::offset;
use kgdbserver_arch::{Registers, Va};

/// Where `cpu_lwkt_switch` (pc64/x86_64/swtch.s) pushes what it saves, in bytes from `td_sp`. The first word is the
/// function that brings the thread back; the return address is the last.
const FRAME: &[(&str, usize)] = &[
    ("eflags", 8),
    ("r15", 16),
    ("r14", 24),
    ("r13", 32),
    ("r12", 40),
    ("rbx", 48),
    ("rbp", 56),
    ("rip", 64),
];

/// Bytes of it all. The thread goes on with its stack above them.
const FRAME_BYTES: usize = 72;

/// Where a thread that is not running keeps its registers. A thread that has never run has another function to bring it
/// back, and nothing else saved.
pub(super) fn saved(fields: &Fields<'_>, thread: Va) -> Saved {
    let frame = || -> Result<(Va, bool)> {
        let stack = fields.pointer(thread, "thread", "td_sp")?;
        Ok((stack, fields.mem.pointer(stack)? == fields.variable("cpu_lwkt_restore")?))
    };
    match frame() {
        Ok((stack, true)) => Saved::Switched(stack),
        Ok((_, false)) => Saved::Nowhere("the kernel thread did not leave its CPU by cpu_lwkt_switch"),
        Err(_) => Saved::Nowhere("the kernel thread's stack cannot be read"),
    }
}

/// The registers in the frame at `stack`.
pub(super) fn registers(fields: &Fields<'_>, stack: Va) -> Result<Registers> {
    let machine = fields.mem.machine;
    let mut registers = Registers::unknown(machine);
    let mut frame = [0; FRAME_BYTES];
    fields.mem.read_exact(stack, &mut frame)?;
    let slots =
        FRAME.iter().map(|(name, offset)| slot(machine, name, *offset)).collect::<Result<Vec<_>>>()?;
    registers.load(&slots, &frame);
    let above = offset(stack, FRAME_BYTES as u64)?;
    registers.load(&[slot(machine, "rsp", 0)?], &above.0.to_le_bytes());
    Ok(registers)
}
