//! Processes, and what getprocs tells of them.

use super::threads::NAME_BYTES;
use super::{FreeBsd, lists, text};
use crate::kernel::kinfo::{KinfoProc, Stat};
use crate::kernel::{Listing, Thread};
use crate::space::Space;
use crate::{Error, Result};
use kgdbserver_arch::Va;
use std::collections::HashSet;

/// What is known of every process.
#[derive(Debug, Clone)]
pub(super) struct Proc {
    pub(super) va: Va,
    pub(super) pid: u32,
    pub(super) comm: String,
}

/// `P_STOPPED_SIG | P_STOPPED_TRACE | P_STOPPED_SINGLE`.
const P_STOPPED: u64 = 0xe_0000;
/// `p_state`.
const PRS_NEW: u64 = 0;
const PRS_ZOMBIE: u64 = 2;
/// `td_state`.
const TDS_INHIBITED: u64 = 1;
const TDS_CAN_RUN: u64 = 2;
const TDS_RUNNING: u64 = 4;
/// `td_inhibitors`.
const TDI_SLEEPING: u64 = 2;
const TDI_LOCK: u64 = 8;
/// `p_flag`: has a controlling terminal.
const P_CONTROLT: u64 = 2;
/// `ki_kiflag`.
const KI_CTTY: u32 = 1;
const KI_SLEADER: u32 = 2;
const KI_LOCKBLOCK: u32 = 4;
/// `ki_cr_flags`: there are more groups than `ki_groups` holds.
const KI_CRF_GRP_OVERFLOW: u32 = 0x8000_0000;
/// `pidhashtbl` has a quarter as many buckets as there may be processes.
const BUCKET_LIMIT: u64 = 1 << 20;
/// There are no more pids (PID_MAX is 99999), so no more processes.
const PROC_LIMIT: usize = 1 << 17;
/// `ki_wmesg` and `ki_lockname` hold this many characters.
const MESSAGE_BYTES: usize = 8;
const EMULATION_BYTES: usize = 16;
/// `ki_groups` holds this many.
const GROUPS: usize = 16;

impl FreeBsd {
    /// Every process; new ones, still being made, left out.
    ///
    /// Zombies leave `allproc`. Until 12 they go to `zombproc`; in 13 and 14 that may be missing or empty; in 15 only the
    /// table of all pids leads to them, and to those that a broken list has lost.
    pub(super) fn procs(&self, mem: &Space) -> Result<Listing<Proc>> {
        let heads = [Some(mem.pointer(self.allproc)?), self.zombproc.and_then(|head| mem.pointer(head).ok())];
        let walks =
            heads.into_iter().flatten().map(|first| lists::walk(mem, "proc", first, self.offsets.p_list));
        let mut list = Listing::from_results(walks.flatten().map(|va| self.proc(mem, va?)));
        let known: HashSet<Va> = list.items.iter().map(|proc| proc.va).collect();
        let hashed = self.hashed(mem).into_iter().filter(|va| !known.contains(va));
        list.items.extend(hashed.filter_map(|va| self.proc(mem, va).ok()));
        list.items.retain(|proc| self.types().uint(mem, proc.va, "proc", "p_state") != Some(PRS_NEW));
        Ok(list)
    }

    /// The processes in `pidhashtbl`, as far as they can be reached: an array of `pidhash + 1` lists.
    fn hashed(&self, mem: &Space) -> Vec<Va> {
        let pointer = u64::from(mem.machine.ptr_bytes);
        let fields = self.fields(mem);
        let mask = fields.variable("pidhash").and_then(|at| mem.uint(at, pointer as usize));
        let (Some(link), Ok(table), Ok(mask)) = (self.offsets.p_hash, fields.head("pidhashtbl"), mask) else {
            return Vec::new();
        };
        let mut found = HashSet::new();
        let buckets = (0..=mask.min(BUCKET_LIMIT))
            .map_while(|bucket| table.checked_add(bucket * pointer).and_then(|at| mem.pointer(at).ok()));
        let walks = buckets.flat_map(|first| lists::walk(mem, "proc", first, link));
        // A bucket that leads into another one has come to what is known.
        walks.filter_map(Result::ok).filter(|va| found.insert(*va)).take(PROC_LIMIT).collect()
    }

    fn proc(&self, mem: &Space, va: Va) -> Result<Proc> {
        // A sum past the end of the address space is an address that cannot be read.
        let at = |offset: u64| Va(va.0.saturating_add(offset));
        let pid = mem.int(at(self.offsets.p_pid))?;
        let unreadable = |_| Error::BadStructure { what: "proc", va, why: format!("its pid is {pid}") };
        let pid = u32::try_from(pid).map_err(unreadable)?;
        Ok(Proc { va, pid, comm: text(&mem.string(at(self.offsets.p_comm), NAME_BYTES)?) })
    }

    /// `ki_stat`, by the rules of libkvm; of the thread where one is given.
    pub(super) fn stat(&self, mem: &Space, proc: Va, thread: Option<Va>) -> Option<Stat> {
        let types = self.types();
        if types.uint(mem, proc, "proc", "p_state")? == PRS_ZOMBIE {
            return Some(Stat::Zombie);
        }
        let thread = thread?;
        let stopped = || types.uint(mem, proc, "proc", "p_flag").is_some_and(|flag| flag & P_STOPPED != 0);
        let inhibitors = types.uint(mem, thread, "thread", "td_inhibitors").unwrap_or(0);
        Some(match types.uint(mem, thread, "thread", "td_state")? {
            TDS_CAN_RUN..=TDS_RUNNING => Stat::Run,
            TDS_INHIBITED if stopped() => Stat::Stop,
            TDS_INHIBITED if inhibitors & TDI_SLEEPING != 0 => Stat::Sleep,
            TDS_INHIBITED if inhibitors & TDI_LOCK != 0 => Stat::Lock,
            TDS_INHIBITED => Stat::Wait,
            _ => Stat::Idle,
        })
    }

    /// A process's state: its first thread's, but a process with any thread that runs, or could, runs.
    pub(super) fn process_stat(&self, mem: &Space, proc: &Proc) -> Option<Stat> {
        let threads = self.threads_of(mem, proc).items;
        let running =
            threads.iter().any(|thread| thread.state == Some(Stat::Run.letter())).then_some(Stat::Run);
        running.or_else(|| self.stat(mem, proc.va, threads.first().map(|thread| thread.va)))
    }

    /// The message of a sleeping thread.
    pub(super) fn wait_message(&self, mem: &Space, thread: Va) -> Option<String> {
        let message = self.types().string(mem, thread, "thread", "td_wmesg", MESSAGE_BYTES)?;
        Some(message).filter(|message| !message.is_empty())
    }

    /// The rows of getprocs: one for every process, from its first thread, or one for every thread. As in libkvm a
    /// process that has lost its last thread has no row, unless it is a zombie.
    pub(super) fn kinfo(&self, mem: &Space, threads: bool) -> Result<Listing<KinfoProc>> {
        let procs = self.procs(mem)?;
        let mut rows = Listing { items: Vec::new(), problems: procs.problems };
        for proc in &procs.items {
            let Listing { items, problems } = self.threads_of(mem, proc);
            let wanted = if threads { usize::MAX } else { 1 };
            rows.items.extend(items.iter().take(wanted).map(|thread| self.thread_row(mem, proc, thread)));
            rows.problems.extend(problems);
        }
        Ok(rows)
    }

    fn thread_row(&self, mem: &Space, proc: &Proc, thread: &Thread) -> KinfoProc {
        let types = self.types();
        let zombie = self.stat(mem, proc.va, Some(thread.va)) == Some(Stat::Zombie);
        let number =
            |name| types.uint(mem, thread.va, "thread", name).and_then(|value| u8::try_from(value).ok());
        let pri = || {
            Some([
                number("td_pri_class")?,
                number("td_priority")?,
                number("td_base_pri")?,
                number("td_user_pri")?,
            ])
        };
        let row = self.proc_row(mem, proc);
        let blocked =
            types.uint(mem, thread.va, "thread", "td_inhibitors").is_some_and(|on| on & TDI_LOCK != 0);
        KinfoProc {
            kiflag: row.kiflag.map(|flag| flag | if blocked { KI_LOCKBLOCK } else { 0 }),
            stat: self.stat(mem, proc.va, Some(thread.va)).or(thread.on_cpu.map(|_| Stat::Run)),
            tid: (!zombie).then_some(thread.tid),
            tdname: Some(thread.comm.clone()),
            wmesg: thread.wait.clone(),
            wchan: types.pointer(mem, thread.va, "thread", "td_wchan"),
            lockname: types.string(mem, thread.va, "thread", "td_lockname", MESSAGE_BYTES),
            siglist: types.bytes(mem, thread.va, "thread", "td_siglist"),
            sigmask: types.bytes(mem, thread.va, "thread", "td_sigmask"),
            pri: pri(),
            // NOCPU, -1: it has never run.
            lastcpu: types.u32(mem, thread.va, "thread", "td_lastcpu").filter(|cpu| *cpu != u32::MAX),
            oncpu: thread.on_cpu,
            ..row
        }
    }

    /// What a row says of the process itself.
    pub(super) fn proc_row(&self, mem: &Space, proc: &Proc) -> KinfoProc {
        let types = self.types();
        let pointer = |name| types.pointer(mem, proc.va, "proc", name);
        let number = |name| types.u32(mem, proc.va, "proc", name);
        let mut row = KinfoProc {
            paddr: proc.va,
            pid: proc.pid,
            comm: proc.comm.clone(),
            fd: pointer("p_fd"),
            pd: pointer("p_pd"),
            vmspace: pointer("p_vmspace"),
            args: pointer("p_args"),
            textvp: pointer("p_textvp"),
            ppid: self.parent(mem, proc),
            emul: pointer("p_sysent")
                .and_then(|sysent| types.string(mem, sysent, "sysentvec", "sv_name", EMULATION_BYTES)),
            runtime: self.runtime(mem, proc),
            // The status of wait(2): the exit code above, the signal below.
            xstat: number("p_xexit").zip(number("p_xsig")).map(|(code, signal)| (code & 0xff) << 8 | signal),
            acflag: number("p_acflag"),
            lock: number("p_lock"),
            flag: number("p_flag"),
            traceflag: number("p_traceflag"),
            numthreads: number("p_numthreads"),
            nice: types.int(mem, proc.va, "proc", "p_nice"),
            swtime: self.swap_time(mem, proc),
            stat: self.stat(mem, proc.va, None),
            ..KinfoProc::default()
        };
        self.credentials(mem, proc, &mut row);
        self.group(mem, proc, &mut row);
        self.memory(mem, &mut row);
        if let Some(actions) = pointer("p_sigacts") {
            row.sigignore = types.bytes(mem, actions, "sigacts", "ps_sigignore");
            row.sigcatch = types.bytes(mem, actions, "sigacts", "ps_sigcatch");
        }
        row
    }

    /// A traced process's parent is its debugger; `p_oppid` remembers the real one.
    fn parent(&self, mem: &Space, proc: &Proc) -> Option<u32> {
        let real = self.types().u32(mem, proc.va, "proc", "p_oppid").filter(|pid| *pid != 0);
        let parent = || {
            let Some(parent) = self.types().pointer(mem, proc.va, "proc", "p_pptr") else {
                // The first process has no parent; elsewhere a null pointer means nothing.
                return (proc.pid == 0 && self.types().has("proc", "p_pptr")).then_some(0);
            };
            self.proc(mem, parent).ok().map(|parent| parent.pid)
        };
        real.or_else(parent)
    }

    fn runtime(&self, mem: &Space, proc: &Proc) -> Option<u64> {
        let ticks = u128::from(self.types().uint(mem, proc.va, "proc", "p_rux.rux_runtime")?);
        let frequency =
            mem.uint(self.symbols.address("cpu_tick_frequency")?, 8).ok().filter(|hz| *hz != 0)?;
        u64::try_from(ticks * 1_000_000 / u128::from(frequency)).ok()
    }

    fn swap_time(&self, mem: &Space, proc: &Proc) -> Option<u32> {
        let int = |name: &str| mem.int(self.symbols.address(name)?).ok();
        let since = int("ticks")?.wrapping_sub(self.types().int(mem, proc.va, "proc", "p_swtick")?);
        u32::try_from(since.checked_div(int("hz")?)?).ok()
    }

    fn credentials(&self, mem: &Space, proc: &Proc, row: &mut KinfoProc) {
        let types = self.types();
        let Some(ucred) = types.pointer(mem, proc.va, "proc", "p_ucred") else { return };
        let number = |name| types.u32(mem, ucred, "ucred", name);
        row.uid = number("cr_uid");
        row.ruid = number("cr_ruid");
        row.svuid = number("cr_svuid");
        row.rgid = number("cr_rgid");
        row.svgid = number("cr_svgid");
        let (groups, overflow) = self.groups(mem, ucred).unzip();
        row.cr_flags = number("cr_flags").map(|flags| match overflow {
            Some(true) => flags | KI_CRF_GRP_OVERFLOW,
            _ => flags,
        });
        row.groups = groups;
        let prison = types.pointer(mem, ucred, "ucred", "cr_prison");
        row.jid = prison.and_then(|prison| types.int(mem, prison, "prison", "pr_id"));
    }

    /// The effective group, then the others. Until 14 the effective one was the first of `cr_groups`; since 15 it has a
    /// member of its own. With them, whether there are more than have a place.
    fn groups(&self, mem: &Space, ucred: Va) -> Option<(Vec<u32>, bool)> {
        let types = self.types();
        let effective = types.u32(mem, ucred, "ucred", "cr_gid");
        let count = types.u32(mem, ucred, "ucred", "cr_ngroups")? as usize;
        let list = types.pointer(mem, ucred, "ucred", "cr_groups");
        let others =
            list.into_iter().flat_map(|list| (0..count as u64).map_while(move |i| list.checked_add(4 * i)));
        let others = others.map_while(|at| u32::try_from(mem.uint(at, 4).ok()?).ok());
        let groups = effective.into_iter().chain(others).take(GROUPS).collect();
        Some((groups, count + usize::from(effective.is_some()) > GROUPS))
    }

    fn group(&self, mem: &Space, proc: &Proc, row: &mut KinfoProc) {
        let types = self.types();
        let Some(pgrp) = types.pointer(mem, proc.va, "proc", "p_pgrp") else { return };
        row.pgid = types.u32(mem, pgrp, "pgrp", "pg_id");
        let Some(session) = types.pointer(mem, pgrp, "pgrp", "pg_session") else { return };
        row.sid = types.u32(mem, session, "session", "s_sid");
        row.login = types.chars(mem, session, "session", "s_login");
        let terminal = types.uint(mem, proc.va, "proc", "p_flag").map(|flag| flag & P_CONTROLT != 0);
        let leader = types.pointer(mem, session, "session", "s_leader").map(|leader| leader == proc.va);
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        row.kiflag = terminal.map(|set| flag(set, KI_CTTY) | flag(leader.unwrap_or(false), KI_SLEADER));
        let Some(tty) = types.pointer(mem, session, "session", "s_ttyp") else { return };
        let foreground = types.pointer(mem, tty, "tty", "t_pgrp");
        row.tpgid = foreground.and_then(|pgrp| types.u32(mem, pgrp, "pgrp", "pg_id"));
        let owner = types.pointer(mem, tty, "tty", "t_session");
        row.tsid = owner.and_then(|session| types.u32(mem, session, "session", "s_sid"));
    }

    fn memory(&self, mem: &Space, row: &mut KinfoProc) {
        let Some(vmspace) = row.vmspace else { return };
        let number = |name| self.types().uint(mem, vmspace, "vmspace", name);
        row.size = number("vm_map.size");
        row.rssize = number("vm_pmap.pm_stats.resident_count");
        row.swrss = number("vm_swrss");
        row.tsize = number("vm_tsize");
        row.dsize = number("vm_dsize");
        row.ssize = number("vm_ssize");
    }
}
