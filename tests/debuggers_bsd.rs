//! gdb and lldb attach to a synthetic dump of every architecture.

mod synth;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use synth::machine::{self, Machine};
use synth::{Built, System};

/// One of each register table and byte order.
const MACHINES: &[&Machine] = &[
    &machine::ARM64,
    &machine::I386,
    &machine::RISCV64,
    &machine::ARM,
    &machine::PPC64,
    &machine::PPC64LE_RADIX,
];

/// A debugger's output; `None`, and a word, where it is not installed.
fn run(program: &str, arguments: &[String]) -> Option<String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) => Some(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()),
        Err(_) => {
            eprintln!("skipped: no {program}");
            None
        }
    }
}

/// A server of one connection, ended when it is dropped.
struct Server(Child);

impl Server {
    fn new(folder: &Path, built: &Built) -> (Self, String) {
        let (kernel, core) = built.save(folder);
        let socket = folder.join("socket");
        let child = Command::new(env!("CARGO_BIN_EXE_kgdbserver"))
            .args(["-q", "--once", "-l", &format!("unix:{}", socket.display())])
            .args([kernel, core])
            .env("XDG_CACHE_HOME", folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server");
        let bound = (0..200).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(25));
            socket.exists()
        });
        assert!(bound, "the server listens");
        (Self(child), socket.display().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

fn contains(machine: &Machine, output: &str, wanted: &str) {
    assert!(output.contains(wanted), "{}: {wanted:?} is not in\n{output}", machine.name);
}

#[test]
fn gdb_shows_threads_registers_and_frames() {
    for machine in MACHINES {
        let built = System::on(machine).build();
        let folder = tempfile::tempdir().expect("a directory");
        let (_server, socket) = Server::new(folder.path(), &built);
        let idle = built.facts.thread(100_003);
        let marked =
            idle.registers.iter().find(|(name, _)| ![machine.pc, machine.sp, machine.fp].contains(name));
        let (name, value) = *marked.expect("a register");
        let commands = [
            format!("target remote {socket}"),
            "info threads".into(),
            "bt".into(),
            "print *(int *)&dumptid".into(),
            "thread find idle: cpu0".into(),
            "thread 5".into(),
            format!("printf \"{name} is %#lx\\n\", (unsigned long)${name}"),
            "bt".into(),
        ];
        let flags = ["-nx", "-batch"].map(String::from).into_iter();
        let arguments: Vec<String> =
            flags.chain(commands.into_iter().flat_map(|command| ["-ex".into(), command])).collect();
        let Some(output) = run("gdb-multiarch", &arguments) else { return };
        contains(machine, &output, "Thread 100670 \"sysctl\" (pid 800 [R] crashed)");
        contains(machine, &output, "Thread 5 has target name 'idle/idle: cpu0'");
        contains(machine, &output, "$1 = 100670");
        contains(machine, &output, &format!("{name} is {value:#x}"));
        // A whole stack of an architecture's own functions, to its end and no further.
        let (crashed, idle) = output.split_once("Thread 5 has").expect("two stacks");
        for (number, function) in CRASHED.iter().enumerate() {
            frame(machine, crashed, number, function);
        }
        for (number, function) in IDLE.iter().enumerate() {
            frame(machine, idle, number, function);
        }
        assert!(!idle.contains("corrupt stack"), "{}:\n{output}", machine.name);
    }
}

/// The innermost frames of the thread that crashed, and all of an idle thread.
const CRASHED: &[&str] = &["kdb_enter", "vpanic", "panic", "kdb_sysctl_panic", "sysctl_root_handler_locked"];
const IDLE: &[&str] =
    &["acpi_cpu_idle", "cpu_idle_acpi", "cpu_idle", "sched_idletd", "fork_exit", "fork_trampoline"];

fn frame(machine: &Machine, output: &str, number: usize, function: &str) {
    let (number, function) = (format!("#{number} "), format!(" in {function} ()"));
    let found = output.lines().any(|line| line.starts_with(&number) && line.ends_with(&function));
    assert!(found, "{}: {number}{function} is not in\n{output}", machine.name);
}

#[test]
fn lldb_shows_threads_registers_and_frames() {
    for machine in MACHINES {
        let built = System::on(machine).build();
        let folder = tempfile::tempdir().expect("a directory");
        let (_server, socket) = Server::new(folder.path(), &built);
        let connect = format!("process connect --plugin gdb-remote unix-connect://{socket}");
        let kernel = format!("target create {}", folder.path().join("kernel").display());
        let commands = [kernel.as_str(), &connect, "thread list", "bt", "register read"];
        let arguments: Vec<String> = ["-b", "-x"]
            .map(String::from)
            .into_iter()
            .chain(commands.into_iter().flat_map(|command| ["-o".into(), command.into()]))
            .collect();
        let Some(output) = run("lldb-19", &arguments) else { return };
        contains(machine, &output, "thread #1: tid = 100670");
        contains(machine, &output, "name = 'sysctl', stop reason = panic: kdb_sysctl_panic");
        contains(machine, &output, "tid = 100003");
        for (number, function) in CRASHED.iter().enumerate() {
            let line = output.lines().find(|line| {
                line.contains(&format!("frame #{number}: "))
                    && line.contains(&format!("kernel`{function} + "))
            });
            assert!(line.is_some(), "{}: frame {number} is not {function} in\n{output}", machine.name);
        }
        for (name, value) in &built.facts.thread(100_670).registers {
            let width = machine.word as usize * 2;
            contains(machine, &output, &format!(" {name} = 0x{value:0width$x}"));
        }
        let unavailable = output.lines().find(|line| line.ends_with("registers were unavailable."));
        assert!(unavailable.is_some(), "{}:\n{output}", machine.name);
    }
}
