//! What a kernel keeps beside processes and threads: modules, messages, files, and the state of the machine.

use kgdbserver_arch::Va;
use std::ops::Range;

/// A kernel module that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Where the structure that describes it lies.
    pub va: Va,
    /// Its file's name: `if_em.ko`; on Linux the module's own: `virtio_net`.
    pub name: String,
    /// The path that it was loaded from, where the image can tell.
    pub path: Option<String>,
    /// Where its first byte was loaded; on Linux, of its code.
    pub address: Va,
    /// Bytes that it occupies, where the image can tell.
    pub size: Option<u64>,
    /// What identifies its file, in hexadecimal digits, where the image can tell.
    pub build_id: Option<String>,
    /// Where its sections were loaded, in the kernel's order; none where the image cannot tell.
    pub sections: Vec<(String, Va)>,
    /// The memory that is its own, its code first; none where the image cannot tell. What was freed when it was initialised
    /// is not its own any more.
    pub parts: Vec<Part>,
}

/// A piece of a module's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its addresses; never empty.
    pub range: Range<u64>,
    /// Whether it is executed.
    pub code: bool,
}

/// The kernel's message buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Log {
    /// Everything that the ring still holds, the oldest first; bytes that were never written are left out.
    pub text: String,
    /// The end of it that no log daemon had read yet.
    pub unread: String,
}

/// An open file of a process, `struct kinfo_file`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenFile {
    /// The process's number.
    pub pid: u32,
    /// The process's command name.
    pub comm: String,
    /// The descriptor.
    pub fd: u32,
    /// Where the `struct file` lies.
    pub va: Va,
    /// What it is: `vnode`, `socket`, `pipe`, on Linux `regular`, `directory`, `chr`; the kernel's number for what this build has no word for. None where the
    /// image cannot tell, as with the fields below.
    pub kind: Option<String>,
    /// How it was opened (`FREAD` 1, `FWRITE` 2 and more).
    pub flag: Option<u32>,
    /// How many descriptors share it.
    pub count: Option<u32>,
    /// Where the next read begins, in bytes.
    pub offset: Option<i64>,
    /// What it leads to: a vnode, a socket, a pipe, an inode.
    pub data: Option<Va>,
    /// Its path, as `/proc/PID/fd` has it on Linux.
    pub path: Option<String>,
}

/// A swap device, `struct kvm_swap`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swap {
    /// The device's name, without `/dev/`, or a swap file's path; empty where the image cannot tell.
    pub name: String,
    /// Pages in use.
    pub used: u64,
    /// Pages in all.
    pub total: u64,
    /// The kernel's flags.
    pub flags: u32,
}

/// Ticks that all CPUs together spent, by what they did. A second has `stathz` of them (mostly 127 or 128); of Linux they
/// are those of `/proc/stat`, 100 a second; of DragonFly they are microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs)] // the names are the documentation
pub struct CpuTime {
    pub user: u64,
    pub nice: u64,
    pub system: u64,
    pub interrupt: u64,
    pub idle: u64,
}

/// How many CPUs there are, and where each one's own data lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpus {
    /// CPUs in use, `mp_ncpus`; of Linux, those that are online.
    pub count: u32,
    /// CPUs that the kernel was built for, `mp_maxcpus`; of Linux, those that there can be (`nr_cpu_ids`).
    pub max: u32,
    /// Each one's `struct pcpu` (DragonFly: `struct globaldata`), or Linux's per-CPU area, by number; none of a CPU that is
    /// absent.
    pub pcpu: Vec<Option<Va>>,
}
