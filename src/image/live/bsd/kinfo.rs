//! `struct kinfo_proc` as sysctl(3) gives it: an array of them. Where its members lie is part of the system's ABI.

use super::system::uint;
use crate::kernel::kinfo::KinfoProc;
use crate::kernel::{Process, Saved, Thread};
use crate::{Error, Result};
use kgdbserver_arch::Va;

/// One `kinfo_proc`, as far as it is used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Row {
    /// What getprocs tells of it.
    pub(super) kinfo: KinfoProc,
    /// The thread's number among all of the system's.
    pub(super) number: Option<u64>,
    /// The structure of the thread; 0 where that is not told.
    pub(super) thread: Va,
    /// The state of the process and the state of the thread, where the system tells them apart.
    pub(super) states: (u64, u64),
    /// How many of the groups count.
    pub(super) groups: usize,
    /// Where the thread runs or ran, and its flags.
    pub(super) cpu: (u32, u64),
}

/// A member: its name, where it lies, and what it tells.
pub(super) struct Member(pub(super) &'static str, pub(super) usize, pub(super) Kind);

/// How a member is read, and where it goes.
pub(super) enum Kind {
    /// An unsigned integer of so many bytes.
    Uint(usize, fn(&mut Row, u64)),
    /// A signed one of 4 bytes.
    Int(fn(&mut Row, i32)),
    /// A text of at most so many bytes, with or without a NUL at its end.
    Text(usize, fn(&mut Row, String)),
    /// So many bytes.
    Bytes(usize, fn(&mut Row, &[u8])),
}

/// Where members lie on machines of 64 bits.
pub(super) struct Layout {
    /// Bytes of the structure.
    pub(super) bytes: usize,
    /// Whether it begins with its own size.
    pub(super) sized: bool,
    /// Its members.
    pub(super) members: &'static [Member],
    /// What takes more than one member to know.
    pub(super) complete: fn(&mut Row),
}

/// What leads somewhere.
pub(super) fn pointer(value: u64) -> Option<Va> {
    Some(Va(value)).filter(|va| va.0 != 0)
}

/// What is not negative.
pub(super) fn natural(value: i32) -> Option<u32> {
    u32::try_from(value).ok()
}

/// A text that is not empty.
pub(super) fn some(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Microseconds of a `struct timeval`.
pub(super) fn micros(bytes: &[u8]) -> Option<u64> {
    let (seconds, rest) = bytes.split_at_checked(8)?;
    uint(seconds).checked_mul(1_000_000)?.checked_add(uint(rest))
}

/// Groups, up to the number of them that counts.
pub(super) fn groups(bytes: &[u8], count: usize) -> Vec<u32> {
    bytes.chunks_exact(4).take(count).map(|group| uint(group) as u32).collect()
}

impl Layout {
    /// The rows of an array.
    ///
    /// # Errors
    /// "kinfo_proc size mismatch", as libkvm says, where the structure is another one than this build knows.
    pub(super) fn rows(&self, array: &[u8]) -> Result<Vec<Row>> {
        let told = array.get(..4).map(uint).filter(|_| self.sized);
        if let Some(told) = told.filter(|told| *told != self.bytes as u64) {
            let why = format!("kinfo_proc size mismatch (expected {}, got {told})", self.bytes);
            return Err(Error::Unsupported(why));
        }
        if !array.len().is_multiple_of(self.bytes) {
            let why = format!("proc size mismatch ({} total, {} chunks)", array.len(), self.bytes);
            return Err(Error::Unsupported(why));
        }
        Ok(array.chunks_exact(self.bytes).map(|bytes| self.row(bytes)).collect())
    }

    fn row(&self, bytes: &[u8]) -> Row {
        let mut row = Row::default();
        let member = |at: usize, len: usize| bytes.get(at..at + len).unwrap_or_default();
        for Member(_, at, kind) in self.members {
            match kind {
                Kind::Uint(len, set) => set(&mut row, uint(member(*at, *len))),
                Kind::Int(set) => set(&mut row, (uint(member(*at, 4)) as u32).cast_signed()),
                Kind::Text(len, set) => {
                    let text = member(*at, *len).split(|byte| *byte == 0).next().unwrap_or_default();
                    set(&mut row, crate::kernel::text(text));
                }
                Kind::Bytes(len, set) => set(&mut row, member(*at, *len)),
            }
        }
        (self.complete)(&mut row);
        row
    }

    /// Where a member lies, by its name, for those who can compare that with the system's own idea at compile time.
    #[cfg(any(target_os = "freebsd", target_os = "dragonfly"))]
    pub(super) const fn offset(&self, name: &str) -> usize {
        offset_among(self.members, name)
    }
}

#[cfg(any(target_os = "freebsd", target_os = "dragonfly"))]
const fn offset_among(members: &[Member], name: &str) -> usize {
    match members {
        [] => usize::MAX,
        [Member(other, at, _), ..] if same(name.as_bytes(), other.as_bytes()) => *at,
        [_, rest @ ..] => offset_among(rest, name),
    }
}

/// Whether two names are one. A constant cannot compare them with `==`.
#[cfg(any(target_os = "freebsd", target_os = "dragonfly"))]
const fn same(one: &[u8], other: &[u8]) -> bool {
    match (one, other) {
        ([], []) => true,
        ([a, one @ ..], [b, other @ ..]) => *a == *b && same(one, other),
        _ => false,
    }
}

impl Row {
    /// The process.
    pub(super) fn process(self) -> Process {
        let KinfoProc { paddr: va, pid, ppid, comm, stat, .. } = self.kinfo;
        Process { va, pid, ppid, comm, state: stat.map(|stat| stat.letter()) }
    }

    /// The thread; none in the row of a process without any.
    pub(super) fn thread(self) -> Option<Thread> {
        let KinfoProc { pid, comm, tdname, stat, wmesg, oncpu, .. } = self.kinfo;
        let own = tdname.and_then(some).filter(|own| *own != comm);
        Some(Thread {
            va: self.thread,
            tid: self.number?,
            pid,
            name: own.as_ref().map_or_else(|| comm.clone(), |own| format!("{comm}/{own}")),
            comm: own.unwrap_or(comm),
            state: oncpu.map(|_| 'R').or(stat.map(|stat| stat.letter())),
            wait: wmesg,
            on_cpu: oncpu,
            crashed: false,
            saved: Saved::Nowhere("there is no memory to read them from"),
        })
    }
}
