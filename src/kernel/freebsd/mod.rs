//! FreeBSD.

mod args;
mod cptime;
mod dpcpu;
mod files;
mod full;
mod members;
mod modules;
mod msgbuf;
mod offsets;
mod pauth;
mod pcpu;
mod procs;
mod swap;
mod threads;
mod user;

pub(crate) use files::KINDS as FILE_KINDS;
pub(super) use full::locate;

use super::fields::Fields;
use super::kinfo::KinfoProc;
use super::state::{CpuTime, Cpus, Log, Module, OpenFile, Swap};
use super::{Evidence, Kernel, Listing, Process, Thread, lists, loadavg, text};
use crate::Result;
use crate::space::Space;
use crate::symbols::{Symbol, Symbols};
use kgdbserver_arch::{Bsd, PacMask, Registers, TrapFrame, Va};
use members::Members;
use offsets::Offsets;
use procs::Proc;
use std::sync::OnceLock;
use threads::Stopped;

/// A FreeBSD kernel: the addresses of its variables and the shapes of its structures.
pub(super) struct FreeBsd {
    symbols: Symbols,
    offsets: Offsets,
    /// Looked up when first asked for: type information is large.
    members: OnceLock<Members>,
    stopped: Stopped,
    table: &'static Bsd,
    allproc: Va,
    /// Zombies had a list of their own until 13.
    zombproc: Option<Va>,
    osreldate: Option<u32>,
    pac_mask: Option<PacMask>,
}

/// A kernel with a list of all processes, on a processor that FreeBSD's table knows.
pub(super) fn probe(evidence: &Evidence<'_>) -> Option<Result<Box<dyn Kernel>>> {
    let Evidence { symbols, mem, .. } = *evidence;
    let table = mem.machine.arch.freebsd?;
    let allproc = symbols.address("allproc")?;
    Some(FreeBsd::find(symbols, mem, table, allproc).map(|kernel| Box::new(kernel) as Box<dyn Kernel>))
}

impl FreeBsd {
    fn find(symbols: &Symbols, mem: &Space, table: &'static Bsd, allproc: Va) -> Result<Self> {
        let offsets = Offsets::find(symbols, mem)?;
        let osreldate = osreldate(symbols, mem);
        Ok(Self {
            members: OnceLock::new(),
            stopped: Stopped::find(symbols, mem, &offsets, osreldate),
            symbols: symbols.clone(),
            offsets,
            table,
            allproc,
            zombproc: symbols.address("zombproc"),
            osreldate,
            pac_mask: pauth::mask(symbols, mem),
        })
    }

    /// The structure members that type information tells of.
    fn types(&self) -> &Members {
        self.members.get_or_init(|| Members::find(self.symbols.types()))
    }

    /// Memory, names and types together.
    fn fields<'a>(&'a self, mem: &'a Space) -> Fields<'a> {
        Fields { symbols: &self.symbols, mem }
    }

    /// A string variable: an array of characters.
    fn string(&self, mem: &Space, name: &str) -> Option<String> {
        let text = mem.string(self.symbols.address(name)?, 1024).ok().map(|bytes| text(&bytes))?;
        Some(text.trim_end().to_owned()).filter(|text| !text.is_empty())
    }
}

/// `__FreeBSD_version` of the kernel, if the image or the kernel file tells a plausible one.
fn osreldate(symbols: &Symbols, mem: &Space) -> Option<u32> {
    let va = symbols.address("osreldate")?;
    let plausible = |value: &u64| (500_000..10_000_000).contains(value);
    let in_file = || Some(mem.machine.uint(&symbols.file()?.contents(va, 4)?));
    let value = mem.uint(va, 4).ok().filter(plausible).or_else(in_file).filter(plausible)?;
    u32::try_from(value).ok()
}

impl Kernel for FreeBsd {
    fn name(&self) -> &'static str {
        "FreeBSD"
    }

    fn version(&self, mem: &Space) -> Option<String> {
        let first_line = |text: String| text.lines().next().map(str::to_owned);
        let release = |release: u32| format!("FreeBSD (osreldate {release})");
        self.string(mem, "version").and_then(first_line).or_else(|| self.osreldate.map(release))
    }

    fn panic_message(&self, mem: &Space) -> Option<String> {
        let message = mem.pointer(self.symbols.address("panicstr")?).ok().filter(|va| va.0 != 0)?;
        mem.string(message, 1024).ok().map(|bytes| text(&bytes))
    }

    fn processes(&self, mem: &Space) -> Result<Listing<Process>> {
        let list = self.procs(mem)?;
        let process = |proc: &Proc| {
            let row = self.proc_row(mem, proc);
            let state = self.process_stat(mem, proc).map(|stat| stat.letter());
            Process { va: row.paddr, pid: row.pid, ppid: row.ppid, comm: row.comm, state }
        };
        Ok(Listing { items: list.items.iter().map(process).collect(), problems: list.problems })
    }

    fn threads(&self, mem: &Space) -> Result<Listing<Thread>> {
        self.all_threads(mem)
    }

    fn saved_registers(&self, mem: &Space, thread: &Thread) -> Result<Registers> {
        self.registers(mem, thread)
    }

    fn pac_mask(&self) -> Option<PacMask> {
        self.pac_mask
    }

    fn outermost(&self) -> Vec<&'static str> {
        self.table.outermost.to_vec()
    }

    /// An image that does not tell its release leaves no choice.
    fn trap_frame(&self) -> Option<&'static TrapFrame> {
        match (self.osreldate, self.table.traps) {
            (None, [only]) => Some(only),
            (release, traps) => {
                traps.iter().find(|trap| release.is_some_and(|release| trap.since <= release))
            }
        }
    }

    fn getprocs(&self, mem: &Space, threads: bool) -> Result<Listing<KinfoProc>> {
        self.kinfo(mem, threads)
    }

    fn user_space(&self, mem: &Space, proc: Va) -> Result<Space> {
        user::space(&self.fields(mem), proc)
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

    fn files(&self, mem: &Space, owners: &mut dyn Iterator<Item = Process>) -> Result<Listing<OpenFile>> {
        self.open_files(mem, owners)
    }

    fn loadavg(&self, mem: &Space) -> Result<[f64; 3]> {
        loadavg::read(&self.fields(mem))
    }

    fn swap(&self, mem: &Space) -> Result<Listing<Swap>> {
        swap::devices(&self.fields(mem))
    }

    fn cptime(&self, mem: &Space) -> Result<CpuTime> {
        cptime::read(&self.fields(mem))
    }

    fn cpus(&self, mem: &Space) -> Result<Cpus> {
        pcpu::cpus(&self.fields(mem))
    }

    fn pcpu_size(&self) -> Result<u64> {
        pcpu::size(&self.symbols)
    }

    fn zpcpu(&self, mem: &Space, base: Va, cpu: u32) -> Result<Va> {
        pcpu::zone_item(&self.fields(mem), self.osreldate, base, cpu)
    }

    fn dpcpu_offset(&self, mem: &Space, cpu: u32) -> Result<u64> {
        dpcpu::offset(&self.fields(mem), cpu)
    }

    fn copied_variable(&self, mem: &Space, name: &str, cpu: u32) -> Option<Result<Symbol>> {
        dpcpu::find(&self.fields(mem), name, cpu)
    }
}
