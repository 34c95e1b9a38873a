//! gdb and lldb on dumps of every architecture, and on the published arm64 image.

use crate::driver::{Server, Transcript, gdb_multiarch, lldb, lldb_program, version};
use crate::scene::connect;
use crate::synth::Endian;
use crate::synth::elfcore::{ElfCore, ProgramHeader};
use crate::synth::freebsd::TRAPPED;
use crate::synth::machine::{self, Machine};
use crate::synth::{Built, System};
use serde_json::Value;
use std::path::Path;

/// One of each register table and byte order.
const MACHINES: &[&Machine] = &[
    &machine::ARM64,
    &machine::I386,
    &machine::RISCV64,
    &machine::ARM,
    &machine::PPC64,
    &machine::PPC64LE_RADIX,
];

/// The innermost frames of the thread that crashed, and all of an idle thread.
const CRASHED: &[&str] = &["kdb_enter", "vpanic", "panic", "kdb_sysctl_panic", "sysctl_root_handler_locked"];
const IDLE: &[&str] =
    &["acpi_cpu_idle", "cpu_idle_acpi", "cpu_idle", "sched_idletd", "fork_exit", "fork_trampoline"];

fn serve(folder: &Path, built: &Built) -> Server {
    let (kernel, vmcore) = built.save(folder);
    Server::start(&[&kernel, &vmcore])
}

/// Fails unless the functions of a backtrace begin so.
#[track_caller]
fn frames(session: &Transcript, time: usize, functions: &[&str], shown: fn(&str) -> String) {
    frames_in(session, session.nth("bt", time), functions, shown);
}

#[track_caller]
fn frames_in(session: &Transcript, trace: &str, functions: &[&str], shown: fn(&str) -> String) {
    let is_frame = |line: &&str| line.starts_with('#') || line.contains("frame #");
    let lines: Vec<&str> = trace.lines().filter(is_frame).collect();
    assert!(lines.len() >= functions.len(), "{session}");
    for (line, function) in lines.iter().zip(functions) {
        assert!(line.contains(&shown(function)), "{line:?} is not {function} in\n{session}");
    }
}

/// What must be typed before gdb connects. Since some release between 13 and 16 it numbers a PowerPC's registers in another
/// way for Linux, which it takes for the system of every file, than for none, which we announce.
fn before(machine: &Machine) -> &'static str {
    if machine.arch.starts_with("powerpc") { "set osabi none" } else { "echo" }
}

#[test]
fn gdb_shows_threads_registers_and_whole_stacks() {
    for machine in MACHINES {
        let built = System::on(machine).build();
        let folder = tempfile::tempdir().expect("a folder");
        let server = serve(folder.path(), &built);
        let idle = built.facts.thread(100_003);
        let special = [machine.pc, machine.sp, machine.fp];
        let (name, value) = idle.registers.iter().find(|(name, _)| !special.contains(name)).expect("one");
        let register = format!("printf \"%#lx\", (unsigned long)${name}");
        let (connect, variable) = (connect(&server), "print *(int *)&dumptid");
        // Neither a file nor the byte order is typed.
        let session = gdb_multiarch(&[
            before(machine),
            &connect,
            "info threads",
            "bt",
            variable,
            "thread 5",
            &register,
            "bt",
            "info registers",
        ]);
        session.has("info threads", "Thread 100670 \"sysctl\" (pid 800 [R] crashed)");
        session.has("thread 5", "Thread 100003");
        session.has(variable, "$1 = 100670");
        session.is(&register, &format!("{value:#x}"));
        session.has("info registers", "<unavailable>");
        let shown = |function: &str| format!(" in {function} ()");
        frames(&session, 0, CRASHED, shown);
        frames(&session, 1, IDLE, shown);
        assert!(!session.nth("bt", 1).contains("stopped"), "{session}");
    }
}

/// lldb 14 knows no registers of RISC-V, and reads those of a little-endian PowerPC backwards. lldb 22 unwinds a PowerPC's
/// stack by what its instructions do, and the synthetic kernels do nothing.
fn lldb_can(release: u32, machine: &Machine) -> bool {
    match machine.arch {
        "riscv64" => release > 14,
        "powerpc64" | "powerpc64le" => (15..20).contains(&release),
        _ => true,
    }
}

#[test]
fn lldb_shows_threads_registers_and_frames() {
    let release = version(&mut lldb_program());
    for machine in MACHINES.iter().filter(|machine| lldb_can(release, machine)) {
        let built = System::on(machine).build();
        let folder = tempfile::tempdir().expect("a folder");
        let server = serve(folder.path(), &built);
        let target = format!("target create {}", folder.path().join("kernel").display());
        let connect = format!("gdb-remote {}", server.port);
        let session = lldb(&[&target, &connect, "thread list", "bt", "register read"]);
        session.has("thread list", "thread #1: tid = 100670");
        session.has("thread list", "name = 'sysctl', stop reason = panic: kdb_sysctl_panic");
        session.has("thread list", "tid = 100003");
        frames(&session, 0, CRASHED, |function| format!("kernel`{function} + "));
        for (name, value) in &built.facts.thread(100_670).registers {
            let width = machine.word as usize * 2;
            session.has("register read", &format!(" {name} = 0x{value:0width$x}"));
        }
        session.has("register read", "registers were unavailable");
    }
}

/// A kernel on a processor with pointer authentication: every return address on its stacks is signed.
fn signed() -> System {
    System { ptrauth: Some(true), ..System::on(&machine::ARM64) }
}

#[test]
fn gdb_goes_through_signed_return_addresses() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &signed().build());
    let session = gdb_multiarch(&[&connect(&server), "bt", "thread 5", "bt"]);
    let shown = |function: &str| format!(" in {function} ()");
    frames(&session, 0, CRASHED, shown);
    frames(&session, 1, IDLE, shown);
    assert!(!session.nth("bt", 1).contains("stopped"), "{session}");
}

#[test]
fn lldb_goes_through_signed_return_addresses() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = serve(folder.path(), &signed().build());
    let target = format!("target create {}", folder.path().join("kernel").display());
    let idle = "thread backtrace 5";
    let session = lldb(&[&target, &format!("gdb-remote {}", server.port), "bt", idle]);
    let shown = |function: &str| format!("kernel`{function} + ");
    frames(&session, 0, CRASHED, shown);
    // lldb 14 leaves out the outermost frame.
    frames_in(&session, session.of(idle), &IDLE[..IDLE.len() - 1], shown);
}

/// The frames of a thread that a trap in the kernel brought down.
const FAULT: &[&str] = &[
    "kdb_enter",
    "vpanic",
    "panic",
    "trap",
    "",
    "sysctl_root_handler_locked",
    "sysctl_root",
    "userland_sysctl",
];

/// Machines whose traps are known, and the release.
const TRAPS: &[(&Machine, u32)] = &[
    (&machine::AMD64, 1_500_068),
    (&machine::ARM64, 1_500_068),
    (&machine::ARM64, 1_302_001),
    (&machine::RISCV64, 1_500_068),
    (&machine::ARM, 1_500_068),
    (&machine::PPC64, 1_500_068),
    (&machine::PPC64LE_RADIX, 1_500_068),
];

#[test]
fn gdb_goes_through_a_trap_to_what_it_interrupted() {
    for (machine, release) in TRAPS {
        let built = System::on(machine).released(*release).trapped().build();
        let folder = tempfile::tempdir().expect("a folder");
        let server = serve(folder.path(), &built);
        let trap = (machine.trap)(*release).expect("a trap");
        let register = |name: &str| format!("printf \"%#lx\", (unsigned long)${name}");
        let mut commands = vec![before(machine).into(), connect(&server), "bt".into(), "frame 5".into()];
        commands.extend(trap.others.iter().map(|(name, _)| register(name)));
        let (innermost, _) = trap.others.iter().find(|(name, _)| name.len() == 3).expect("r10 or so");
        let outer = format!("info registers {innermost}");
        commands.extend(["frame 2".into(), outer.clone()]);
        let session = gdb_multiarch(&commands.iter().map(String::as_str).collect::<Vec<_>>());
        frames(&session, 0, FAULT, |function| format!("{function} "));
        session.has("bt", "#4  <signal handler called>");
        for ((name, _), value) in trap.others.iter().zip(TRAPPED + 1..) {
            session.is(&register(name), &format!("{value:#x}"));
        }
        session.is(&outer, &format!("{innermost} <not saved>"));
    }
}

/// A processor in a byte order: what a dump calls it, what gdb and lldb do, and some of its registers.
struct Described {
    machine: u16,
    endian: Endian,
    wide: bool,
    gdb: &'static str,
    lldb: &'static str,
    registers: &'static str,
}

const fn described(machine: u16, wide: bool, endian: Endian) -> Described {
    Described { machine, endian, wide, gdb: "", lldb: "", registers: "" }
}

/// Every processor, in every byte order that a kernel runs in.
const DESCRIBED: &[Described] = &[
    Described {
        gdb: "i386:x86-64",
        lldb: "x86_64",
        registers: "rsp fs_base",
        ..described(62, true, Endian::Little)
    },
    Described { gdb: "i386", lldb: "i386", registers: "esp fop", ..described(3, false, Endian::Little) },
    Described {
        gdb: "aarch64",
        lldb: "aarch64",
        registers: "sp cpsr",
        ..described(183, true, Endian::Little)
    },
    Described { gdb: "aarch64", lldb: "", registers: "sp cpsr", ..described(183, true, Endian::Big) },
    Described { gdb: "arm", lldb: "arm", registers: "sp cpsr", ..described(40, false, Endian::Little) },
    Described { gdb: "arm", lldb: "", registers: "sp cpsr", ..described(40, false, Endian::Big) },
    Described {
        gdb: "riscv:rv64",
        lldb: "riscv64",
        registers: "ra sp",
        ..described(243, true, Endian::Little)
    },
    Described {
        gdb: "powerpc:common64",
        lldb: "powerpc64",
        registers: "r1 lr",
        ..described(21, true, Endian::Big)
    },
    Described {
        gdb: "powerpc:common64",
        lldb: "powerpc64le",
        registers: "r1 lr",
        ..described(21, true, Endian::Little)
    },
    Described {
        gdb: "powerpc:common",
        lldb: "powerpc",
        registers: "r1 lr",
        ..described(20, false, Endian::Big)
    },
    Described {
        gdb: "s390:64-bit",
        lldb: "s390x",
        registers: "r15 acr3 f7",
        ..described(22, true, Endian::Big)
    },
];

/// No system need run there; the description of its registers is what counts. Nothing but the port is typed.
#[test]
fn both_debuggers_take_the_registers_of_every_processor() {
    for described in DESCRIBED {
        let Described { machine, endian, wide, gdb, lldb: name, registers } = described;
        let mut core = ElfCore::new(*machine, *endian, *wide);
        core.headers.push(ProgramHeader::load(0, &[0; 4096]));
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("vmcore");
        std::fs::write(&path, core.build()).expect("write the dump");
        let server = Server::start(&[&path]);
        let info = format!("info registers {registers}");
        // The byte order gdb takes from a file only, and there is none of a kernel that is not known.
        let session = gdb_multiarch(&[&connect(&server), "show architecture", &info]);
        session.has("show architecture", &format!("(currently \"{gdb}\")"));
        for register in registers.split(' ') {
            let line = |line: &&str| line.starts_with(register) && line.ends_with("<unavailable>");
            assert!(session.of(&info).lines().any(|found| line(&found)), "{register} in {session}");
        }
        if name.is_empty() {
            continue; // lldb 19 has no word for it
        }
        let order = "script print(lldb.target.GetByteOrder())";
        let session = lldb(&[&format!("gdb-remote {}", server.port), "target list", order]);
        session.has("target list", &format!("arch={name}-unknown-linux"));
        session.has("target list", "state=stopped");
        session.is(order, if matches!(endian, Endian::Big) { "1" } else { "4" });
    }
}

/// `TID.REGISTER=VALUE` for all that is expected of the real image.
fn expected(image: &crate::real::Real) -> Vec<String> {
    let mut lines = Vec::new();
    for thread in image.expected["threads"].as_array().expect("threads") {
        for (name, value) in thread["regs"].as_object().expect("registers") {
            let digits = value.as_str().expect("digits").trim_start_matches("0x").trim_start_matches('0');
            lines.push(format!(
                "{}.{name}=0x{}",
                thread["tid"],
                if digits.is_empty() { "0" } else { digits }
            ));
        }
    }
    lines
}

#[test]
fn gdb_shows_the_real_arm64_registers() {
    let Some(image) = crate::real::arm64() else { return };
    let server = Server::start(&[&image.kernel, &image.vmcore]);
    let mut commands = vec![connect(&server)];
    let threads = image.expected["threads"].as_array().expect("threads");
    for (number, thread) in (1..).zip(threads) {
        commands.push(format!("thread {number}"));
        for name in thread["regs"].as_object().map(|regs| regs.keys()).expect("registers") {
            let register = if name == "fp" { "x29" } else { name };
            let tid: &Value = &thread["tid"];
            commands.push(format!("printf \"%d.{name}=0x%lx\", {tid}, (unsigned long)${register}"));
        }
    }
    commands.push("print $x0".into());
    let session = gdb_multiarch(&commands.iter().map(String::as_str).collect::<Vec<_>>());
    session.is("print $x0", "$1 = <unavailable>");
    let session = session.to_string();
    for line in expected(image) {
        assert!(session.lines().any(|had| had == line), "{line} is not in\n{session}");
    }
}

/// Prints every register of every thread that has a value.
const SCRIPT: &str = "
import lldb
for thread in lldb.debugger.GetSelectedTarget().GetProcess():
    for group in thread.GetFrameAtIndex(0).GetRegisters():
        for register in group:
            name = {'x29': 'fp'}.get(register.GetName(), register.GetName())
            if not register.GetError().Fail():
                print('%d.%s=%#x' % (thread.GetThreadID(), name, register.GetValueAsUnsigned()))
";

#[test]
fn lldb_shows_the_real_arm64_registers() {
    let Some(image) = crate::real::arm64() else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("show.py");
    std::fs::write(&script, SCRIPT).expect("write the script");
    let server = Server::start(&[&image.kernel, &image.vmcore]);
    let import = format!("command script import {}", script.display());
    let session = lldb(&[&format!("gdb-remote {}", server.port), &import]);
    for line in expected(image) {
        assert!(session.of(&import).lines().any(|had| had == line), "{line} is not in\n{session}");
    }
}
