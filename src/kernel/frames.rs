//! Backtraces by frame pointers.

use crate::space::Space;
use kgdbserver_arch::{PacMask, Registers, TrapBase, TrapFrame, Va};
use std::collections::HashSet;

/// No kernel stack holds more frames.
const LIMIT: usize = 10_000;

/// One frame of a thread's stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// The address of its code.
    pub pc: Va,
    /// Whether that is a return address, behind the call that it made.
    pub called: bool,
}

/// What a kernel's frames look like beside the processor's rules.
#[derive(Default)]
pub struct Rules<'a> {
    /// The bits of return addresses that may hold a pointer authentication code.
    pub codes: Option<PacMask>,
    /// How traps are recognised, where that is known.
    pub traps: Option<Traps<'a>>,
}

/// How the trap entries of a kernel are recognised, and what they leave on the stack.
pub struct Traps<'a> {
    /// The saved registers.
    pub frame: &'static TrapFrame,
    /// Whether a handler that returns to an address is called by such an entry.
    pub is_entry: &'a dyn Fn(Va) -> bool,
}

/// A thread's frames, innermost first: the program counter, then return addresses, and behind a trap's entry what it
/// interrupted.
///
/// A chain ends at a frame pointer of 0, at one that cannot be read, where it comes back to a frame it has been at, or at
/// a trap from user space. Frame pointers need not grow: an interrupt switches stacks. What code built without frame
/// pointers left in the register is followed too, and ends soon: the list is as good as the kernel's build.
pub fn backtrace(mem: &Space, registers: &Registers, rules: &Rules<'_>) -> Vec<Frame> {
    let layout = &mem.machine.arch.frames;
    let Some(pc) = registers.pc() else { return Vec::new() };
    let mut trace = vec![Frame { pc: Va(pc), called: false }];
    let mut frame = registers.get(layout.register).unwrap_or(0);
    let mut seen = HashSet::new();
    while frame != 0 && seen.insert(frame) && trace.len() < LIMIT {
        let word = |at: u64, offset: i32| mem.pointer(Va(at.checked_add_signed(offset.into())?)).ok();
        let Some(Va(caller)) = word(frame, layout.caller_fp) else { break };
        let home = if layout.back_chain { caller } else { frame };
        if home == 0 {
            break; // where s390x kernels have memory
        }
        let Some(saved) = word(home, layout.return_address).filter(|address| address.0 != 0) else { break };
        let address = rules.codes.map_or(saved, |codes| codes.strip(saved));
        trace.push(Frame { pc: address, called: true });
        let entry = rules.traps.as_ref().filter(|traps| (traps.is_entry)(address));
        let sp = if layout.back_chain { Some(caller) } else { frame.checked_add_signed(layout.cfa.into()) };
        frame = match entry.map(|traps| interrupted(mem, traps.frame, sp, caller)) {
            None => caller,
            Some(None) => break,
            Some(Some((pc, fp))) => {
                trace.push(Frame { pc, called: false });
                fp
            }
        };
    }
    trace
}

/// The program counter and the frame pointer that a trap found, by the stack pointer and the frame pointer of its entry;
/// none if it came from user space, whose stack is another.
fn interrupted(mem: &Space, trap: &TrapFrame, sp: Option<u64>, fp: u64) -> Option<(Va, u64)> {
    let base = match trap.base {
        TrapBase::StackPointer(offset) => sp?.checked_add_signed(offset),
        TrapBase::FramePointer(offset) => fp.checked_add_signed(offset),
    };
    let word = |offset: u64| mem.pointer(Va(base?.checked_add(offset)?)).ok();
    let (at, bits, value) = trap.user;
    let from_user = word(at)?.0 & bits == value;
    (!from_user).then_some((word(trap.pc)?, word(trap.fp)?.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ram::Ram;
    use kgdbserver_arch::{Machine, Pa, Region, Via, s390x, x86_64};
    use std::collections::BTreeMap;
    use std::sync::Arc;

    /// Words of memory by their addresses.
    fn ram(words: impl IntoIterator<Item = (u64, u64)>) -> Ram {
        words.into_iter().map(|(at, word)| (at, word.to_le_bytes().to_vec())).collect()
    }

    /// A back chain ends with 0, which s390x kernels have memory at.
    #[test]
    fn a_back_chain_ends_at_address_zero() {
        let machine = Machine { arch: &s390x::ARCH, big_endian: true, ptr_bytes: 8 };
        let words = [(0x1000 + 152, 0x2000), (0x2000 + 136, 0x5000), (0x2000 + 152, 0), (136, 0x6000)];
        let words = words.map(|(at, word): (u64, u64)| (at, word.swap_bytes()));
        let all = Region { first: Va(0), last: Va(u64::MAX), via: Via::Linear(Pa(0)) };
        let mem = Space::new(machine, vec![all], Arc::new(ram(words)));
        let mut registers = Registers::unknown(machine);
        registers.set(machine.arch.pc, 0x4000);
        registers.set(machine.arch.sp, 0x1000);
        let frames = backtrace(&mem, &registers, &Rules::default());
        assert_eq!(frames.iter().map(|frame| frame.pc.0).collect::<Vec<_>>(), [0x4000, 0x5000]);
    }

    const TRAP_ENTRY: u64 = 0x5008;
    const SAVED: u64 = 0x1010;

    /// A handler's frame at 0x1000, called from a trap's entry whose stack pointer is then at 0x1010; it interrupted code
    /// at 0x6000, whose frame at 0x2000 was called from 0x7000.
    fn stack(saved_cs: u64) -> BTreeMap<u64, u64> {
        [
            (0x1000, 0x2000),
            (0x1008, TRAP_ENTRY),
            (SAVED + 64, 0x2000),
            (SAVED + 152, 0x6000),
            (SAVED + 160, saved_cs),
            (0x2000, 0),
            (0x2008, 0x7000),
        ]
        .into()
    }

    fn trace(words: BTreeMap<u64, u64>, entry: &str) -> Vec<(u64, bool)> {
        let machine = Machine { arch: &x86_64::ARCH, big_endian: false, ptr_bytes: 8 };
        let all = Region { first: Va(0), last: Va(u64::MAX), via: Via::Linear(Pa(0)) };
        let mem = Space::new(machine, vec![all], Arc::new(ram(words)));
        let mut registers = Registers::unknown(machine);
        let mut pcb = [0; 80];
        pcb[32..40].copy_from_slice(&0x1000u64.to_le_bytes());
        pcb[56..64].copy_from_slice(&0x4000u64.to_le_bytes());
        registers.load(x86_64::ARCH.freebsd.unwrap().pcb[0].switched, &pcb);
        let frame = &x86_64::ARCH.freebsd.unwrap().traps[0];
        let is_entry = |va: Va| va.0 == TRAP_ENTRY && (frame.entry)(entry);
        let traps = Traps { frame, is_entry: &is_entry };
        let rules = Rules { codes: None, traps: Some(traps) };
        backtrace(&mem, &registers, &rules).iter().map(|frame| (frame.pc.0, frame.called)).collect()
    }

    #[test]
    fn a_trap_shows_what_it_interrupted() {
        let through = [(0x4000, false), (TRAP_ENTRY, true), (0x6000, false), (0x7000, true)];
        for entry in ["calltrap", "Xtimerint", "nmi_calltrap"] {
            assert_eq!(trace(stack(0x20), entry), through, "{entry}");
        }
    }

    #[test]
    fn a_trap_from_user_space_is_the_end() {
        assert_eq!(trace(stack(0x43), "calltrap"), [(0x4000, false), (TRAP_ENTRY, true)]);
    }

    #[test]
    fn other_code_has_a_frame_of_its_own() {
        let plain = [(0x4000, false), (TRAP_ENTRY, true), (0x7000, true)];
        for entry in ["panic", "Xfast_syscall", "X_db_symbol_values"] {
            assert_eq!(trace(stack(0x20), entry), plain, "{entry}");
        }
    }

    #[test]
    fn a_trap_frame_that_cannot_be_read_is_the_end() {
        let mut words = stack(0x20);
        words.remove(&(SAVED + 152));
        assert_eq!(trace(words, "calltrap"), [(0x4000, false), (TRAP_ENTRY, true)]);
    }
}
