//! Processes, threads, saved registers and stacks.

use super::super::machine::{Frame, Machine, TrapBase};
use super::kernel::Kernel;
use super::memory::Memory;
use super::{ListEnd, Process, StopPcbs, System, Thread, ThreadFacts, text};

const NAME_BYTES: usize = 20;
const NOCPU: u32 = u32::MAX;
const FRAME: u64 = 0x50;
/// The frame of a trap's entry; the next one is what it interrupted.
pub const TRAP: (&str, u64) = ("a trap", 0);
/// The registers that a trap saved have this value, and the next ones, in the order of the machine's list.
pub const TRAPPED: u64 = 0x7700_0000;
/// Before, `td_oncpu` was one byte.
const WIDE_CPU_SINCE: u32 = 1_100_000;

type Registers = Vec<(&'static str, u64)>;

/// Writes them all; returns the pids and the threads as the kernel's lists have them.
pub(super) fn write(system: &System, kernel: &Kernel, memory: &mut Memory) -> (Vec<u32>, Vec<ThreadFacts>) {
    let stoppcbs = stoppcbs(system, kernel, memory);
    let (pcb, _) = (system.machine.pcb)(system.osreldate);
    Writer { system, machine: system.machine, kernel, memory, stoppcbs, pcb }.processes()
}

/// Where the stopped CPUs' pcbs stand.
fn stoppcbs(system: &System, kernel: &Kernel, memory: &mut Memory) -> u64 {
    let symbol = kernel.variable("stoppcbs");
    if system.stoppcbs == StopPcbs::Array {
        return symbol;
    }
    let array = memory.alloc(u64::from(system.cpus * system.offsets.pcb_size));
    memory.word(symbol, array);
    array
}

struct Writer<'a> {
    system: &'a System,
    machine: &'static Machine,
    kernel: &'a Kernel,
    memory: &'a mut Memory,
    stoppcbs: u64,
    /// What a pcb holds, as gdb's name and offset.
    pcb: Registers,
}

/// A list of the kernel: the pointer to its first node, and where the nodes have their links.
struct List {
    head: u64,
    link: u64,
    end: ListEnd,
}

impl Writer<'_> {
    fn processes(mut self) -> (Vec<u32>, Vec<ThreadFacts>) {
        let o = &self.system.offsets;
        let processes: Vec<&Process> = self.system.processes.iter().rev().collect();
        let nodes = self.allocate(processes.len(), o.proc_size);
        let end = self.system.process_list_end;
        self.link(&List { head: self.kernel.variable("allproc"), link: o.p_list.into(), end }, &nodes);
        let pids = processes.iter().map(|process| process.pid).collect();
        let threads =
            processes.iter().zip(nodes).flat_map(|(process, node)| self.process(process, node)).collect();
        (pids, threads)
    }

    fn process(&mut self, process: &Process, at: u64) -> Vec<ThreadFacts> {
        let o = &self.system.offsets;
        self.memory.int(at + u64::from(o.p_pid), process.pid);
        self.name(at + u64::from(o.p_comm), &process.comm);
        let nodes = self.allocate(process.threads.len(), o.thread_size.next_multiple_of(64) + o.pcb_size);
        let head = at + u64::from(o.p_threads);
        let end = process.thread_list_end;
        let last_link = self.link(&List { head, link: o.td_plist.into(), end }, &nodes);
        self.memory.word(head + self.machine.word, last_link);
        process.threads.iter().zip(nodes).map(|(thread, node)| self.thread(process, thread, node)).collect()
    }

    fn thread(&mut self, process: &Process, thread: &Thread, at: u64) -> ThreadFacts {
        let pcb = self.structure(thread, at);
        let (registers, backtrace) = match pcb {
            Some(pcb) if pcb != self.memory.hole() => self.stop(thread, pcb),
            _ => Default::default(),
        };
        ThreadFacts {
            tid: thread.tid,
            pid: process.pid,
            comm: process.comm.chars().take(NAME_BYTES).collect(),
            name: thread.name.clone(),
            on_cpu: thread.on_cpu,
            crashed: self.system.crashed == Some(thread.tid),
            address: at,
            pcb,
            registers,
            backtrace,
        }
    }

    /// Writes the `struct thread`, with a pcb of its own behind it. Returns where the registers are to be.
    fn structure(&mut self, thread: &Thread, at: u64) -> Option<u64> {
        let o = &self.system.offsets;
        let own = at + u64::from(o.thread_size.next_multiple_of(64));
        let td_pcb = if thread.pcb_unreadable { self.memory.hole() } else { own };
        self.memory.int(at + u64::from(o.td_tid), thread.tid);
        self.name(at + u64::from(o.td_name), &thread.name);
        let cpu = thread.on_cpu.unwrap_or(NOCPU);
        match self.system.osreldate {
            WIDE_CPU_SINCE.. => self.memory.int(at + u64::from(o.td_oncpu), cpu),
            _ => self.memory.write(at + u64::from(o.td_oncpu), &[cpu as u8]),
        }
        self.memory.word(at + u64::from(o.td_pcb), td_pcb);
        self.fill(own, &self.stale());
        self.pcb_address(thread, td_pcb)
    }

    /// Where the thread's registers were saved: by the dump, by the stopped CPU, or when it was switched out.
    fn pcb_address(&self, thread: &Thread, td_pcb: u64) -> Option<u64> {
        if self.system.crashed == Some(thread.tid) {
            return Some(self.kernel.variable("dumppcb"));
        }
        match thread.on_cpu {
            None => Some(td_pcb),
            Some(cpu) if self.system.stopped_cpus.contains(&cpu) => {
                Some(self.stoppcbs + u64::from(cpu * self.system.offsets.pcb_size))
            }
            Some(_) => None,
        }
    }

    /// Builds the thread's stack and saves its registers; returns these and the backtrace.
    fn stop(&mut self, thread: &Thread, pcb: u64) -> (Registers, Vec<u64>) {
        let backtrace: Vec<u64> = thread.frames.iter().map(|frame| self.address(*frame)).collect();
        let (&pc, callers) = backtrace.split_first().expect("a thread without frames");
        let trap = thread.frames.iter().skip(1).position(|frame| *frame == TRAP);
        let (sp, fp) = self.stack(callers, trap);
        let m = self.machine;
        let value = |(name, offset): &(&'static str, u64)| match *name {
            name if name == m.pc => (name, pc),
            name if name == m.sp => (name, sp),
            name if name == m.fp => (name, fp),
            name => (name, mark(m, *offset, thread.tid)),
        };
        let registers: Registers = self.pcb.iter().map(value).collect();
        self.fill(pcb, &registers);
        (registers, backtrace)
    }

    fn address(&self, frame: (&'static str, u64)) -> u64 {
        if frame == TRAP {
            let trap = (self.machine.trap)(self.system.osreldate).expect("a trap that is known");
            return text::trap_return(self.machine, trap.returns_to);
        }
        text::address(self.machine, frame)
    }

    /// A chain of frames that returns through `callers`, innermost first; the one at `trap` is a trap's entry, and the
    /// next one what it interrupted. Returns the stack and frame pointers.
    fn stack(&mut self, callers: &[u64], trap: Option<usize>) -> (u64, u64) {
        let mut place = self.memory.stack().end - FRAME;
        let numbered = callers.iter().enumerate().rev();
        match self.machine.frame {
            Frame::Pointer(caller_at, return_at) => {
                let mut frame = 0;
                for (number, caller) in numbered {
                    if trap.is_some_and(|trap| trap + 1 == number) {
                        (place, frame) = self.trap(*caller, place, frame);
                        continue;
                    }
                    place = match trap == Some(number) {
                        // The handler's frame is right below the stack of the trap's entry.
                        true => place.wrapping_add_signed(-return_at) - self.machine.word,
                        false => place - FRAME,
                    };
                    self.memory.word(place.wrapping_add_signed(caller_at), frame);
                    self.memory.word(place.wrapping_add_signed(return_at), self.pushed(*caller, place));
                    frame = place;
                }
                (place - FRAME, frame)
            }
            Frame::BackChain(return_at) => {
                self.memory.word(place, 0);
                for (number, caller) in numbered {
                    if trap.is_some_and(|trap| trap + 1 == number) {
                        place = self.trap(*caller, place, place).0;
                        continue;
                    }
                    self.memory.word(place + return_at, *caller);
                    self.memory.word(place - FRAME, place);
                    place -= FRAME;
                }
                (place, place)
            }
        }
    }

    /// What a trap saves of code at `pc`; returns the stack and frame pointers of its entry.
    fn trap(&mut self, pc: u64, sp: u64, fp: u64) -> (u64, u64) {
        let trap = (self.machine.trap)(self.system.osreldate).expect("a trap that is known");
        let (base, entry) = match trap.base {
            TrapBase::Stack => (sp - trap.size, (sp - trap.size, fp)),
            // Below that, as the entry may need a red zone or not.
            TrapBase::FrameBehind => {
                let behind = sp - 0x80;
                (behind - trap.size, (behind - trap.size - 0x40, behind))
            }
            TrapBase::Chained(frame) => {
                let entry = sp - trap.size - frame - FRAME;
                self.memory.word(entry, sp);
                (entry + frame, (entry, entry))
            }
        };
        for ((_, offset), number) in trap.others.iter().zip(1..) {
            self.memory.word(base + offset, TRAPPED + number);
        }
        for (offset, value) in trap.saved.into_iter().zip([pc, sp, fp]) {
            self.memory.word(base + offset, value);
        }
        self.memory.word(base + trap.status.0, trap.status.1);
        entry
    }

    /// A return address as the code stores it: with a code in all the bits above 48 but bit 55, made from the address and
    /// the place.
    fn pushed(&self, address: u64, place: u64) -> u64 {
        const CODE: u64 = 0xff7f << 48;
        match self.system.ptrauth {
            Some(true) => address & !CODE | (address ^ place).wrapping_mul(0x9e37_79b9_7f4a_7c15) & CODE,
            _ => address,
        }
    }

    fn fill(&mut self, at: u64, registers: &[(&str, u64)]) {
        for ((_, offset), (_, value)) in self.pcb.clone().iter().zip(registers) {
            self.memory.word(at + offset, *value);
        }
    }

    /// What was left behind when a thread was switched in: readable, and wrong.
    fn stale(&self) -> Registers {
        let pc = text::address(self.machine, ("fork_trampoline", 8));
        let value = |(name, _): &(&'static str, u64)| (*name, if *name == self.machine.pc { pc } else { 0 });
        self.pcb.iter().map(value).collect()
    }

    /// A name and its NUL, unless it fills the field.
    fn name(&mut self, at: u64, name: &str) {
        let bytes: Vec<u8> = name.bytes().chain([0]).take(NAME_BYTES).collect();
        self.memory.write(at, &bytes);
    }

    fn allocate(&mut self, count: usize, size: u32) -> Vec<u64> {
        (0..count).map(|_| self.memory.alloc(size.into())).collect()
    }

    /// Links the nodes both ways; returns the address of the last pointer.
    fn link(&mut self, list: &List, nodes: &[u64]) -> u64 {
        let mut pointer = list.head;
        for node in nodes {
            self.memory.word(pointer, *node);
            self.memory.word(node + list.link + self.machine.word, pointer);
            pointer = node + list.link;
        }
        let end = match list.end {
            ListEnd::Null => 0,
            ListEnd::Cycle => nodes.first().copied().unwrap_or(0),
            ListEnd::Hole => self.memory.hole(),
        };
        self.memory.word(pointer, end);
        pointer
    }
}

/// A value that no other register of any thread has.
fn mark(machine: &Machine, offset: u64, tid: u32) -> u64 {
    let shift = if machine.word == 4 { 20 } else { 32 };
    ((0x100 + offset) << shift) | u64::from(tid)
}
