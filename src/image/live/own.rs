//! What the system that we run on tells of itself, beside its memory.

use crate::Result;
use crate::kernel::Listing;
use crate::kernel::kinfo::{KinfoProc, Op};
use crate::kernel::state::{CpuTime, Log, OpenFile, Swap};
use crate::kernel::{Process, Thread};
use crate::symbols::Symbol;

/// An answer of the system's; none where it has no word for the question, and memory is to be asked.
pub(crate) type Told<T> = Option<Result<T>>;

/// How many CPUs there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Count {
    /// In use.
    pub(crate) count: u32,
    /// That the kernel was built for.
    pub(crate) max: u32,
}

/// The system's own interface: /proc of Linux, sysctl(3) of the BSDs.
pub(crate) trait Own: Send + Sync {
    /// The rows of getprocs that `op` with `arg` selects, one per thread where `threads` is set.
    fn getprocs(&self, _op: Op, _arg: u32, _threads: bool) -> Told<Listing<KinfoProc>> {
        None
    }

    /// All processes.
    fn processes(&self) -> Told<Listing<Process>> {
        None
    }

    /// All threads. Nothing is told of their registers.
    fn threads(&self) -> Told<Listing<Thread>> {
        None
    }

    /// The arguments of a process, at most `limit` bytes of them (0: all).
    fn args(&self, _proc: &KinfoProc, _limit: usize) -> Told<Vec<String>> {
        None
    }

    /// The environment of a process, at most `limit` bytes of it (0: all).
    fn env(&self, _proc: &KinfoProc, _limit: usize) -> Told<Vec<String>> {
        None
    }

    /// The files that processes have open; of one process where `pid` is given.
    fn files(&self, _pid: Option<u32>) -> Told<Listing<OpenFile>> {
        None
    }

    /// The load average of the last 1, 5 and 15 minutes.
    fn loadavg(&self) -> Told<[f64; 3]> {
        None
    }

    /// The swap devices.
    fn swap(&self) -> Told<Listing<Swap>> {
        None
    }

    /// What all CPUs together spent their time on.
    fn cptime(&self) -> Told<CpuTime> {
        None
    }

    /// How many CPUs there are.
    fn cpus(&self) -> Told<Count> {
        None
    }

    /// The message buffer, without telling what of it is unread.
    fn log(&self) -> Told<Log> {
        None
    }

    /// A symbol of the kernel or of a module.
    fn symbol(&self, _name: &str) -> Option<Symbol> {
        None
    }
}

/// Texts that each end with a NUL, but perhaps the last; at most `limit` bytes of them (0: all).
pub(super) fn strings(bytes: &[u8], limit: usize) -> Vec<String> {
    let bytes = bytes.get(..limit).filter(|_| limit != 0).unwrap_or(bytes);
    let texts = bytes.strip_suffix(&[0]).unwrap_or(bytes).split(|byte| *byte == 0);
    if bytes.is_empty() { Vec::new() } else { texts.map(crate::kernel::text).collect() }
}

#[cfg(test)]
mod tests {
    use super::strings;

    #[test]
    fn empty_strings_stay() {
        assert_eq!(strings(b"sleep\0\0two words\0", 0), ["sleep", "", "two words"]);
        assert_eq!(strings(b"nginx: worker", 0), ["nginx: worker"], "one that overwrote its arguments");
        assert_eq!(strings(b"sleep\x001000\0", 8), ["sleep", "10"]);
        assert!(strings(b"", 0).is_empty());
    }
}
