//! The protocol, without a debugger: what a client sends, and what comes back.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

#[path = "../conversation/mod.rs"]
mod conversation;
#[path = "../rsp/mod.rs"]
mod rsp;
#[path = "../support/mod.rs"]
mod support;
#[path = "../synth/mod.rs"]
mod synth;
#[path = "../text/mod.rs"]
mod text;

mod connections;
mod handshake;
mod memory;
mod monitor;
mod nothing_runs;
mod registers;
mod rude_clients;
mod threads;
mod without_a_kernel_file;

use conversation::check;
use rsp::{Client, GDB, LLDB, Server, digits, document as document_of, framed, undigits};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use support::{Saved, known_registers, shown_name, stack_top};
use synth::System;
use synth::freebsd::{Facts, ThreadFacts};

/// A machine on which one CPU did not stop: its idle thread has no registers.
fn files() -> Saved {
    Saved::new(System { stopped_cpus: vec![0, 3], ..System::small() }.build())
}

/// A thread's registers as the packet `g` has them: 8 bytes each up to rip, then 24 of 4 or 10 bytes that no image
/// holds, then the bases of segments and what controls the CPU.
fn g_packet(thread: &ThreadFacts) -> String {
    const NAMES: [&str; 17] = [
        "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15", "rip",
    ];
    const CONTROL: [&str; 7] = ["fs_base", "gs_base", "k_gs_base", "cr0", "cr2", "cr3", "cr4"];
    let known = known_registers(thread);
    let word = |name: &str| {
        let value = known.iter().find(|(known, _)| *known == name);
        value.map_or("x".repeat(16), |(_, value)| digits(value.to_le_bytes()))
    };
    let rest = 2 * (7 * 4 + 8 * 10 + 8 * 4);
    NAMES.map(word).concat() + &"x".repeat(rest) + &CONTROL.map(word).concat()
}

/// All threads in the order in which they are listed.
fn crashed_first(facts: &Facts) -> Vec<&ThreadFacts> {
    let mut threads: Vec<&ThreadFacts> = facts.threads.iter().collect();
    threads.sort_by_key(|thread| !thread.crashed);
    threads
}

const CRASHED: u32 = 100_670;
/// Sleeps, so its registers were saved by a switch.
const SLEEPING: u32 = 100_002;
/// Ran on the CPU that did not stop.
const RUNNING: u32 = 100_004;
