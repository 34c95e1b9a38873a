//! A kernel that runs, looked at by the server in its own guest: `KGDBSERVER_LINUX_IMAGES` says where the guest is.
//!
//! One guest at a time, and as few of them as will do: each takes half a minute to boot.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

#[allow(dead_code, reason = "other test programs use it too")]
#[path = "../debuggers/driver.rs"]
mod driver;
mod guest;
#[path = "../rsp/mod.rs"]
mod rsp;
#[path = "../support/mod.rs"]
mod support;
#[path = "../synth/mod.rs"]
mod synth;

use driver::{gdb, lldb};
use guest::Guest;
use rsp::{Client, GDB, document};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Players of the guest's cast who do nothing.
const STEADY: [&str; 7] = ["sleeper", "crew", "reader", "listener", "memory", "stopped", "spinner"];

/// What a guest is asked about, one question after the other.
#[test]
fn a_running_kernel() {
    let Some(mut guest) = Guest::boot("") else { return };
    its_processes_are_those_of_proc(&mut guest);
    its_state_is_that_of_proc(&mut guest);
    what_is_denied_says_why(&mut guest);
    let said = guest.serve("--live");
    assert!(said.contains("Listening on port 1234"), "{said}");
    let user = guest.run("ps -o user,comm | grep kgdbserver | head -1");
    assert!(user.contains("65534"), "privileges were not dropped: {user}");
    debuggers_see_it_as_it_is_now(&mut guest);
    new_threads_are_seen(&mut guest);
    a_fork_storm_is_survived(&mut guest);
}

/// A kernel that lets nobody read its memory.
#[test]
fn a_kernel_that_is_locked_down() {
    let Some(mut guest) = Guest::boot("lockdown=confidentiality") else { return };
    let said = guest.run("kgdbserver ps --live 2>&1");
    assert!(said.contains("/proc/kcore: the kernel is locked down (confidentiality)"), "{said}");
}

fn its_processes_are_those_of_proc(guest: &mut Guest) {
    let ours: Value = serde_json::from_str(&guest.run("kgdbserver ps --live --json 2>/dev/null")).unwrap();
    let ours: BTreeSet<(u32, String)> = ours["processes"]
        .as_array()
        .expect("processes")
        .iter()
        .map(|row| (row["pid"].as_u64().expect("a number") as u32, row["comm"].as_str().unwrap().to_owned()))
        .collect();
    let theirs = guest.processes();
    for name in STEADY {
        assert!(theirs.iter().any(|(_, known)| known == name), "{name} is not on stage: {theirs:?}");
    }
    // The kernel's own threads come and go, and so does the shell's help.
    let missing: Vec<_> = theirs.iter().filter(|row| row.0 != 1 && !ours.contains(*row)).collect();
    let missing: Vec<_> =
        missing.iter().filter(|row| row.1 != "init" && !row.1.starts_with("kworker")).collect();
    assert!(missing.is_empty(), "{missing:?} are not in {ours:?}");
}

fn its_state_is_that_of_proc(guest: &mut Guest) {
    let args = guest.run("kgdbserver args --live 2>/dev/null | grep sleeper");
    assert!(args.contains("two words") && args.contains("--flag=value"), "{args}");
    let said = guest.run("kgdbserver info --live 2>/dev/null; grep loop /proc/swaps");
    let line = |name: &str| said.lines().find(|line| line.starts_with(name)).unwrap_or_default();
    assert!(line("format").contains("running kernel"), "{said}");
    assert!(line("CPUs").contains('2'), "{said}");
    // Name, type, KiB, KiB in use; pages have four.
    let swap: Vec<&str> = line("/dev/loop5").split_whitespace().collect();
    let pages = swap[2].parse::<u64>().unwrap() / 4;
    assert!(line("swap").contains(&format!("of {pages} pages used on /dev/loop5")), "{said}");
    // user, nice, system, idle, waiting for disks, two kinds of interrupts
    let share = "awk '/^cpu /{print 100 * $2 / ($2 + $3 + $4 + $5 + $6 + $7 + $8)}' /proc/stat";
    let said = guest.run(&format!("{share}; kgdbserver info --live 2>/dev/null | grep '^CPU time'"));
    let (theirs, ours) = said.split_once("\nCPU time").expect("both");
    let ours = ours.trim().split('%').next().unwrap();
    let [theirs, ours] = [theirs.trim(), ours].map(|share| share.parse::<f64>().unwrap());
    assert!((theirs - ours).abs() < 5.0, "{said}");
}

fn what_is_denied_says_why(guest: &mut Guest) {
    let said = guest.run("su rig -c 'kgdbserver ps --live' 2>&1");
    assert!(said.contains("/proc/kcore: only root may open it: run this with sudo"), "{said}");
    let said = guest.run("kgdbserver info -c /dev/mem 2>&1");
    assert!(said.contains("/dev/mem: the kernel keeps its memory out of /dev/mem"), "{said}");
    let passed = "su rig -c 'kgdbserver ps --kcore-fd 3' 3</proc/kcore 2>&1 | grep sleeper";
    assert!(guest.run(passed).contains("sleeper"), "a descriptor from a privileged parent is enough");
    let hidden =
        "echo 2 >/proc/sys/kernel/kptr_restrict; head -1 /proc/kallsyms; kgdbserver nlist --live jiffies_64";
    let said = guest.run(hidden);
    assert!(said.starts_with("0000000000000000 "), "{said}");
    assert!(said.contains("D jiffies_64"), "the symbols in memory are not hidden: {said}");
    guest.run("echo 0 >/proc/sys/kernel/kptr_restrict");
    let masked = "mount --bind /dev/null /proc/kcore; kgdbserver ps --live 2>&1; umount /proc/kcore";
    let said = guest.run(masked);
    assert!(said.contains("a container's runtime"), "{said}");
}

fn debuggers_see_it_as_it_is_now(guest: &mut Guest) {
    let connect = format!("target remote :{}", guest.port);
    let jiffies = "print *(unsigned long *)&jiffies_64";
    let list = "print ((void **)&fuse_conn_list)[0] != 0";
    let commands =
        ["set remotetimeout 250", &connect, jiffies, "shell sleep 1", jiffies, list, "info threads"];
    let session = gdb(&[&commands[..], &["continue", "bt 1"]].concat());
    let ticks = |time| {
        let text = session.nth(jiffies, time).trim();
        text.rsplit(' ').next().unwrap().parse::<u64>().unwrap_or_else(|_| panic!("{text}\n{session}"))
    };
    // 250 a second, by the guest's clock.
    assert!((100..100_000).contains(&(ticks(1) - ticks(0))), "{session}");
    session.has(list, "= 1");
    for name in STEADY {
        session.has("info threads", &format!("\"{name}\""));
    }
    session.has("continue", "This kernel runs all the time");
    let connect = format!("gdb-remote {}", guest.port);
    let patience = "settings set plugin.process.gdb-remote.packet-timeout 250";
    let session = lldb(&[patience, &connect, "thread list", "continue", "thread list"]);
    for (pid, _) in guest.processes().iter().filter(|(_, name)| STEADY.contains(&name.as_str())) {
        for time in 0..2 {
            let list = session.nth("thread list", time);
            assert!(
                list.contains(&format!(": tid = {pid}")),
                "thread {pid} is not in list {time}:\n{session}"
            );
        }
    }
}

/// The names of all threads, as gdb asks for them.
fn threads(client: &mut Client<TcpStream>) -> BTreeSet<String> {
    let xml = document(client, "threads:read:", 0xffff);
    xml.split(" name=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

fn new_threads_are_seen(guest: &mut Guest) {
    let mut client = guest.connect();
    client.ask(GDB);
    assert!(!threads(&mut client).contains("newcomer"));
    guest.run("ln -s cast /bin/newcomer; newcomer sleep & sleep 1");
    assert!(threads(&mut client).contains("newcomer"));
    guest.run("killall newcomer; sleep 1");
    assert!(!threads(&mut client).contains("newcomer"));
}

/// Processes that begin and end all the time, on both CPUs.
fn a_fork_storm_is_survived(guest: &mut Guest) {
    let full = std::env::var_os("KGDBSERVER_FULL").is_some();
    let duration = Duration::from_secs(if full { 60 } else { 10 });
    for _ in 0..2 {
        guest.run("(while :; do true & true & true & wait; done) >/dev/null 2>&1 &");
    }
    let mut client = guest.connect();
    client.ask(GDB);
    let start = Instant::now();
    let mut looks = 0;
    while looks < 3 || start.elapsed() < duration {
        let threads = threads(&mut client);
        for name in STEADY {
            assert!(threads.contains(name), "{name} is lost in look {looks}: {threads:?}");
        }
        looks += 1;
    }
    eprintln!("{looks} looks in {:?}", start.elapsed());
}
