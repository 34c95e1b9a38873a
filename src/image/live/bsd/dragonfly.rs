//! What DragonFly's sysctl(3) tells, and how.

use super::freebsd::times;
use super::kinfo::Kind::{Bytes, Int, Text, Uint};
use super::kinfo::{Layout, Member, Row, groups, natural, pointer, some};
use super::{Flavour, Hiding, files, swap};
use crate::kernel::dragonfly::thread_number;
use crate::kernel::kinfo::{Op, Stat};
use kgdbserver_arch::Va;

/// DragonFly since 2.13, whose machines have 64 bits.
pub(in crate::image::live) static DRAGONFLY: Flavour = Flavour {
    kinfo: &KINFO,
    op,
    // There is no node for the environment.
    env: None,
    files: &files::DRAGONFLY,
    swap: swap::by_array,
    max_cpus: "kern.smp.maxcpus",
    hiding: &[
        Hiding { node: "jail.jailed", when: 1, for_root_too: true },
        Hiding { node: "kern.ps_showallprocs", when: 0, for_root_too: false },
    ],
};

/// What the kernel cannot select is selected from all. 8 is another node there (the working directory).
fn op(op: Op, threads: bool) -> Option<i32> {
    let known = match op {
        Op::Pid | Op::Pgrp | Op::Tty | Op::Uid | Op::Ruid => op,
        Op::All | Op::Proc | Op::Session | Op::Rgid | Op::Gid => Op::All,
    };
    // KERN_PROC_FLAG_LWP has the number of FreeBSD's flag.
    Some(known as i32 | if threads || op == Op::All { Op::INC_THREAD } else { 0 })
}

/// sys/kinfo.h; what is called `kl_` is the `kinfo_lwp` in its middle.
pub(super) const KINFO: Layout = Layout { bytes: 992, sized: false, members: MEMBERS, complete };

/// Where the `kinfo_lwp` lies.
pub(super) const LWP: usize = 664;

const MEMBERS: &[Member] = &[
    Member("kp_paddr", 0, Uint(8, |row, value| row.kinfo.paddr = Va(value))),
    Member("kp_flags", 8, Uint(4, |row, value| row.kinfo.flag = Some(value as u32))),
    Member("kp_stat", 12, Uint(4, |row, value| row.states.0 = value)),
    Member("kp_lock", 16, Uint(4, |row, value| row.kinfo.lock = Some(value as u32))),
    Member("kp_acflag", 20, Uint(4, |row, value| row.kinfo.acflag = Some(value as u32))),
    Member("kp_traceflag", 24, Uint(4, |row, value| row.kinfo.traceflag = Some(value as u32))),
    Member("kp_fd", 32, Uint(8, |row, value| row.kinfo.fd = pointer(value))),
    Member("kp_sigignore", 56, Bytes(16, |row, set| row.kinfo.sigignore = Some(set.to_vec()))),
    Member("kp_sigcatch", 72, Bytes(16, |row, set| row.kinfo.sigcatch = Some(set.to_vec()))),
    Member("kp_comm", 112, Text(17, |row, text| row.kinfo.comm = text)),
    Member("kp_uid", 132, Uint(4, |row, value| row.kinfo.uid = Some(value as u32))),
    Member("kp_ngroups", 136, Uint(2, |row, value| row.groups = value as usize)),
    Member("kp_groups", 140, Bytes(64, |row, all| row.kinfo.groups = Some(groups(all, row.groups)))),
    Member("kp_ruid", 204, Uint(4, |row, value| row.kinfo.ruid = Some(value as u32))),
    Member("kp_svuid", 208, Uint(4, |row, value| row.kinfo.svuid = Some(value as u32))),
    Member("kp_rgid", 212, Uint(4, |row, value| row.kinfo.rgid = Some(value as u32))),
    Member("kp_svgid", 216, Uint(4, |row, value| row.kinfo.svgid = Some(value as u32))),
    // A thread of the kernel's that is no process's has -1.
    Member("kp_pid", 220, Int(|row, value| row.kinfo.pid = natural(value).unwrap_or(KERNEL))),
    Member("kp_ppid", 224, Int(|row, value| row.kinfo.ppid = natural(value))),
    Member("kp_pgid", 228, Int(|row, value| row.kinfo.pgid = natural(value))),
    Member("kp_sid", 236, Int(|row, value| row.kinfo.sid = natural(value))),
    Member("kp_login", 240, Text(40, |row, text| row.kinfo.login = Some(text))),
    // NOUDEV, all ones, is no terminal.
    Member(
        "kp_tdev",
        280,
        Uint(4, |row, value| row.kinfo.tdev = Some(value as u32).filter(|dev| *dev != u32::MAX)),
    ),
    Member("kp_tpgid", 284, Int(|row, value| row.kinfo.tpgid = natural(value))),
    Member("kp_tsid", 288, Int(|row, value| row.kinfo.tsid = natural(value))),
    Member("kp_exitstat", 292, Uint(2, |row, value| row.kinfo.xstat = Some(value as u32))),
    Member("kp_nthreads", 296, Uint(4, |row, value| row.kinfo.numthreads = Some(value as u32))),
    Member("kp_nice", 300, Int(|row, value| row.kinfo.nice = Some(value))),
    Member("kp_swtime", 304, Uint(4, |row, value| row.kinfo.swtime = Some(value as u32))),
    Member("kp_vm_map_size", 312, Uint(8, |row, value| row.kinfo.size = Some(value))),
    Member("kp_vm_rssize", 320, Uint(8, |row, value| row.kinfo.rssize = Some(value))),
    Member("kp_vm_swrss", 328, Uint(8, |row, value| row.kinfo.swrss = Some(value))),
    Member("kp_vm_tsize", 336, Uint(8, |row, value| row.kinfo.tsize = Some(value))),
    Member("kp_vm_dsize", 344, Uint(8, |row, value| row.kinfo.dsize = Some(value))),
    Member("kp_vm_ssize", 352, Uint(8, |row, value| row.kinfo.ssize = Some(value))),
    Member("kp_jailid", 364, Int(|row, value| row.kinfo.jid = Some(value))),
    // It begins with the times in user and in system mode.
    Member("kp_ru", 368, Bytes(32, times)),
    Member("kp_auxflags", 656, Uint(4, |row, value| row.kinfo.kiflag = Some(value as u32))),
    Member("kl_tid", LWP + 4, Int(|row, value| row.kinfo.tid = natural(value).map(u64::from))),
    Member("kl_stat", LWP + 12, Uint(4, |row, value| row.states.1 = value)),
    Member("kl_tdflags", LWP + 20, Uint(4, |row, value| row.cpu.1 = value)),
    Member("kl_cpuid", LWP + 88, Uint(4, |row, value| row.cpu.0 = value as u32)),
    Member("kl_siglist", LWP + 240, Bytes(16, |row, set| row.kinfo.siglist = Some(set.to_vec()))),
    Member("kl_sigmask", LWP + 256, Bytes(16, |row, set| row.kinfo.sigmask = Some(set.to_vec()))),
    Member("kl_wchan", LWP + 272, Uint(8, |row, value| row.kinfo.wchan = pointer(value))),
    Member("kl_wmesg", LWP + 280, Text(9, |row, text| row.kinfo.wmesg = some(text))),
    Member("kl_comm", LWP + 289, Text(17, |row, text| row.kinfo.tdname = some(text))),
];

/// Stands for the number of what is no process.
pub(super) const KERNEL: u32 = u32::MAX;

fn complete(row: &mut Row) {
    const TDF_RUNNING: u64 = 1;
    let (process, thread) = row.states;
    row.kinfo.stat = match (process, thread) {
        // enum procstat: SIDL, SACTIVE, SSTOP, SZOMB, SCORE
        (1, _) => Some(Stat::Idle),
        (3 | 5, _) => Some(Stat::Stop),
        (4, _) => Some(Stat::Zombie),
        // enum lwpstat: LSRUN, LSSTOP, LSSLEEP
        (2, 1) => Some(Stat::Run),
        (2, 2) => Some(Stat::Stop),
        (2, 3) => Some(Stat::Sleep),
        _ => None,
    };
    // A process that is dead has no thread any more. Threads are numbered within each process.
    row.kinfo.tid = row.kinfo.tid.filter(|_| row.kinfo.numthreads != Some(0));
    row.number = row.kinfo.tid.map(|tid| thread_number(row.kinfo.pid, tid));
    let (cpu, flags) = row.cpu;
    row.kinfo.lastcpu = Some(cpu);
    row.kinfo.oncpu = Some(cpu).filter(|_| flags & TDF_RUNNING != 0);
}
