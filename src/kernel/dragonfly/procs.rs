//! Processes.

use super::threads::{self, Lwp};
use super::{Fields, Listing, lists};
use crate::Result;
use crate::kernel::fields::{bad, offset};
use crate::kernel::kinfo::{KinfoProc, Stat};
use kgdbserver_arch::Va;

/// `allproc_hsize` is 256.
const BUCKET_LIMIT: u32 = 1 << 16;

/// A process, and what is known of every one.
#[derive(Debug, Clone)]
pub(super) struct Proc {
    pub(super) va: Va,
    pub(super) pid: u32,
    pub(super) comm: String,
}

/// The lists of processes by a hash of the pid.
pub(super) struct Lists {
    first: Va,
    count: u32,
    /// Bytes from one list's head to the next one's.
    step: u64,
    /// Where a process has its link.
    link: u64,
}

impl Lists {
    /// `procglob` is an array of structures that each begin a list; before 5 it was `allprocs`, an array of the lists.
    pub(super) fn find(fields: &Fields<'_>) -> Result<Self> {
        let count = fields.count("allproc_hsize")?;
        if count > BUCKET_LIMIT {
            return Err(bad("variable", fields.variable("allproc_hsize")?, format!("{count} process lists")));
        }
        let link = fields.member("proc", "p_list.le_next")?.offset;
        let (first, step) = match fields.variable("procglob") {
            Ok(at) => {
                let head = fields.member("procglob", "allproc")?.offset;
                (offset(at, head)?, fields.size_of("procglob")?)
            }
            Err(_) => (fields.variable("allprocs")?, fields.mem.machine.ptr_bytes.into()),
        };
        Ok(Self { first, count, step, link })
    }

    fn walk<'a>(&self, fields: &'a Fields<'_>) -> impl Iterator<Item = Result<Va>> + use<'a> {
        let Self { first, count, step, link } = *self;
        let heads =
            (0..count).map(move |bucket| fields.mem.pointer(offset(first, u64::from(bucket) * step)?));
        heads.flat_map(move |head| {
            let (first, problem) = match head {
                Ok(first) => (first, None),
                Err(error) => (Va(0), Some(Err(error))),
            };
            problem.into_iter().chain(lists::walk(fields.mem, "proc", first, link))
        })
    }
}

/// Every process; a zombie stays on its list.
pub(super) fn all(fields: &Fields<'_>) -> Result<Listing<Proc>> {
    let lists = Lists::find(fields)?;
    let mut list = Listing::from_results(lists.walk(fields).map(|va| proc(fields, va?)));
    list.items.sort_by_key(|proc| proc.pid);
    list.items.dedup_by_key(|proc| proc.va);
    Ok(list)
}

fn proc(fields: &Fields<'_>, va: Va) -> Result<Proc> {
    let pid = fields.int(va, "proc", "p_pid")?;
    // Process 0's kernel threads aside, a pid is positive; -1 stands for a process that is being made.
    let pid = u32::try_from(pid).map_err(|_| bad("proc", va, format!("its pid is {pid}")))?;
    Ok(Proc { va, pid, comm: fields.text(va, "proc", "p_comm")? })
}

/// The parent's number.
pub(super) fn parent(fields: &Fields<'_>, of: &Proc) -> Option<u32> {
    match fields.pointer(of.va, "proc", "p_pptr").ok()? {
        Va(0) => (of.pid == 0).then_some(0),
        parent => proc(fields, parent).ok().map(|parent| parent.pid),
    }
}

/// The state of `p_stat`. A process's threads sleep and run by themselves, so it says only whether the process lives.
pub(super) fn stat(fields: &Fields<'_>, proc: &Proc) -> Option<Stat> {
    // enum procstat: SIDL, SACTIVE, SSTOP, SZOMB, SCORE
    match fields.uint(proc.va, "proc", "p_stat").ok()? {
        1 => Some(Stat::Idle),
        2 => Some(Stat::Sleep),
        3 | 5 => Some(Stat::Stop),
        4 => Some(Stat::Zombie),
        _ => None,
    }
}

/// The rows of getprocs: one for each process, or one for each of its threads. A process that has lost its last thread
/// still has a row.
pub(super) fn kinfo(fields: &Fields<'_>, each_thread: bool) -> Result<Listing<KinfoProc>> {
    let procs = all(fields)?;
    let mut rows = Listing { items: Vec::new(), problems: procs.problems };
    for proc in &procs.items {
        let row = row(fields, proc);
        let Listing { items, problems } = threads::of(fields, proc);
        rows.problems.extend(problems);
        match items.as_slice() {
            lwps @ [_, ..] if each_thread => {
                rows.items.extend(lwps.iter().map(|lwp| with(fields, row.clone(), lwp)))
            }
            [first, ..] => rows.items.push(with(fields, row, first)),
            [] => rows.items.push(row),
        }
    }
    Ok(rows)
}

fn with(fields: &Fields<'_>, row: KinfoProc, lwp: &Lwp) -> KinfoProc {
    KinfoProc {
        tid: Some(lwp.tid.into()),
        stat: threads::stat(fields, lwp).or(row.stat),
        wmesg: threads::wait_message(fields, lwp.thread),
        wchan: fields.pointer(lwp.thread, "thread", "td_wchan").ok().filter(|wchan| wchan.0 != 0),
        ..row
    }
}

fn row(fields: &Fields<'_>, proc: &Proc) -> KinfoProc {
    let pointer = |name| fields.pointer(proc.va, "proc", name).ok().filter(|va| va.0 != 0);
    let number = |name| fields.u32(proc.va, "proc", name).ok();
    let mut row = KinfoProc {
        paddr: proc.va,
        pid: proc.pid,
        comm: proc.comm.clone(),
        fd: pointer("p_fd"),
        vmspace: pointer("p_vmspace"),
        args: pointer("p_args"),
        ppid: parent(fields, proc),
        stat: stat(fields, proc),
        flag: number("p_flags"),
        traceflag: number("p_traceflag"),
        numthreads: number("p_nthreads"),
        nice: fields.int(proc.va, "proc", "p_nice").ok().and_then(|nice| i32::try_from(nice).ok()),
        lock: number("p_lock"),
        xstat: number("p_xstat"),
        acflag: number("p_acflag"),
        ..KinfoProc::default()
    };
    if let Some(ucred) = pointer("p_ucred") {
        let number = |name| fields.u32(ucred, "ucred", name).ok();
        row.uid = number("cr_uid");
        row.ruid = number("cr_ruid");
        row.svuid = number("cr_svuid");
        row.rgid = number("cr_rgid");
        row.svgid = number("cr_svgid");
        row.groups = groups(fields, ucred);
    }
    if let Some(pgrp) = pointer("p_pgrp") {
        row.pgid = fields.u32(pgrp, "pgrp", "pg_id").ok();
        let session = fields.pointer(pgrp, "pgrp", "pg_session").ok();
        row.sid = session.and_then(|session| fields.u32(session, "session", "s_sid").ok());
        row.login = session.and_then(|session| fields.text(session, "session", "s_login").ok());
    }
    row
}

/// `cr_groups`, an array in the credentials themselves, the effective group first.
fn groups(fields: &Fields<'_>, ucred: Va) -> Option<Vec<u32>> {
    let member = fields.member("ucred", "cr_groups").ok()?;
    let count = u64::from(fields.u32(ucred, "ucred", "cr_ngroups").ok()?).min(member.elements?);
    let group = |number: u64| {
        let at = offset(ucred, member.offset + number * member.element_size)?;
        fields.mem.uint(at, 4).map(|group| group as u32)
    };
    (0..count).map(group).collect::<Result<_>>().ok()
}
