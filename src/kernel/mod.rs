//! What an operating system keeps in memory: who runs, and where their registers were saved.

mod asleep;
pub(crate) mod dragonfly;
mod fields;
pub(crate) mod files;
pub mod frames;
pub(crate) mod freebsd;
pub mod kinfo;
pub mod linux;
mod lists;
mod loadavg;
mod modules;
mod msgbuf;
mod pargs;
mod pmap;
mod ps_strings;
pub mod state;
pub mod unwind;

use crate::image::Image;
use crate::space::Space;
use crate::symbols::{Symbol, Symbols};
use crate::{Error, Result};
use kgdbserver_arch::{Located, Machine, Pa, PacMask, Registers, TrapFrame, Va};
use kinfo::KinfoProc;
use state::{CpuTime, Cpus, Log, Module, OpenFile, Swap};
use std::path::PathBuf;
use std::sync::Arc;

/// A list that lost what could not be read, and says what that was.
#[derive(Debug)]
pub struct Listing<T> {
    /// What could be read, in the kernel's order.
    pub items: Vec<T>,
    /// What could not.
    pub problems: Vec<Error>,
}

impl<T> Listing<T> {
    /// What the results give, and what they lost.
    pub(crate) fn from_results(results: impl Iterator<Item = Result<T>>) -> Self {
        let mut list = Self { items: Vec::new(), problems: Vec::new() };
        for result in results {
            match result {
                Ok(item) => list.items.push(item),
                Err(error) => list.problems.push(error),
            }
        }
        list
    }
}

impl<T> From<Vec<T>> for Listing<T> {
    /// A list that lost nothing.
    fn from(items: Vec<T>) -> Self {
        Self { items, problems: Vec::new() }
    }
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Where its structure lies.
    pub va: Va,
    /// Its number.
    pub pid: u32,
    /// Its parent's number, where the image can tell.
    pub ppid: Option<u32>,
    /// Its command name.
    pub comm: String,
    /// Its state as ps(1) prints it, where the image can tell.
    pub state: Option<char>,
}

/// A thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Where its structure lies.
    pub va: Va,
    /// Its number, unique among all threads; never 0.
    pub tid: u64,
    /// Its process's number.
    pub pid: u32,
    /// Its own name where it has one, else its process's.
    pub comm: String,
    /// What a debugger shows: the process's name, and the thread's own behind a slash if it is another.
    pub name: String,
    /// Its state as ps(1) prints it, where the image can tell.
    pub state: Option<char>,
    /// The wait message: what it sleeps on, where the image can tell.
    pub wait: Option<String>,
    /// The CPU that it was running on. Only then may its registers be a CPU's.
    pub on_cpu: Option<u32>,
    /// Whether this is the thread that brought the system down.
    pub crashed: bool,
    /// Where its registers are.
    pub saved: Saved,
}

/// Where a thread's registers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// In its own save area, written when it last left a CPU.
    Switched(Va),
    /// In a save area that its CPU wrote when the system went down.
    Stopped(Va),
    /// In a note of the image, by its index among those of its kind.
    Noted(usize),
    /// Nowhere, and why.
    Nowhere(&'static str),
}

impl Saved {
    /// The address of the save area.
    pub fn va(&self) -> Option<Va> {
        match self {
            Self::Switched(va) | Self::Stopped(va) => Some(*va),
            Self::Noted(_) | Self::Nowhere(_) => None,
        }
    }
}

/// One operating system's idea of processes and threads.
pub trait Kernel: Send + Sync {
    /// The operating system's name.
    fn name(&self) -> &'static str;

    /// The kernel's version text.
    fn version(&self, mem: &Space) -> Option<String>;

    /// Why the system went down.
    fn panic_message(&self, mem: &Space) -> Option<String>;

    /// All processes.
    fn processes(&self, mem: &Space) -> Result<Listing<Process>>;

    /// All threads; the crashed one first, the rest in the kernel's order.
    fn threads(&self, mem: &Space) -> Result<Listing<Thread>>;

    /// The registers of a thread, as far as they were saved.
    fn saved_registers(&self, mem: &Space, thread: &Thread) -> Result<Registers>;

    /// Which bits of its addresses may hold a pointer authentication code; none of a kernel that signs no addresses.
    fn pac_mask(&self) -> Option<PacMask> {
        None
    }

    /// Functions that nothing calls, where a kernel stack ends.
    fn outermost(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// How traps leave what they interrupted on the stack, where that is known.
    fn trap_frame(&self) -> Option<&'static TrapFrame> {
        None
    }

    /// The registers that a thread had in user space when it last entered the kernel.
    fn user_registers(&self, _: &Space, _: &Thread) -> Result<Registers> {
        Err(self.lacks("user registers"))
    }

    /// What getprocs tells of every process and, where `threads` is set, of every thread.
    fn getprocs(&self, mem: &Space, threads: bool) -> Result<Listing<KinfoProc>>;

    /// The address space of a process, by the address of its structure. Its pages need not be in the image.
    fn user_space(&self, _: &Space, _: Va) -> Result<Space> {
        Err(self.lacks("the address spaces of processes"))
    }

    /// The address space of a thread: its process's.
    fn thread_space(&self, mem: &Space, thread: &Thread) -> Result<Space> {
        let process = self.processes(mem)?.items.into_iter().find(|process| process.pid == thread.pid);
        let missing = || Error::Usage(format!("no process has the number {}", thread.pid));
        self.user_space(mem, process.ok_or_else(missing)?.va)
    }

    /// The modules that were loaded, the kernel itself left out.
    fn modules(&self, _: &Space) -> Result<Listing<Module>> {
        Err(self.lacks("modules"))
    }

    /// The symbols that the kernel keeps of a module, those of [`Module::parts`] and others.
    fn module_symbols(&self, _: &Space, _: &Module) -> Result<Vec<Symbol>> {
        Err(self.lacks("symbols of modules"))
    }

    /// What continues the kernel's types with a module's own, in the same form; none if it has none.
    fn module_types(&self, _: &Space, _module: &Module) -> Result<Option<Vec<u8>>> {
        Ok(None)
    }

    /// The message buffer.
    fn log(&self, _: &Space) -> Result<Log> {
        Err(self.lacks("the message buffer"))
    }

    /// The arguments of a process, by the address of its structure; at most `limit` bytes of them.
    fn args(&self, _: &Space, _: Va, _limit: usize) -> Result<Listing<String>> {
        Err(self.lacks("arguments"))
    }

    /// The environment of a process, by the address of its structure; at most `limit` bytes of it.
    fn env(&self, _: &Space, _: Va, _limit: usize) -> Result<Listing<String>> {
        Err(self.lacks("environments"))
    }

    /// The files that processes have open.
    fn files(&self, _: &Space, _: &mut dyn Iterator<Item = Process>) -> Result<Listing<OpenFile>> {
        Err(self.lacks("open files"))
    }

    /// The load average of the last 1, 5 and 15 minutes.
    fn loadavg(&self, _: &Space) -> Result<[f64; 3]> {
        Err(self.lacks("the load average"))
    }

    /// The swap devices.
    fn swap(&self, _: &Space) -> Result<Listing<Swap>> {
        Err(self.lacks("swap devices"))
    }

    /// What the CPUs spent their time on.
    fn cptime(&self, _: &Space) -> Result<CpuTime> {
        Err(self.lacks("CPU times"))
    }

    /// The CPUs, and where each one's own data lie.
    fn cpus(&self, _: &Space) -> Result<Cpus> {
        Err(self.lacks("per-CPU data"))
    }

    /// The bytes of a CPU's `struct pcpu`.
    fn pcpu_size(&self) -> Result<u64> {
        Err(self.lacks("per-CPU data"))
    }

    /// Where a CPU has its own copy of an item of a per-CPU zone whose pointer is `base`.
    fn zpcpu(&self, _: &Space, _base: Va, _cpu: u32) -> Result<Va> {
        Err(self.lacks("per-CPU zones"))
    }

    /// How far a CPU's dynamic per-CPU variables lie from where they were linked, modulo 2^64.
    fn dpcpu_offset(&self, _: &Space, _cpu: u32) -> Result<u64> {
        Err(self.lacks("dynamic per-CPU variables"))
    }

    /// A variable of which there are several copies, by its plain name: one of the network stack's, or `cpu`'s of a
    /// dynamic per-CPU variable. None if no such variable has this name.
    fn copied_variable(&self, _: &Space, _name: &str, _cpu: u32) -> Option<Result<Symbol>> {
        None
    }

    /// Where a variable is that was found without a symbol.
    fn found_variable(&self, _name: &str) -> Option<Va> {
        None
    }

    /// The kernel's own table of how its stacks are unwound; none where frame pointers lead through them.
    fn unwind_table(&self) -> Option<&dyn unwind::Table> {
        None
    }

    /// The error of a question that is not answered for this kernel.
    fn lacks(&self, what: &str) -> Error {
        Error::Unsupported(format!("this build cannot read {what} of a {} kernel", self.name()))
    }
}

/// What a kernel is recognised by.
pub struct Evidence<'a> {
    /// Its names and types.
    pub symbols: &'a Symbols,
    /// Its memory.
    pub mem: &'a Space,
    /// What the image tells of a Linux kernel.
    pub linux: Option<&'a Arc<linux::Told>>,
}

/// Recognises a kernel by what it contains; an error if it is one, and cannot be used.
pub type Probe = fn(&Evidence<'_>) -> Option<Result<Box<dyn Kernel>>>;

/// Every kernel this build knows.
pub static KERNELS: &[Probe] = &[linux::probe, dragonfly::probe, freebsd::probe];

/// What a user knows better than an image.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// A file with a Linux kernel's VMCOREINFO.
    pub vmcoreinfo: Option<PathBuf>,
    /// Where VMCOREINFO lies in physical memory.
    pub vmcoreinfo_at: Option<Pa>,
    /// Where the system that runs says that its VMCOREINFO lies; believed if the image has none.
    pub noted_at: Option<Pa>,
    /// A file with the kernel's BTF, read before that in memory. Beside it lie the modules', under their names, each read if
    /// that in memory cannot be.
    pub btf: Option<PathBuf>,
    /// A file with the kernel's symbols, read if those in memory cannot be.
    pub kallsyms: Option<PathBuf>,
    /// Memory is searched for VMCOREINFO only where it is likely.
    pub search_briefly: bool,
}

/// A kernel found in an image that holds nothing but physical memory.
#[derive(Debug, Clone)]
pub struct Found {
    /// The machine that was imaged.
    pub machine: Machine,
    /// Its address space.
    pub located: Located,
    /// What the image tells of it, if it is Linux.
    pub linux: Option<Arc<linux::Told>>,
}

/// Finds a kernel's page tables in physical memory; None if it is of another kind.
pub type Locate = fn(&Image, Option<Machine>, &Symbols, &Hints) -> Option<Result<Found>>;

/// One for every kernel that is imaged in formats without page tables. FreeBSD's takes what nobody else knows.
pub static LOCATORS: &[Locate] = &[linux::locate, dragonfly::locate, freebsd::locate];

/// Finds the kernel and its page tables in an image that holds nothing but physical memory. The machine is the image's or
/// the kernel file's, if one of them tells it.
///
/// # Errors
/// What is missing.
pub fn locate(image: &Image, machine: Option<Machine>, symbols: &Symbols, hints: &Hints) -> Result<Found> {
    let unknown = || {
        Err(Error::Unsupported(
            "no Linux kernel was found in it (for another one, give the kernel file)".into(),
        ))
    };
    LOCATORS.iter().find_map(|locate| locate(image, machine, symbols, hints)).unwrap_or_else(unknown)
}

/// Finds out which kernel is in the image.
pub fn find(evidence: &Evidence<'_>) -> Result<Box<dyn Kernel>> {
    let unknown = || {
        Error::Unsupported(match evidence.symbols.is_empty() {
            true => "no kernel file was given, so processes and threads cannot be found".into(),
            false => {
                "the kernel file has none of the symbols by which a kernel is recognised (FreeBSD: allproc)"
                    .into()
            }
        })
    };
    KERNELS.iter().find_map(|probe| probe(evidence)).unwrap_or_else(|| Err(unknown()))
}

/// Text from the image: what is not UTF-8 becomes a replacement character.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
