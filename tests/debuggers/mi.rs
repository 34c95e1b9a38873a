//! gdb's machine interface, which IDEs speak.

use crate::driver::{finish_with, gdb_program};
use crate::ide::configuration;
use crate::scene::{Scene, connect};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Sends commands one after another; returns all that gdb answered.
fn mi(commands: &[&str]) -> String {
    let mut program = gdb_program();
    program.args(["-q", "-i", "mi"]);
    finish_with(program, &(commands.join("\n") + "\n-gdb-exit\n"))
}

#[test]
fn an_ide_sees_threads_frames_and_stops() {
    let scene = Scene::small();
    let server = scene.serve();
    let select = format!("-target-select remote {}", connect(&server).trim_start_matches("target remote "));
    let output = mi(&[
        &select,
        "-thread-info",
        "-stack-list-frames",
        "-data-list-register-values x 1 0 16",
        "-data-read-memory-bytes &hz 4",
        "-data-evaluate-expression (int)hz",
        "-break-insert *panic",
        "-exec-continue",
        "-thread-info",
    ]);
    let crashed = scene.machine.crashed();
    for thread in &scene.machine.threads {
        let listed = format!("name=\"{}\",", thread.name);
        assert_eq!(output.matches(&listed).count(), 2, "{listed}\n{output}");
        let target = format!("target-id=\"Thread {}\",details=\"pid {}", thread.tid, thread.pid);
        assert_eq!(output.matches(&target).count(), 2, "{target}\n{output}");
    }
    let frame = |(level, va): (usize, &u64)| {
        let name = scene.machine.function(*va).expect("a function").0;
        format!("frame={{level=\"{level}\",addr=\"{va:#018x}\",func=\"{name}\"")
    };
    let frames: Vec<String> = crashed.frames.iter().enumerate().map(frame).collect();
    let listed = output.split("^done,stack=[").nth(1).expect("frames").lines().next().expect("a line");
    let starts: Vec<&str> = listed.split("},").collect();
    assert_eq!(starts.len(), frames.len(), "{output}");
    for (found, frame) in starts.iter().zip(&frames) {
        assert!(found.starts_with(frame), "{frame} is not {found}");
    }
    let values = [
        (0, "<unavailable>".to_owned()),
        (1, hex(crashed.register("rbx"))),
        (16, hex(crashed.register("rip"))),
    ];
    for (number, value) in values {
        let text = format!("{{number=\"{number}\",value=\"{value}\"}}");
        assert!(output.contains(&text), "{text}\n{output}");
    }
    assert!(output.contains("contents=\"64000000\""), "{output}");
    assert!(output.contains("^done,value=\"100\""), "{output}");
    assert!(output.contains("@\"This is a kernel image: nothing runs"), "{output}");
    assert!(output.contains("*stopped,reason=\"signal-received\""), "{output}");
    assert!(output.contains("stopped-threads=\"all\""), "{output}");
    assert_eq!(output.matches("current-thread-id=\"1\"").count(), 2, "{output}");
}

fn hex(value: Option<u64>) -> String {
    format!("{:#x}", value.expect("a saved register"))
}

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// gdb under an IDE, which waits for each answer; killed when it goes.
struct Mi {
    gdb: Child,
    commands: ChildStdin,
    lines: Receiver<String>,
    said: String,
}

impl Mi {
    fn start() -> Self {
        let mut program = gdb_program();
        program.args(["-q", "-i", "mi"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut gdb = program.spawn().expect("start gdb");
        let output = BufReader::new(gdb.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { commands: gdb.stdin.take().expect("a pipe"), gdb, lines, said: String::new() }
    }

    /// The next line that begins so.
    #[track_caller]
    fn line(&mut self, begin: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("no {begin} after\n{}", self.said));
            self.said += &format!("{line}\n");
            if line.starts_with(begin) {
                return line;
            }
        }
    }

    /// A command's result, whatever it is.
    #[track_caller]
    fn ask(&mut self, command: &str) -> String {
        self.said += &format!("> {command}\n");
        writeln!(self.commands, "{command}").expect("write a command");
        self.line("^")
    }

    #[track_caller]
    fn done(&mut self, command: &str) -> String {
        let result = self.ask(command);
        assert!(result.starts_with("^done"), "{command}: {result}");
        result
    }
}

impl Drop for Mi {
    fn drop(&mut self) {
        let _ = self.gdb.kill(); // it may be gone
        let _ = self.gdb.wait();
    }
}

/// What VS Code's C/C++ extension sends: first what its configuration says, then for each stop all threads, all their
/// frames, all registers, and code before the program counter and where there is none.
#[test]
fn vscodes_cppdbg() {
    let scene = Scene::small();
    let server = scene.serve();
    let configuration = configuration(&server, "vscode-cppdbg", &scene.kernel, &scene.vmcore);
    let field = |name: &str| configuration[name].as_str().expect("a text");
    let mut mi = Mi::start();
    mi.done("-gdb-set mi-async on");
    for command in configuration["setupCommands"].as_array().expect("commands") {
        mi.done(command["text"].as_str().expect("a command"));
    }
    mi.done(&format!("-environment-cd {}", field("cwd")));
    mi.done(&format!("-file-exec-and-symbols {}", field("program")));
    mi.done("-interpreter-exec console \"show architecture\"");
    mi.ask("-break-insert main"); // a kernel has none
    let connected = mi.ask(&format!("-target-select remote {}", field("miDebuggerServerAddress")));
    assert!(connected.starts_with("^connected"), "{connected}");
    mi.done("-break-insert -f *panic");
    inspect(&mut mi, &scene);
    // It continues at once unless it is told not to, and steps when the user does.
    for command in ["-exec-continue", "-exec-next", "-exec-step-instruction --thread 1", "-exec-finish"] {
        let running = mi.ask(command);
        assert!(running.starts_with("^running"), "{command}: {running}");
        let stopped = mi.line("*stopped");
        assert!(stopped.contains("thread-id=\"1\""), "{command}: {stopped}");
        inspect(&mut mi, &scene);
    }
    mi.ask("-exec-interrupt"); // an error: nothing runs
    inspect(&mut mi, &scene);
    mi.done("-target-detach");
}

fn inspect(mi: &mut Mi, scene: &Scene) {
    let listed = mi.done("-thread-info");
    assert!(listed.ends_with("current-thread-id=\"1\""), "{listed}");
    for (number, thread) in (1..).zip(&scene.machine.threads) {
        assert!(listed.contains(&format!("name=\"{}\"", thread.name)), "{listed}");
        let frames = mi.done(&format!("-stack-list-frames --thread {number} 0 1000"));
        assert_eq!(frames.matches("frame={").count(), thread.frames.len(), "{frames}");
        mi.done(&format!("-stack-list-variables --thread {number} --frame 0 0"));
    }
    let names = mi.done("-data-list-register-names");
    let registers = mi.done("-data-list-register-values --thread 1 --frame 0 x");
    // Names of registers that this gdb does not show are empty.
    let expected = names.matches('"').count() / 2 - names.matches("\"\"").count();
    assert_eq!(registers.matches("number=").count(), expected, "{names}\n{registers}");
    let crashed = scene.machine.crashed();
    for (number, name) in [(1, "rbx"), (16, "rip")] {
        let value = format!("{{number=\"{number}\",value=\"{}\"}}", hex(crashed.register(name)));
        assert!(registers.contains(&value), "{value} is not in {registers}");
    }
    let code = mi.done("-data-disassemble -s \"$pc - 16\" -e \"$pc + 16\" -- 2");
    assert!(code.contains("func-name=\"kdb_enter\""), "{code}");
    let hole = mi.ask("-data-disassemble -s 0xffffffff8c000000 -e 0xffffffff8c000010 -- 2");
    assert!(hole.starts_with("^error,msg=\"Cannot access memory"), "{hole}");
    mi.done("-list-thread-groups");
}
