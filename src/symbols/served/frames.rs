//! Unwind information for code that keeps frame pointers, and for the code by which traps enter.

use super::Named;
use crate::Kvm;
use crate::kernel::Kernel;
use crate::symbols::{Kind, Symbol};
use crate::{Error, Result};
use gimli::constants::{DW_OP_and, DW_OP_dup, DW_OP_mul, DW_OP_or, DW_OP_shr, DW_OP_swap};
use gimli::write::{
    Address, CallFrameInstruction, CommonInformationEntry, EhFrame, EndianVec, Expression,
    FrameDescriptionEntry,
};
use kgdbserver_arch::{Machine, PacMask, TrapBase, TrapFrame};
use std::ops::Range;

/// No entry code is larger; where the next symbol lies further on, it is not known where the function ends.
const LARGEST: u64 = 4096;

/// What unwinding must know of a piece of code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// It keeps a frame pointer (or a chain from the stack pointer).
    Called,
    /// Nothing calls it: a stack ends there, whatever the frame-pointer register holds.
    Outermost,
    /// A trap enters by it, and one of its registers leads to the interrupted ones.
    Trap,
}

/// What is known of a kernel's frames.
pub(super) struct Frames {
    pub(super) machine: Machine,
    codes: Option<PacMask>,
    outermost: Vec<&'static str>,
    trap: Option<&'static TrapFrame>,
}

impl Frames {
    pub(super) fn of(kvm: &Kvm) -> Self {
        let (kernel, machine) = (kvm.kernel().ok(), kvm.space().machine);
        let outermost = kernel.map(Kernel::outermost).unwrap_or_default();
        Self { machine, codes: kvm.pac_mask(), outermost, trap: kernel.and_then(Kernel::trap_frame) }
    }

    /// The code that does not keep frame pointers as functions do, by the names of its symbols; sorted. FreeBSD's
    /// assembly has no sizes; such a piece ends where the next symbol begins.
    pub(super) fn exceptions(&self, named: &Named<'_>) -> Vec<(Range<u64>, Rule)> {
        let mut starts: Vec<u64> = named.symbols().map(|symbol| symbol.va.0).collect();
        starts.sort_unstable();
        let end = |symbol: &Symbol| {
            let next = starts.get(starts.partition_point(|start| *start <= symbol.va.0)).copied();
            let next = if symbol.size == 0 { next } else { symbol.va.0.checked_add(symbol.size) };
            next.filter(|next| next - symbol.va.0 <= LARGEST)
        };
        let code = named.symbols().filter(|symbol| symbol.kind == Kind::Text);
        let ruled = code.filter_map(|symbol| {
            let (rule, before) = self.rule(&symbol.name)?;
            Some((symbol.va.0.checked_sub(before)?..end(&symbol)?, rule))
        });
        let mut ranges: Vec<_> = ruled.collect();
        ranges.sort_unstable_by_key(|(range, _)| range.start);
        ranges
    }

    /// The rule of a symbol's code, and how many bytes before the symbol it begins to hold. Debuggers look a rule up one
    /// byte before the address that is returned to.
    fn rule(&self, name: &str) -> Option<(Rule, u64)> {
        let before = |trap: &TrapFrame| u64::try_from(trap.name_at + 1).unwrap_or(0);
        match self.trap {
            _ if self.outermost.contains(&name) => Some((Rule::Outermost, 0)),
            Some(trap) if (trap.entry)(name) => Some((Rule::Trap, before(trap))),
            _ => None,
        }
    }

    /// `.eh_frame`: the rule for every piece of the kernel's code.
    pub(super) fn eh_frame(&self, code: &[Range<u64>], exceptions: &[(Range<u64>, Rule)]) -> Result<Vec<u8>> {
        let mut table = gimli::write::FrameTable::default();
        let mut caller = frame_pointer_rule(self.machine, self.codes);
        // Frame pointers do not tell where other registers were saved: without this a debugger shows in every frame what the
        // innermost one has in them.
        let others =
            self.trap.into_iter().flat_map(|trap| trap.others).flat_map(|(numbers, _)| numbers.clone());
        for number in others.map(gimli::Register).filter(|number| *number != return_column(self.machine)) {
            caller.add_instruction(CallFrameInstruction::Undefined(number));
        }
        let called = table.add_cie(caller);
        let mut end = frame_pointer_rule(self.machine, None);
        end.add_instruction(CallFrameInstruction::Undefined(return_column(self.machine)));
        let outermost = table.add_cie(end);
        let trap = self.trap.map_or(called, |trap| table.add_cie(trap_rule(self.machine, trap)));
        for (range, rule) in code.iter().flat_map(|range| split(range.clone(), exceptions)) {
            let length = u32::try_from(range.end - range.start).unwrap_or(u32::MAX);
            let cie = match rule {
                Rule::Called => called,
                Rule::Outermost => outermost,
                Rule::Trap => trap,
            };
            table.add_fde(cie, FrameDescriptionEntry::new(Address::Constant(range.start), length));
        }
        write(&table, self.machine)
    }
}

/// The section's bytes.
pub(super) fn write(table: &gimli::write::FrameTable, machine: Machine) -> Result<Vec<u8>> {
    let endian = if machine.big_endian { gimli::RunTimeEndian::Big } else { gimli::RunTimeEndian::Little };
    let mut out = EhFrame(EndianVec::new(endian));
    let failed = |error: gimli::write::Error| Error::Unsupported(format!("unwind information: {error}"));
    table.write_eh_frame(&mut out).map_err(failed)?;
    let mut bytes = out.0.into_vec();
    bytes.extend([0; 4]); // the end mark
    Ok(bytes)
}

/// Cuts the exceptions, which are sorted, out of a range; all pieces in order. Debuggers want entries that do not
/// overlap.
fn split(range: Range<u64>, exceptions: &[(Range<u64>, Rule)]) -> Vec<(Range<u64>, Rule)> {
    let mut pieces = Vec::new();
    let mut at = range.start;
    for (exception, rule) in exceptions.iter().filter(|(exception, _)| exception.end <= range.end) {
        let start = exception.start.max(at);
        if start >= exception.end {
            continue; // another name of the same code, or code before the range
        }
        pieces.push((at..start, Rule::Called));
        pieces.push((start..exception.end, *rule));
        at = exception.end;
    }
    pieces.push((at..range.end, Rule::Called));
    pieces.retain(|(piece, _)| !piece.is_empty());
    pieces
}

/// The registers that the trap interrupted are on the stack.
fn trap_rule(machine: Machine, trap: &TrapFrame) -> CommonInformationEntry {
    let layout = &machine.arch.frames;
    let (register, base) = match trap.base {
        TrapBase::StackPointer(offset) => (layout.dwarf_sp, offset),
        TrapBase::FramePointer(offset) => (layout.dwarf_fp, offset),
    };
    let saved = |offset: u64| {
        let mut place = Expression::new();
        place.op_breg(gimli::Register(register), base.wrapping_add_unsigned(offset));
        place
    };
    let mut interrupted_stack = saved(trap.sp);
    interrupted_stack.op_deref();
    let mut cie = new_entry(machine, gimli::Register(trap.dwarf_pc));
    // The program counter that was interrupted is exact, not behind a call.
    cie.signal_trampoline = true;
    cie.add_instruction(CallFrameInstruction::CfaExpression(interrupted_stack));
    let word = u64::from(machine.ptr_bytes);
    let others = trap
        .others
        .iter()
        .flat_map(|(numbers, first)| numbers.clone().zip((*first..).step_by(word as usize)));
    for (number, offset) in [(trap.dwarf_pc, trap.pc), (layout.dwarf_fp, trap.fp)].into_iter().chain(others) {
        cie.add_instruction(CallFrameInstruction::Expression(gimli::Register(number), saved(offset)));
    }
    cie
}

pub(super) fn new_entry(machine: Machine, return_address: gimli::Register) -> CommonInformationEntry {
    let word = machine.ptr_bytes;
    let encoding = gimli::Encoding { format: gimli::Format::Dwarf32, version: 1, address_size: word };
    CommonInformationEntry::new(encoding, 1, if word == 8 { -8 } else { -4 }, return_address)
}

pub(super) fn return_column(machine: Machine) -> gimli::Register {
    gimli::Register(machine.arch.frames.dwarf_return_address)
}

fn frame_pointer_rule(machine: Machine, codes: Option<PacMask>) -> CommonInformationEntry {
    let layout = &machine.arch.frames;
    let frame = gimli::Register(layout.dwarf_fp);
    let below_cfa = |offset: i32| offset - layout.cfa;
    let mut cie = new_entry(machine, return_column(machine));
    if layout.back_chain {
        let mut caller = Expression::new();
        caller.op_breg(frame, layout.caller_fp.into());
        caller.op_deref();
        cie.add_instruction(CallFrameInstruction::CfaExpression(caller));
        cie.add_instruction(CallFrameInstruction::ValOffset(frame, 0));
    } else {
        cie.add_instruction(CallFrameInstruction::Cfa(frame, layout.cfa));
        cie.add_instruction(CallFrameInstruction::Offset(frame, below_cfa(layout.caller_fp)));
    }
    let column = return_column(machine);
    cie.add_instruction(match codes {
        None => CallFrameInstruction::Offset(column, below_cfa(layout.return_address)),
        Some(mask) => {
            CallFrameInstruction::ValExpression(column, stripped(frame, layout.return_address, mask))
        }
    });
    cie
}

/// The return address that is saved `offset` bytes from the frame pointer, without its code.
///
/// `DW_CFA_AARCH64_negate_ra_state` would say in one word that it has one, but gdb 13 knows no masks for the kernel's half
/// of addresses. So bit 55, which tells the half, is spread over the mask here.
fn stripped(frame: gimli::Register, offset: i32, mask: PacMask) -> Expression {
    let mut place = Expression::new();
    place.op_breg(frame, offset.into());
    place.op_deref();
    place.op(DW_OP_dup);
    place.op_constu(55);
    place.op(DW_OP_shr);
    place.op_constu(1);
    place.op(DW_OP_and);
    place.op_constu(mask.high());
    place.op(DW_OP_mul);
    place.op(DW_OP_swap);
    place.op_constu(!mask.high());
    place.op(DW_OP_and);
    place.op(DW_OP_or);
    place
}
