//! Tasks of real Linux kernels, their stacks and their names, beside what each guest said about itself. A kernel file is used only
//! where the kernel does not describe its own types.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

mod support;
mod synth;

use kgdbserver::kernel::Thread;
use kgdbserver_arch::{Va, x86_64};
use std::collections::{HashMap, HashSet};
use support::linux::{Guest, guests};

/// Idle tasks have numbers from here on.
const IDLE: u64 = 1 << 22;

/// A line of `/proc/PID/task/TID/stat`.
struct Stat<'a> {
    pid: u32,
    tid: u64,
    comm: &'a str,
    state: char,
    ppid: u32,
}

impl<'a> Stat<'a> {
    fn parse(line: &'a str) -> Self {
        let (head, rest) = line.split_once(" (").expect("a name in brackets");
        let (comm, rest) = rest.rsplit_once(") ").expect("a name in brackets");
        let [pid, tid, _] = head.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let mut rest = rest.split(' ');
        let state = rest.next().and_then(|state| state.chars().next()).expect("a state");
        let ppid = rest.next().and_then(|ppid| ppid.parse().ok()).expect("a parent");
        Self { pid: pid.parse().expect("a pid"), tid: tid.parse().expect("a tid"), comm, state, ppid }
    }

    /// Threads of the kernel's pools come, go and sleep at any time, those for RCU wake up by themselves, and what was running
    /// is at another place already.
    fn is_steady(&self) -> bool {
        !["kworker/", "rcu"].iter().any(|pool| self.comm.starts_with(pool)) && self.state != 'R'
    }
}

fn by_tid(guest: &Guest) -> HashMap<u64, Thread> {
    let threads = guest.kvm.threads().expect("threads");
    assert!(threads.problems.is_empty(), "{}: {:?}", guest.name, threads.problems);
    let count = threads.items.len();
    let threads: HashMap<u64, Thread> =
        threads.items.into_iter().map(|thread| (thread.tid, thread)).collect();
    assert_eq!(threads.len(), count, "{}: a number twice", guest.name);
    threads
}

#[test]
fn every_task_is_there_with_its_name_its_parent_and_its_state() {
    for guest in guests() {
        let threads = by_tid(guest);
        let processes = guest.kvm.processes().expect("processes").items;
        let parents: HashMap<u32, Option<u32>> = processes.iter().map(|p| (p.pid, p.ppid)).collect();
        let stats: Vec<Stat<'_>> = guest.lines("stat").iter().map(|line| Stat::parse(line)).collect();
        for stat in stats.iter().filter(|stat| stat.is_steady() && guest.is_steady(stat.pid)) {
            let what = format!("{}: {} {}", guest.name, stat.tid, stat.comm);
            let thread = threads.get(&stat.tid).unwrap_or_else(|| panic!("{what} is missing"));
            // A worker's name is longer in /proc, which adds what it works on.
            assert!(stat.comm.starts_with(&thread.comm), "{what}: {}", thread.comm);
            assert_eq!((thread.pid, thread.state), (stat.pid, Some(stat.state)), "{what}");
            assert_eq!(parents.get(&stat.pid), Some(&Some(stat.ppid)), "{what}");
        }
        let told: HashSet<u64> = stats.iter().map(|stat| stat.tid).collect();
        let late = |thread: &&Thread| {
            thread.tid < IDLE && !told.contains(&thread.tid) && guest.is_steady(thread.pid)
        };
        let late: Vec<_> = threads.values().filter(late).map(|thread| &thread.comm).collect();
        let known = |comm: &&String| {
            ["kworker/", "spinner", "sleep", "sh", "report", "crasher"]
                .iter()
                .any(|name| comm.starts_with(name))
        };
        assert!(late.iter().all(known), "{}: nobody told of {late:?}", guest.name);
    }
}

#[test]
fn every_cpu_runs_one_task_and_has_an_idle_one() {
    for guest in guests() {
        let threads = by_tid(guest);
        let cpus = guest.lines("cpu-stat").iter().filter(|line| line.starts_with("cpu")).count() - 1;
        let running: HashSet<u32> = threads.values().filter_map(|thread| thread.on_cpu).collect();
        assert_eq!(
            (running.len(), threads.values().filter(|thread| thread.tid >= IDLE).count()),
            (cpus, cpus),
            "{}",
            guest.name
        );
    }
}

/// The frames of a thread where there is code: their addresses, and names as `/proc/PID/stack` prints them,
/// `do_wait+0x114`.
fn frames(guest: &Guest, thread: &Thread) -> Vec<(Va, String)> {
    let registers = guest.kvm.registers(thread).expect("registers");
    let name = |pc: Va| {
        let (symbol, distance) = guest.kvm.symbol_at(pc)?;
        Some((pc, format!("{}+{distance:#x}", symbol.name)))
    };
    guest.kvm.backtrace(&registers).iter().filter_map(|frame| name(frame.pc)).collect()
}

/// Whether a frame is the one that the kernel names so: it may choose another of the names that a place has, and the function
/// before it, whose last instruction is the call.
fn is_frame(named: &HashMap<String, Vec<Va>>, (pc, name): &(Va, String), told: &str) -> bool {
    let (function, distance) = told.rsplit_once("+0x").expect("a distance");
    let distance = u64::from_str_radix(distance, 16).expect("a distance");
    let mut places = named.get(function).into_iter().flatten();
    name == told || places.any(|va| va.0 + distance == pc.0)
}

#[test]
fn stacks_are_those_that_the_kernel_itself_unwinds() {
    for guest in guests() {
        let threads = by_tid(guest);
        let mut named: HashMap<String, Vec<Va>> = HashMap::new();
        for symbol in guest.kvm.symbols().table().expect("a table").symbols() {
            named.entry(symbol.name).or_default().push(symbol.va);
        }
        let mut told: HashMap<u64, Vec<&str>> = HashMap::new();
        for line in guest.lines("stack") {
            let [_, tid, frame] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            // A task in user space, and one that has exited, have none.
            let Some(frame) = frame.strip_prefix("[<0>] ") else { continue };
            let frame = frame.split_once('/').map_or(frame, |(frame, _)| frame);
            told.entry(tid.parse().expect("a tid")).or_default().push(frame);
        }
        let steady: HashSet<u64> = guest
            .lines("stat")
            .iter()
            .map(|line| Stat::parse(line))
            .filter(|stat| stat.is_steady() && stat.state != 'Z' && guest.is_steady(stat.pid))
            .map(|stat| stat.tid)
            .collect();
        let mut compared = 0;
        for (tid, told) in told.iter().filter(|(tid, _)| steady.contains(tid)) {
            let frames = frames(guest, &threads[tid]);
            // The kernel leaves its scheduler out, which is on top. On powerpc the switch itself is there all the same, and
            // above it what it left in a register.
            let switch = told.iter().position(|frame| frame.starts_with("__switch_to+"));
            let told = &told[switch.map_or(0, |index| index + 1)..];
            let tail = &frames[frames.len().saturating_sub(told.len())..];
            let is_same = tail.len() == told.len()
                && tail.iter().zip(told).all(|(frame, told)| is_frame(&named, frame, told));
            assert!(is_same, "{}: thread {tid}: {told:?} is not the end of {frames:?}", guest.name);
            compared += 1;
        }
        // On arm the kernel unwinds no task but the one that asks.
        assert!(compared > 20 || told.is_empty(), "{}: {compared} stacks compared", guest.name);
    }
}

#[test]
fn names_are_those_of_the_guests_own_table() {
    for guest in guests() {
        let table = guest.kvm.symbols().table().expect("a table");
        let names: HashSet<(u64, String)> =
            table.symbols().map(|symbol| (symbol.va.0, symbol.name)).collect();
        // Behind a module's symbol stands its name.
        for line in guest.lines("kallsyms").iter().filter(|line| !line.contains('[')) {
            let [address, _, name] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let address = u64::from_str_radix(address, 16).expect("an address");
            assert!(names.contains(&(address, name.to_owned())), "{}: {line}", guest.name);
        }
        let digest = guest.lines("kallsyms-digest").iter().find_map(|line| line.strip_prefix("kernel "));
        let count = digest.and_then(|digest| digest.split(' ').next()).and_then(|count| count.parse().ok());
        assert_eq!(Some(table.len()), count, "{}", guest.name);
    }
}

#[test]
fn names_in_modules_are_those_of_the_guests_own_table() {
    for guest in guests() {
        // The kernel's own code may be listed as modules, too: what probes have made.
        let own = |line: &str| line.starts_with("kernel ") || line.starts_with("__builtin__");
        let digests = guest.lines("kallsyms-digest").iter().filter(|line| !own(line));
        let expected: HashMap<&str, usize> = digests
            .map(|line| {
                let [module, count, _] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
                (module, count.parse().expect("a count"))
            })
            .collect();
        let kernel = guest.kvm.kernel().expect("a kernel");
        let loaded = guest.kvm.loaded();
        let names: HashSet<&str> = loaded.iter().map(|loaded| loaded.module.name.as_str()).collect();
        assert_eq!(names, expected.keys().copied().collect(), "{}", guest.name);
        for module in loaded.iter().map(|loaded| &loaded.module) {
            let symbols = kernel.module_symbols(guest.kvm.space(), module).expect("symbols");
            // The guest also lists marks for the disassembler and the compiler's labels (`$x`, `.LC17`), by which it names no
            // address: on arm64 every second one, on riscv64 most.
            let (count, all) = (symbols.len(), expected[module.name.as_str()]);
            assert!((1..=all).contains(&count), "{}: {}: {count} of {all}", guest.name, module.name);
        }

        let mut compared = 0;
        for line in guest.lines("kallsyms").iter().filter(|line| line.ends_with(']')) {
            let [address, _, rest] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
            let (name, module) = rest.split_once("\t[").expect("a module");
            if name.starts_with(['$', '.']) || name.starts_with("L0") {
                continue;
            }
            let address = Va(u64::from_str_radix(address, 16).expect("an address"));
            let loaded = guest.kvm.loaded_at(address).unwrap_or_else(|| panic!("{}: {line}", guest.name));
            assert_eq!(format!("{}]", loaded.module.name), module, "{}: {line}", guest.name);
            let mut symbols = guest.kvm.symbols_of(loaded).iter();
            assert!(symbols.any(|s| s.va == address && s.name == name), "{}: {line}", guest.name);
            let (nearest, distance) = guest.kvm.symbol_at(address).expect("a symbol");
            assert_eq!((nearest.va, distance), (address, 0), "{}: {line}", guest.name);
            compared += 1;
        }
        assert!(compared > 3, "{}: {compared} names compared", guest.name);
    }
}

/// No guest was caught in a module, so one is put there: behind the first `push` of a function, which is as if the function
/// had been called by what called `__schedule` in a thread that sleeps.
#[test]
fn stacks_lead_out_of_modules() {
    const NOP_AND_PUSH: [&[u8]; 2] = [&[0x0f, 0x1f, 0x44, 0, 0, 0x55], &[0x0f, 0x1f, 0x44, 0, 0, 0x41, 0x57]];
    for guest in guests().iter().filter(|guest| guest.kvm.space().machine.arch == &x86_64::ARCH) {
        let (kvm, mem) = (&guest.kvm, guest.kvm.space());
        let registers = kvm.registers(&by_tid(guest)[&2]).expect("registers");
        let trace = kvm.backtrace(&registers);
        let mut stack = (registers.get(x86_64::ARCH.sp).expect("sp")..).step_by(8);
        let at = stack.find(|at| mem.pointer(Va(*at)).expect("the stack") == trace[1].pc).expect("a call");
        let mut compared = 0;
        for symbol in kvm.loaded().iter().flat_map(|loaded| kvm.symbols_of(loaded)).filter(|s| s.function) {
            let mut code = [0; 7];
            mem.read_exact(symbol.va, &mut code).expect("code");
            let Some(start) = NOP_AND_PUSH.iter().find(|start| code.starts_with(start)) else { continue };
            let mut registers = registers.clone();
            registers.set(x86_64::ARCH.pc, symbol.va.0 + start.len() as u64);
            registers.set(x86_64::ARCH.sp, at - 8);
            let frames = kvm.backtrace(&registers);
            assert_eq!(frames[1..], trace[1..], "{}: {}", guest.name, symbol.name);
            compared += 1;
        }
        assert!(compared > 100, "{}: {compared} functions", guest.name);
    }
}
