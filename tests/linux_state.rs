//! What real Linux kernels keep, against what the guests themselves reported.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod support;
mod synth;

use kgdbserver::kernel::kinfo::{KinfoProc, Op};
use kgdbserver::kvm::SWIF_DEV_PREFIX;
use kgdbserver_arch::Va;
use std::collections::{BTreeMap, HashMap};
use support::linux::{Guest, guests, unescaped};

/// The row of every process that the report knows.
fn rows(guest: &Guest) -> HashMap<u32, KinfoProc> {
    let rows = guest.kvm.getprocs(Op::Proc as i32, 0).expect("getprocs");
    assert!(rows.problems.is_empty(), "{}: {:?}", guest.name, rows.problems);
    rows.items.into_iter().map(|row| (row.pid, row)).collect()
}

/// Strings that each end in a NUL.
fn strings(line: &str) -> Vec<String> {
    let bytes = unescaped(line);
    let Some(bytes) = bytes.strip_suffix(&[0]) else { return Vec::new() };
    bytes.split(|byte| *byte == 0).map(|string| String::from_utf8_lossy(string).into_owned()).collect()
}

#[test]
fn arguments_and_environments() {
    for guest in guests() {
        let rows = rows(guest);
        for (section, env) in [("cmdline", false), ("environ", true)] {
            let mut compared = 0;
            for (pid, lines) in guest.by_process(section) {
                let Some(row) = rows.get(&pid).filter(|_| guest.is_steady(pid)) else { continue };
                let got = if env { guest.kvm.getenvv(row, 0) } else { guest.kvm.getargv(row, 0) };
                let expected = strings(lines[0]);
                let text = got.map_or_else(|error| error.to_string(), |list| format!("{:?}", list.items));
                // The guest shows nothing of a process whose first thread has ended.
                let known = match expected.is_empty() {
                    true if pid == guest.player("leaderless") => {
                        text.contains(if env { "RIGVAR" } else { "leaderless" })
                    }
                    true => text == "[]" || text.ends_with("it is exiting"),
                    false => text == format!("{expected:?}"),
                };
                assert!(known, "{}: {section} of {pid}: {text}, not {expected:?}", guest.name);
                compared += usize::from(!expected.is_empty());
            }
            assert!(compared > 15, "{}: {compared} of {section}", guest.name);
        }
    }
}

#[test]
fn modules_with_their_sections_and_build_ids() {
    for guest in guests() {
        let modules = guest.kvm.modules().expect("modules");
        assert!(modules.problems.is_empty(), "{}: {:?}", guest.name, modules.problems);
        let modules = modules.items;
        // NAME SIZE REFERENCES USERS STATE ADDRESS
        let line = |line: &String| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[0].to_owned(), words[1].parse().ok(), address(words[5]))
        };
        let expected: Vec<(String, Option<u64>, u64)> = guest.lines("modules").iter().map(line).collect();
        let got: Vec<_> =
            modules.iter().map(|module| (module.name.clone(), module.size, module.address.0)).collect();
        assert_eq!(got, expected, "{}", guest.name);
        assert!(!got.is_empty(), "{}", guest.name);

        let sections = modules.iter().flat_map(|module| {
            let line = |(name, address): &(String, Va)| format!("{} {name} {}", module.name, address.0);
            module.sections.iter().map(line).collect::<Vec<_>>()
        });
        assert_eq!(
            sorted(sections),
            sorted(guest.lines("module-sections").iter().map(|line| in_decimal(line))),
            "{}",
            guest.name
        );

        let notes: BTreeMap<&str, Vec<u8>> = guest
            .lines("module-build-ids")
            .iter()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, note)| (name, unescaped(note)))
            .collect();
        for module in &modules {
            let digits: String =
                notes[module.name.as_str()][16..].iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(module.build_id.as_deref(), Some(digits.as_str()), "{}: {}", guest.name, module.name);
        }
    }
}

/// An address of any width, as the guest writes it.
fn address(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("an address")
}

/// A line whose last word is an address.
fn in_decimal(line: &str) -> String {
    let (rest, last) = line.rsplit_once(' ').expect("words");
    format!("{rest} {}", address(last))
}

fn sorted(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

#[test]
fn messages() {
    for guest in guests() {
        let log = guest.kvm.log().expect("messages").text;
        let mut lines = log.lines();
        let mut compared = 0;
        for record in guest.lines("kmsg").iter().filter(|line| !line.starts_with(' ')) {
            // PRIORITY,NUMBER,MICROSECONDS,FLAGS;TEXT, in which the kernel escapes what is not printable, newlines too.
            let text = String::from_utf8(unescaped(record)).expect("text");
            let (head, text) = text.split_once(';').expect("a text");
            let micros: u64 = head.split(',').nth(2).expect("a time").parse().expect("a time");
            for line in String::from_utf8_lossy(&unescaped(text)).split('\n') {
                let expected = format!("[{:5}.{:06}] {line}", micros / 1_000_000, micros % 1_000_000);
                assert_eq!(lines.next(), Some(expected.as_str()), "{}", guest.name);
                compared += 1;
            }
        }
        assert!(compared > 100, "{}: {compared}", guest.name);
    }
}

#[test]
fn open_files_with_their_paths() {
    const O_CLOEXEC: u32 = 0o2_000_000;
    for guest in guests() {
        let files = guest.kvm.getfiles(None).expect("files");
        assert!(files.problems.is_empty(), "{}: {:?}", guest.name, files.problems);
        let by_process = |section| {
            let lines = guest.by_process(section).into_iter().filter(|(pid, _)| guest.is_steady(*pid));
            lines.flat_map(|(pid, lines)| lines.into_iter().map(move |line| (pid, line))).collect::<Vec<_>>()
        };
        let got = files.items.iter().filter(|file| guest.is_steady(file.pid));
        let path = |path: &str| path.to_owned();
        let paths: BTreeMap<(u32, String), String> = got
            .clone()
            .map(|file| ((file.pid, file.fd.to_string()), file.path.clone().expect("a path")))
            .filter(|((pid, _), _)| is_reported(guest, *pid))
            .collect();
        let expected: BTreeMap<(u32, String), String> = by_process("fd")
            .into_iter()
            .filter_map(|(pid, line)| {
                line.split_once(' ').map(|(fd, target)| ((pid, path(fd)), path(target)))
            })
            .collect();
        assert_eq!(paths, expected, "{}", guest.name);

        let info: BTreeMap<(u32, &str, &str), &str> = by_process("fdinfo")
            .into_iter()
            .filter_map(|(pid, line)| {
                let (fd, rest) = line.split_once(' ')?;
                let (key, value) = rest.split_once(":\t")?;
                Some(((pid, fd, key), value))
            })
            .collect();
        for file in got.filter(|file| is_reported(guest, file.pid)) {
            let fd = file.fd.to_string();
            let what = format!("{}: {} {fd}", guest.name, file.comm);
            let told =
                |key| info.get(&(file.pid, fd.as_str(), key)).copied().unwrap_or_else(|| panic!("{what}"));
            let flags = u32::from_str_radix(told("flags"), 8).expect("octal digits");
            let access = (flags & 3) + 1; // O_RDONLY 0, O_WRONLY 1, O_RDWR 2; FREAD 1, FWRITE 2
            assert_eq!(file.flag, Some(flags & !O_CLOEXEC & !3 | access), "{what}");
            if file.comm != "copier" {
                assert_eq!(
                    file.offset.map(|offset| offset.to_string()).as_deref(),
                    Some(told("pos")),
                    "{what}"
                );
            }
        }
        let librarian = guest.player("librarian");
        let kinds: Vec<&str> = files
            .items
            .iter()
            .filter(|file| file.pid == librarian)
            .filter_map(|file| file.kind.as_deref())
            .collect();
        assert_eq!(
            kinds,
            ["chr", "chr", "chr", "regular", "regular", "directory", "regular", "chr", "regular"],
            "{}",
            guest.name
        );
        assert!(files.items.iter().any(|file| file.kind.as_deref() == Some("pipe")), "{}", guest.name);
        assert!(files.items.iter().any(|file| file.kind.as_deref() == Some("socket")), "{}", guest.name);
    }
}

/// Whether a process was there when the guest made its report, and had its files: it shows none of a process whose first
/// thread has ended.
fn is_reported(guest: &Guest, pid: u32) -> bool {
    pid != guest.player("leaderless") && guest.by_process("fdinfo").contains_key(&pid)
}

/// Ticks that three CPUs have in 20 seconds: longer than it takes from the report to the image.
const LATER: u64 = 6000;

#[test]
fn the_machines_state() {
    for guest in guests() {
        let (kvm, name) = (&guest.kvm, &guest.name);
        if kvm.symbols().address("avenrun").is_none() {
            let why = kvm.getloadavg().expect_err("no symbol").to_string();
            assert_eq!(why, "avenrun: no such symbol", "{name}");
            eprintln!("skipped: {name}: its table of symbols has functions only");
            continue;
        }
        let told: Vec<f64> =
            guest.lines("loadavg")[0].split(' ').take(3).map(|load| load.parse().unwrap()).collect();
        let loads = kvm.getloadavg().expect("load");
        // Reckoned every five seconds, and rising: the cast has just come on stage.
        let rising = |(load, told): (&f64, &f64)| (told / 2.0 - 0.05..told * 4.0 + 0.1).contains(load);
        assert!(loads.iter().zip(&told).all(rising), "{name}: {loads:?} {told:?}");

        // cpu USER NICE SYSTEM IDLE IOWAIT IRQ SOFTIRQ STEAL
        let told: Vec<u64> = guest.lines("cpu-stat")[0]
            .split_whitespace()
            .skip(1)
            .map(|ticks| ticks.parse().unwrap())
            .collect();
        let time = kvm.getcptime().expect("times");
        let got = [time.user, time.nice, time.system, time.interrupt, time.idle];
        let told = [told[0], told[1], told[2], told[5] + told[6], told[3] + told[4]];
        // To the time of a CPU that is idle right now, /proc/stat adds how long it has been so; memory does not have that.
        let lowest = |state: usize, told: u64| if state == 4 { told / 2 } else { told.saturating_sub(20) };
        for (state, (got, told)) in got.into_iter().zip(told).enumerate() {
            assert!((lowest(state, told)..told + LATER).contains(&got), "{name}: {time:?} {told:?}");
        }

        // FILE TYPE SIZE USED PRIORITY
        let told: Vec<(&str, u64)> = guest.lines("swaps")[1..]
            .iter()
            .map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                (words[0], words[2].parse().unwrap())
            })
            .collect();
        let page = guest.page_size();
        let swap = kvm.getswapinfo(SWIF_DEV_PREFIX).expect("swap").items;
        let got: Vec<(&str, u64)> =
            swap.iter().map(|file| (file.name.as_str(), file.total * page / 1024)).collect();
        assert_eq!(got, told, "{name}");
        assert!(swap[0].used * page > 4 << 20 && swap[0].used < swap[0].total, "{name}: {swap:?}");
        assert_eq!(kvm.getswapinfo(0).expect("swap").items[0].name, "loop5", "{name}");
    }
}

#[test]
fn per_cpu_variables() {
    for guest in guests() {
        let (kvm, name) = (&guest.kvm, &guest.name);
        if kvm.symbols().per_cpu().is_none() {
            continue;
        }
        let cpus = guest
            .lines("cpu-stat")
            .iter()
            .filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "))
            .count() as u32;
        assert_eq!(kvm.getncpus().expect("CPUs"), cpus, "{name}");
        let max = kvm.getmaxcpu().expect("CPUs");
        assert!(max >= cpus, "{name}: {max}");
        // Every CPU's run queue knows whose it is.
        let member = kvm.symbols().types().require("rq", "cpu").expect("rq.cpu");
        for cpu in 0..cpus {
            kvm.dpcpu_setcpu(cpu).expect("a CPU");
            let queue = kvm.symbol("runqueues").expect("runqueues").va;
            let number = kvm.space().uint(Va(queue.0 + member.offset), 4).expect("a number");
            assert_eq!(number, u64::from(cpu), "{name}");
            let area = kvm.getpcpu(cpu).expect("a CPU").expect("its area");
            let start = kvm.symbols().per_cpu().unwrap().start.0;
            let at = (kvm.symbols().address("runqueues").unwrap().0 - start + member.offset) as usize;
            assert_eq!(kvm.space().machine.uint(&area[at..at + 4]), u64::from(cpu), "{name}");
        }
        assert_eq!(kvm.getpcpu(max).expect("none"), None, "{name}");
        assert_eq!(
            kvm.dpcpu_setcpu(max).expect_err("no CPU").to_string(),
            format!("CPU {max} too big"),
            "{name}"
        );
    }
}
