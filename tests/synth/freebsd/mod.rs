//! A FreeBSD kernel and its crash dump, described in words: who runs, where each thread stands, what is broken.

mod facts;
mod full;
mod kernel;
mod memory;
mod samples;
mod text;
mod threads;

pub use facts::{Facts, ThreadFacts, only_of_stopped};
pub use full::{Full, Kernphys};
pub use text::{FUNCTIONS, TEXT};
pub use threads::{TRAP, TRAPPED};

use super::machine::Machine;
use super::minidump::Layout;
use super::tables::Physical;
use kernel::Kernel;
use memory::Memory;
use std::path::{Path, PathBuf};

/// The machine at the moment of the dump.
#[derive(Clone, Debug)]
pub struct System {
    pub machine: &'static Machine,
    /// The minidump's version.
    pub dump_version: u32,
    /// Start of the kernel's address space, if not the one usual for that version.
    pub kernbase: Option<u64>,
    pub os_abi: u8,
    pub osreldate: u32,
    pub version: String,
    /// The text `panicstr` leads to; `None` leaves it null.
    pub panic: Option<String>,
    pub message_buffer: String,
    pub cpus: u32,
    /// The CPUs that obeyed the request to stop.
    pub stopped_cpus: Vec<u32>,
    pub stoppcbs: StopPcbs,
    /// The thread that dumped, by its tid; `None` leaves `dumptid` 0.
    pub crashed: Option<u32>,
    /// In the order of creation: the kernel puts each new one at the head of its list.
    pub processes: Vec<Process>,
    pub process_list_end: ListEnd,
    pub offsets: Offsets,
    /// Functions that the symbol table names beside the few that have code: a real kernel has about 60,000.
    pub more_functions: u64,
    /// Whether the kernel file has a hash table of its symbols, as those of real kernels have that are not stripped.
    pub hashed: bool,
    /// Whether the kernel knows pointer authentication, and if so, whether this processor does: return addresses on
    /// stacks are signed then.
    pub ptrauth: Option<bool>,
    /// What a dump of all memory needs beside; `None` for a system that can only write minidumps.
    pub full: Option<Full>,
}

#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    /// Twenty bytes or more fill `p_comm` without a NUL, and what follows it is no NUL either.
    pub comm: String,
    /// In kernel order.
    pub threads: Vec<Thread>,
    pub thread_list_end: ListEnd,
}

#[derive(Clone, Debug)]
pub struct Thread {
    pub tid: u32,
    pub name: String,
    pub on_cpu: Option<u32>,
    /// Innermost first: a function of `FUNCTIONS` and the offset of the instruction in it.
    pub frames: Vec<(&'static str, u64)>,
    /// Whether `td_pcb` leads into a hole.
    pub pcb_unreadable: bool,
}

/// How a list ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ListEnd {
    #[default]
    Null,
    /// The last node leads back to the first.
    Cycle,
    /// The last node leads to an address that is not mapped.
    Hole,
}

/// What `stoppcbs` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopPcbs {
    /// The array itself, until FreeBSD 13.
    Array,
    /// A pointer to it, from osreldate 1400089.
    Pointer,
}

/// Offsets in the kernel's structures, which it exports as variables, and the sizes.
#[derive(Clone, Debug)]
pub struct Offsets {
    pub p_list: u32,
    pub p_threads: u32,
    pub p_pid: u32,
    pub p_hash: u32,
    pub p_comm: u32,
    pub proc_size: u32,
    pub td_plist: u32,
    pub td_tid: u32,
    pub td_name: u32,
    pub td_oncpu: u32,
    pub td_pcb: u32,
    pub thread_size: u32,
    pub pcb_size: u32,
}

/// The files, and what a reader must find in them.
#[derive(Clone, Debug)]
pub struct Built {
    pub kernel: Vec<u8>,
    pub vmcore: Vec<u8>,
    pub layout: Layout,
    pub facts: Facts,
    /// All memory, with page tables in it; none if `System::full` is none.
    pub memory: Option<Physical>,
}

impl System {
    pub fn build(&self) -> Built {
        let kernel = Kernel::of(self);
        let elf = kernel.elf(self);
        let mut memory = Memory::booted(self, &elf);
        kernel.set_variables(self, &mut memory);
        let (pids, threads) = threads::write(self, &kernel, &mut memory);
        let physical = self.full.as_ref().map(|full| full.memory(self.machine, &memory, &kernel));
        let (vmcore, layout) = memory.into_dump();
        let facts = Facts { pids, threads, symbols: kernel.addresses(self) };
        Built { kernel: elf.build(), vmcore, layout, facts, memory: physical }
    }

    /// The process with that pid, to be changed.
    pub fn process(&mut self, pid: u32) -> &mut Process {
        self.processes.iter_mut().find(|process| process.pid == pid).expect("no such process")
    }

    /// The thread with that tid, to be changed.
    pub fn thread(&mut self, tid: u32) -> &mut Thread {
        let mut threads = self.processes.iter_mut().flat_map(|process| &mut process.threads);
        threads.find(|thread| thread.tid == tid).expect("no such thread")
    }
}

impl Built {
    /// Writes `kernel` and `vmcore` into a directory and says where they are.
    pub fn save(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let (kernel, vmcore) = (directory.join("kernel"), directory.join("vmcore"));
        std::fs::write(&kernel, &self.kernel).expect("write the kernel");
        std::fs::write(&vmcore, &self.vmcore).expect("write the vmcore");
        (kernel, vmcore)
    }
}

impl Offsets {
    /// Those of FreeBSD 13 to 15 on i386.
    pub fn of_32_bits() -> Self {
        Self {
            p_list: 0,
            p_threads: 8,
            p_pid: 120,
            p_hash: 124,
            p_comm: 640,
            proc_size: 896,
            td_plist: 8,
            td_tid: 80,
            td_name: 460,
            td_oncpu: 844,
            td_pcb: 704,
            thread_size: 1024,
            pcb_size: 192,
        }
    }
}

impl Default for Offsets {
    /// Those of FreeBSD 13 to 15 on amd64.
    fn default() -> Self {
        Self {
            p_list: 0,
            p_threads: 16,
            p_pid: 196,
            p_hash: 200,
            p_comm: 984,
            proc_size: 1312,
            td_plist: 16,
            td_tid: 160,
            td_name: 700,
            td_oncpu: 1724,
            td_pcb: 1080,
            thread_size: 1960,
            pcb_size: 320,
        }
    }
}
