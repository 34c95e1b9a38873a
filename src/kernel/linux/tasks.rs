//! Tasks: processes (thread groups, led by their leaders) and their threads.

use super::cpus::Cpu;
use super::{Linux, registers};
use crate::kernel::fields::bad;
use crate::kernel::{Listing, Process, Thread, text};
use crate::space::Space;
use crate::symbols::Member;
use crate::{Error, Result};
use kgdbserver_arch::Va;
use std::collections::{HashMap, HashSet};

/// No system has more tasks: pids end at 4 Mi.
const LIMIT: usize = 1 << 22;

/// Idle tasks have no number of their own. Theirs begin where pids end.
const IDLE_TID: u64 = 1 << 22;

/// Names of the bits of a task's state, from the lowest on (include/trace/events/sched.h, fs/proc/array.c).
const STATES: &[(u64, char)] =
    &[(0x01, 'S'), (0x02, 'D'), (0x04, 'T'), (0x08, 't'), (0x10, 'X'), (0x20, 'Z'), (0x40, 'P')];
/// A task that waits uninterruptibly, and does not count as load.
const IDLE_STATE: u64 = 0x402;

impl Linux {
    /// The addresses of all thread group leaders but the idle task's.
    fn leaders(&self, mem: &Space) -> impl Iterator<Item = Result<Va>> {
        let head = Va(self.init_task.0.wrapping_add(self.task.tasks));
        list(mem, "task", head, self.task.tasks)
    }

    /// The addresses of a process's threads. The leader is among them, unless it is being taken apart.
    pub(super) fn threads_of(&self, mem: &Space, leader: Va) -> Vec<Result<Va>> {
        let signal = match mem.pointer(Va(leader.0.wrapping_add(self.task.signal))) {
            Ok(Va(0)) => return vec![Ok(leader)],
            Ok(signal) => signal,
            Err(error) => return vec![Err(error)],
        };
        let head = Va(signal.0.wrapping_add(self.task.thread_head));
        let mut threads: Vec<_> = list(mem, "thread", head, self.task.thread_node).collect();
        if !threads.iter().flatten().any(|thread| *thread == leader) {
            threads.insert(0, Ok(leader));
        }
        threads
    }

    /// The addresses of all tasks that are in a list: processes, each followed by its threads.
    pub(super) fn tasks(&self, mem: &Space) -> impl Iterator<Item = Result<Va>> {
        self.leaders(mem).flat_map(move |leader| match leader {
            Ok(leader) => self.threads_of(mem, leader),
            Err(error) => vec![Err(error)],
        })
    }

    pub(super) fn all_processes(&self, mem: &Space) -> Listing<Process> {
        let idle = std::iter::once(Ok(self.init_task));
        Listing::from_results(idle.chain(self.leaders(mem)).map(|va| self.process(mem, va?)))
    }

    pub(super) fn process(&self, mem: &Space, va: Va) -> Result<Process> {
        let parent = mem.pointer(Va(va.0.wrapping_add(self.task.real_parent)));
        let ppid = parent.and_then(|parent| mem.uint(Va(parent.0.wrapping_add(self.task.tgid)), 4));
        Ok(Process {
            va,
            pid: mem.uint(Va(va.0.wrapping_add(self.task.tgid)), 4)? as u32,
            ppid: ppid.ok().map(|pid| pid as u32),
            comm: self.comm(mem, va)?,
            state: self.state(mem, va),
        })
    }

    pub(super) fn all_threads(&self, mem: &Space) -> Result<Listing<Thread>> {
        let (cpus, why) = match self.present_cpus(mem) {
            Ok(cpus) => (cpus, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let crashed = self.crashed(mem, &cpus);
        let running: HashMap<Va, u32> = cpus.iter().map(|cpu| (cpu.current, cpu.number)).collect();
        let mut list = Listing { items: Vec::new(), problems: why.into_iter().collect() };
        let mut seen = HashSet::new();
        for thread in self.task_addresses(mem, &cpus) {
            match thread.and_then(|(va, idle)| self.thread(mem, va, idle, running.get(&va).copied())) {
                Ok(thread) if !seen.insert(thread.va) => {}
                Ok(thread) => list.items.push(Thread { crashed: Some(thread.va) == crashed, ..thread }),
                Err(error) => list.problems.push(error),
            }
        }
        // Where nothing crashed, a debugger begins with what somebody was doing.
        let rank = |thread: &Thread| match (thread.crashed, thread.on_cpu, thread.pid) {
            (true, ..) => 0,
            (_, Some(_), 1..) => 1,
            _ => 2,
        };
        list.items.sort_by_key(rank);
        Ok(list)
    }

    /// Every task, and the CPU whose idle task it is.
    fn task_addresses(&self, mem: &Space, cpus: &[Cpu]) -> Vec<Result<(Va, Option<u32>)>> {
        let mut all: Vec<Result<(Va, Option<u32>)>> =
            cpus.iter().map(|cpu| Ok((cpu.idle, Some(cpu.number)))).collect();
        if cpus.is_empty() {
            all.push(Ok((self.init_task, Some(0))));
        }
        all.extend(self.tasks(mem).map(|task| Ok((task?, None))));
        // A task that runs and is in no list any more is on its way out.
        all.extend(cpus.iter().map(|cpu| Ok((cpu.current, None))));
        all
    }

    fn thread(&self, mem: &Space, va: Va, idle: Option<u32>, on_cpu: Option<u32>) -> Result<Thread> {
        let number = |offset: u64| mem.uint(Va(va.0.wrapping_add(offset)), 4).map(|number| number as u32);
        let (pid, tgid) = (number(self.task.pid)?, number(self.task.tgid)?);
        let comm = self.comm(mem, va)?;
        let on_cpu = on_cpu.or_else(|| self.flagged_cpu(mem, va));
        let tid = match (pid, idle) {
            (0, cpu) => IDLE_TID + u64::from(cpu.unwrap_or(0)),
            (pid, _) => pid.into(),
        };
        let name = match self.leader_comm(mem, va, pid, tgid) {
            Some(leader) if leader != comm => format!("{leader}/{comm}"),
            _ => comm.clone(),
        };
        Ok(Thread {
            va,
            tid,
            pid: tgid,
            comm,
            name,
            state: self.state(mem, va),
            wait: None,
            on_cpu,
            crashed: false,
            saved: self.saved(mem, va, pid, on_cpu),
        })
    }

    /// The CPU of a running task, by what the task itself says.
    pub(super) fn flagged_cpu(&self, mem: &Space, va: Va) -> Option<u32> {
        number(mem, va, &self.task.on_cpu?).filter(|on_cpu| *on_cpu == 1)?;
        mem.uint(Va(va.0.wrapping_add(self.task.cpu?)), 4).ok().map(|cpu| cpu as u32)
    }

    fn leader_comm(&self, mem: &Space, va: Va, pid: u32, tgid: u32) -> Option<String> {
        if pid == tgid {
            return None;
        }
        let leader = self.fields(mem).pointer(va, "task_struct", "group_leader").ok()?;
        self.comm(mem, leader).ok()
    }

    pub(super) fn comm(&self, mem: &Space, va: Va) -> Result<String> {
        let mut bytes = vec![0; self.task.comm_bytes];
        mem.read_exact(Va(va.0.wrapping_add(self.task.comm)), &mut bytes)?;
        Ok(text(bytes.split(|byte| *byte == 0).next().unwrap_or_default()))
    }

    pub(super) fn state(&self, mem: &Space, va: Va) -> Option<char> {
        let (state, exit) = (number(mem, va, &self.task.state)?, number(mem, va, &self.task.exit_state)?);
        if state & IDLE_STATE == IDLE_STATE && exit == 0 {
            return Some('I');
        }
        let bits = state | exit;
        Some(STATES.iter().find(|(bit, _)| bits & bit != 0).map_or('R', |(_, letter)| *letter))
    }

    pub(super) fn saved(&self, mem: &Space, va: Va, pid: u32, on_cpu: Option<u32>) -> crate::kernel::Saved {
        registers::saved(self, mem, va, pid, on_cpu)
    }
}

/// A member that is a number; how many bytes it has is the release's choice.
fn number(mem: &Space, task: Va, member: &Member) -> Option<u64> {
    mem.uint(Va(task.0.wrapping_add(member.offset)), usize::try_from(member.size).ok()?).ok()
}

/// The structures of a `list_head` list that are linked by the member at `member` bytes; the head itself is none.
pub(super) fn list(
    mem: &Space,
    what: &'static str,
    head: Va,
    member: u64,
) -> impl Iterator<Item = Result<Va>> {
    let mut seen = HashSet::new();
    let mut before = head;
    let mut next = Some(mem.pointer(head));
    std::iter::from_fn(move || {
        let link = match next.take()? {
            Ok(link) if link == head => return None,
            Ok(link) => link,
            Err(error) => return Some(Err(error)),
        };
        let va = Va(link.0.wrapping_sub(member));
        if !seen.insert(link) || seen.len() > LIMIT {
            return Some(Err(bad(what, va, "the list comes back to it")));
        }
        if mem.is_live() && !leads_back(mem, link, before) {
            return Some(Err(bad(what, va, "it left the list while that was walked")));
        }
        before = link;
        match mem.pointer(link) {
            Ok(after) => {
                next = Some(Ok(after));
                Some(Ok(va))
            }
            Err(error) => Some(Err(Error::BadStructure { what, va, why: error.to_string() })),
        }
    })
}

/// Whether a link's `prev` is the link that led to it. A task that ends keeps its `next`, so that others may go on from it;
/// and its memory may soon be another task's, whose `next` is the end of the list.
fn leads_back(mem: &Space, link: Va, before: Va) -> bool {
    let prev = Va(link.0.wrapping_add(mem.machine.ptr_bytes.into()));
    mem.pointer(prev).is_ok_and(|prev| prev == before)
}

#[cfg(test)]
mod tests;
