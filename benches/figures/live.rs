//! Kernels that run in an emulated machine (TCG), looked at by the server inside: what it takes there by the clock.

use super::guest::{Guest, guests};
use super::measure::Times;
use super::server::Client;
use super::table::{Row, time};
use std::time::Instant;

const ROUNDS: usize = 9;
const TASKS: &str = "300";
/// Bytes that are read of /proc/kcore.
const READ: u64 = 256 << 20;
const MIB: u64 = 1 << 20;
/// How often a command runs at a time: the guest's `time` counts hundredths of a second.
const TIMES: usize = 4;

/// The figures' names, by the machine.
const FIGURES: [(&str, [&str; 2]); 2] = [
    ("x86_64", ["live amd64: list 300 tasks", "live amd64: read 256 MiB"]),
    ("aarch64", ["live arm64: list 300 tasks", "live arm64: read 256 MiB"]),
];

pub(crate) fn rows() -> Vec<Row> {
    guests("").flat_map(|mut guest| figures(&mut guest)).collect()
}

fn figures(guest: &mut Guest) -> [Row; 2] {
    let names = FIGURES.iter().find(|(machine, _)| *machine == guest.machine.name).unwrap().1;
    // What spins all the while takes a CPU from the one that is measured.
    guest.run("killall spinner");
    [tasks(guest, names[0]), kcore(guest, names[1])]
}

/// From the question to the whole answer, names and states included, as a debugger on the host waits for it.
fn tasks(guest: &mut Guest, figure: &'static str) -> Row {
    guest.run("ln -s cast /bin/many; many threads 210 & sleep 2");
    let count = guest.run("cut -d/ -f2 /proc/loadavg | cut -d' ' -f1");
    assert!(count.trim().parse::<u32>().unwrap() >= TASKS.parse().unwrap(), "{count} tasks");
    guest.serve("--live");
    let mut client = Client::at(guest.port).without_acks();
    client.say("qSupported:multiprocess+;xmlRegisters=i386");
    let mut taken = || {
        let start = Instant::now();
        let answer = client.say("qXfer:threads:read::0,3ffff");
        assert!(answer.matches("<thread ").count() > 250, "{answer}");
        start.elapsed().as_secs_f64()
    };
    let best = Times::of((0..=ROUNDS).map(|_| taken()).collect()).best();
    guest.run("killall kgdbserver many");
    Row::new(figure, time(best)).wanted("50 ms", best <= 50e-3)
}

/// The middle of the guest's memory, beside dd. What our program needs to find the kernel does not count.
fn kcore(guest: &mut Guest, figure: &'static str) -> Row {
    let (physical, offset) = middle(guest);
    let dd = format!(
        "dd if=/proc/kcore of=/dev/null bs=1M count={} skip={} 2>/dev/null",
        READ / MIB,
        offset / MIB
    );
    let read =
        |length| format!("kgdbserver read --live --physical --raw {physical:#x} {length} >/dev/null 2>&1");
    let mut seconds = |command: &str| {
        // real 0m 1.78s
        let said = guest.run(&format!("time sh -c '{}'", [command; TIMES].join("; ")));
        let text =
            said.lines().find_map(|line| line.strip_prefix("real")).unwrap_or_else(|| panic!("{said}"));
        let (minutes, seconds) = text.trim().trim_end_matches('s').split_once('m').unwrap();
        (minutes.parse::<f64>().unwrap() * 60.0 + seconds.trim().parse::<f64>().unwrap()) / TIMES as f64
    };
    let (mut ours, mut opening, mut theirs) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        opening.push(seconds(&read(1)));
        ours.push(seconds(&read(READ)));
        theirs.push(seconds(&dd));
    }
    let [ours, opening, theirs] = [ours, opening, theirs].map(|times| Times::of(times).best());
    let (ours, ratio) = (ours - opening, (ours - opening) / theirs);
    Row::new(figure, time(ours)).wanted("dd's", ratio <= 1.1).beside("dd", time(theirs), ratio)
}

/// Where there is so much memory: its physical address, and its place in /proc/kcore. Both are multiples of a MiB.
fn middle(guest: &mut Guest) -> (u64, u64) {
    // The file header, and the program headers that follow it.
    let said = guest.run("od -A n -v -t x8 -N 4096 /proc/kcore");
    let words: Vec<u64> =
        said.split_whitespace().map(|word| u64::from_str_radix(word, 16).unwrap()).collect();
    let headers = words[8..].chunks_exact(7).filter(|header| header[0] as u32 == 1);
    // Type and flags, offset, virtual and physical address, size.
    let place = headers.filter(|header| header[3] != u64::MAX && header[4] < 1 << 40).find_map(|header| {
        let (offset, start, len) = (header[1], header[3], header[4]);
        let skip = (len.checked_sub(READ)? / 2).next_multiple_of(MIB);
        let physical = (start + skip).next_multiple_of(MIB);
        Some((physical, offset + (physical - start)))
    });
    place.unwrap_or_else(|| panic!("{said}"))
}
