//! Threads: the lwps of processes, and the kernel's own, which belong to no process.

use super::procs::{self, Proc};
use super::{Fields, Listing, globaldata, lists, lwkt};
use crate::kernel::fields::{bad, offset};
use crate::kernel::kinfo::Stat;
use crate::kernel::{Saved, Thread, asleep};
use crate::{Error, Result};
use kgdbserver_arch::{Machine, Registers, Slot, Va};
use std::collections::HashSet;

/// No process has more threads.
const LWP_LIMIT: usize = 1 << 17;
/// A red-black tree of as many nodes as there are addresses is no deeper.
const DEPTH_LIMIT: usize = 128;
/// An lwp's number is unique only in its process: its bits in a thread's number, below the pid.
const LWP_BITS: u32 = 20;
/// Kernel threads have no number. They get one that no lwp can have.
const KERNEL_TID: u64 = 1 << 52;
/// No `struct pcb` is larger.
const PCB_LIMIT: usize = 4096;
/// `td_flags`: only a mark of someone who walks the list.
const TDF_MARKER: u64 = 0x2000;

/// Registers and the members of `struct pcb` that keep them.
const PCB: &[(&str, &str)] = &[
    ("r15", "pcb_r15"),
    ("r14", "pcb_r14"),
    ("r13", "pcb_r13"),
    ("r12", "pcb_r12"),
    ("rbp", "pcb_rbp"),
    ("rsp", "pcb_rsp"),
    ("rbx", "pcb_rbx"),
    ("rip", "pcb_rip"),
];

/// A thread of a process.
pub(super) struct Lwp {
    pub(super) va: Va,
    pub(super) tid: u32,
    pub(super) thread: Va,
}

/// What the CPUs were doing.
struct Cpus {
    /// Each one's `struct globaldata`.
    data: Vec<Va>,
    /// The thread that each was running.
    running: Vec<Va>,
    /// The thread that panicked, and where its registers are.
    dumped: Option<(Va, Va)>,
}

/// The lwps of a process, in the order of their numbers.
pub(super) fn of(fields: &Fields<'_>, proc: &Proc) -> Listing<Lwp> {
    let nodes = match fields.pointer(proc.va, "proc", "p_lwp_tree.rbh_root") {
        Ok(root) => in_order(fields, root),
        Err(error) => vec![Err(error)],
    };
    Listing::from_results(nodes.into_iter().map(|va| lwp(fields, proc, va?)))
}

/// The nodes of a red-black tree from the leftmost to the rightmost. A node that is met twice or cannot be read is lost
/// with what hangs below it.
fn in_order(fields: &Fields<'_>, root: Va) -> Vec<Result<Va>> {
    let child = |va: Va, side: &str| fields.pointer(va, "lwp", &format!("u.lwp_rbnode.{side}"));
    let (mut seen, mut above, mut nodes) = (HashSet::new(), Vec::new(), Vec::new());
    let mut here = root;
    loop {
        while here != Va(0) {
            if !seen.insert(here) || above.len() >= DEPTH_LIMIT || seen.len() > LWP_LIMIT {
                nodes.push(Err(bad("lwp", here, "the tree comes back to it")));
                break;
            }
            match child(here, "rbe_left") {
                Ok(left) => {
                    above.push(here);
                    here = left;
                }
                Err(error) => {
                    nodes.push(Err(error));
                    break;
                }
            }
        }
        let Some(node) = above.pop() else { return nodes };
        nodes.push(Ok(node));
        here = child(node, "rbe_right").unwrap_or_else(|error| {
            nodes.push(Err(error));
            Va(0)
        });
    }
}

fn lwp(fields: &Fields<'_>, proc: &Proc, va: Va) -> Result<Lwp> {
    if fields.pointer(va, "lwp", "lwp_proc")? != proc.va {
        return Err(bad("lwp", va, "it belongs to another process"));
    }
    let tid = fields.int(va, "lwp", "lwp_tid")?;
    let in_range = u32::try_from(tid).ok().filter(|tid| tid >> LWP_BITS == 0);
    let tid = in_range.ok_or_else(|| bad("lwp", va, format!("its number is {tid}")))?;
    Ok(Lwp { va, tid, thread: fields.pointer(va, "lwp", "lwp_thread")? })
}

/// The state of `lwp_stat`: enum lwpstat is LSRUN 1, LSSTOP 2, LSSLEEP 3.
pub(super) fn stat(fields: &Fields<'_>, lwp: &Lwp) -> Option<Stat> {
    match fields.uint(lwp.va, "lwp", "lwp_stat").ok()? {
        1 => Some(Stat::Run),
        2 => Some(Stat::Stop),
        3 => Some(Stat::Sleep),
        _ => None,
    }
}

/// What a thread sleeps on.
pub(super) fn wait_message(fields: &Fields<'_>, thread: Va) -> Option<String> {
    fields.text(thread, "thread", "td_wmesg").ok().filter(|message| !message.is_empty())
}

/// All threads, the one that panicked first.
pub(super) fn all(fields: &Fields<'_>) -> Result<Listing<Thread>> {
    let procs = procs::all(fields)?;
    let cpus = Cpus::find(fields);
    let mut list = Listing { items: Vec::new(), problems: procs.problems };
    for proc in &procs.items {
        let lwps = of(fields, proc);
        list.problems.extend(lwps.problems);
        list.items.extend(lwps.items.iter().map(|lwp| of_lwp(fields, &cpus, proc, lwp)));
    }
    let known: HashSet<Va> = list.items.iter().map(|thread| thread.va).collect();
    let own = kernel_threads(fields, &cpus);
    list.problems.extend(own.problems);
    let own = own.items.into_iter().filter(|va| !known.contains(va));
    list.items.extend((KERNEL_TID..).zip(own).map(|(tid, va)| of_kernel(fields, &cpus, tid, va)));
    list.items.sort_by_key(|thread| !thread.crashed);
    Ok(list)
}

/// A thread's number among all of the system's.
pub(crate) fn thread_number(pid: u32, lwp: u64) -> u64 {
    (u64::from(pid) << LWP_BITS | lwp).max(1)
}

fn of_lwp(fields: &Fields<'_>, cpus: &Cpus, proc: &Proc, lwp: &Lwp) -> Thread {
    let own = fields.text(lwp.thread, "thread", "td_comm").unwrap_or_default();
    let differs = !own.is_empty() && own != proc.comm;
    let on_cpu = cpus.of(lwp.thread);
    Thread {
        va: lwp.thread,
        tid: thread_number(proc.pid, lwp.tid.into()),
        pid: proc.pid,
        name: if differs { format!("{}/{own}", proc.comm) } else { proc.comm.clone() },
        comm: if differs { own } else { proc.comm.clone() },
        state: on_cpu.map(|_| 'R').or_else(|| stat(fields, lwp).map(|stat| stat.letter())),
        wait: wait_message(fields, lwp.thread),
        on_cpu,
        crashed: cpus.has_dumped(lwp.thread),
        saved: cpus.saved(fields, lwp.thread, on_cpu),
    }
}

fn of_kernel(fields: &Fields<'_>, cpus: &Cpus, tid: u64, va: Va) -> Thread {
    let name = fields.text(va, "thread", "td_comm").unwrap_or_default();
    let on_cpu = cpus.of(va);
    let crashed = cpus.has_dumped(va);
    Thread {
        va,
        tid,
        pid: 0,
        comm: name.clone(),
        name,
        state: on_cpu.map(|_| 'R'),
        wait: wait_message(fields, va),
        on_cpu,
        crashed,
        saved: if crashed || on_cpu.is_some() {
            cpus.saved(fields, va, on_cpu)
        } else {
            lwkt::saved(fields, va)
        },
    }
}

/// The threads on the lists of all CPUs, marks left out.
fn kernel_threads(fields: &Fields<'_>, cpus: &Cpus) -> Listing<Va> {
    let link = match fields.member("thread", "td_allq.tqe_next") {
        Ok(member) => member.offset,
        Err(error) => return Listing { items: Vec::new(), problems: vec![error] },
    };
    let heads = cpus.data.iter().map(|data| fields.pointer(*data, "globaldata", "gd_tdallq.tqh_first"));
    let walks = heads.flat_map(|head| {
        let first = head.as_ref().map_or(Va(0), |first| *first);
        head.err().map(Err).into_iter().chain(lists::walk(fields.mem, "thread", first, link))
    });
    let mut list = Listing::from_results(walks);
    list.items.retain(|va| fields.uint(*va, "thread", "td_flags").is_ok_and(|flags| flags & TDF_MARKER == 0));
    list
}

impl Cpus {
    fn find(fields: &Fields<'_>) -> Self {
        let data = globaldata::all(fields).unwrap_or_default();
        let running = |data: &Va| fields.pointer(*data, "globaldata", "gd_curthread").unwrap_or_default();
        let dumped = fields.head("dumpthread").ok().filter(|thread| thread.0 != 0 && !fields.mem.is_live());
        Self {
            running: data.iter().map(running).collect(),
            data,
            dumped: dumped.zip(fields.variable("dumppcb").ok()),
        }
    }

    /// The CPU that was running a thread.
    fn of(&self, thread: Va) -> Option<u32> {
        let cpu = self.running.iter().position(|running| *running == thread && thread.0 != 0)?;
        u32::try_from(cpu).ok()
    }

    fn has_dumped(&self, thread: Va) -> bool {
        self.dumped.is_some_and(|(dumped, _)| dumped == thread)
    }

    fn saved(&self, fields: &Fields<'_>, thread: Va, on_cpu: Option<u32>) -> Saved {
        match (self.dumped, on_cpu) {
            (Some((dumped, pcb)), _) if dumped == thread => Saved::Stopped(pcb),
            (_, Some(_)) if fields.mem.is_live() => Saved::Nowhere("it is running"),
            (_, Some(cpu)) => stopped(fields, cpu),
            (_, None) => match fields.pointer(thread, "thread", "td_pcb") {
                Ok(Va(0)) | Err(_) => Saved::Nowhere("the thread has no pcb"),
                Ok(pcb) => Saved::Switched(pcb),
            },
        }
    }
}

/// Where a CPU saved its registers when it was stopped: `stoppcbs`, an array.
fn stopped(fields: &Fields<'_>, cpu: u32) -> Saved {
    let place = || -> Result<Va> {
        offset(fields.variable("stoppcbs")?, fields.size_of("pcb")?.saturating_mul(cpu.into()))
    };
    place().map_or(Saved::Nowhere("it was running, and the kernel has no stoppcbs"), Saved::Stopped)
}

/// The registers of a thread: a kernel thread that was not running has them on its stack, all others in a pcb.
pub(super) fn registers(fields: &Fields<'_>, thread: &Thread) -> Result<Registers> {
    if !fields.mem.is_live() {
        return registers_at(fields, thread);
    }
    asleep::registers(fields.mem.machine, || {
        let sleeps = Cpus::find(fields).of(thread.va).is_none();
        sleeps.then(|| registers_at(fields, thread)).transpose()
    })
}

fn registers_at(fields: &Fields<'_>, thread: &Thread) -> Result<Registers> {
    match thread.saved {
        Saved::Noted(_) | Saved::Nowhere(_) => Ok(Registers::unknown(fields.mem.machine)),
        Saved::Switched(stack) if thread.tid >= KERNEL_TID => lwkt::registers(fields, stack),
        Saved::Switched(pcb) | Saved::Stopped(pcb) => of_pcb(fields, pcb),
    }
}

fn of_pcb(fields: &Fields<'_>, pcb: Va) -> Result<Registers> {
    let machine = fields.mem.machine;
    let mut registers = Registers::unknown(machine);
    let saved =
        |(name, member): &(&str, &str)| slot(machine, name, fields.member("pcb", member)?.offset as usize);
    let slots = PCB.iter().map(saved).collect::<Result<Vec<_>>>()?;
    let size = usize::try_from(fields.size_of("pcb")?).unwrap_or(PCB_LIMIT).min(PCB_LIMIT);
    let mut bytes = vec![0; size];
    let got = fields.mem.read(pcb, &mut bytes)?;
    registers.load(&slots, bytes.get(..got).unwrap_or_default());
    Ok(registers)
}

/// Where a register was saved, by its name; an error on a machine that has no such register.
pub(super) fn slot(machine: Machine, name: &str, offset: usize) -> Result<Slot> {
    let unknown = || Error::Unsupported(format!("DragonFly on {}", machine.arch.name));
    let reg = machine.arch.regs.iter().position(|reg| reg.name == name).ok_or_else(unknown)?;
    Ok(Slot { reg, offset })
}
