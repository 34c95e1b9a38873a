//! Systems to test with and to show.

use super::super::machine::{self, Machine};
use super::{ListEnd, Offsets, Process, StopPcbs, System, TRAP, Thread};

type Frames = &'static [(&'static str, u64)];

const CPUS: u32 = 4;
const CRASHED_CPU: u32 = 2;
const ELFOSABI_FREEBSD: u8 = 9;

const PANIC: Frames = &[
    ("kdb_enter", 0x33),
    ("vpanic", 0xe6),
    ("panic", 0x43),
    ("kdb_sysctl_panic", 0x42),
    ("sysctl_root_handler_locked", 0x89),
    ("sysctl_root", 0x1d2),
    ("userland_sysctl", 0x11f),
    ("sys___sysctl", 0x65),
    ("amd64_syscall", 0x11e),
    ("fast_syscall_common", 0xf8),
];

const FAULT: Frames = &[
    ("kdb_enter", 0x33),
    ("vpanic", 0xe6),
    ("panic", 0x43),
    ("trap", 0x6f0),
    TRAP,
    ("sysctl_root_handler_locked", 0x89),
    ("sysctl_root", 0x1d2),
    ("userland_sysctl", 0x11f),
    ("fast_syscall_common", 0xf8),
];

const IDLE: Frames = &[
    ("acpi_cpu_idle", 0x289),
    ("cpu_idle_acpi", 0x3d),
    ("cpu_idle", 0x82),
    ("sched_idletd", 0x35e),
    ("fork_exit", 0x7e),
    ("fork_trampoline", 0xe),
];

const IDLE_SWITCHED_OUT: Frames = &[
    ("sched_switch", 0x62b),
    ("mi_switch", 0xc1),
    ("sched_idletd", 0x2ab),
    ("fork_exit", 0x7e),
    ("fork_trampoline", 0xe),
];

const SWAPPER: Frames = &[
    ("sched_switch", 0x62b),
    ("mi_switch", 0xc1),
    ("sleepq_timedwait", 0x3b),
    ("_sleep", 0x1c4),
    ("swapper", 0xcb),
    ("btext", 0xc),
];

const SOFTIRQ: Frames = &[
    ("sched_switch", 0x62b),
    ("mi_switch", 0xc1),
    ("ithread_loop", 0x236),
    ("fork_exit", 0x7e),
    ("fork_trampoline", 0xe),
];

const PAGEOUT: Frames = &[
    ("sched_switch", 0x62b),
    ("mi_switch", 0xc1),
    ("sleepq_timedwait", 0x3b),
    ("_sleep", 0x1c4),
    ("vm_pageout_worker", 0x15e),
    ("vm_pageout", 0x1d9),
    ("fork_exit", 0x7e),
    ("fork_trampoline", 0xe),
];

const LAUNDRY: Frames = &[
    ("sched_switch", 0x62b),
    ("mi_switch", 0xc1),
    ("sleepq_timedwait", 0x3b),
    ("_sleep", 0x1c4),
    ("vm_pageout_laundry_worker", 0x102),
    ("fork_exit", 0x7e),
    ("fork_trampoline", 0xe),
];

const UMA: Frames = &[
    ("sched_switch", 0x62b),
    ("mi_switch", 0xc1),
    ("sleepq_wait", 0x2f),
    ("_sleep", 0x187),
    ("uma_reclaim_worker", 0x5b),
    ("fork_exit", 0x7e),
    ("fork_trampoline", 0xe),
];

const WAIT: Frames = &[
    ("sched_switch", 0x62b),
    ("mi_switch", 0xc1),
    ("sleepq_catch_signals", 0x217),
    ("sleepq_wait_sig", 0x9),
    ("_sleep", 0x1a2),
    ("kern_wait6", 0x4b7),
    ("sys_wait4", 0x7d),
    ("amd64_syscall", 0x11e),
    ("fast_syscall_common", 0xf8),
];

const SELECT: Frames = &[
    ("sched_switch", 0x62b),
    ("mi_switch", 0xc1),
    ("sleepq_catch_signals", 0x217),
    ("sleepq_wait_sig", 0x9),
    ("cv_wait_sig", 0x10f),
    ("seltdwait", 0xd3),
    ("kern_select", 0x6b1),
    ("sys_select", 0x56),
    ("amd64_syscall", 0x11e),
    ("fast_syscall_common", 0xf8),
];

const TERMINAL: Frames = &[
    ("sched_switch", 0x62b),
    ("mi_switch", 0xc1),
    ("sleepq_catch_signals", 0x217),
    ("sleepq_wait_sig", 0x9),
    ("cv_wait_sig", 0x10f),
    ("tty_wait", 0x1c),
    ("ttydisc_read", 0x2f9),
    ("sys_read", 0x7c),
    ("amd64_syscall", 0x11e),
    ("fast_syscall_common", 0xf8),
];

impl System {
    /// FreeBSD 15 on four CPUs; `sysctl debug.kdb.panic=1` has just run on CPU 2.
    pub fn small() -> Self {
        Self {
            machine: &machine::AMD64,
            dump_version: 3,
            kernbase: None,
            os_abi: ELFOSABI_FREEBSD,
            osreldate: 1_500_068,
            version: "FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC".into(),
            panic: Some("kdb_sysctl_panic".into()),
            message_buffer: messages(),
            cpus: CPUS,
            stopped_cpus: (0..CPUS).filter(|cpu| *cpu != CRASHED_CPU).collect(),
            stoppcbs: StopPcbs::Pointer,
            crashed: Some(100_670),
            processes: vec![
                process(
                    0,
                    "kernel",
                    vec![thread(100_000, "swapper", SWAPPER), thread(100_011, "softirq_0", SOFTIRQ)],
                ),
                process(1, "init", vec![thread(100_002, "init", WAIT)]),
                process(11, "idle", (0..CPUS).map(idle).collect()),
                process(
                    28,
                    "pagedaemon",
                    vec![
                        thread(100_089, "dom0", PAGEOUT),
                        thread(100_094, "laundry: dom0", LAUNDRY),
                        thread(100_095, "uma", UMA),
                    ],
                ),
                process(
                    800,
                    "sysctl",
                    vec![Thread { on_cpu: Some(CRASHED_CPU), ..thread(100_670, "sysctl", PANIC) }],
                ),
            ],
            process_list_end: ListEnd::Null,
            offsets: Offsets::default(),
            more_functions: 0,
            hashed: false,
            ptrauth: None,
            full: None,
        }
    }

    /// The same with one more process, of so many threads.
    pub fn crowded(threads: u32) -> Self {
        let mut system = Self::small();
        let worker = |number: u32| thread(200_000 + number, &format!("worker {number}"), SELECT);
        system.processes.push(process(900, "crowd", (0..threads).map(worker).collect()));
        system
    }

    /// The same on another machine.
    pub fn on(machine: &'static Machine) -> Self {
        Self { machine, dump_version: machine.newest, ..Self::small() }.released(1_500_068)
    }

    /// The same of another release: its saved registers, its stopped CPUs.
    pub fn released(self, osreldate: u32) -> Self {
        let offsets = if self.machine.word == 4 { Offsets::of_32_bits() } else { Offsets::default() };
        let (_, pcb_size) = (self.machine.pcb)(osreldate);
        let stoppcbs = if osreldate >= 1_400_089 { StopPcbs::Pointer } else { StopPcbs::Array };
        Self { osreldate, stoppcbs, offsets: Offsets { pcb_size, ..offsets }, ..self }
    }

    /// The same, brought down by a trap in the kernel.
    pub fn trapped(self) -> Self {
        let mut system = self;
        system.thread(100_670).frames = FAULT.to_vec();
        system
    }

    /// The same with the daemons and shells that a machine has, for show.
    pub fn demo() -> Self {
        let mut system = Self::small();
        let crashed = system.processes.pop();
        system.processes.extend([
            process(431, "syslogd", vec![thread(100_112, "syslogd", SELECT)]),
            process(517, "sshd", vec![thread(100_141, "sshd", SELECT)]),
            process(602, "cron", vec![thread(100_149, "cron", SELECT)]),
            process(688, "getty", vec![thread(100_157, "getty", TERMINAL)]),
            process(690, "sh", vec![thread(100_163, "sh", WAIT)]),
        ]);
        system.processes.extend(crashed);
        system
    }
}

/// The text in the machine's message buffer.
fn messages() -> String {
    [
        "---<<BOOT>>---",
        "FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC amd64",
        "FreeBSD/SMP: Multiprocessor System Detected: 4 CPUs",
        "panic: kdb_sysctl_panic",
        "cpuid = 2",
        "KDB: enter: panic",
        "",
    ]
    .join("\n")
}

fn process(pid: u32, comm: &str, threads: Vec<Thread>) -> Process {
    Process { pid, comm: comm.into(), threads, thread_list_end: ListEnd::Null }
}

/// A thread that sleeps.
fn thread(tid: u32, name: &str, frames: Frames) -> Thread {
    Thread { tid, name: name.into(), on_cpu: None, frames: frames.to_vec(), pcb_unreadable: false }
}

/// A CPU's idle thread, which runs unless the crashed thread does.
fn idle(cpu: u32) -> Thread {
    let (tid, name) = (100_003 + cpu, format!("idle: cpu{cpu}"));
    if cpu == CRASHED_CPU {
        return thread(tid, &name, IDLE_SWITCHED_OUT);
    }
    Thread { on_cpu: Some(cpu), ..thread(tid, &name, IDLE) }
}
