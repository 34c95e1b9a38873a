//! Rows of getprocs.

use super::{Linux, memory};
use crate::Result;
use crate::kernel::fields::Fields;
use crate::kernel::kinfo::{KinfoProc, Stat};
use crate::kernel::{Listing, Process, Thread};
use crate::space::Space;
use kgdbserver_arch::Va;
use std::collections::HashMap;

/// `ki_kiflag`: has a terminal, leads a session.
const KI_CTTY: u32 = 1;
const KI_SLEADER: u32 = 2;
/// The static priority of a task whose nice value is 0.
const NICE_0: i64 = 120;
/// `NGROUPS_MAX`.
const GROUP_LIMIT: u64 = 1 << 16;
/// What `sa_handler` is of a signal that is treated as usual, and of one that is ignored.
const SIG_DFL: u64 = 0;
const SIG_IGN: u64 = 1;

impl Linux {
    /// The rows of getprocs: one for every process, by its first thread, or one for every thread.
    pub(super) fn kinfo(&self, mem: &Space, threads: bool) -> Result<Listing<KinfoProc>> {
        let fields = self.fields(mem);
        let Listing { items: processes, mut problems } = self.all_processes(mem);
        let tasks = self.all_threads(mem)?;
        let rows = processes.iter().map(|process| (process.pid, self.process_row(&fields, process)));
        if !threads {
            let first: HashMap<Va, &Thread> = tasks.items.iter().map(|thread| (thread.va, thread)).collect();
            let row = |(_, row): (u32, KinfoProc)| match first.get(&row.paddr) {
                Some(thread) => thread_row(&fields, thread, row),
                None => row,
            };
            return Ok(Listing { items: rows.map(row).collect(), problems });
        }
        let rows: HashMap<u32, KinfoProc> = rows.collect();
        let row = |thread: &Thread| Some(thread_row(&fields, thread, rows.get(&thread.pid)?.clone()));
        problems.extend(tasks.problems);
        Ok(Listing { items: tasks.items.iter().filter_map(row).collect(), problems })
    }

    /// What a row says of the process itself.
    fn process_row(&self, fields: &Fields<'_>, process: &Process) -> KinfoProc {
        let task = process.va;
        let number = |name| fields.uint(task, "task_struct", name).ok();
        let flag = |name| number(name).map(|value| value as u32);
        let micros = |name| number(name).map(|nanos| nanos / 1000);
        let mut row = KinfoProc {
            paddr: task,
            pid: process.pid,
            comm: process.comm.clone(),
            ppid: process.ppid,
            fd: self.descriptors(fields, task).ok().flatten(),
            xstat: flag("exit_code"),
            flag: flag("flags"),
            traceflag: flag("ptrace"),
            nice: number("static_prio")
                .and_then(|prio| i32::try_from(prio.cast_signed().saturating_sub(NICE_0)).ok()),
            // Until 5.5 it had another name.
            start: micros("start_boottime").or_else(|| micros("real_start_time")),
            ..KinfoProc::default()
        };
        credentials(fields, task, &mut row);
        if let Ok(signal @ Va(1..)) = fields.pointer(task, "task_struct", "signal") {
            self.group(fields, task, signal, &mut row);
            self.times(fields, task, signal, &mut row);
        }
        signals(fields, task, &mut row);
        if let Ok(Some(mm)) = self.memory_of(fields.mem, task) {
            memory::fill(fields, mm, self.page_size(), &mut row);
        }
        row
    }

    /// Process group, session and terminal.
    fn group(&self, fields: &Fields<'_>, task: Va, signal: Va, row: &mut KinfoProc) {
        let of = |name| fields.uint(signal, "signal_struct", name).ok();
        row.numthreads = of("nr_threads").map(|count| count as u32);
        row.acflag = of("pacct.ac_flag").map(|flags| flags as u32);
        row.pgid = self.identity(fields, task, signal, "PIDTYPE_PGID");
        row.sid = self.identity(fields, task, signal, "PIDTYPE_SID");
        let Some(tty) = of("tty").map(Va) else { return };
        let leader = of("leader").is_some_and(|leader| leader != 0);
        row.kiflag = Some(if tty.0 == 0 { 0 } else { KI_CTTY } | if leader { KI_SLEADER } else { 0 });
        if tty.0 == 0 {
            return;
        }
        row.tdev = device(fields, tty).ok();
        // Since 5.15 they are in a structure of their own.
        let pid = |newer, older| {
            let pid = fields
                .pointer(tty, "tty_struct", newer)
                .or_else(|_| fields.pointer(tty, "tty_struct", older));
            number_of(fields, pid.ok()?)
        };
        row.tpgid = pid("ctrl.pgrp", "pgrp");
        row.tsid = pid("ctrl.session", "session");
    }

    /// The number of a process's group or session.
    fn identity(&self, fields: &Fields<'_>, task: Va, signal: Va, kind: &str) -> Option<u32> {
        let kind = fields.symbols.types().enumerator(kind)?.cast_unsigned();
        // Until 4.19 every task had them for itself, in links.
        let at = match fields.has("signal_struct", "pids") {
            true => fields.element(signal, "signal_struct", "pids", kind).ok()?,
            false => {
                fields.at(fields.element(task, "task_struct", "pids", kind).ok()?, "pid_link", "pid").ok()?
            }
        };
        number_of(fields, fields.mem.pointer(at).ok()?)
    }

    /// What its threads have used of the CPUs, those that have ended included.
    fn times(&self, fields: &Fields<'_>, task: Va, signal: Va, row: &mut KinfoProc) {
        let threads: Vec<Va> = self.threads_of(fields.mem, task).into_iter().flatten().collect();
        let sum = |ended, name| {
            let ended = fields.uint(signal, "signal_struct", ended).ok()?;
            let own = |thread: &Va| fields.uint(*thread, "task_struct", name).ok();
            threads.iter().try_fold(ended, |sum, thread| Some(sum.wrapping_add(own(thread)?)))
        };
        let Some(runtime) = sum("sum_sched_runtime", "se.sum_exec_runtime") else { return };
        row.runtime = Some(runtime / 1000);
        let Some((user, system)) = sum("utime", "utime").zip(sum("stime", "stime")) else { return };
        // Where the processor itself counts what a task gets (VIRT_CPU_ACCOUNTING_NATIVE: s390x), they are what they seem.
        if fields.symbols.address("vtime_flush").is_some() {
            (row.utime, row.stime) = (Some(user / 1000), Some(system / 1000));
            return;
        }
        // Else only the proportion counts: each tick is booked to whatever it happens to meet. Until 4.11 they were
        // counted in ticks, and not in nanoseconds.
        let (all, share) = (u128::from(user) + u128::from(system), u128::from(system) * u128::from(runtime));
        let system = share.checked_div(all).and_then(|share| u64::try_from(share).ok()).unwrap_or(0);
        row.stime = Some(system / 1000);
        row.utime = Some(runtime.saturating_sub(system) / 1000);
    }

    fn page_size(&self) -> u64 {
        self.told.info.number("PAGESIZE").filter(|size| size.is_power_of_two()).unwrap_or(4096)
    }
}

/// What a row says of a thread.
fn thread_row(fields: &Fields<'_>, thread: &Thread, row: KinfoProc) -> KinfoProc {
    let bytes = |name| fields.bytes(thread.va, "task_struct", name).ok();
    let number = |name| fields.uint(thread.va, "task_struct", name).ok();
    let priority = |name| u8::try_from(number(name)?).ok();
    let pri =
        || Some([priority("policy")?, priority("prio")?, priority("static_prio")?, priority("normal_prio")?]);
    KinfoProc {
        stat: thread.state.map(stat),
        tid: Some(thread.tid),
        tdname: Some(thread.comm.clone()),
        siglist: bytes("pending.signal"),
        sigmask: bytes("blocked"),
        pri: pri(),
        lastcpu: number("thread_info.cpu").or_else(|| number("cpu")).map(|cpu| cpu as u32),
        oncpu: thread.on_cpu,
        ..row
    }
}

/// The state that a BSD would call it.
fn stat(letter: char) -> Stat {
    match letter {
        'R' => Stat::Run,
        'T' | 't' => Stat::Stop,
        'Z' | 'X' => Stat::Zombie,
        _ => Stat::Sleep,
    }
}

/// The number that a `struct pid` has in the first namespace of all.
fn number_of(fields: &Fields<'_>, pid: Va) -> Option<u32> {
    if pid.0 == 0 {
        return None;
    }
    let first = fields.element(pid, "pid", "numbers", 0).ok()?;
    fields.u32(first, "upid", "nr").ok()
}

/// A terminal's device, as user programs see it.
fn device(fields: &Fields<'_>, tty: Va) -> Result<u32> {
    let driver = fields.pointer(tty, "tty_struct", "driver")?;
    let major = fields.u32(driver, "tty_driver", "major")?;
    let minor = fields.u32(driver, "tty_driver", "minor_start")?.wrapping_add(fields.u32(
        tty,
        "tty_struct",
        "index",
    )?);
    Ok(minor & 0xff | major << 8 | (minor & !0xff) << 12)
}

fn credentials(fields: &Fields<'_>, task: Va, row: &mut KinfoProc) {
    let Ok(cred) = fields.pointer(task, "task_struct", "real_cred") else { return };
    let number = |name| fields.u32(cred, "cred", name).ok();
    row.uid = number("euid");
    row.ruid = number("uid");
    row.svuid = number("suid");
    row.rgid = number("gid");
    row.svgid = number("sgid");
    let others = fields.pointer(cred, "cred", "group_info").and_then(|info| groups(fields, info));
    row.groups = number("egid").zip(others.ok()).map(|(first, others)| [vec![first], others].concat());
}

/// Until 4.9 the first 32 lay in an array, and the others elsewhere.
fn groups(fields: &Fields<'_>, info: Va) -> Result<Vec<u32>> {
    let count = fields.uint(info, "group_info", "ngroups")?.min(GROUP_LIMIT);
    let (list, limit) =
        if fields.has("group_info", "gid") { ("gid", count) } else { ("small_block", count.min(32)) };
    let group = |number| Ok(fields.mem.uint(fields.element(info, "group_info", list, number)?, 4)? as u32);
    (0..limit).map(group).collect()
}

/// The signals that are ignored, and those that are caught, as sets of bits.
fn signals(fields: &Fields<'_>, task: Va, row: &mut KinfoProc) {
    let handlers = || {
        let sighand = fields.pointer(task, "task_struct", "sighand").ok().filter(|sighand| sighand.0 != 0)?;
        let count = fields.member("sighand_struct", "action").ok()?.elements?.min(128);
        let handler = |number| {
            let action = fields.element(sighand, "sighand_struct", "action", number).ok()?;
            fields.uint(action, "k_sigaction", "sa.sa_handler").ok()
        };
        (0..count).map(handler).collect::<Option<Vec<u64>>>()
    };
    let Some(handlers) = handlers() else { return };
    let set = |is: fn(u64) -> bool| {
        let byte =
            |eight: &[u64]| eight.iter().rev().fold(0_u8, |byte, handler| byte << 1 | u8::from(is(*handler)));
        let mut bytes: Vec<u8> = handlers.chunks(8).map(byte).collect();
        // The kernel's sets are arrays of words.
        if fields.mem.machine.big_endian {
            bytes.chunks_mut(fields.mem.machine.ptr_bytes.into()).for_each(<[u8]>::reverse);
        }
        Some(bytes)
    };
    row.sigignore = set(|handler| handler == SIG_IGN);
    row.sigcatch = set(|handler| handler != SIG_DFL && handler != SIG_IGN);
}
