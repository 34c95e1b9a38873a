//! DragonFly. Its kernels export no offsets for debuggers, so everything here stands on type information.

mod args;
mod files;
mod globaldata;
mod lwkt;
mod modules;
mod msgbuf;
mod procs;
mod swap;
mod threads;
mod user;
mod vkernel;

pub(crate) use files::KINDS as FILE_KINDS;
pub(crate) use threads::thread_number;
pub(super) use vkernel::locate;

use super::fields::Fields;
use super::kinfo::KinfoProc;
use super::state::{CpuTime, Cpus, Log, Module, OpenFile, Swap};
use super::{Evidence, Kernel, Listing, Process, Thread, lists, loadavg, text};
use crate::space::Space;
use crate::symbols::Symbols;
use crate::{Error, Result};
use kgdbserver_arch::{Registers, Va};

/// A DragonFly kernel.
struct DragonFly {
    symbols: Symbols,
}

/// A kernel that keeps its processes in lists by a hash of the pid.
pub(super) fn probe(evidence: &Evidence<'_>) -> Option<Result<Box<dyn Kernel>>> {
    let Evidence { symbols, mem, .. } = *evidence;
    symbols.address("allproc_hsize")?;
    let fields = Fields { symbols, mem };
    // Said once and at the beginning: without types nothing can be found.
    let ready = procs::Lists::find(&fields).map(|_| DragonFly { symbols: symbols.clone() });
    Some(ready.map(|kernel| Box::new(kernel) as Box<dyn Kernel>))
}

impl DragonFly {
    fn fields<'a>(&'a self, mem: &'a Space) -> Fields<'a> {
        Fields { symbols: &self.symbols, mem }
    }
}

impl Kernel for DragonFly {
    fn name(&self) -> &'static str {
        "DragonFly"
    }

    fn version(&self, mem: &Space) -> Option<String> {
        let version = text(&mem.string(self.symbols.address("version")?, 1024).ok()?);
        version.lines().next().map(|line| line.trim_end().to_owned()).filter(|line| !line.is_empty())
    }

    fn panic_message(&self, mem: &Space) -> Option<String> {
        let message = self.fields(mem).head("panicstr").ok().filter(|va| va.0 != 0)?;
        mem.string(message, 1024).ok().map(|bytes| text(&bytes))
    }

    fn outermost(&self) -> Vec<&'static str> {
        vec!["fork_trampoline"]
    }

    fn processes(&self, mem: &Space) -> Result<Listing<Process>> {
        let fields = self.fields(mem);
        let list = procs::all(&fields)?;
        let process = |proc: &procs::Proc| Process {
            va: proc.va,
            pid: proc.pid,
            ppid: procs::parent(&fields, proc),
            comm: proc.comm.clone(),
            state: procs::stat(&fields, proc).map(|stat| stat.letter()),
        };
        Ok(Listing { items: list.items.iter().map(process).collect(), problems: list.problems })
    }

    fn threads(&self, mem: &Space) -> Result<Listing<Thread>> {
        threads::all(&self.fields(mem))
    }

    fn saved_registers(&self, mem: &Space, thread: &Thread) -> Result<Registers> {
        threads::registers(&self.fields(mem), thread)
    }

    fn getprocs(&self, mem: &Space, threads: bool) -> Result<Listing<KinfoProc>> {
        procs::kinfo(&self.fields(mem), threads)
    }

    fn modules(&self, mem: &Space) -> Result<Listing<Module>> {
        let fields = self.fields(mem);
        crate::kernel::modules::all(&fields, &modules::offsets(&fields)?)
    }

    fn log(&self, mem: &Space) -> Result<Log> {
        crate::kernel::msgbuf::read(mem, &msgbuf::ring(&self.fields(mem))?)
    }

    fn args(&self, mem: &Space, proc: Va, limit: usize) -> Result<Listing<String>> {
        args::args(&self.fields(mem), proc, limit).map(Listing::from)
    }

    fn env(&self, mem: &Space, proc: Va, limit: usize) -> Result<Listing<String>> {
        args::env(&self.fields(mem), proc, limit).map(Listing::from)
    }

    fn user_space(&self, mem: &Space, proc: Va) -> Result<Space> {
        user::space(&self.fields(mem), proc)
    }

    fn files(&self, mem: &Space, owners: &mut dyn Iterator<Item = Process>) -> Result<Listing<OpenFile>> {
        files::open(&self.fields(mem), owners)
    }

    fn loadavg(&self, mem: &Space) -> Result<[f64; 3]> {
        loadavg::read(&self.fields(mem))
    }

    fn swap(&self, mem: &Space) -> Result<Listing<Swap>> {
        swap::devices(&self.fields(mem))
    }

    fn cptime(&self, mem: &Space) -> Result<CpuTime> {
        globaldata::cptime(&self.fields(mem))
    }

    fn cpus(&self, mem: &Space) -> Result<Cpus> {
        globaldata::cpus(&self.fields(mem))
    }

    fn pcpu_size(&self) -> Result<u64> {
        self.symbols.types().size_of("globaldata").ok_or_else(|| {
            Error::Unsupported("the size of struct globaldata is needed, and the kernel has no types".into())
        })
    }
}
