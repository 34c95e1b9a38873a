//! A kernel's own unwind table (Linux's ORC), as debuggers read it.

use super::frames::{new_entry, return_column, write};
use crate::kernel::unwind::{Place, Saved, Table, Unwind};
use crate::kernel::{self, Thread};
use crate::{Kvm, Result};
use gimli::Register;
use gimli::write::{
    Address, CallFrameInstruction, CieId, CommonInformationEntry, Expression, FrameDescriptionEntry,
    FrameTable,
};
use kgdbserver_arch::{Machine, Va};
use std::collections::HashMap;

/// Instructions of one entry. Debuggers go through them from the first on.
const LONGEST: usize = 256;

/// `.eh_frame` of a kernel that runs `slide` bytes above the addresses it was linked for, which the entries have.
pub(super) fn of_kernel(kvm: &Kvm, table: &dyn Table, starts: &[u64], slide: u64) -> Result<Vec<u8>> {
    let mut rows = table.rows(kvm.space());
    running(kvm, table).into_iter().for_each(|(pc, unwind)| insert(&mut rows, pc, unwind));
    rows.iter_mut().for_each(|(address, _)| *address = address.wrapping_sub(slide));
    eh_frame(kvm.space().machine, table, [rows], starts)
}

/// `.eh_frame` of pieces of code. Entries begin where functions do (`starts`, ascending), so that they stay short. A piece's
/// last row only tells where it ends.
pub(super) fn eh_frame(
    machine: Machine,
    table: &dyn Table,
    pieces: impl IntoIterator<Item = Vec<(u64, Unwind)>>,
    starts: &[u64],
) -> Result<Vec<u8>> {
    let mut entries = Entries::new(machine, table);
    for rows in pieces {
        for ((start, unwind), (end, _)) in
            rows.iter().zip(rows.iter().skip(1)).filter(|(row, next)| row.0 < next.0)
        {
            let function = starts.binary_search(start).is_ok();
            entries.add(*start..*end, *unwind, function);
        }
    }
    entries.finish()
}

/// The places where running threads are that the table knows nothing of, and how they are unwound.
fn running(kvm: &Kvm, table: &dyn Table) -> Vec<(u64, Unwind)> {
    let threads = kvm.threads().map(|list| list.items).unwrap_or_default();
    let running = threads.iter().filter(|thread| matches!(thread.saved, kernel::Saved::Noted(_)));
    let frame = |thread: &Thread| {
        let registers = kvm.registers(thread).ok()?;
        let pc = registers.pc()?;
        let known = table.find(kvm.space(), Va(pc)).is_some_and(|unwind| unwind != Unwind::End);
        let sp = registers.get(kvm.space().machine.arch.sp).filter(|_| !known)?;
        Some((pc, table.search(kvm.space(), Va(pc), Va(sp))?))
    };
    running.filter_map(frame).collect()
}

/// Gives one address a rule of its own.
fn insert(rows: &mut Vec<(u64, Unwind)>, pc: u64, unwind: Unwind) {
    let after = rows.partition_point(|(start, _)| *start <= pc);
    let around =
        after.checked_sub(1).and_then(|index| rows.get(index)).map_or(Unwind::End, |(_, unwind)| *unwind);
    rows.splice(after..after, [(pc, unwind), (pc + 1, around)]);
}

/// Entries as they are made, the last one still growing.
struct Entries<'a> {
    machine: Machine,
    unwind: &'a dyn Table,
    out: FrameTable,
    called: CieId,
    end: CieId,
    /// One for each place of interrupted registers.
    interrupted: HashMap<(Place, bool), CieId>,
    open: Option<Open>,
}

/// An entry of code that was called.
struct Open {
    start: u64,
    end: u64,
    rules: Vec<(u64, Place, Option<Saved>)>,
}

impl<'a> Entries<'a> {
    fn new(machine: Machine, unwind: &'a dyn Table) -> Self {
        let mut out = FrameTable::default();
        let word = i32::from(machine.ptr_bytes);
        let mut called = new_entry(machine, return_column(machine));
        called.add_instruction(CallFrameInstruction::Cfa(Register(machine.arch.frames.dwarf_sp), word));
        called.add_instruction(CallFrameInstruction::Offset(return_column(machine), -word));
        // The table does not say where they were saved: without this a debugger shows what a called function left in them.
        for (register, _) in &unwind.trapped(true).others {
            called.add_instruction(CallFrameInstruction::Undefined(Register(*register)));
        }
        let mut end = new_entry(machine, return_column(machine));
        end.add_instruction(CallFrameInstruction::Cfa(Register(machine.arch.frames.dwarf_sp), word));
        end.add_instruction(CallFrameInstruction::Undefined(return_column(machine)));
        let (called, end) = (out.add_cie(called), out.add_cie(end));
        Self { machine, unwind, out, called, end, interrupted: HashMap::new(), open: None }
    }

    fn add(&mut self, range: std::ops::Range<u64>, unwind: Unwind, function: bool) {
        let cie = match unwind {
            Unwind::Called { cfa, fp } => {
                let full = |open: &Open| function || open.end != range.start || open.rules.len() >= LONGEST;
                if self.open.as_ref().is_none_or(full) {
                    self.close();
                }
                let start = range.start;
                let open = self.open.get_or_insert(Open { start, end: start, rules: Vec::new() });
                open.rules.push((start, cfa, fp));
                open.end = range.end;
                return;
            }
            Unwind::End => self.end,
            Unwind::Interrupted { at, all } => self.trap(at, all),
        };
        self.close();
        self.entry(cie, range, |_| {});
    }

    fn close(&mut self) {
        let Some(open) = self.open.take() else { return };
        let frame = Register(self.machine.arch.frames.dwarf_fp);
        self.entry(self.called, open.start..open.end, |entry| {
            for (address, cfa, fp) in &open.rules {
                let at = u32::try_from(address - open.start).unwrap_or(u32::MAX);
                entry.add_instruction(at, cfa_rule(*cfa));
                entry.add_instruction(
                    at,
                    match *fp {
                        None => CallFrameInstruction::SameValue(frame),
                        Some(Saved::Cfa(offset)) => CallFrameInstruction::Offset(frame, offset as i32),
                        Some(Saved::Fp(offset)) => {
                            CallFrameInstruction::Expression(frame, place(frame, offset))
                        }
                    },
                );
            }
        });
    }

    fn entry(
        &mut self,
        cie: CieId,
        range: std::ops::Range<u64>,
        fill: impl FnOnce(&mut FrameDescriptionEntry),
    ) {
        let length = u32::try_from(range.end - range.start).unwrap_or(u32::MAX);
        let mut entry = FrameDescriptionEntry::new(Address::Constant(range.start), length);
        fill(&mut entry);
        self.out.add_fde(cie, entry);
    }

    fn trap(&mut self, at: Place, all: bool) -> CieId {
        if let Some(known) = self.interrupted.get(&(at, all)) {
            return *known;
        }
        let cie = self.out.add_cie(trap_rule(self.machine, self.unwind, at, all));
        self.interrupted.insert((at, all), cie);
        cie
    }

    fn finish(mut self) -> Result<Vec<u8>> {
        self.close();
        write(&self.out, self.machine)
    }
}

fn cfa_rule(cfa: Place) -> CallFrameInstruction {
    match cfa.then {
        None => CallFrameInstruction::Cfa(Register(cfa.dwarf), cfa.offset as i32),
        Some(_) => CallFrameInstruction::CfaExpression(address(cfa, 0)),
    }
}

/// What interrupted code had in its registers lies at `at`.
fn trap_rule(machine: Machine, table: &dyn Table, at: Place, all: bool) -> CommonInformationEntry {
    let trapped = table.trapped(all);
    let saved = |offset: u64| address(at, offset.cast_signed());
    let mut stack = saved(trapped.sp);
    stack.op_deref();
    let mut entry = new_entry(machine, return_column(machine));
    // The program counter that was interrupted is exact, not behind a call.
    entry.signal_trampoline = true;
    entry.add_instruction(CallFrameInstruction::CfaExpression(stack));
    let frame = trapped.fp.map(|fp| (machine.arch.frames.dwarf_fp, fp));
    let others =
        trapped.others.iter().copied().chain(frame).map(|(number, offset)| (Register(number), offset));
    for (register, offset) in others.chain([(return_column(machine), trapped.pc)]) {
        entry.add_instruction(CallFrameInstruction::Expression(register, saved(offset)));
    }
    entry
}

/// The address that is `more` bytes from a place.
fn address(at: Place, more: i64) -> Expression {
    match at.then {
        None => place(Register(at.dwarf), at.offset + more),
        Some(then) => {
            let mut expression = place(Register(at.dwarf), at.offset);
            expression.op_deref();
            expression.op_consts(then + more);
            expression.op(gimli::DW_OP_plus);
            expression
        }
    }
}

fn place(register: Register, offset: i64) -> Expression {
    let mut expression = Expression::new();
    expression.op_breg(register, offset);
    expression
}
