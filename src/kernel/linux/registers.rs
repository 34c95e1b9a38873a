//! Where the registers of tasks are.

use super::Linux;
use crate::kernel::{Saved, Thread};
use crate::space::Space;
use crate::{Error, Result};
use kgdbserver_arch::{Registers, Structure, Switched, Va};

/// The place of a task's registers: a note of the image for a task that runs, else where the switch left them.
pub(super) fn saved(linux: &Linux, mem: &Space, task: Va, pid: u32, on_cpu: Option<u32>) -> Saved {
    match on_cpu {
        Some(cpu) => match note(linux, pid, cpu) {
            Some(index) => Saved::Noted(index),
            None => Saved::Nowhere("it was running, and the image has no registers of its CPU"),
        },
        // What thread.sp says then is stale.
        None if linux.fields(mem).pointer(task, "task_struct", "stack").is_ok_and(|stack| stack.0 == 0) => {
            Saved::Nowhere("it has exited, and its stack is gone")
        }
        None => match switched(linux, mem, task) {
            Ok(Some((va, _))) => Saved::Switched(va),
            Ok(None) => Saved::Nowhere("the kernel's types do not tell where switched tasks keep registers"),
            Err(_) => Saved::Nowhere("the pointer to its stack cannot be read"),
        },
    }
}

/// Which of the image's notes is a CPU's.
///
/// QEMU writes one for every CPU, and the CPU's number plus one for a pid. A kernel that crashed leaves out CPUs that did
/// not answer, and writes pids: those of idle tasks are all 0, and only count if no CPU is missing.
fn note(linux: &Linux, pid: u32, cpu: u32) -> Option<usize> {
    let notes = &linux.told.prstatus;
    let at = linux.table.prstatus.pid;
    let pid_of = |note: &Vec<u8>| note.get(at..at + 4).map(|bytes| linux.machine.uint(bytes) as u32);
    let mut by_cpu = notes.iter().zip(1..);
    let (index, of_all) = (cpu as usize, notes.len() >= linux.present);
    if by_cpu.all(|(note, number)| pid_of(note) == Some(number)) || pid == 0 && of_all {
        return notes.get(index).map(|_| index);
    }
    let own = |note: &Vec<u8>| pid_of(note) == Some(pid);
    notes.iter().position(own).filter(|_| pid != 0)
}

/// Where a sleeping task's registers are, and what they look like; none if the kernel's types know no such structure.
fn switched(linux: &Linux, mem: &Space, task: Va) -> Result<Option<(Va, &'static Switched)>> {
    let types = linux.symbols.types();
    let known = |row: &&Switched| {
        types.size_of(row.structure.name).is_some() && types.member("task_struct", row.member).is_some()
    };
    let Some(row) = linux.table.switched.iter().find(known) else { return Ok(None) };
    let at = linux.fields(mem).at(task, "task_struct", row.member)?;
    Ok(Some((if row.pointer { mem.pointer(at)? } else { at }, row)))
}

/// A thread's registers, as far as they were saved.
pub(super) fn read(linux: &Linux, mem: &Space, thread: &Thread) -> Result<Registers> {
    let mut registers = Registers::unknown(linux.machine);
    match thread.saved {
        Saved::Noted(index) => {
            let note = linux.told.prstatus.get(index).map(Vec::as_slice).unwrap_or_default();
            registers.load(linux.table.prstatus.slots, note);
        }
        Saved::Switched(va) => {
            let Some((_, row)) = switched(linux, mem, thread.va)? else { return Ok(registers) };
            load(linux, mem, &row.structure, va, &mut registers)?;
            if row.sp_behind {
                let size = linux.fields(mem).size_of(row.structure.name)?;
                registers.set(linux.machine.arch.sp, va.0.wrapping_add(size));
            }
        }
        Saved::Stopped(_) | Saved::Nowhere(_) => {}
    }
    Ok(registers)
}

/// What a task had in its registers when it entered the kernel: at the top of its stack, or what its CPU has if it is in user
/// space.
pub(super) fn user(linux: &Linux, mem: &Space, thread: &Thread) -> Result<Registers> {
    let fields = linux.fields(mem);
    let last = linux.told.paging.as_ref().map_or(0, |paging| paging.user.last.0);
    let running = read(linux, mem, thread).unwrap_or_else(|_| Registers::unknown(linux.machine));
    if thread.on_cpu.is_some() && running.pc().is_some_and(|pc| pc <= last) {
        return Ok(running);
    }
    let none = |why: &str| Error::Unsupported(format!("thread {} has no user registers: {why}", thread.tid));
    if linux.memory_of(mem, thread.va)?.is_none() {
        return Err(none("it is the kernel's own"));
    }
    let stack = fields.pointer(thread.va, "task_struct", "stack")?;
    let structure = &linux.table.user;
    let below = stack_size(linux, mem, thread.va)?
        .checked_sub(fields.size_of(structure.name)?)
        .ok_or_else(|| none("its stack is too small"))?;
    let mut registers = Registers::unknown(linux.machine);
    load(linux, mem, structure, Va(stack.0.wrapping_add(below)), &mut registers)?;
    Ok(registers)
}

/// Bytes of a kernel stack (`THREAD_SIZE`), which depend on the kernel's configuration. Not every kernel's types know the
/// union of a stack and what lies at its bottom; a stack that was mapped for the task (`VMAP_STACK`) tells its pages.
fn stack_size(linux: &Linux, mem: &Space, task: Va) -> Result<u64> {
    let fields = linux.fields(mem);
    let symbol = |name| linux.symbols.address(name).map(|va| va.0);
    let first_stack = || symbol("__end_init_task")?.checked_sub(symbol("init_stack")?);
    let mapped = || {
        let area = fields.pointer(task, "task_struct", "stack_vm_area").ok().filter(|area| area.0 != 0)?;
        let pages = fields.uint(area, "vm_struct", "nr_pages").ok()?;
        pages.checked_mul(linux.told.info.number("PAGESIZE")?)
    };
    let size = linux.symbols.types().size_of("thread_union").or_else(mapped).or_else(first_stack);
    size.ok_or_else(|| Error::Unsupported("the size of kernel stacks is needed, and nothing tells it".into()))
}

/// Reads registers from the members of a structure.
fn load(linux: &Linux, mem: &Space, structure: &Structure, va: Va, registers: &mut Registers) -> Result<()> {
    for named in structure.members {
        let member = linux.symbols.types().require(structure.name, named.member)?;
        let size = usize::try_from(member.element_size)
            .map_err(|_| Error::Unsupported(format!("{}.{} is no register", structure.name, named.member)))?;
        let at = member.offset.saturating_add(member.element_size.saturating_mul(named.index));
        registers.set(named.reg, mem.uint(Va(va.0.wrapping_add(at)), size)?);
    }
    Ok(())
}
