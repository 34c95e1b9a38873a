//! Unwind information for code that keeps frame pointers.

use crate::symbols::Symbol;
use crate::{Error, Result};
use gimli::write::{
    Address, CallFrameInstruction, CommonInformationEntry, EhFrame, EndianVec, Expression,
    FrameDescriptionEntry,
};
use kgdbserver_arch::Machine;
use std::ops::Range;

/// No entry code is larger; where the next symbol lies further on, it is not known where the function ends.
const LARGEST: u64 = 4096;

/// The functions that nothing calls: a stack ends in them, whatever the frame-pointer register holds. FreeBSD's assembly
/// gives them no size; such a one ends where the next symbol begins.
pub(super) fn outermost(symbols: &[Symbol], machine: Machine) -> Vec<Range<u64>> {
    let names = machine.arch.freebsd.map_or(&[][..], |freebsd| freebsd.outermost);
    let mut starts: Vec<u64> = symbols.iter().map(|symbol| symbol.va.0).collect();
    starts.sort_unstable();
    let end = |symbol: &Symbol| {
        let next = starts.get(starts.partition_point(|start| *start <= symbol.va.0)).copied();
        if symbol.size == 0 { next.unwrap_or(symbol.va.0) } else { symbol.va.0.saturating_add(symbol.size) }
    };
    let named = symbols.iter().filter(|symbol| names.contains(&symbol.name.as_str()));
    let mut ranges: Vec<_> = named.map(|symbol| symbol.va.0..end(symbol)).collect();
    ranges.retain(|range| range.end - range.start <= LARGEST);
    ranges.sort_unstable_by_key(|range| range.start);
    ranges
}

/// `.eh_frame`: in all of the kernel's code the frame pointer, or a chain from the stack pointer, leads to the caller's
/// and to the return address, but for the functions that are nobody's callees.
pub(super) fn eh_frame(code: &[Range<u64>], outermost: &[Range<u64>], machine: Machine) -> Result<Vec<u8>> {
    let mut table = gimli::write::FrameTable::default();
    let called = table.add_cie(frame_pointer_rule(machine));
    let mut last = frame_pointer_rule(machine);
    last.add_instruction(CallFrameInstruction::Undefined(return_column(machine)));
    let last = table.add_cie(last);
    for (range, ends_here) in code.iter().flat_map(|range| split(range.clone(), outermost)) {
        let length = u32::try_from(range.end - range.start).unwrap_or(u32::MAX);
        let cie = if ends_here { last } else { called };
        table.add_fde(cie, FrameDescriptionEntry::new(Address::Constant(range.start), length));
    }
    let endian = if machine.big_endian { gimli::RunTimeEndian::Big } else { gimli::RunTimeEndian::Little };
    let mut out = EhFrame(EndianVec::new(endian));
    let failed = |error: gimli::write::Error| Error::Unsupported(format!("unwind information: {error}"));
    table.write_eh_frame(&mut out).map_err(failed)?;
    let mut bytes = out.0.into_vec();
    bytes.extend([0; 4]); // the end mark
    Ok(bytes)
}

/// Cuts `holes`, which are sorted, out of a range; the pieces in order, and whether each is a hole. Debuggers want
/// entries that do not overlap.
fn split(range: Range<u64>, holes: &[Range<u64>]) -> Vec<(Range<u64>, bool)> {
    let mut pieces = Vec::new();
    let mut at = range.start;
    for hole in holes.iter().filter(|hole| hole.end <= range.end) {
        if hole.start < at {
            continue; // another name of the same function
        }
        pieces.push((at..hole.start, false));
        pieces.push((hole.clone(), true));
        at = hole.end;
    }
    pieces.push((at..range.end, false));
    pieces.retain(|(piece, _)| !piece.is_empty());
    pieces
}

fn return_column(machine: Machine) -> gimli::Register {
    gimli::Register(machine.arch.frames.dwarf_return_address)
}

fn frame_pointer_rule(machine: Machine) -> CommonInformationEntry {
    let layout = &machine.arch.frames;
    let word = machine.ptr_bytes;
    let encoding = gimli::Encoding { format: gimli::Format::Dwarf32, version: 1, address_size: word };
    let frame = gimli::Register(layout.dwarf_fp);
    let below_cfa = |offset: i32| offset - layout.cfa;
    let mut cie =
        CommonInformationEntry::new(encoding, 1, if word == 8 { -8 } else { -4 }, return_column(machine));
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
    cie.add_instruction(CallFrameInstruction::Offset(
        return_column(machine),
        below_cfa(layout.return_address),
    ));
    cie
}
