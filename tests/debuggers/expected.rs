//! What the debuggers must print, in their words.

use crate::synth::freebsd::{FUNCTIONS, Facts, ThreadFacts, only_of_stopped};
use serde_json::Value;

/// All threads of a machine, the crashed one first, as debuggers number them.
pub(crate) struct Machine {
    pub(crate) threads: Vec<Thread>,
    /// Start and end of each function; none if the kernel file has no functions.
    functions: Vec<(u64, u64, String)>,
    pub(crate) hz: u64,
    /// An address in a function named `panic`, if there is one.
    pub(crate) panic: u64,
}

pub(crate) struct Thread {
    pub(crate) tid: u64,
    pub(crate) pid: u64,
    /// With its process's name before it, if that is another one.
    pub(crate) name: String,
    running: bool,
    crashed: bool,
    /// Saved registers in the order of the target description.
    pub(crate) registers: Vec<(String, u64)>,
    pub(crate) frames: Vec<u64>,
}

/// In the order of the target description.
const GENERAL: [&str; 24] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15", "rip", "eflags", "cs", "ss", "ds", "es", "fs", "gs",
];

impl Machine {
    pub(crate) fn synthetic(facts: &Facts) -> Self {
        let thread = |thread: &ThreadFacts| Thread {
            tid: thread.tid.into(),
            pid: thread.pid.into(),
            name: full_name(&thread.comm, &thread.name),
            running: thread.on_cpu.is_some(),
            crashed: thread.crashed,
            registers: thread
                .registers
                .iter()
                .filter(|(name, _)| stopped(thread) || !only_of_stopped(name))
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect(),
            frames: thread.backtrace.clone(),
        };
        let function = |(name, size): &(&str, u64)| {
            let start = facts.symbol(name);
            (start, start + size, (*name).to_owned())
        };
        Self {
            threads: facts.threads.iter().map(thread).collect(),
            functions: FUNCTIONS.iter().map(function).collect(),
            hz: facts.symbol("hz"),
            panic: facts.symbol("panic"),
        }
    }

    /// From what was published of a real dump.
    pub(crate) fn published(expected: &Value) -> Self {
        let list = |value: &Value| value.as_array().expect("a list").iter().map(number).collect();
        let thread = |thread: &Value| Thread {
            tid: number(&thread["tid"]),
            pid: number(&thread["pid"]),
            name: full_name(text(&thread["comm"]), text(&thread["td_name"])),
            running: thread["oncpu"] != -1,
            crashed: thread["crashed"] == true,
            registers: thread["regs"]
                .as_object()
                .expect("registers")
                .iter()
                .map(|(n, v)| (n.clone(), number(v)))
                .collect(),
            frames: list(&thread["fp_backtrace"]),
        };
        Self {
            threads: expected["threads"].as_array().expect("threads").iter().map(thread).collect(),
            functions: Vec::new(),
            hz: number(&expected["symbols"]["hz"]["addr"]),
            panic: 0,
        }
    }

    pub(crate) fn crashed(&self) -> &Thread {
        self.threads.iter().find(|thread| thread.crashed).expect("a crashed thread")
    }

    /// The function around an address, and how far into it the address is.
    pub(crate) fn function(&self, va: u64) -> Option<(&str, u64)> {
        let (start, _, name) = self.functions.iter().find(|(start, end, _)| (*start..*end).contains(&va))?;
        Some((name, va - start))
    }

    /// `0xffffffff80200d83 in kdb_enter ()`.
    fn gdb_place(&self, va: u64) -> String {
        format!("{va:#018x} in {} ()", self.function(va).map_or("??", |(name, _)| name))
    }

    /// `info threads`, the crashed thread selected.
    pub(crate) fn gdb_threads(&self) -> String {
        let line = |(number, thread): (usize, &Thread)| {
            let star = if thread.crashed { "* " } else { "" };
            format!("{star}{} {} {}\n", number + 1, thread.gdb_name(), self.gdb_place(thread.frames[0]))
        };
        "Id Target Id Frame\n".to_owned() + &self.threads.iter().enumerate().map(line).collect::<String>()
    }

    /// `bt` in a thread.
    pub(crate) fn gdb_frames(&self, thread: &Thread) -> String {
        let line = |(number, va): (usize, &u64)| format!("#{number} {}\n", self.gdb_place(*va));
        thread.frames.iter().enumerate().map(line).collect()
    }

    /// `thread apply all bt`, which begins with the last thread.
    pub(crate) fn gdb_all_frames(&self) -> String {
        let block = |(number, thread): (usize, &Thread)| {
            format!("Thread {} ({}):\n{}", number + 1, thread.gdb_name(), self.gdb_frames(thread))
        };
        self.threads.iter().enumerate().rev().map(block).collect()
    }

    /// `monitor bt`: one thread of `monitor bt all`.
    pub(crate) fn monitor_frames(&self, thread: &Thread) -> String {
        let heading = format!("thread {} (pid {}) {}\n", thread.tid, thread.pid, thread.name);
        let name = |va| self.function(va).map_or(String::new(), |(name, at)| format!(" in {name}+{at:#x}"));
        let line = |(number, va): (usize, &u64)| format!("#{number} {va:#018x}{}\n", name(*va));
        heading + &thread.frames.iter().enumerate().map(line).collect::<String>()
    }

    /// A thread of lldb's `thread list`, without its number and stop reason.
    pub(crate) fn lldb_thread(&self, thread: &Thread, file: &str) -> String {
        let (tid, name) = (thread.tid, &thread.name);
        format!("tid = {tid}, {}, name = '{name}'", self.lldb_place(thread.frames[0], file))
    }

    /// ``0xffffffff80200d83 kernel`kdb_enter + 51``.
    pub(crate) fn lldb_place(&self, va: u64, file: &str) -> String {
        match self.function(va) {
            Some((name, at)) => format!("{va:#018x} {file}`{name} + {at}"),
            None => format!("{va:#018x}"),
        }
    }

    /// The frames of a thread in lldb. It leaves out the outermost one where the frame pointer there is 0, as it is in
    /// all synthetic threads.
    pub(crate) fn lldb_frames(&self, thread: &Thread, file: &str) -> Vec<String> {
        let line = |(number, va): (usize, &u64)| format!("frame #{number}: {}", self.lldb_place(*va, file));
        let mut lines: Vec<String> = thread.frames.iter().enumerate().map(line).collect();
        lines.pop();
        lines
    }
}

impl Thread {
    /// `Thread 100670 "sysctl" (pid 800 [R] crashed)`.
    fn gdb_name(&self) -> String {
        let state = if self.running { " [R]" } else { "" };
        let crashed = if self.crashed { " crashed" } else { "" };
        format!("Thread {} \"{}\" (pid {}{state}{crashed})", self.tid, self.name, self.pid)
    }

    pub(crate) fn register(&self, name: &str) -> Option<u64> {
        self.registers.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// Names and values of `info registers`, the general ones and the segments' bases.
    pub(crate) fn gdb_registers(&self) -> Vec<(&'static str, String)> {
        let value = |name: &'static str| {
            (name, self.register(name).map_or("<unavailable>".into(), |value| format!("{value:#x}")))
        };
        GENERAL
            .into_iter()
            .chain(["fs_base", "gs_base", "k_gs_base", "cr0", "cr2", "cr3", "cr4"])
            .map(value)
            .collect()
    }
}

/// Whether the thread was on a CPU. One that was not left the segments' bases elsewhere than its pcb says.
fn stopped(thread: &ThreadFacts) -> bool {
    thread.crashed || thread.on_cpu.is_some()
}

fn full_name(comm: &str, name: &str) -> String {
    if comm == name { name.to_owned() } else { format!("{comm}/{name}") }
}

fn number(value: &Value) -> u64 {
    match value.as_str() {
        Some(digits) => u64::from_str_radix(digits.trim_start_matches("0x"), 16).expect("a number"),
        None => value.as_u64().expect("a number"),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}
