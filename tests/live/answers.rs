//! What is told of a kernel, compared with what its own /proc tells.

use crate::STEADY;
use crate::guest::Guest;
use serde_json::Value;
use std::collections::BTreeMap;

/// The kernel's workers, and what the shell runs, come and go; so does the one who asks.
const FLEETING: [&str; 3] = ["kworker", "init", "kgdbserver"];

pub(crate) fn are_those_of_proc(guest: &mut Guest) {
    processes(guest);
    texts(guest, "args", "cmdline");
    texts(guest, "env", "environ");
    files(guest);
    names(guest);
    machine(guest);
}

/// The rows of an answer by their processes' numbers: of most questions each has one.
pub(crate) fn by_pid(answer: &Value, list: &str) -> BTreeMap<u64, Vec<Value>> {
    let rows = answer[list].as_array().unwrap_or_else(|| panic!("no {list}: {answer}"));
    let mut by_pid: BTreeMap<u64, Vec<Value>> = BTreeMap::new();
    for row in rows {
        by_pid.entry(row["pid"].as_u64().expect("a number")).or_default().push(row.clone());
    }
    by_pid
}

fn processes(guest: &mut Guest) {
    let ours = by_pid(&guest.json("ps"), "processes");
    let theirs = guest.processes();
    for name in STEADY {
        let (pid, (_, columns)) =
            theirs.iter().find(|(_, row)| row.0 == name).unwrap_or_else(|| panic!("{name} is not on stage"));
        assert_eq!(ours[pid][0]["state"], columns[0].as_str(), "{name}");
    }
    // Columns are counted without number and name: state, parent, .. threads.
    let told = |pid: &u64| {
        let row = &ours.get(pid)?[0];
        Some((row["comm"].as_str()?, row["ppid"].to_string(), row["threads"].to_string()))
    };
    for (pid, (name, columns)) in &theirs {
        if !FLEETING.iter().any(|fleeting| name.starts_with(fleeting)) {
            assert_eq!(told(pid), Some((name.as_str(), columns[1].clone(), columns[17].clone())), "{pid}");
        }
    }
    assert!(theirs.len() > 60, "{theirs:?}");
}

/// Arguments or environments, beside the file that has them with a NUL behind each.
fn texts(guest: &mut Guest, ours: &str, file: &str) {
    let told = by_pid(&guest.json(ours), "processes");
    let said =
        guest.run(&format!("for d in /proc/[0-9]*; do echo ${{d#/proc/}}; cat $d/{file}; echo; done 2>&1"));
    let lines: Vec<&str> = said.lines().collect();
    let mut compared = 0;
    for [pid, text] in lines.as_chunks().0 {
        let (pid, Some(text)) = (pid.parse::<u64>().expect("a number"), text.strip_suffix('\0')) else {
            continue; // of the kernel's threads there is none
        };
        let row = &told[&pid][0];
        if !FLEETING.iter().any(|name| row["comm"] == *name) {
            assert_eq!(row[ours], Value::from_iter(text.split('\0')), "{row}");
            compared += 1;
        }
    }
    assert!(compared > 15, "{compared} of {ours}");
}

fn files(guest: &mut Guest) {
    let answer = guest.json("files");
    let rows = answer["files"].as_array().expect("files");
    // The shell has some for the while of a loop. /proc shows none of a process whose first thread has ended.
    let others = |row: &&Value| FLEETING.iter().chain(&["leaderless"]).all(|name| row["comm"] != *name);
    let steady = rows.iter().filter(others);
    let ours: BTreeMap<String, &Value> =
        steady.map(|row| (format!("/proc/{}/fd/{}", row["pid"], row["fd"]), &row["path"])).collect();
    let said = guest.run("for f in /proc/[0-9]*/fd/*; do echo \"$f $(readlink $f)\"; done");
    let theirs: BTreeMap<String, Value> = said
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(place, path)| (place.to_owned(), path.into()))
        .collect();
    for (place, path) in &ours {
        assert_eq!(Some(*path), theirs.get(place), "{place}");
    }
    assert!(ours.len() > 50, "{} files", ours.len());
}

/// Some of the kernel's functions, as nlist prints them and as /proc/kallsyms has them.
fn names(guest: &mut Guest) {
    let theirs = guest.run("awk 'NR % 1000 < 5 && $2 == \"T\" && NF == 3' /proc/kallsyms");
    let names: Vec<&str> = theirs.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    assert!(names.len() > 10, "{theirs}");
    assert_eq!(guest.run(&format!("kgdbserver nlist --live -- {}", names.join(" "))), theirs);
}

/// The machine as a whole. What counts on is looked at before and after.
fn machine(guest: &mut Guest) {
    let proc = "cat /proc/loadavg /proc/swaps; head -1 /proc/stat";
    let before = guest.run(proc);
    let ours = guest.json("info");
    let after = guest.run(proc);
    assert_eq!((&ours["native"], &ours["machine"]), (&true.into(), &guest.machine.name.into()));
    assert_eq!(ours["format"], "running kernel");
    if guest.machine.names_data {
        assert_eq!(ours["cpus"], 2);
    }
    let [before, after] = [figures(&before), figures(&after)];
    let told = told_figures(&ours);
    assert_eq!(told.len(), before.len(), "{ours:#}");
    for ((ours, before), after) in told.iter().zip(before).zip(after) {
        let (low, high) = (before.min(after) - 0.02, before.max(after) + 0.02);
        assert!((low..=high).contains(ours), "{ours} is not between {low} and {high} in {ours:#}");
    }
}

/// Load, pages of swap and ticks of the CPUs, in /proc's words.
fn figures(said: &str) -> Vec<f64> {
    let number = |word: &str| word.parse::<f64>().unwrap_or_else(|_| panic!("{word}: {said}"));
    let words = |start: &str| {
        let line = said.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("{said}"));
        line.split_whitespace().collect::<Vec<_>>()
    };
    let load = said.lines().next().expect("a line").split(' ').take(3).map(number);
    // Name, type, KiB, KiB in use; pages have four.
    let swap = words("/dev/loop5").into_iter().skip(2).take(2).map(|word| number(word) / 4.0);
    // user, nice, system, idle, waiting for disks, two kinds of interrupts
    let ticks: Vec<f64> = words("cpu ").into_iter().skip(1).take(7).map(number).collect();
    let ticks = [ticks[0], ticks[1], ticks[2], ticks[5] + ticks[6], ticks[3] + ticks[4]];
    load.chain(swap).chain(ticks).collect()
}

/// The same in the words of `info`.
fn told_figures(info: &Value) -> Vec<f64> {
    let load = info["loadavg"].as_array().expect("a load").iter();
    let devices = info["swap"].as_array().expect("swap");
    assert_eq!((devices.len(), &devices[0]["device"]), (1, &"loop5".into()), "{info:#}");
    let swap = ["total", "used"].map(|name| &devices[0][name]);
    let ticks = ["user", "nice", "system", "interrupt", "idle"].map(|name| &info["cptime"][name]);
    load.chain(swap).chain(ticks).map(|number| number.as_f64().expect("a number")).collect()
}
