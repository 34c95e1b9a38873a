//! What FreeBSD's sysctl(3) tells, and how.

use super::kinfo::Kind::{Bytes, Int, Text, Uint};
use super::kinfo::{Layout, Member, Row, groups, micros, natural, pointer, some};
use super::{Flavour, Hiding, files, swap};
use crate::kernel::kinfo::{Op, Stat};
use kgdbserver_arch::Va;

/// FreeBSD since 9, on machines of 64 bits.
pub(in crate::image::live) static FREEBSD: Flavour = Flavour {
    kinfo: &KINFO,
    op,
    env: Some(KERN_PROC_ENV),
    files: &files::FREEBSD,
    swap: swap::by_number,
    max_cpus: "kern.smp.maxcpus",
    hiding: &[
        Hiding { node: "security.jail.jailed", when: 1, for_root_too: true },
        Hiding { node: "security.bsd.see_other_uids", when: 0, for_root_too: false },
        Hiding { node: "security.bsd.see_other_gids", when: 0, for_root_too: false },
        Hiding { node: "security.bsd.see_jail_proc", when: 0, for_root_too: false },
    ],
};

const KERN_PROC_ENV: i32 = 35;

/// All that getprocs can select the kernel selects itself.
fn op(op: Op, threads: bool) -> Option<i32> {
    Some(op as i32 | if threads && op != Op::All { Op::INC_THREAD } else { 0 })
}

/// sys/user.h: the same since 9; what later releases added took the place of what was spare.
pub(super) const KINFO: Layout = Layout { bytes: 1088, sized: true, members: MEMBERS, complete };

const MEMBERS: &[Member] = &[
    Member("ki_args", 8, Uint(8, |row, value| row.kinfo.args = pointer(value))),
    Member("ki_paddr", 16, Uint(8, |row, value| row.kinfo.paddr = Va(value))),
    Member("ki_textvp", 40, Uint(8, |row, value| row.kinfo.textvp = pointer(value))),
    Member("ki_fd", 48, Uint(8, |row, value| row.kinfo.fd = pointer(value))),
    Member("ki_vmspace", 56, Uint(8, |row, value| row.kinfo.vmspace = pointer(value))),
    Member("ki_wchan", 64, Uint(8, |row, value| row.kinfo.wchan = pointer(value))),
    Member("ki_pid", 72, Int(|row, value| row.kinfo.pid = natural(value).unwrap_or_default())),
    Member("ki_ppid", 76, Int(|row, value| row.kinfo.ppid = natural(value))),
    Member("ki_pgid", 80, Int(|row, value| row.kinfo.pgid = natural(value))),
    Member("ki_tpgid", 84, Int(|row, value| row.kinfo.tpgid = natural(value))),
    Member("ki_sid", 88, Int(|row, value| row.kinfo.sid = natural(value))),
    Member("ki_tsid", 92, Int(|row, value| row.kinfo.tsid = natural(value))),
    Member("ki_siglist", 104, Bytes(16, |row, set| row.kinfo.siglist = Some(set.to_vec()))),
    Member("ki_sigmask", 120, Bytes(16, |row, set| row.kinfo.sigmask = Some(set.to_vec()))),
    Member("ki_sigignore", 136, Bytes(16, |row, set| row.kinfo.sigignore = Some(set.to_vec()))),
    Member("ki_sigcatch", 152, Bytes(16, |row, set| row.kinfo.sigcatch = Some(set.to_vec()))),
    Member("ki_uid", 168, Uint(4, |row, value| row.kinfo.uid = Some(value as u32))),
    Member("ki_ruid", 172, Uint(4, |row, value| row.kinfo.ruid = Some(value as u32))),
    Member("ki_svuid", 176, Uint(4, |row, value| row.kinfo.svuid = Some(value as u32))),
    Member("ki_rgid", 180, Uint(4, |row, value| row.kinfo.rgid = Some(value as u32))),
    Member("ki_svgid", 184, Uint(4, |row, value| row.kinfo.svgid = Some(value as u32))),
    Member("ki_ngroups", 188, Uint(2, |row, value| row.groups = value as usize)),
    Member("ki_groups", 192, Bytes(64, |row, all| row.kinfo.groups = Some(groups(all, row.groups)))),
    Member("ki_size", 256, Uint(8, |row, value| row.kinfo.size = Some(value))),
    Member("ki_rssize", 264, Uint(8, |row, value| row.kinfo.rssize = Some(value))),
    Member("ki_swrss", 272, Uint(8, |row, value| row.kinfo.swrss = Some(value))),
    Member("ki_tsize", 280, Uint(8, |row, value| row.kinfo.tsize = Some(value))),
    Member("ki_dsize", 288, Uint(8, |row, value| row.kinfo.dsize = Some(value))),
    Member("ki_ssize", 296, Uint(8, |row, value| row.kinfo.ssize = Some(value))),
    Member("ki_xstat", 304, Uint(2, |row, value| row.kinfo.xstat = Some(value as u32))),
    Member("ki_acflag", 306, Uint(2, |row, value| row.kinfo.acflag = Some(value as u32))),
    Member("ki_swtime", 320, Uint(4, |row, value| row.kinfo.swtime = Some(value as u32))),
    Member("ki_runtime", 328, Uint(8, |row, value| row.kinfo.runtime = Some(value))),
    Member("ki_flag", 368, Uint(8, |row, value| row.kinfo.flag = Some(value as u32))),
    Member("ki_kiflag", 376, Uint(8, |row, value| row.kinfo.kiflag = Some(value as u32))),
    Member("ki_traceflag", 384, Uint(4, |row, value| row.kinfo.traceflag = Some(value as u32))),
    Member("ki_stat", 388, Uint(1, |row, value| row.kinfo.stat = stat(value))),
    Member("ki_nice", 389, Uint(1, |row, value| row.kinfo.nice = Some((value as u8).cast_signed().into()))),
    Member("ki_lock", 390, Uint(1, |row, value| row.kinfo.lock = Some(value as u32))),
    Member("ki_tdname", 394, Text(17, |row, text| row.kinfo.tdname = Some(text))),
    Member("ki_wmesg", 411, Text(9, |row, text| row.kinfo.wmesg = some(text))),
    Member("ki_login", 420, Text(18, |row, text| row.kinfo.login = Some(text))),
    Member("ki_lockname", 438, Text(9, |row, text| row.kinfo.lockname = some(text))),
    Member("ki_comm", 447, Text(20, |row, text| row.kinfo.comm = text)),
    Member("ki_emul", 467, Text(17, |row, text| row.kinfo.emul = some(text))),
    // The end of a thread's name that does not fit into ki_tdname.
    Member(
        "ki_moretdname",
        502,
        Text(4, |row, text| row.kinfo.tdname.iter_mut().for_each(|name| name.push_str(&text))),
    ),
    // NODEV, all ones, is no terminal.
    Member("ki_tdev", 560, Uint(8, |row, value| row.kinfo.tdev = u32::try_from(value).ok())),
    // NOCPU is -1.
    Member("ki_oncpu", 568, Int(|row, value| row.kinfo.oncpu = natural(value))),
    Member("ki_lastcpu", 572, Int(|row, value| row.kinfo.lastcpu = natural(value))),
    Member("ki_cr_flags", 588, Uint(4, |row, value| row.kinfo.cr_flags = Some(value as u32))),
    Member("ki_jid", 592, Int(|row, value| row.kinfo.jid = Some(value))),
    Member("ki_numthreads", 596, Uint(4, |row, value| row.kinfo.numthreads = Some(value as u32))),
    Member(
        "ki_tid",
        600,
        Int(|row, value| row.kinfo.tid = natural(value).filter(|tid| *tid != 0).map(u64::from)),
    ),
    Member("ki_pri", 604, Bytes(4, |row, pri| row.kinfo.pri = pri.try_into().ok())),
    // It begins with the times in user and in system mode.
    Member("ki_rusage", 608, Bytes(32, times)),
    Member("ki_tdaddr", 920, Uint(8, |row, value| row.thread = Va(value))),
    Member("ki_pd", 928, Uint(8, |row, value| row.kinfo.pd = pointer(value))),
];

pub(super) fn times(row: &mut Row, rusage: &[u8]) {
    let (user, system) = rusage.split_at_checked(16).unwrap_or_default();
    (row.kinfo.utime, row.kinfo.stime) = (micros(user), micros(system));
}

fn stat(value: u64) -> Option<Stat> {
    [Stat::Idle, Stat::Run, Stat::Sleep, Stat::Stop, Stat::Zombie, Stat::Wait, Stat::Lock]
        .into_iter()
        .find(|stat| *stat as u64 == value)
}

fn complete(row: &mut Row) {
    row.number = row.kinfo.tid;
}
