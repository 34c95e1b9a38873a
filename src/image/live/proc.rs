//! What Linux's /proc tells better than memory does, as sysctl(3) does where libkvm looks at a running BSD.

use super::own::{Own, Told, strings};
use crate::kernel::kinfo::KinfoProc;
use crate::kernel::state::CpuTime;

/// The /proc of the system that we run on.
pub(super) struct Proc;

impl Own for Proc {
    /// Memory lacks the time that a CPU has been idle for without a tick, which may be all of it.
    fn cptime(&self) -> Told<CpuTime> {
        parse_stat(&std::fs::read_to_string("/proc/stat").ok()?).map(Ok)
    }

    /// Memory lacks what was swapped out. None in a container, whose numbers are others; or if the process has ended.
    fn args(&self, proc: &KinfoProc, limit: usize) -> Told<Vec<String>> {
        /// `PROC_PID_INIT_INO`: the namespace that a kernel begins with.
        const FIRST: &str = "pid:[4026531836]";
        let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
        let (pid, comm) = (proc.pid, proc.comm.as_bytes());
        let same = || Some(std::fs::read(format!("/proc/{pid}/comm")).ok()?.trim_ascii_end() == comm);
        let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        (namespace.to_str() == Some(FIRST) && same()?).then(|| Ok(strings(&bytes, limit)))
    }
}

/// The first line of /proc/stat: user, nice, system, idle, waiting for disks, interrupts, soft interrupts.
fn parse_stat(text: &str) -> Option<CpuTime> {
    let mut words = text.lines().next()?.strip_prefix("cpu ")?.split_ascii_whitespace();
    let mut next = || words.next()?.parse::<u64>().ok();
    let (user, nice, system, idle, waiting) = (next()?, next()?, next()?, next()?, next()?);
    let interrupt = next()?.checked_add(next()?)?;
    Some(CpuTime { user, nice, system, interrupt, idle: idle.checked_add(waiting)? })
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
}
