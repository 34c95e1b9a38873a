//! Tables that people read; the command line and the `monitor` commands print the same ones.

pub mod linux;
mod machine;
mod strings;
pub mod symbol;
pub mod translation;

pub use machine::{cptime, farewell, files, loadavg, modules, swap};
pub use strings::{Strings, Which};

use crate::image::Image;
use crate::kernel::{Process, Thread};
use crate::kvm::Kvm;
use crate::verify::Verdict;
use crate::{Error, Result};
use kgdbserver_arch::{By, Located};
use std::fmt::Write;

/// Columns padded to their widest cell, the last one not padded. Columns whose header ends in a space before the name
/// (`" PID"`) are aligned right.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let columns = header.iter().enumerate();
    let cells = |column: usize| rows.iter().filter_map(move |row| row.get(column));
    let width = |(column, name): (usize, &&str)| {
        cells(column).map(|cell| cell.chars().count()).fold(name.trim_start().len(), usize::max)
    };
    let widths: Vec<usize> = columns.map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let pad = |((cell, name), width): ((&str, &&str), &usize)| match name.starts_with(' ') {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        };
        let padded: Vec<String> = cells.zip(header).zip(&widths).map(pad).collect();
        padded.join("  ").trim_end().to_owned() + "\n"
    };
    let head = line(&mut header.iter().map(|name| name.trim_start()));
    rows.iter().fold(head, |text, row| text + &line(&mut row.iter().map(String::as_str)))
}

/// One line per process.
pub fn processes(processes: &[Process], threads: &[Thread]) -> String {
    let row = |process: &Process| {
        let own = threads.iter().filter(|thread| thread.pid == process.pid).count();
        vec![
            process.pid.to_string(),
            optional(process.ppid),
            optional(process.state),
            own.to_string(),
            process.comm.clone(),
        ]
    };
    table(&[" PID", " PPID", "S", " THREADS", "COMMAND"], &processes.iter().map(row).collect::<Vec<_>>())
}

/// One line per thread, the crashed one marked with a star.
pub fn threads(threads: &[Thread]) -> String {
    let row = |thread: &Thread| {
        vec![
            if thread.crashed { "*" } else { "" }.to_owned(),
            thread.tid.to_string(),
            thread.pid.to_string(),
            optional(thread.on_cpu),
            optional(thread.state),
            thread.wait.clone().unwrap_or_else(|| "-".into()),
            thread.name.clone(),
        ]
    };
    table(&["", " TID", " PID", " CPU", "S", "WAIT", "NAME"], &threads.iter().map(row).collect::<Vec<_>>())
}

/// What the image cannot tell is a dash.
fn optional(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

/// One screen about an image: names and values.
pub fn info(kvm: &Kvm) -> Vec<(&'static str, String)> {
    let image = kvm.image();
    let census = kvm.census();
    let mut facts = vec![("format", format(image)), ("machine", machine(kvm))];
    if !kvm.is_live() {
        facts.push(("size", format!("{} bytes", image.size)));
    }
    // The devices of a running BSD do not tell where there is memory.
    if !kvm.is_live() || census.dumped != 0 {
        facts.push(("pages", format!("{} of {} bytes", census.dumped, 1u64 << image.page_shift)));
    }
    if census.cut_off != 0 {
        let why = match image.facts.parts {
            Some(_) => "in files that are cut off or were not given",
            None => "the file is cut off",
        };
        facts.push(("missing", format!("{} pages: {why}", census.cut_off)));
    }
    facts.extend(told(kvm));
    facts.extend(image.plain.as_ref().map(|plain| ("segments", plain.segments.to_string())));
    facts.extend(kvm.located().map(|located| ("kernel at", place(located))));
    facts.push(("kernel file", kernel_file(kvm)));
    facts.extend(linux::facts(kvm));
    match kvm.kernel() {
        Err(error) => facts.push(("kernel", format!("not known: {error}"))),
        Ok(kernel) => {
            let version = kernel.version(kvm.space());
            facts.push((
                "kernel",
                version.unwrap_or_else(|| format!("{} (the image lacks its version)", kernel.name())),
            ));
            facts.extend(kernel.panic_message(kvm.space()).map(|message| ("panic", message)));
            facts.extend(crash(kvm));
        }
    }
    facts.extend(machine::facts(kvm));
    facts
}

/// What the image's wrapping tells: see [`crate::image::Facts`].
fn told(kvm: &Kvm) -> Vec<(&'static str, String)> {
    let facts = kvm.image().facts.clone();
    let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let rows = [
        ("wrapped in", Some(facts.layers.join(", ")).filter(|layers| !layers.is_empty())),
        ("host", facts.hostname),
        ("dumped", facts.dump_time.map(utc)),
        (if kvm.is_live() { "system says" } else { "dump says" }, facts.version.map(one_line)),
        ("dump's panic", facts.panic.map(one_line)),
        ("split set", facts.parts),
        ("dump level", facts.dump_level.map(dump_level)),
        ("erased", facts.erased.map(one_line)),
        ("messages", facts.log.map(|log| format!("{} lines", log.lines().count()))),
    ];
    rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

/// What makedumpfile(8) leaves out, by the bits of its dump level. Bit 0 stands for pages of zeros: a dump that tells its
/// level has them all the same, in one place.
static LEFT_OUT: [(u32, &str); 4] =
    [(2, "page cache"), (4, "page cache with private data"), (8, "user pages"), (16, "free pages")];

fn dump_level(level: u32) -> String {
    let left_out = LEFT_OUT.iter().filter(|(bit, _)| level & bit != 0).map(|(_, name)| *name);
    match left_out.collect::<Vec<_>>().as_slice() {
        [] => format!("{level}: nothing was left out"),
        names => format!("{level}: without {}", names.join(", ")),
    }
}

/// Seconds since 1970 as a date and a time, UTC.
fn utc(seconds: u64) -> String {
    let (days, time) = (seconds / 86400, seconds % 86400);
    // Years that begin in March end with the leap day; 400 of them have 146097 days, and 719468 lie before 1970.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", time / 3600, time / 60 % 60, time % 60)
}

fn format(image: &Image) -> String {
    let version = image.version.map(|version| format!(" version {version}")).unwrap_or_default();
    let shared = image.shared_with.map(|system| format!(" ({system}'s look the same)")).unwrap_or_default();
    format!("{}{version}{shared}", image.format)
}

/// Where the kernel was loaded, and who says so.
fn place(located: Result<&Located, &Error>) -> String {
    let Located { at, by, .. } = match located {
        Ok(located) => located,
        Err(_) => return "not found: only physical memory can be read".into(),
    };
    let how = match by {
        By::Dump => "as the dump says".into(),
        By::Fixed => "where this kernel is always loaded".into(),
        By::Search(others) if others.is_empty() => "found by its page tables".into(),
        By::Search(others) => {
            let others: Vec<String> = others.iter().map(ToString::to_string).collect();
            format!("found by its page tables, and others at {}", others.join(", "))
        }
    };
    format!("physical {at}, {how}")
}

fn machine(kvm: &Kvm) -> String {
    let machine = kvm.space().machine;
    let order = if machine.big_endian { "big" } else { "little" };
    format!("{}, {order} endian{}", machine.arch.name, if kvm.native() { ", native here" } else { "" })
}

fn kernel_file(kvm: &Kvm) -> String {
    let file = kvm.symbols().file().map(|file| file.source().path());
    let Some(path) = file.or(kvm.symbols().map()) else { return "none".into() };
    let trust = match kvm.verdict() {
        Verdict::Verified(what) => verified_by(what),
        Verdict::Unverified => "not verified: nothing could be compared".into(),
        Verdict::Forced(_) => "DOES NOT MATCH the image".into(),
    };
    format!("{} ({trust})", path.display())
}

/// `verified by the build id, version and 7 more`.
fn verified_by(what: &[String]) -> String {
    match what {
        [first, second, _, ..] => format!("verified by {first}, {second} and {} more", what.len() - 2),
        few => format!("verified by {}", few.join(", ")),
    }
}

fn crash(kvm: &Kvm) -> Vec<(&'static str, String)> {
    let list = match kvm.threads() {
        Ok(list) => list,
        Err(error) => return vec![("threads", error.to_string())],
    };
    let crashed = list.items.iter().find(|thread| thread.crashed);
    let describe = |thread: &Thread| {
        let cpu = thread.on_cpu.map(|cpu| format!(" on CPU {cpu}")).unwrap_or_default();
        format!("{} (pid {}) {}{cpu}", thread.tid, thread.pid, thread.name)
    };
    let lost = match list.problems.len() {
        0 => String::new(),
        lost => format!(", and {lost} that could not be read"),
    };
    let mut facts = vec![("threads", format!("{}{lost}", list.items.len()))];
    facts.extend(crashed.map(|thread| ("crashed", describe(thread))));
    facts
}

/// [`info`] as text.
pub fn info_text(kvm: &Kvm) -> String {
    info(kvm).iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{name:<12} {value}"); // writing to a String cannot fail
        text
    })
}
