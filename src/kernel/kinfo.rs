//! `kinfo_proc`: what getprocs tells of a process or a thread.

use kgdbserver_arch::Va;

/// What to select, as in kvm_getprocs(3); the numbers are `KERN_PROC_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Op {
    /// Everything; on a dump that is one row per thread, as in libkvm.
    All = 0,
    /// The process with this number.
    Pid = 1,
    /// The processes of this process group.
    Pgrp = 2,
    /// The processes of this session.
    Session = 3,
    /// The processes with this controlling terminal; none can be told from a BSD's dump.
    Tty = 4,
    /// The processes with this effective user.
    Uid = 5,
    /// The processes with this real user.
    Ruid = 6,
    /// Processes only, one row each.
    Proc = 8,
    /// The processes with this real group.
    Rgid = 10,
    /// The processes with this effective group.
    Gid = 11,
}

impl Op {
    /// The flag that asks for one row per thread.
    pub const INC_THREAD: i32 = 0x10;

    /// Splits what kvm_getprocs(3) takes as `op` into the selection and whether [`Self::INC_THREAD`] is set.
    pub fn parse(op: i32) -> Option<(Self, bool)> {
        let all = [
            Self::All,
            Self::Pid,
            Self::Pgrp,
            Self::Session,
            Self::Tty,
            Self::Uid,
            Self::Ruid,
            Self::Proc,
            Self::Rgid,
            Self::Gid,
        ];
        let threads = op & Self::INC_THREAD != 0;
        let found = all.into_iter().find(|candidate| *candidate as i32 == op & !Self::INC_THREAD)?;
        Some((found, threads))
    }
}

/// A process's state, `ki_stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stat {
    /// Being created.
    Idle = 1,
    /// Running, or able to.
    Run = 2,
    /// Sleeping on an address.
    Sleep = 3,
    /// Stopped by a signal or a debugger.
    Stop = 4,
    /// Dead, and not yet waited for.
    Zombie = 5,
    /// Waiting for an interrupt.
    Wait = 6,
    /// Blocked on a lock.
    Lock = 7,
}

impl Stat {
    /// The letter that ps(1) prints.
    pub fn letter(self) -> char {
        match self {
            Self::Idle => 'I',
            Self::Run => 'R',
            Self::Sleep => 'S',
            Self::Stop => 'T',
            Self::Zombie => 'Z',
            Self::Wait => 'W',
            Self::Lock => 'L',
        }
    }
}

/// One row of getprocs. A field that the image cannot tell is absent, never zero. Names and meanings are
/// `struct kinfo_proc`'s.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the documentation: sys/user.h
pub struct KinfoProc {
    pub paddr: Va,
    pub pid: u32,
    pub comm: String,
    pub fd: Option<Va>,
    pub pd: Option<Va>,
    pub vmspace: Option<Va>,
    pub args: Option<Va>,
    pub textvp: Option<Va>,
    pub ppid: Option<u32>,
    pub pgid: Option<u32>,
    pub sid: Option<u32>,
    /// The terminal's foreground process group, and its session.
    pub tpgid: Option<u32>,
    pub tsid: Option<u32>,
    /// The terminal's device. Linux only.
    pub tdev: Option<u32>,
    pub login: Option<String>,
    pub kiflag: Option<u32>,
    pub uid: Option<u32>,
    pub ruid: Option<u32>,
    pub svuid: Option<u32>,
    pub rgid: Option<u32>,
    pub svgid: Option<u32>,
    /// The effective group first.
    pub groups: Option<Vec<u32>>,
    pub cr_flags: Option<u32>,
    pub jid: Option<i32>,
    pub sigignore: Option<Vec<u8>>,
    pub sigcatch: Option<Vec<u8>>,
    /// Bytes.
    pub size: Option<u64>,
    /// Pages, as the next four; as in libkvm without the kernel stacks that a live system adds.
    pub rssize: Option<u64>,
    pub swrss: Option<u64>,
    pub tsize: Option<u64>,
    pub dsize: Option<u64>,
    pub ssize: Option<u64>,
    pub emul: Option<String>,
    /// Microseconds, as all times.
    pub runtime: Option<u64>,
    /// In user and in system mode. Linux only.
    pub utime: Option<u64>,
    pub stime: Option<u64>,
    /// From the system's start to the process's. Linux only.
    pub start: Option<u64>,
    pub xstat: Option<u32>,
    pub acflag: Option<u32>,
    pub lock: Option<u32>,
    pub flag: Option<u32>,
    pub traceflag: Option<u32>,
    pub numthreads: Option<u32>,
    pub nice: Option<i32>,
    /// Seconds.
    pub swtime: Option<u32>,
    pub stat: Option<Stat>,
    /// The thread's number; none in the row of a process without threads.
    pub tid: Option<u64>,
    pub tdname: Option<String>,
    pub wmesg: Option<String>,
    pub wchan: Option<Va>,
    pub lockname: Option<String>,
    pub siglist: Option<Vec<u8>>,
    pub sigmask: Option<Vec<u8>>,
    /// Class, level, native and user priority; on Linux `policy`, `prio`, `static_prio`, `normal_prio`.
    pub pri: Option<[u8; 4]>,
    pub lastcpu: Option<u32>,
    pub oncpu: Option<u32>,
}

impl KinfoProc {
    /// Whether `op` with `arg` selects the row; none if the image cannot tell.
    pub fn selected(&self, op: Op, arg: u32) -> Option<bool> {
        let is = |field: Option<u32>| field.map(|field| field == arg);
        match op {
            Op::All | Op::Proc => Some(true),
            Op::Pid => Some(self.pid == arg),
            Op::Pgrp => is(self.pgid),
            Op::Session => is(self.sid),
            // The device of a BSD's terminal is not in a dump: libkvm compares with NODEV, which is no terminal's.
            Op::Tty => Some(self.tdev == Some(arg)),
            Op::Uid => is(self.uid),
            Op::Ruid => is(self.ruid),
            Op::Rgid => is(self.rgid),
            Op::Gid => is(self.groups.as_ref().and_then(|groups| groups.first().copied())),
        }
    }
}
