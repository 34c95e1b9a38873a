//! The state of the machine: modules, messages, files, load, swap.

use super::{optional, table};
use crate::kernel::state::{CpuTime, Module, OpenFile, Swap};
use crate::kvm::{Kvm, SWIF_DEV_PREFIX};

/// Lines of unread messages that are shown unasked.
const FAREWELL_LINES: usize = 40;

/// One line per module.
pub fn modules(modules: &[Module]) -> String {
    let row = |module: &Module| {
        vec![
            module.address.to_string(),
            module.size.map_or_else(|| "-".into(), |size| format!("{size:#x}")),
            module.name.clone(),
            optional(module.path.as_ref()),
        ]
    };
    table(&["ADDRESS", " SIZE", "NAME", "PATH"], &modules.iter().map(row).collect::<Vec<_>>())
}

/// One line per open file.
pub fn files(files: &[OpenFile]) -> String {
    let row = |file: &OpenFile| {
        vec![
            file.pid.to_string(),
            file.comm.clone(),
            file.fd.to_string(),
            optional(file.kind.as_ref()),
            file.flag.map_or_else(|| "-".into(), access),
            optional(file.offset),
            file.va.to_string(),
            file.path.clone().unwrap_or_default(),
        ]
    };
    let header = [" PID", "COMMAND", " FD", "TYPE", "RW", " OFFSET", "FILE", "PATH"];
    let paths = files.iter().any(|file| file.path.is_some());
    let (without, _) = header.split_at(header.len() - 1);
    table(if paths { &header } else { without }, &files.iter().map(row).collect::<Vec<_>>())
}

/// How a file was opened, as fstat(1) prints it.
fn access(flag: u32) -> String {
    let letter = |bit: u32, letter: &'static str| if flag & bit != 0 { letter } else { "" };
    let text = format!("{}{}", letter(1, "r"), letter(2, "w"));
    if text.is_empty() { "-".into() } else { text }
}

/// One line per swap device, the sum last where there are several.
pub fn swap(devices: &[Swap]) -> String {
    let row =
        |device: &Swap, name: &str| vec![name.to_owned(), device.total.to_string(), device.used.to_string()];
    let named = |device: &Swap| row(device, if device.name.is_empty() { "-" } else { &device.name });
    let mut rows: Vec<_> = devices.iter().map(named).collect();
    if devices.len() > 1 {
        rows.push(row(&Kvm::swap_total(devices), "total"));
    }
    table(&["DEVICE", " PAGES", " USED"], &rows)
}

/// `0.25, 0.10, 0.05`.
pub fn loadavg(loads: [f64; 3]) -> String {
    loads.map(|load| format!("{load:.2}")).join(", ")
}

/// Shares of the time since the system started.
pub fn cptime(time: &CpuTime) -> String {
    let CpuTime { user, nice, system, interrupt, idle } = *time;
    let states =
        [(user, "user"), (nice, "nice"), (system, "system"), (interrupt, "interrupt"), (idle, "idle")];
    let total: f64 = states.iter().map(|(ticks, _)| *ticks as f64).sum();
    let share = |(ticks, name): (u64, &str)| {
        let percent = if total > 0.0 { 100.0 * ticks as f64 / total } else { 0.0 };
        format!("{percent:.1}% {name}")
    };
    states.map(share).join(", ")
}

/// Lines of `info`. What the image cannot tell has none.
pub(super) fn facts(kvm: &Kvm) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    facts.extend(kvm.getloadavg().ok().map(|loads| ("load", loadavg(loads))));
    facts.extend(kvm.getncpus().ok().map(|count| ("CPUs", count.to_string())));
    facts.extend(kvm.getcptime().ok().map(|time| ("CPU time", cptime(&time))));
    let devices = kvm.getswapinfo(SWIF_DEV_PREFIX).map(|list| list.items).unwrap_or_default();
    facts.extend(devices.iter().map(|device| {
        let name = if device.name.is_empty() { "a device" } else { &device.name };
        ("swap", format!("{} of {} pages used on {name}", device.used, device.total))
    }));
    facts
}

/// What to tell whoever attaches, as kgdb does: what the log daemon had not read when the system went down, and why it
/// did. Nothing if the image tells neither.
pub fn farewell(kvm: &Kvm) -> String {
    let unread = kvm.log().map(|log| log.unread).unwrap_or_default();
    let panic = kvm.kernel().ok().and_then(|kernel| kernel.panic_message(kvm.space()));
    let panic = panic.map(|message| format!("Panic: {}\n", message.trim_end()));
    last_lines(unread.trim_end()) + &panic.unwrap_or_default()
}

/// Where no log daemon ever ran, all messages since the system started are unread.
fn last_lines(unread: &str) -> String {
    let lines: Vec<&str> = unread.lines().collect();
    let left_out = lines.len().saturating_sub(FAREWELL_LINES);
    let shown: String = lines.iter().skip(left_out).map(|line| format!("{line}\n")).collect();
    match left_out {
        _ if lines.is_empty() => String::new(),
        0 => format!("Unread portion of the kernel message buffer:\n{shown}"),
        _ => {
            format!("Unread portion of the kernel message buffer ({left_out} lines before: dmesg):\n{shown}")
        }
    }
}
