//! Linux. Offsets come from the kernel's own types (BTF, or DWARF of its file), addresses from its symbols, and how memory
//! is translated from VMCOREINFO.

mod args;
mod bare;
mod cptime;
mod cpus;
mod files;
mod init_task;
mod loadavg;
mod locate;
mod log;
mod members;
mod memory;
mod module_symbols;
mod module_types;
mod modules;
mod names;
mod noted;
mod orc;
mod panic;
mod paths;
mod percpu;
mod placed;
mod printk;
mod printk_log;
mod procs;
mod registers;
mod scan;
mod swap;
mod tasks;
mod told;
mod user;
mod vmcoreinfo;
mod vmcoreinfo_scan;

pub(super) use locate::locate;
pub use told::{Origin, Told};
pub use vmcoreinfo::Vmcoreinfo;

use super::fields::Fields;
use super::kinfo::KinfoProc;
use super::state::{CpuTime, Cpus, Log, Module, OpenFile, Swap};
use super::unwind::Table;
use super::{Evidence, Kernel, Listing, Process, Thread, text};
use crate::Result;
use crate::space::Space;
use crate::symbols::{Symbol, Symbols};
use kgdbserver_arch::{Machine, PacMask, Registers, Va};
use std::sync::{Arc, OnceLock};

/// A Linux kernel.
struct Linux {
    symbols: Symbols,
    machine: Machine,
    table: &'static kgdbserver_arch::Linux,
    told: Arc<Told>,
    init_task: Va,
    task: members::Task,
    orc: Option<orc::Orc>,
    /// CPUs that are up, counted when that is needed: of a running kernel everything else is read anew at each question.
    present: OnceLock<usize>,
}

/// What told of itself by VMCOREINFO.
pub(super) fn probe(evidence: &Evidence<'_>) -> Option<Result<Box<dyn Kernel>>> {
    let told = evidence.linux?;
    Some(Linux::find(evidence, told.clone()).map(|kernel| Box::new(kernel) as Box<dyn Kernel>))
}

impl Linux {
    fn find(evidence: &Evidence<'_>, told: Arc<Told>) -> Result<Self> {
        let fields = Fields { symbols: evidence.symbols, mem: evidence.mem };
        let task = members::Task::find(evidence.symbols.types())?;
        Ok(Self {
            symbols: evidence.symbols.clone(),
            machine: evidence.mem.machine,
            table: told.table(evidence.mem.machine)?,
            init_task: init_task::find(&fields, &task, &told)?,
            task,
            orc: orc::Orc::find(&fields, told.clone()).ok(),
            told,
            present: OnceLock::new(),
        })
    }

    /// Memory, names and types together.
    fn fields<'a>(&'a self, mem: &'a Space) -> Fields<'a> {
        Fields { symbols: &self.symbols, mem }
    }
}

impl Kernel for Linux {
    fn name(&self) -> &'static str {
        "Linux"
    }

    fn version(&self, mem: &Space) -> Option<String> {
        let banner = || mem.string(self.symbols.address("linux_banner")?, 512).ok();
        let banner = banner().map(|banner| text(&banner).trim_end().to_owned());
        banner
            .filter(|banner| !banner.is_empty())
            .or_else(|| Some(format!("Linux {}", self.told.info.release())))
    }

    fn panic_message(&self, mem: &Space) -> Option<String> {
        self.last_words(mem)
    }

    fn pac_mask(&self) -> Option<PacMask> {
        PacMask::new(self.told.info.number("KERNELPACMASK")?)
    }

    fn outermost(&self) -> Vec<&'static str> {
        let has = |name: &str| self.symbols.address(name).is_some();
        let is_called = |name: &str| self.table.superseded.iter().any(|(old, new)| *old == name && has(new));
        self.table.outermost.iter().copied().filter(|name| !is_called(name)).collect()
    }

    fn unwind_table(&self) -> Option<&dyn Table> {
        self.orc.as_ref().map(|orc| orc as &dyn Table)
    }

    fn processes(&self, mem: &Space) -> Result<Listing<Process>> {
        Ok(self.all_processes(mem))
    }

    fn threads(&self, mem: &Space) -> Result<Listing<Thread>> {
        self.all_threads(mem)
    }

    fn saved_registers(&self, mem: &Space, thread: &Thread) -> Result<Registers> {
        registers::read(self, mem, thread)
    }

    fn user_registers(&self, mem: &Space, thread: &Thread) -> Result<Registers> {
        registers::user(self, mem, thread)
    }

    fn getprocs(&self, mem: &Space, threads: bool) -> Result<Listing<KinfoProc>> {
        self.kinfo(mem, threads)
    }

    fn user_space(&self, mem: &Space, task: Va) -> Result<Space> {
        self.space_of(mem, task)
    }

    fn thread_space(&self, mem: &Space, thread: &Thread) -> Result<Space> {
        self.space_of(mem, thread.va)
    }

    fn modules(&self, mem: &Space) -> Result<Listing<Module>> {
        modules::all(&self.fields(mem), &self.told)
    }

    fn module_symbols(&self, mem: &Space, module: &Module) -> Result<Vec<Symbol>> {
        module_symbols::read(&self.fields(mem), module)
    }

    fn module_types(&self, mem: &Space, module: &Module) -> Result<Option<Vec<u8>>> {
        module_types::read(&self.fields(mem), module)
    }

    fn log(&self, mem: &Space) -> Result<Log> {
        self.told.log(mem, &self.symbols)
    }

    fn files(&self, mem: &Space, owners: &mut dyn Iterator<Item = Process>) -> Result<Listing<OpenFile>> {
        self.open_files(mem, owners)
    }

    fn loadavg(&self, mem: &Space) -> Result<[f64; 3]> {
        loadavg::read(&self.fields(mem))
    }

    fn swap(&self, mem: &Space) -> Result<Listing<Swap>> {
        swap::files(&self.fields(mem))
    }

    fn cptime(&self, mem: &Space) -> Result<CpuTime> {
        cptime::read(&self.fields(mem))
    }

    fn cpus(&self, mem: &Space) -> Result<Cpus> {
        percpu::cpus(&self.fields(mem))
    }

    fn pcpu_size(&self) -> Result<u64> {
        percpu::size(&self.symbols)
    }

    fn zpcpu(&self, mem: &Space, base: Va, cpu: u32) -> Result<Va> {
        Ok(Va(base.0.wrapping_add(percpu::offset(&self.fields(mem), cpu)?)))
    }

    fn dpcpu_offset(&self, mem: &Space, cpu: u32) -> Result<u64> {
        percpu::offset(&self.fields(mem), cpu)
    }

    fn copied_variable(&self, mem: &Space, name: &str, cpu: u32) -> Option<Result<Symbol>> {
        percpu::copy(&self.fields(mem), name, cpu)
    }

    fn found_variable(&self, name: &str) -> Option<Va> {
        (name == "init_task").then_some(self.init_task)
    }

    fn args(&self, mem: &Space, task: Va, limit: usize) -> Result<Listing<String>> {
        self.strings(mem, task, &args::ARGUMENTS, limit)
    }

    fn env(&self, mem: &Space, task: Va, limit: usize) -> Result<Listing<String>> {
        self.strings(mem, task, &args::ENVIRONMENT, limit)
    }
}
