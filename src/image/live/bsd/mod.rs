//! A running FreeBSD or DragonFly: kvm_open(3) of what runs.

mod denial;
mod dragonfly;
#[cfg(any(target_os = "freebsd", target_os = "dragonfly"))]
mod ffi;
mod files;
mod freebsd;
mod kinfo;
mod open;
mod swap;
mod system;
#[cfg(test)]
mod tests;

#[cfg(any(target_os = "freebsd", target_os = "dragonfly"))]
pub(super) use ffi::open_running as open;

use super::own::{Count, Own, Told, strings};
use crate::kernel::kinfo::{KinfoProc, Op};
use crate::kernel::state::{CpuTime, Log, OpenFile, Swap};
use crate::kernel::{Listing, Process, Thread};
use crate::kvm::no_process;
use crate::symbols::{Kind, Symbol};
use crate::{Error, Result};
use kgdbserver_arch::Va;
use kinfo::Row;
use std::collections::HashMap;
use std::sync::Arc;
use system::{System, uint};

const CTL_KERN: i32 = 1;
const KERN_PROC: i32 = 14;
const KERN_PROC_ARGS: i32 = 7;

/// What FreeBSD and DragonFly differ in.
pub(super) struct Flavour {
    kinfo: &'static kinfo::Layout,
    /// The last number of the node that selects processes, or their threads.
    op: fn(Op, bool) -> Option<i32>,
    /// The last number of the node for environments; none if there is none.
    env: Option<i32>,
    files: &'static files::Layout,
    swap: fn(&dyn System) -> Result<Vec<Swap>>,
    /// The node that tells how many CPUs the kernel was built for.
    max_cpus: &'static str,
    hiding: &'static [Hiding],
}

/// What makes a system show some of its processes only.
struct Hiding {
    /// The node that tells it.
    node: &'static str,
    /// What it tells then.
    when: u64,
    for_root_too: bool,
}

/// A running BSD, as it tells of itself.
#[derive(Clone)]
pub(super) struct Bsd {
    system: Arc<dyn System>,
    flavour: &'static Flavour,
}

impl Bsd {
    fn system(&self) -> &dyn System {
        &*self.system
    }

    /// The rows of processes or threads; what is no process left out.
    fn rows(&self, op: Op, arg: u32, threads: bool) -> Told<Listing<Row>> {
        let node = (self.flavour.op)(op, threads)?;
        let mut mib = vec![CTL_KERN, KERN_PROC, node];
        let all = node & !Op::INC_THREAD;
        if all != Op::All as i32 && all != Op::Proc as i32 {
            mib.push(arg.cast_signed());
        }
        let read = system::read(self.system(), &mib);
        Some(match read {
            Ok(array) => self.flavour.kinfo.rows(&array).map(|rows| self.visible(rows, op, arg)),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(Vec::new().into()),
            Err(error) => Err(system::refused("kern.proc", &error)),
        })
    }

    fn visible(&self, mut rows: Vec<Row>, op: Op, arg: u32) -> Listing<Row> {
        rows.retain(|row| row.kinfo.pid != dragonfly::KERNEL && row.kinfo.selected(op, arg) == Some(true));
        Listing { items: rows, problems: self.hidden().into_iter().collect() }
    }

    /// Why there may be other processes than those that the system shows.
    fn hidden(&self) -> Option<Error> {
        let system = self.system();
        let hides = |hiding: &&Hiding| {
            (hiding.for_root_too || !system.is_root())
                && system::number(system, hiding.node) == Some(hiding.when)
        };
        let Hiding { node, when, for_root_too } = self.flavour.hiding.iter().find(hides)?;
        let remedy = if *for_root_too { "run this on the host" } else { "run this as root" };
        Some(Error::Unsupported(format!("{node} is {when}, so some processes are not shown: {remedy}")))
    }

    /// The texts of a node that each process has.
    fn strings(&self, node: i32, proc: &KinfoProc, limit: usize) -> Result<Vec<String>> {
        let pid = proc.pid.cast_signed();
        let read = system::read(self.system(), &[CTL_KERN, KERN_PROC, node, pid]);
        let told = read.map_err(|error| denial::of_process(self.system(), proc.pid, &error))?;
        Ok(strings(&told, limit))
    }

    fn open_files(&self, pid: Option<u32>) -> Result<Listing<OpenFile>> {
        let owners = self.rows(Op::Proc, 0, false).transpose()?.map(|rows| rows.items).unwrap_or_default();
        let names: HashMap<u32, String> =
            owners.into_iter().map(|row| (row.kinfo.pid, row.kinfo.comm)).collect();
        if let Some(pid) = pid.filter(|pid| !names.contains_key(pid)) {
            return Err(no_process(pid));
        }
        let mut files = self.flavour.files.files(&system::named(self.system(), "kern.file")?, &names)?;
        files.retain(|file| pid.is_none_or(|pid| file.pid == pid));
        Ok(Listing { items: files, problems: self.hidden().into_iter().collect() })
    }
}

/// The same rows as something else.
fn map<T>(rows: Told<Listing<Row>>, to: impl FnMut(Row) -> Option<T>) -> Told<Listing<T>> {
    rows.map(|rows| {
        let Listing { items, problems } = rows?;
        Ok(Listing { items: items.into_iter().filter_map(to).collect(), problems })
    })
}

/// `struct loadavg`, on machines of 64 bits.
fn loadavg(bytes: &[u8]) -> Result<[f64; 3]> {
    let number = |at: usize, len: usize| bytes.get(at..at + len).map(uint);
    let scale = number(16, 8).filter(|scale| *scale != 0);
    let load = |at| Some(number(at, 4)? as f64 / scale? as f64);
    let all = || Some([load(0)?, load(4)?, load(8)?]);
    all().ok_or_else(|| {
        Error::Unsupported(format!("vm.loadavg: {} bytes that cannot be believed", bytes.len()))
    })
}

/// `long [CPUSTATES]`: user, nice, system, interrupt, idle.
fn cptime(bytes: &[u8]) -> Result<CpuTime> {
    let times: Vec<u64> = bytes.chunks_exact(8).map(uint).collect();
    match *times.as_slice() {
        [user, nice, system, interrupt, idle] if bytes.len() == 40 => {
            Ok(CpuTime { user, nice, system, interrupt, idle })
        }
        _ => Err(Error::Unsupported(format!("kern.cp_time: {} bytes and not 40", bytes.len()))),
    }
}

impl Own for Bsd {
    fn getprocs(&self, op: Op, arg: u32, threads: bool) -> Told<Listing<KinfoProc>> {
        map(self.rows(op, arg, threads), |row| Some(row.kinfo))
    }

    fn processes(&self) -> Told<Listing<Process>> {
        map(self.rows(Op::Proc, 0, false), |row| Some(row.process()))
    }

    fn threads(&self) -> Told<Listing<Thread>> {
        map(self.rows(Op::Proc, 0, true), Row::thread)
    }

    fn args(&self, proc: &KinfoProc, limit: usize) -> Told<Vec<String>> {
        /// A kernel process, which has none.
        const P_SYSTEM: u32 = 0x200;
        let told = self.strings(KERN_PROC_ARGS, proc, limit);
        // Of a long list the kernel keeps no copy, and DragonFly then tells nothing.
        let missing =
            |told: &Vec<String>| told.is_empty() && proc.flag.is_none_or(|flag| flag & P_SYSTEM == 0);
        Some(told).filter(|told| !told.as_ref().is_ok_and(missing))
    }

    fn env(&self, proc: &KinfoProc, limit: usize) -> Told<Vec<String>> {
        Some(self.strings(self.flavour.env?, proc, limit))
    }

    fn files(&self, pid: Option<u32>) -> Told<Listing<OpenFile>> {
        Some(self.open_files(pid))
    }

    fn loadavg(&self) -> Told<[f64; 3]> {
        Some(system::named(self.system(), "vm.loadavg").and_then(|bytes| loadavg(&bytes)))
    }

    fn swap(&self) -> Told<Listing<Swap>> {
        Some((self.flavour.swap)(self.system()).map(Listing::from))
    }

    fn cptime(&self) -> Told<CpuTime> {
        Some(system::named(self.system(), "kern.cp_time").and_then(|bytes| cptime(&bytes)))
    }

    fn cpus(&self) -> Told<Count> {
        let number = |name| Some(system::number(self.system(), name)? as u32);
        Some(Ok(Count { count: number("hw.ncpu")?, max: number(self.flavour.max_cpus)? }))
    }

    fn log(&self) -> Told<Log> {
        let read = system::named(self.system(), "kern.msgbuf").map(|bytes| {
            let text: Vec<u8> = bytes.into_iter().filter(|byte| *byte != 0).collect();
            Log { text: crate::kernel::text(&text), unread: String::new() }
        });
        Some(read)
    }

    fn symbol(&self, name: &str) -> Option<Symbol> {
        let (va, size) = self.system().kldsym(name)?;
        // What kind it is of, kldsym(2) does not tell; libkvm takes everything for text.
        Some(Symbol {
            name: name.to_owned(),
            va: Va(va),
            size,
            kind: Kind::Text,
            function: false,
            global: true,
        })
    }
}
