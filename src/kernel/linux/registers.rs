//! Where the registers of tasks are.

mod asleep;

use super::{Linux, noted};
use crate::kernel::{Saved, Thread};
use crate::space::Space;
use crate::{Error, Result};
use kgdbserver_arch::{At, Goes, Registers, Structure, Switched, UserAt, Va};

/// The place of a task's registers: a note of the image for a task that runs, else where the switch left them.
pub(super) fn saved(linux: &Linux, mem: &Space, task: Va, pid: u32, on_cpu: Option<u32>) -> Saved {
    match on_cpu {
        Some(cpu) => match noted::find(linux, mem, pid, cpu) {
            Some(index) => Saved::Noted(index),
            None if mem.is_live() => Saved::Nowhere("it is running"),
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

/// Where a sleeping task's registers are, and what they look like; none if the kernel's types know no such structure.
fn switched(linux: &Linux, mem: &Space, task: Va) -> Result<Option<(Va, &'static Switched)>> {
    let types = linux.symbols.types();
    let known = |row: &&Switched| {
        types.size_of(row.structure.name).is_some() && types.member("task_struct", row.member).is_some()
    };
    let Some(row) = linux.table.switched.iter().find(known) else { return Ok(None) };
    let fields = linux.fields(mem);
    let member = fields.at(task, "task_struct", row.member)?;
    let va = match row.at {
        At::Member => member,
        At::Pointer => mem.pointer(member)?,
        At::FrameEnd => {
            let caller = mem.pointer(mem.pointer(member)?)?;
            Va(caller.0.wrapping_sub(fields.size_of(row.structure.name)?))
        }
    };
    Ok(Some((va, row)))
}

/// Where a switched task goes on, if that is not among its registers.
fn goes_on(linux: &Linux, mem: &Space, task: Va, row: &Switched) -> Option<u64> {
    let fields = linux.fields(mem);
    match row.goes {
        Goes::Saved => None,
        Goes::Member(name) => Some(fields.pointer(task, "task_struct", name).ok()?.0),
        Goes::BehindCall { caller, callee, find } => {
            /// No function that switches is larger.
            const LIMIT: usize = 16 << 10;
            let (caller, callee) = (fields.variable(caller).ok()?, fields.variable(callee).ok()?);
            let mut code = vec![0; LIMIT];
            let got = mem.read(caller, &mut code).ok()?;
            find(code.get(..got)?, caller.0, callee.0)
        }
    }
}

/// A thread's registers, as far as they were saved.
pub(super) fn read(linux: &Linux, mem: &Space, thread: &Thread) -> Result<Registers> {
    if mem.is_live() { asleep::read(linux, mem, thread) } else { saved_registers(linux, mem, thread) }
}

fn saved_registers(linux: &Linux, mem: &Space, thread: &Thread) -> Result<Registers> {
    let mut registers = Registers::unknown(linux.machine);
    match thread.saved {
        Saved::Noted(index) => {
            registers = noted::read(linux, index);
        }
        Saved::Switched(va) => {
            let Some((_, row)) = switched(linux, mem, thread.va)? else { return Ok(registers) };
            load(linux, mem, &row.structure, va, &mut registers)?;
            if row.sp_behind {
                let size = linux.fields(mem).size_of(row.structure.name)?;
                registers.set(linux.machine.arch.sp, va.0.wrapping_add(size));
            }
            if let Some(pc) = goes_on(linux, mem, thread.va, row) {
                registers.set(linux.machine.arch.pc, pc);
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
    let running = read(linux, mem, thread).unwrap_or_else(|_| Registers::unknown(linux.machine));
    if thread.on_cpu.is_some() && in_user_space(linux, &running) {
        return Ok(running);
    }
    let none = |why: &str| Error::Unsupported(format!("thread {} has no user registers: {why}", thread.tid));
    if linux.memory_of(mem, thread.va)?.is_none() {
        return Err(none("it is the kernel's own"));
    }
    let structure = &linux.table.user.structure;
    let read_at = |va: Va| {
        let mut registers = Registers::unknown(linux.machine);
        load(linux, mem, structure, va, &mut registers).map(|()| registers)
    };
    match linux.table.user.at {
        UserAt::Member(name) => match fields.pointer(thread.va, "task_struct", name)? {
            Va(0) => Err(none("it never was there")),
            va => read_at(va),
        },
        UserAt::StackEnd(above) => {
            let end = fields.pointer(thread.va, "task_struct", "stack")?.0;
            let end = end.wrapping_add(stack_size(linux, mem, thread.va)?);
            let size = fields.size_of(structure.name)?;
            let mut places = above.iter().map(|above| Va(end.wrapping_sub(size).wrapping_sub(*above)));
            let theirs = |va| read_at(va).ok().filter(|registers| in_user_space(linux, registers));
            places.find_map(theirs).ok_or_else(|| none("its stack has none of such"))
        }
    }
}

/// Whether registers are of user space.
fn in_user_space(linux: &Linux, registers: &Registers) -> bool {
    match &linux.table.user.mode {
        Some(mode) => registers.get(mode.reg).is_some_and(|value| value & mode.mask == mode.value),
        None => {
            let last = linux.told.paging.as_ref().map_or(0, |paging| paging.user.last().0);
            registers.pc().is_some_and(|pc| pc <= last)
        }
    }
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
