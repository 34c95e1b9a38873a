//! lldb, in most sessions with the kernel file.

use crate::driver::{Server, Transcript, lldb, tidy};
use crate::expected::{Machine, Thread};
use crate::scene::Scene;

const NOTHING_RUNS: &str = "This is a kernel image: nothing runs, and nothing can be stepped or continued.";

/// The lines of `thread list` without numbers and stars; the reason of the crashed thread's stop at its end.
fn threads(machine: &Machine, file: &str, reason: &str) -> String {
    let line = |thread: &Thread| {
        let star = if thread.tid == machine.crashed().tid {
            format!(", stop reason = {reason}")
        } else {
            String::new()
        };
        machine.lldb_thread(thread, file) + &star + "\n"
    };
    machine.threads.iter().map(line).collect()
}

#[track_caller]
fn check_threads(session: &Transcript, command: &str, expected: &str) {
    let numbered = |line: &str| line.split_once(": ").map(|(_, rest)| rest.to_owned() + "\n");
    let listed: String =
        session.of(command).lines().filter(|line| line.contains("thread #")).filter_map(numbered).collect();
    assert_eq!(tidy(&listed), tidy(expected), "{session}");
    session.has(command, "* thread #1: tid = ");
}

/// What `p` printed. lldb 14 numbers it: `(int) $0 = 100`.
#[track_caller]
fn check_value(session: &Transcript, command: &str, expected: &str) {
    let numbered = |word: &&str| word.starts_with('$') || *word == "=";
    let words: Vec<&str> = session.of(command).split_whitespace().filter(|word| !numbered(word)).collect();
    assert_eq!(words.join(" "), expected, "{session}");
}

/// The frames that `thread backtrace` printed, a list for each thread.
fn backtraces(output: &str) -> Vec<Vec<String>> {
    let mut threads = Vec::new();
    for line in tidy(output).lines() {
        let line = line.trim_start_matches("* ");
        if line.starts_with("thread #") {
            threads.push(Vec::new());
        } else if line.starts_with("frame #") {
            threads.last_mut().expect("a frame of a thread").push(line.to_owned());
        }
    }
    threads
}

#[test]
fn threads_and_their_frames() {
    let scene = Scene::small();
    let session = scene.lldb(&scene.serve(), &["thread list", "thread backtrace all", "bt", "thread info"]);
    check_threads(&session, "thread list", &threads(&scene.machine, "kernel", "panic: kdb_sysctl_panic"));
    let expected: Vec<_> =
        scene.machine.threads.iter().map(|thread| scene.machine.lldb_frames(thread, "kernel")).collect();
    assert_eq!(backtraces(session.of("thread backtrace all")), expected, "{session}");
    assert_eq!(backtraces(session.of("bt")), expected[..1], "{session}");
    session.has("thread info", "tid = 100670");
}

/// The kernel is announced then, as a copy that says it is a shared object.
#[test]
fn no_file_is_needed() {
    let scene = Scene::small();
    let server = scene.serve();
    let connect = format!("gdb-remote {}", server.port);
    let session = lldb(&[&connect, "image list", "thread backtrace all", "p *(int *)&hz"]);
    let images: Vec<&str> = session.of("image list").lines().collect();
    let [image] = images[..] else { panic!("not one image in\n{session}") };
    let file = image.trim_end().rsplit('/').next().expect("a path");
    let expected: Vec<_> =
        scene.machine.threads.iter().map(|thread| scene.machine.lldb_frames(thread, file)).collect();
    assert_eq!(backtraces(session.of("thread backtrace all")), expected, "{session}");
    check_value(&session, "p *(int *)&hz", "(int) 100");
}

#[test]
fn registers_that_were_not_saved_are_unavailable() {
    let scene = Scene::small();
    let session = scene
        .lldb(&scene.serve(), &["register read", "thread select 11", "register read", "register read rax"]);
    for (time, thread, missing) in [(0, scene.machine.crashed(), 32), (1, &scene.machine.threads[10], 39)] {
        let output = session.nth("register read", time);
        let printed: Vec<String> = output
            .lines()
            .filter(|line| line.contains(" = 0x"))
            .map(|line| line.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
            .collect();
        let saved =
            thread.gdb_registers().into_iter().filter_map(|(name, _)| Some((name, thread.register(name)?)));
        let expected: Vec<String> = saved.map(|(name, value)| format!("{name} = {value:#018x}")).collect();
        assert_eq!(printed, expected, "{session}");
        assert!(output.contains(&format!("{missing} registers were unavailable.")), "{session}");
        assert!(!output.contains("0xcc"), "{session}");
    }
    session.has("register read rax", "error: ");
}

#[test]
fn memory_and_names() {
    let scene = Scene::small();
    let machine = &scene.machine;
    let hz = format!("memory read -s 4 -c 4 -f x {:#x}", machine.hz);
    let crashed = machine.crashed().register("rsp").expect("rsp");
    let rsp = format!("memory read -s 8 -c 1 -f x {crashed:#x}");
    let session = scene.lldb(
        &scene.serve(),
        &[
            &hz,
            "memory read -s 4 -c 1 -f x &hz",
            "p *(int *)&hz",
            "memory read 0xffffffff8c000000",
            "memory read 0",
            "disassemble -n panic -c 2",
            "disassemble -c 1",
            &rsp,
            "thread list",
        ],
    );
    session.is(&hz, &format!("{:#x}: 0x00000064 0x00000000 0x00000000 0x00000000", machine.hz));
    session.is("memory read -s 4 -c 1 -f x &hz", &format!("{:#x}: 0x00000064", machine.hz));
    check_value(&session, "p *(int *)&hz", "(int) 100");
    session.is("memory read 0xffffffff8c000000", "error: memory read failed for 0xffffffff8c000000");
    session.is("memory read 0", "error: memory read failed for 0x0");
    session.has("disassemble -n panic -c 2", &format!("{:#x} <+0>: pushq  %rbp", machine.panic));
    session.has("disassemble -c 1", "kernel`kdb_enter:");
    session.has(&rsp, &format!("{crashed:#x}: 0x"));
    check_threads(&session, "thread list", &threads(machine, "kernel", "panic: kdb_sysctl_panic"));
}

/// `(int)hz` is an error in lldb, whatever is served: without debug information lldb takes the type of a variable for
/// `void *`, and its compiler does not cast that to a smaller type.
#[test]
fn a_variable_without_a_type_is_a_pointer() {
    let scene = Scene::small();
    let session = scene.lldb(&scene.serve(), &["p (int)hz", "p (int)(long)hz", "expression hz"]);
    session.has("p (int)hz", "cast from pointer to smaller type 'int' loses information");
    check_value(&session, "p (int)(long)hz", "(int) 100");
    check_value(&session, "expression hz", "(void *) 0x0000000000000064");
}

#[test]
fn nothing_runs() {
    let scene = Scene::small();
    let stop = format!("breakpoint set -a {:#x}", scene.machine.panic);
    let session = scene.lldb(
        &scene.serve(),
        &[
            "process continue",
            "thread step-inst",
            &stop,
            "process continue",
            "thread select 3",
            "thread step-inst",
            "thread step-in",
            "thread step-over",
            "thread step-out",
            "process continue",
            "process status",
            "thread list",
        ],
    );
    for (command, time) in
        [("process continue", 0), ("process continue", 1), ("thread step-inst", 0), ("process continue", 2)]
    {
        assert!(session.nth(command, time).contains(NOTHING_RUNS), "{command} {time} in\n{session}");
        assert!(session.nth(command, time).contains("Process 1 stopped"), "{command} {time} in\n{session}");
    }
    for command in ["thread step-in", "thread step-over", "thread step-out"] {
        session.has(command, NOTHING_RUNS);
    }
    session.has(&stop, "where = kernel`panic, address = ");
    session.has("process status", "Process 1 stopped");
    assert!(session.of("thread list").contains("tid = 100670"), "{session}");
}

#[test]
fn nothing_is_written() {
    let scene = Scene::small();
    let write = format!("memory write {:#x} 5", scene.machine.hz);
    let session =
        scene.lldb(&scene.serve(), &[&write, "register write rip 5", "p *(int *)&hz", "register read rip"]);
    session.has(&write, "error: Memory write to 0xffffffff80410000 failed");
    session.has("register write rip 5", "error: ");
    check_value(&session, "p *(int *)&hz", "(int) 100");
    session.has("register read rip", "kdb_enter + 51");
}

#[test]
fn monitor_commands() {
    let scene = Scene::small();
    let session = scene.lldb(
        &scene.serve(),
        &[
            "process plugin packet monitor info",
            "process plugin packet monitor ps",
            "thread select 3",
            "register read",
            "process plugin packet monitor bt",
        ],
    );
    session.has("process plugin packet monitor info", "panic        kdb_sysctl_panic");
    session.has("process plugin packet monitor ps", "pagedaemon");
    // lldb does not tell that another one is selected.
    let crashed = scene.machine.crashed();
    assert!(
        tidy(session.of("process plugin packet monitor bt"))
            .contains(&tidy(&scene.machine.monitor_frames(crashed))),
        "{session}"
    );
}

#[test]
fn sessions_end_and_others_begin() {
    let scene = Scene::small();
    let mut server = scene.serve();
    let again = format!("gdb-remote {}", server.port);
    let session = scene.lldb(&server, &["detach", &again, "kill", &again, "thread list"]);
    // lldb says that a process is gone when it gets to it, which may be during the next command.
    assert!(!session.to_string().contains("failed to send k packet"), "{session}");
    check_threads(&session, "thread list", &threads(&scene.machine, "kernel", "panic: kdb_sysctl_panic"));
    let next = scene.lldb(&server, &["thread list"]);
    check_threads(&next, "thread list", &threads(&scene.machine, "kernel", "panic: kdb_sysctl_panic"));
    assert!(server.is_alive());
}

#[test]
fn over_a_unix_socket() {
    let scene = Scene::small();
    let server = Server::on_socket(&[&scene.kernel, &scene.vmcore]);
    let session = scene.lldb(&server, &["thread list"]);
    check_threads(&session, "thread list", &threads(&scene.machine, "kernel", "panic: kdb_sysctl_panic"));
}

#[test]
fn the_published_dump() {
    let Some(real) = crate::real::amd64() else { return };
    let machine = Machine::published(&real.expected);
    let server = Server::start(&[&real.kernel, &real.vmcore]);
    let (target, connect) =
        (format!("target create {}", real.kernel.display()), format!("gdb-remote {}", server.port));
    let session =
        lldb(&[&target, &connect, "thread list", "thread backtrace all", "register read", "p *(int *)&hz"]);
    check_threads(&session, "thread list", &threads(&machine, "", "crashed"));
    let found = backtraces(session.of("thread backtrace all"));
    assert_eq!(found.len(), machine.threads.len(), "{session}");
    for (found, thread) in found.iter().zip(&machine.threads) {
        let expected: Vec<String> = thread
            .frames
            .iter()
            .enumerate()
            .map(|(number, va)| format!("frame #{number}: {va:#018x}"))
            .collect();
        // lldb leaves out the outermost frame where the frame pointer there is 0.
        let shorter = &expected[..expected.len() - 1];
        assert!(found == &expected || found == shorter, "thread {}: {found:?}\n{session}", thread.tid);
    }
    for (name, value) in &machine.crashed().registers {
        session.has("register read", &format!(" {name} = {value:#018x}\n"));
    }
    check_value(&session, "p *(int *)&hz", "(int) 100");
}
