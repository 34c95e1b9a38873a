//! Threads, and where their registers were saved.

use super::offsets::Offsets;
use super::procs::Proc;
use super::{FreeBsd, lists, text};
use crate::kernel::{Listing, Saved, Thread, asleep};
use crate::space::Space;
use crate::symbols::Symbols;
use crate::{Error, Result};
use kgdbserver_arch::{Pcb, Registers, Va};

/// Bytes of `td_name` and `p_comm`, the NUL included (MAXCOMLEN + 1).
pub(super) const NAME_BYTES: usize = 20;

/// MAXCPU is 1024 at most; a higher number is not believed.
const CPU_LIMIT: u32 = 1 << 16;

/// No `struct pcb` keeps general registers further on.
const PCB_LIMIT: usize = 4096;

/// `td_oncpu` is an `int` since 11.0, NOCPU is -1; before, it was an unsigned char and NOCPU 255.
const WIDE_CPU_SINCE: u32 = 1_100_000;

/// `stoppcbs` is a pointer since this release; before, it was the array itself.
const STOPPCBS_POINTER_SINCE: u32 = 1_400_089;

/// What the kernel kept of the CPUs that it stopped when it went down.
#[derive(Debug, Default)]
pub(super) struct Stopped {
    /// The thread that asked for the dump, and where its registers are.
    dumped: Option<(u64, Va)>,
    /// The first pcb of the array indexed by CPU.
    stoppcbs: Option<Va>,
    /// The set of CPUs that did stop, as its words in memory; none if this kernel does not say.
    stopped_cpus: Option<Vec<u8>>,
    /// The highest CPU number.
    mp_maxid: Option<u32>,
    /// The thread that each CPU was running, by its own account; none where that cannot be read.
    running: Vec<Option<Va>>,
}

impl Stopped {
    /// Nothing of a kernel that runs: what it has in these variables is of an earlier stop.
    pub(super) fn find(symbols: &Symbols, mem: &Space, offsets: &Offsets, osreldate: Option<u32>) -> Self {
        if mem.is_live() {
            return Self::default();
        }
        let int =
            |name: &str| mem.int(symbols.address(name)?).ok().and_then(|value| u32::try_from(value).ok());
        let dumped = int("dumptid").filter(|tid| *tid != 0).map(u64::from).zip(symbols.address("dumppcb"));
        let mp_maxid = int("mp_maxid").filter(|last| *last < CPU_LIMIT);
        let stopped_cpus = symbols.address("stopped_cpus").zip(mp_maxid).and_then(|(va, last)| {
            let mut set = vec![0; (last as usize / 64 + 1) * 8];
            mem.read_exact(va, &mut set).ok().map(|()| set)
        });
        let stoppcbs = stoppcbs(symbols, mem, offsets, osreldate);
        Self { dumped, stoppcbs, stopped_cpus, mp_maxid, running: running(symbols, mem, mp_maxid) }
    }

    /// The CPU that was running a thread. A thread knows that as `td_oncpu`; but a CPU that is stopped in the middle of a
    /// switch still runs the old thread, which says that it is on none, instead of the new one. What the CPU saved is of
    /// the thread that it says it runs.
    fn cpu_of(&self, thread: Va, on_cpu: Option<u32>) -> Option<u32> {
        let by_cpu = self.running.iter().position(|running| *running == Some(thread));
        let other = |cpu: &u32| self.running.get(*cpu as usize).is_some_and(Option::is_some);
        by_cpu.and_then(|cpu| u32::try_from(cpu).ok()).or_else(|| on_cpu.filter(|cpu| !other(cpu)))
    }

    /// Whether a CPU saved its registers. A kernel that does not say which did (before 9) stopped them all.
    fn did_stop(&self, cpu: u32, mem: &Space) -> bool {
        let known = self.mp_maxid.is_none_or(|last| cpu <= last);
        let in_set = |set: &Vec<u8>| {
            let word = mem.machine.ptr_bytes as usize;
            let bits = word * 8;
            let at = cpu as usize / bits * word;
            let word = set.get(at..at + word).map_or(0, |bytes| mem.machine.uint(bytes));
            word >> (cpu as usize % bits) & 1 == 1
        };
        known && self.stopped_cpus.as_ref().is_none_or(in_set)
    }
}

/// The kernel file knows best whether `stoppcbs` is the array or a pointer to it: by the symbol's size. A resolver
/// tells no size, so there the release decides.
fn stoppcbs(symbols: &Symbols, mem: &Space, offsets: &Offsets, osreldate: Option<u32>) -> Option<Va> {
    let symbol = symbols.by_name("stoppcbs")?;
    let is_pointer = match symbol.size {
        0 => osreldate.is_some_and(|release| release >= STOPPCBS_POINTER_SINCE),
        size => size < offsets.pcb_size,
    };
    if is_pointer { mem.pointer(symbol.va).ok().filter(|va| va.0 != 0) } else { Some(symbol.va) }
}

/// `pc_curthread` of every CPU, the first member of `struct pcpu`.
fn running(symbols: &Symbols, mem: &Space, mp_maxid: Option<u32>) -> Vec<Option<Va>> {
    let Some((table, last)) = symbols.address("cpuid_to_pcpu").zip(mp_maxid) else { return Vec::new() };
    let thread = |cpu: u32| {
        let at = table.checked_add(u64::from(cpu) * u64::from(mem.machine.ptr_bytes))?;
        let pcpu = mem.pointer(at).ok().filter(|pcpu| pcpu.0 != 0)?;
        mem.pointer(pcpu).ok().filter(|thread| thread.0 != 0)
    };
    (0..=last).map(thread).collect()
}

impl FreeBsd {
    pub(super) fn all_threads(&self, mem: &Space) -> Result<Listing<Thread>> {
        let procs = self.procs(mem)?;
        let mut list = Listing { items: Vec::new(), problems: procs.problems };
        for proc in &procs.items {
            let threads = self.threads_of(mem, proc);
            list.items.extend(threads.items);
            list.problems.extend(threads.problems);
        }
        list.items.sort_by_key(|thread| !thread.crashed);
        Ok(list)
    }

    /// The threads of one process.
    pub(super) fn threads_of(&self, mem: &Space, proc: &Proc) -> Listing<Thread> {
        let head = Va(proc.va.0.saturating_add(self.offsets.p_threads));
        let first = match mem.pointer(head) {
            Ok(first) => first,
            Err(error) => return Listing { items: Vec::new(), problems: vec![error] },
        };
        let threads = lists::walk(mem, "thread", first, self.offsets.td_plist);
        Listing::from_results(threads.map(|va| self.thread(mem, proc, va?)))
    }

    fn thread(&self, mem: &Space, proc: &Proc, va: Va) -> Result<Thread> {
        // A sum past the end of the address space is an address that cannot be read.
        let at = |offset: u64| Va(va.0.saturating_add(offset));
        let tid = u64::try_from(mem.int(at(self.offsets.td_tid))?).ok().filter(|tid| *tid != 0);
        let tid = tid.ok_or_else(|| unreadable(va, "its thread id is not positive"))?;
        let own = text(&mem.string(at(self.offsets.td_name), NAME_BYTES)?);
        let on_cpu = self.on_cpu(mem, at(self.offsets.td_oncpu))?;
        let crashed = self.stopped.dumped.is_some_and(|(dumped, _)| dumped == tid);
        let saved = self.saved(mem, tid, self.stopped.cpu_of(va, on_cpu), at(self.offsets.td_pcb));
        let running = on_cpu.map(|_| 'R');
        Ok(Thread {
            va,
            tid,
            pid: proc.pid,
            name: if own.is_empty() || own == proc.comm {
                proc.comm.clone()
            } else {
                format!("{}/{own}", proc.comm)
            },
            comm: if own.is_empty() { proc.comm.clone() } else { own },
            state: running.or_else(|| self.stat(mem, proc.va, Some(va)).map(|stat| stat.letter())),
            wait: self.wait_message(mem, va),
            on_cpu,
            crashed,
            saved,
        })
    }

    fn on_cpu(&self, mem: &Space, at: Va) -> Result<Option<u32>> {
        if self.osreldate.is_some_and(|release| release < WIDE_CPU_SINCE) {
            return Ok(mem.uint(at, 1)?.try_into().ok().filter(|cpu| *cpu != 255));
        }
        Ok(u32::try_from(mem.int(at)?).ok())
    }

    fn saved(&self, mem: &Space, tid: u64, cpu: Option<u32>, td_pcb: Va) -> Saved {
        match (self.stopped.dumped, cpu) {
            (Some((dumped, pcb)), _) if dumped == tid => Saved::Stopped(pcb),
            (_, Some(_)) if mem.is_live() => Saved::Nowhere("it is running"),
            (_, Some(cpu)) => self.saved_by(cpu, mem),
            (_, None) => match mem.pointer(td_pcb) {
                Ok(Va(0)) => Saved::Nowhere("the thread has no pcb"),
                Ok(pcb) => Saved::Switched(pcb),
                Err(_) => Saved::Nowhere("the pointer to its pcb cannot be read"),
            },
        }
    }

    /// Where a CPU saved the registers of the thread that it was running.
    fn saved_by(&self, cpu: u32, mem: &Space) -> Saved {
        let Some(first) = self.stopped.stoppcbs else {
            return Saved::Nowhere("it was running, and the kernel has no stoppcbs");
        };
        if !self.stopped.did_stop(cpu, mem) {
            return Saved::Nowhere("it was running, and its CPU did not stop");
        }
        let pcb = self.offsets.pcb_size.checked_mul(cpu.into()).and_then(|offset| first.checked_add(offset));
        pcb.map_or(Saved::Nowhere("its CPU's number is out of range"), Saved::Stopped)
    }

    pub(super) fn registers(&self, mem: &Space, thread: &Thread) -> Result<Registers> {
        if !mem.is_live() {
            return self.registers_at(mem, &thread.saved);
        }
        let at = |offset: u64| Va(thread.va.0.saturating_add(offset));
        asleep::registers(mem.machine, || {
            let same = u64::try_from(mem.int(at(self.offsets.td_tid))?) == Ok(thread.tid);
            let sleeps = same && self.on_cpu(mem, at(self.offsets.td_oncpu))?.is_none();
            sleeps.then(|| self.registers_at(mem, &thread.saved)).transpose()
        })
    }

    fn registers_at(&self, mem: &Space, saved: &Saved) -> Result<Registers> {
        let mut registers = Registers::unknown(mem.machine);
        let Some(va) = saved.va() else { return Ok(registers) };
        let release = self.osreldate.unwrap_or(0);
        let size = self.offsets.pcb_size;
        let fits = |pcb: &&Pcb| pcb.since <= release && pcb.bytes.contains(&size);
        let Some(pcb) = self.table.pcb.iter().find(fits) else { return Ok(registers) };
        let mut bytes = vec![0; usize::try_from(size).unwrap_or(PCB_LIMIT).min(PCB_LIMIT)];
        let got = mem.read(va, &mut bytes)?;
        bytes.truncate(got);
        registers.load(pcb.switched, &bytes);
        if matches!(saved, Saved::Stopped(_)) {
            registers.load(pcb.savectx, &bytes);
        }
        Ok(registers)
    }
}

fn unreadable(va: Va, why: &str) -> Error {
    Error::BadStructure { what: "thread", va, why: why.into() }
}
