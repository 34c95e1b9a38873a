//! The kernel's text: functions that look like functions, and do nothing.

use super::super::machine::{Code, Machine};

/// Where amd64's text is linked.
pub const TEXT: u64 = 0xffff_ffff_8020_0000;

/// Names and sizes, in the order of their addresses. The entry point comes first.
pub const FUNCTIONS: &[(&str, u64)] = &[
    ("btext", 0x10),
    ("_sleep", 0x1f0),
    ("acpi_cpu_idle", 0x2c0),
    ("amd64_syscall", 0x140),
    ("cpu_idle", 0xa0),
    ("cpu_idle_acpi", 0x50),
    ("cpustop_handler", 0xc0),
    ("cv_wait_sig", 0x130),
    ("fast_syscall_common", 0x100),
    ("fork_exit", 0x90),
    ("fork_trampoline", 0x20),
    ("ipi_nmi_handler", 0x60),
    ("ithread_loop", 0x260),
    ("kdb_enter", 0x60),
    ("kdb_sysctl_panic", 0x50),
    ("kern_poll", 0x90),
    ("kern_select", 0x700),
    ("kern_wait6", 0x4f0),
    ("mi_switch", 0x180),
    ("nmi_calltrap", 0x20),
    ("panic", 0x50),
    ("sched_idletd", 0x3e0),
    ("sched_switch", 0x750),
    ("seltdwait", 0x110),
    ("sleepq_catch_signals", 0x280),
    ("sleepq_timedwait", 0x50),
    ("sleepq_wait", 0x40),
    ("sleepq_wait_sig", 0x40),
    ("swapper", 0x130),
    ("sys___sysctl", 0xa0),
    ("sys_ioctl", 0x120),
    ("sys_read", 0x80),
    ("sys_select", 0x80),
    ("sys_wait4", 0x80),
    ("sysctl_root", 0x210),
    ("sysctl_root_handler_locked", 0xa0),
    ("trap", 0x720),
    ("tty_wait", 0xe0),
    ("ttydisc_read", 0x3a0),
    ("uma_reclaim_worker", 0xc0),
    ("userland_sysctl", 0x150),
    ("vm_pageout", 0x230),
    ("vm_pageout_laundry_worker", 0x320),
    ("vm_pageout_worker", 0x1c0),
    ("vpanic", 0x120),
];

/// The bytes of all functions.
pub(super) fn code(machine: &Machine) -> Vec<u8> {
    functions(machine).flat_map(|(_, _, size)| function(machine, size as usize)).collect()
}

fn function(machine: &Machine, size: usize) -> Vec<u8> {
    let Code { prologue, nop, ret } = machine.code;
    let body = nop.iter().copied().cycle().take(size - prologue.len() - ret.len());
    prologue.iter().copied().chain(body).chain(ret.iter().copied()).collect()
}

/// Name, address and size of each function.
pub(super) fn functions(machine: &Machine) -> impl Iterator<Item = (&'static str, u64, u64)> {
    FUNCTIONS.iter().chain(machine.functions).scan(machine.text, |next, (name, size)| {
        let address = *next;
        *next += size;
        Some((*name, address, *size))
    })
}

/// Where a trap's handler returns to.
pub(super) fn trap_return(machine: &Machine, (name, offset): (&str, i64)) -> u64 {
    let entry = functions(machine).find(|(known, ..)| *known == name).expect("the entry of traps");
    machine.moved.wrapping_add(entry.1).wrapping_add_signed(offset)
}

/// The address of an instruction behind a function's prologue, where the kernel runs.
pub(super) fn address(machine: &Machine, (name, offset): (&str, u64)) -> u64 {
    let offset = (offset / machine.instruction * machine.instruction).max(machine.code.prologue.len() as u64);
    let (_, start, size) =
        functions(machine).find(|(known, ..)| *known == name).unwrap_or_else(|| panic!("no function {name}"));
    let body = machine.code.prologue.len() as u64..size;
    assert!(body.contains(&offset), "{name}+{offset:#x} is not in the function's body");
    machine.moved.wrapping_add(start + offset)
}
