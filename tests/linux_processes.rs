//! Rows of getprocs of real Linux kernels, against what the guests themselves reported.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod support;
mod synth;

use kgdbserver::kernel::kinfo::{KinfoProc, Op, Stat};
use std::collections::HashMap;
use support::linux::{Guest, guests};

/// Those who do not sleep: their numbers go on after the report. And one whose first thread has ended, of which the guest
/// then shows no memory.
const RESTLESS: [&str; 5] = ["init", "sh", "spinner", "copier", "leaderless"];

/// A process as `/proc/PID/status` and the stat(5) line of its first thread tell of it.
struct Told<'a> {
    status: HashMap<&'a str, &'a str>,
    stat: Vec<&'a str>,
}

impl Told<'_> {
    fn words(&self, key: &str) -> Vec<&str> {
        self.status.get(key).map(|value| value.split_whitespace().collect()).unwrap_or_default()
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.words(key).first()?.parse().ok()
    }

    /// A set of signals, as the machine stores it.
    fn set(&self, key: &str, big_endian: bool, word: usize) -> Option<Vec<u8>> {
        let set = u64::from_str_radix(self.words(key).first()?, 16).ok()?;
        let mut bytes = set.to_le_bytes().to_vec();
        if big_endian {
            bytes.chunks_mut(word).for_each(<[u8]>::reverse);
        }
        Some(bytes)
    }

    /// A field of stat(5), by its number in the manual.
    fn field(&self, number: usize) -> i64 {
        self.stat[number - 3].parse().expect("a number")
    }
}

/// What the report tells of every process that was still there when the image was taken.
fn told(guest: &Guest) -> HashMap<u32, Told<'_>> {
    let mut stats: HashMap<u32, Vec<&str>> = HashMap::new();
    for line in guest.lines("stat") {
        let words: Vec<&str> = line.splitn(3, ' ').collect();
        if words[0] == words[1] {
            // The name in brackets may hold spaces.
            stats.insert(
                words[0].parse().unwrap(),
                words[2].rsplit_once(") ").unwrap().1.split(' ').collect(),
            );
        }
    }
    let statuses = guest.by_process("status").into_iter();
    let told = statuses.filter_map(|(pid, lines)| {
        let status = lines.into_iter().filter_map(|line| line.split_once(":\t")).collect();
        Some((pid, Told { status, stat: stats.remove(&pid)? }))
    });
    told.collect()
}

fn check(guest: &Guest, row: &KinfoProc, told: &Told<'_>) {
    let what = format!("{}: {} {}", guest.name, row.pid, row.comm);
    let machine = guest.kvm.space().machine;
    let set = |key| told.set(key, machine.big_endian, machine.ptr_bytes.into());
    let ids = |key| told.words(key).iter().map(|id| id.parse().unwrap()).collect::<Vec<u32>>();
    let [uid, gid] = [ids("Uid"), ids("Gid")];
    assert_eq!([row.ruid, row.uid, row.svuid], [Some(uid[0]), Some(uid[1]), Some(uid[2])], "{what}");
    assert_eq!([row.rgid, row.svgid], [Some(gid[0]), Some(gid[2])], "{what}");
    assert_eq!(row.groups, Some([vec![gid[1]], ids("Groups")].concat()), "{what}");
    assert_eq!(row.ppid.map(u64::from), told.number("PPid"), "{what}");
    assert_eq!(
        [row.pgid, row.sid].map(|id| id.map(u64::from)),
        [told.number("NSpgid"), told.number("NSsid")],
        "{what}"
    );
    assert_eq!(row.numthreads.map(u64::from), told.number("Threads"), "{what}");
    assert_eq!(row.nice.map(i64::from), Some(told.field(19)), "{what}");
    assert_eq!(row.start.map(|start| (start / 10_000).cast_signed()), Some(told.field(22)), "{what}");
    assert_eq!(row.tdev.map_or(0, i64::from), told.field(7), "{what}");
    assert_eq!(row.tpgid.map_or(-1, i64::from), told.field(8), "{what}");
    assert_eq!(row.tid, Some(row.pid.into()), "{what}");
    if RESTLESS.contains(&row.comm.as_str()) {
        return;
    }
    assert_eq!([&row.sigignore, &row.sigcatch], [&set("SigIgn"), &set("SigCgt")], "{what}");
    assert_eq!([&row.siglist, &row.sigmask], [&set("SigPnd"), &set("SigBlk")], "{what}");
    let letter = told.words("State")[0];
    assert_eq!(
        row.stat,
        Some(match letter {
            "S" | "D" => Stat::Sleep,
            "T" | "t" => Stat::Stop,
            "Z" => Stat::Zombie,
            other => panic!("{what}: {other}"),
        }),
        "{what}"
    );
    assert_eq!(row.flag.map(i64::from), Some(told.field(9)), "{what}");
    // The child that `parent` does not wait for ended with status 3.
    assert!(letter != "Z" || row.xstat == Some(3 << 8), "{what}: {:?}", row.xstat);
    assert_eq!(row.lastcpu.map(i64::from), Some(told.field(39)), "{what}");
    let priority = row.pri.map(|[policy, prio, ..]| (i64::from(policy), i64::from(prio) - 100));
    assert_eq!(priority, Some((told.field(41), told.field(18))), "{what}");
    check_memory(guest, row, told, &what);
    if row.numthreads == Some(1) {
        // The report rounds each of them down.
        let ticks = |micros: Option<u64>| (micros.unwrap() / 10_000).cast_signed();
        let (user, system) = (told.field(14), told.field(15));
        // On s390x the CPU counts what a task gets of it, and the scheduler what the host does meanwhile as well.
        let (more, is_stolen) = (ticks(row.runtime) - user - system, guest.name.starts_with("s390x"));
        let is_right = (0..=1).contains(&more) || is_stolen && more > 1;
        assert!(is_right, "{what}: {:?} {user} {system}", row.runtime);
        assert!((ticks(row.stime) - system).abs() <= 1, "{what}: {:?} {system}", row.stime);
        assert!((ticks(row.utime) - user).abs() <= 1, "{what}: {:?} {user}", row.utime);
    }
}

fn check_memory(guest: &Guest, row: &KinfoProc, told: &Told<'_>, what: &str) {
    let page = guest.page_size();
    let kilobytes = |pages: Option<u64>| pages.map(|pages| pages * page / 1024);
    assert_eq!(row.size.map(|bytes| bytes / 1024), told.number("VmSize"), "{what}");
    assert_eq!(kilobytes(row.dsize), told.number("VmData"), "{what}");
    assert_eq!(kilobytes(row.ssize), told.number("VmStk"), "{what}");
    assert_eq!(kilobytes(row.tsize), told.number("VmExe"), "{what}");
    // Since 6.2 the guest leaves out what CPUs have not yet added up: less than 32 pages each, of three kinds.
    let late = 3 * 3 * 32 * page / 1024;
    let resident = kilobytes(row.rssize).zip(told.number("VmRSS"));
    assert!(resident.is_none_or(|(got, told)| got.abs_diff(told) < late), "{what}: {resident:?}");
    assert_eq!(row.rssize.is_some(), told.number("VmRSS").is_some(), "{what}");
}

#[test]
fn rows_are_what_proc_shows() {
    for guest in guests() {
        let rows = guest.kvm.getprocs(Op::Proc as i32, 0).expect("getprocs");
        assert!(rows.problems.is_empty(), "{}: {:?}", guest.name, rows.problems);
        let rows: HashMap<u32, KinfoProc> = rows.items.into_iter().map(|row| (row.pid, row)).collect();
        let (mut compared, players) = (0, guest.lines("cast").len());
        for (pid, told) in told(guest) {
            // Threads of the kernel's own come and go.
            let of_kernel = |row: &&KinfoProc| row.pid == 2 || row.ppid == Some(2);
            let row = rows.get(&pid).filter(|row| !of_kernel(row) && row.comm == told.status["Name"]);
            let Some(row) = row else { continue };
            check(guest, row, &told);
            compared += 1;
        }
        assert!(compared >= players, "{}: {compared} of {players}", guest.name);
    }
}

#[test]
fn rows_are_selected() {
    for guest in guests() {
        let pids = |op: Op, argument| -> Vec<u32> {
            guest
                .kvm
                .getprocs(op as i32, argument)
                .expect("getprocs")
                .items
                .iter()
                .map(|row| row.pid)
                .collect()
        };
        let user = guest.player("user");
        assert_eq!(pids(Op::Uid, 1001), [user], "{}", guest.name);
        assert_eq!(pids(Op::Ruid, 1000), [user], "{}", guest.name);
        assert_eq!(pids(Op::Gid, 2001), [user], "{}", guest.name);
        assert_eq!(pids(Op::Rgid, 2000), [user], "{}", guest.name);
        let crew = guest.player("crew");
        assert_eq!(pids(Op::Pid, crew), [crew], "{}", guest.name);
        let threads = guest.kvm.getprocs(Op::Pid as i32 | Op::INC_THREAD, crew).expect("getprocs").items;
        assert_eq!(threads.len(), 7, "{}", guest.name);
        let mut names: Vec<&str> = threads.iter().filter_map(|row| row.tdname.as_deref()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            ["crew", "worker-0", "worker-1", "worker-2", "worker-3", "worker-4", "worker-5"],
            "{}",
            guest.name
        );
    }
}
