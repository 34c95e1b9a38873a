//! What Linux's /proc tells better than memory does, as sysctl(3) does where libkvm looks at a running BSD.

use super::own::{Own, Told, strings};
use crate::kernel::Listing;
use crate::kernel::kinfo::KinfoProc;
use crate::kernel::state::{CpuTime, Swap};
use std::fs;

/// The /proc of the system that we run on.
pub(super) struct Proc;

impl Own for Proc {
    /// Memory lacks the time that a CPU has been idle for without a tick, which may be all of it.
    fn cptime(&self) -> Told<CpuTime> {
        parse_stat(&fs::read_to_string("/proc/stat").ok()?).map(Ok)
    }

    /// The variables that tell it have no names in a kernel without `KALLSYMS_ALL`.
    fn loadavg(&self) -> Told<[f64; 3]> {
        parse_loadavg(&fs::read_to_string("/proc/loadavg").ok()?).map(Ok)
    }

    /// As with the load.
    fn swap(&self) -> Told<Listing<Swap>> {
        let page_size = rustix::param::page_size() as u64;
        let text = fs::read_to_string("/proc/swaps").ok()?;
        let devices: Option<Vec<Swap>> =
            text.lines().skip(1).map(|line| parse_swap(line, page_size)).collect();
        Some(Ok(devices?.into()))
    }

    /// Memory lacks what was swapped out. None in a container, whose numbers are others; or if the process has ended.
    fn args(&self, proc: &KinfoProc, limit: usize) -> Told<Vec<String>> {
        texts(proc, "cmdline", limit)
    }

    /// Likewise; another user's only root may read.
    fn env(&self, proc: &KinfoProc, limit: usize) -> Told<Vec<String>> {
        texts(proc, "environ", limit)
    }
}

/// The texts in a file of a process.
fn texts(proc: &KinfoProc, file: &str, limit: usize) -> Told<Vec<String>> {
    /// `PROC_PID_INIT_INO`: the namespace that a kernel begins with.
    const FIRST: &str = "pid:[4026531836]";
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    let (pid, comm) = (proc.pid, proc.comm.as_bytes());
    let same = || Some(fs::read(format!("/proc/{pid}/comm")).ok()?.trim_ascii_end() == comm);
    let bytes = fs::read(format!("/proc/{pid}/{file}")).ok()?;
    (namespace.to_str() == Some(FIRST) && same()?).then(|| Ok(strings(&bytes, limit)))
}

/// The first line of /proc/stat: user, nice, system, idle, waiting for disks, interrupts, soft interrupts.
fn parse_stat(text: &str) -> Option<CpuTime> {
    let mut words = text.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    let mut next = || words.next()?.parse::<u64>().ok();
    let (user, nice, system, idle, waiting) = (next()?, next()?, next()?, next()?, next()?);
    let interrupt = next()?.checked_add(next()?)?;
    Some(CpuTime { user, nice, system, interrupt, idle: idle.checked_add(waiting)? })
}

/// `0.07 0.21 0.15 1/211 4711`.
fn parse_loadavg(text: &str) -> Option<[f64; 3]> {
    let mut words = text.split_ascii_whitespace().map(|word| word.parse().ok());
    Some([words.next()??, words.next()??, words.next()??])
}

/// A line of /proc/swaps: path, type, KiB, KiB in use, priority. Of the flags it tells `SWP_USED`, as it lists no others.
fn parse_swap(line: &str, page_size: u64) -> Option<Swap> {
    let mut words = line.split_ascii_whitespace();
    let (path, _type) = (unescaped(words.next()?), words.next()?);
    let mut pages = || words.next()?.parse::<u64>().ok()?.checked_mul(1024)?.checked_div(page_size);
    let (total, used) = (pages()?, pages()?);
    let name = path.strip_prefix("/dev/").map(str::to_owned).unwrap_or(path);
    Some(Swap { name, used, total, flags: 1 })
}

/// A path as it is: blanks, line ends and backslashes come as three octal digits.
fn unescaped(path: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(path.to_owned(), |path, (escape, text)| path.replace(escape, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_idle_and_soft_interrupts_are_interrupts() {
        let text = "cpu  10 20 30 40 5 6 7 8 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        let expected = CpuTime { user: 10, nice: 20, system: 30, interrupt: 13, idle: 45 };
        assert_eq!(parse_stat(text), Some(expected));
        assert_eq!(parse_stat("cpu  10 20 30\n"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn load_is_three_numbers() {
        assert_eq!(parse_loadavg("0.07 0.21 1.50 1/211 4711\n"), Some([0.07, 0.21, 1.5]));
        assert_eq!(parse_loadavg("0.07 0.21\n"), None);
        assert_eq!(parse_loadavg("0.07 x 0.15 1/211 4711\n"), None);
    }

    #[test]
    fn swap_is_told_in_pages() {
        let swap = |name: &str, used, total| Some(Swap { name: name.into(), used, total, flags: 1 });
        let line = "/dev/loop5                              partition\t32764\t\t8192\t\t-2";
        assert_eq!(parse_swap(line, 4096), swap("loop5", 2048, 8191));
        assert_eq!(parse_swap("/a\\040b\\134040 file 64 16 -3", 16384), swap("/a b\\040", 1, 4));
        assert_eq!(parse_swap("/dev/loop5 partition 32764", 4096), None);
    }
}
