//! gdb with no file at all, with the user's own kernel file, and by other ways than TCP.

use crate::driver::{Server, Transcript, gdb, gdb_program, server_program, tidy};
use crate::expected::{Machine, Thread};
use crate::scene::{Scene, connect};
use crate::synth::System;
use std::process::{Command, Stdio};
use std::time::Duration;

const NOTHING_RUNS: &str = "This is a kernel image: nothing runs, and nothing can be stepped or continued.";

/// The lines of backtraces, and the headings of `thread apply all`.
fn frames(output: &str) -> String {
    let wanted = |line: &&str| line.starts_with('#') || line.starts_with("Thread ");
    tidy(&output.lines().filter(wanted).map(|line| line.to_owned() + "\n").collect::<String>())
}

#[track_caller]
fn check_frames(session: &Transcript, command: &str, expected: &str) {
    assert_eq!(frames(session.of(command)), tidy(expected), "{session}");
}

/// Every value of `info registers`, which prints some in two forms.
#[track_caller]
fn check_registers(session: &Transcript, command: &str, thread: &Thread) {
    let printed: Vec<Vec<&str>> =
        session.of(command).lines().map(|line| line.split_whitespace().take(2).collect()).collect();
    let printed: Vec<_> =
        printed.iter().filter(|words| words.len() == 2).map(|w| (w[0], w[1].to_owned())).collect();
    assert_eq!(printed, thread.gdb_registers(), "{session}");
}

/// What a user looks at first.
const TOUR: [&str; 6] =
    ["info threads", "bt", "thread apply all bt", "info registers", "p (int)hz", "x/4gx &hz"];

#[track_caller]
fn check_tour(session: &Transcript, machine: &Machine) {
    session.is("info threads", &machine.gdb_threads());
    check_frames(session, "bt", &machine.gdb_frames(machine.crashed()));
    check_frames(session, "thread apply all bt", &machine.gdb_all_frames());
    check_registers(session, "info registers", machine.crashed());
    session.is("p (int)hz", "$1 = 100");
    session.has("x/4gx &hz", &format!("{:#x} <hz>:", machine.hz));
    assert_eq!(session.of("x/4gx &hz").matches("0x0000000").count(), 4, "{session}");
}

/// CTF of version 3 after ctf(5): `struct proc { struct proc *p_next; int p_pid; char p_comm[20]; };`
fn ctf() -> Vec<u8> {
    const NAMES: &[u8] = b"\0int\0char\0proc\0p_next\0p_pid\0p_comm\0";
    let name = |name: &str| {
        let whole = format!("\0{name}\0");
        let at = NAMES.windows(whole.len()).position(|window| window == whole.as_bytes());
        at.expect("a name") as u32 + 1
    };
    // A type: its name, its kind (1 integer, 3 pointer, 4 array, 6 structure) and count, its size or type, and the rest.
    let info = |kind: u32, count: u32| kind << 26 | 1 << 25 | count;
    let types = [
        &[name("int"), info(1, 0), 4, 1 << 24 | 32][..],
        &[name("char"), info(1, 0), 1, 3 << 24 | 8],
        &[0, info(4, 0), 0, 2, 1, 20],
        &[0, info(3, 0), 5],
        &[name("proc"), info(6, 3), 32, name("p_next"), 4, 0, name("p_pid"), 1, 64, name("p_comm"), 3, 96],
    ]
    .concat();
    let header = [0, 0, 0, 0, 0, 0, 4 * types.len() as u32, NAMES.len() as u32];
    let words = header.iter().chain(&types).flat_map(|word| word.to_le_bytes());
    [0xf1, 0xcf, 3, 0].into_iter().chain(words).chain(NAMES.iter().copied()).collect()
}

#[test]
fn types_come_from_the_kernels_ctf() {
    let scene = Scene::small();
    let folder = tempfile::tempdir().expect("a folder");
    let [types, kernel] = ["ctf", "kernel"].map(|name| folder.path().join(name));
    std::fs::write(&types, ctf()).expect("write the types");
    let mut add = Command::new("objcopy");
    add.arg("--add-section").arg(format!(".SUNW_ctf={}", types.display())).args([&scene.kernel, &kernel]);
    if !add.status().is_ok_and(|status| status.success()) {
        return eprintln!("skipped: no objcopy");
    }
    let server = Server::start(&[&kernel, &scene.vmcore]);
    let session = scene.gdb(&server, &["ptype struct proc", "print &((struct proc *)0x100)->p_comm"]);
    session.is(
        "ptype struct proc",
        "type = struct proc {\nstruct proc *p_next;\nint p_pid;\nchar p_comm[20];\n}",
    );
    session.has("print &((struct proc *)0x100)->p_comm", "(char (*)[20]) 0x10c");
}

/// gdb as Debian builds it has no FreeBSD support, and says "Truncated register 39 in remote 'g' packet".
#[test]
fn a_gdb_that_cuts_addresses_is_told_of() {
    let scene = Scene::small();
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("socket");
    let mut server = server_program(folder.path());
    server.args([&scene.kernel, &scene.vmcore]).arg("--once").arg("--listen");
    let server = server.arg(format!("unix:{}", socket.display())).stderr(Stdio::piped()).spawn();
    while !socket.exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let file = format!("file {}", scene.kernel.display());
    let session = gdb(&[&file, &format!("target remote {}", socket.display()), "print &hz"]);
    let output = server.expect("start the server").wait_with_output().expect("its end");
    if session.of("print &hz").contains("0xffffffff") {
        return eprintln!("skipped: this gdb supports FreeBSD");
    }
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("gdb -ex 'set osabi none' -ex 'file KERNEL'"), "{said}\n{session}");
}

/// Nothing but the saved file is given to gdb, branded as the kernel's own file is.
#[test]
fn a_saved_symbol_file_is_as_good() {
    let scene = Scene::small();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("symbols.elf");
    let mut save = server_program(folder.path());
    save.args(["symbols".as_ref(), scene.kernel.as_os_str(), scene.vmcore.as_os_str()]).arg("-o").arg(&file);
    let output = save.output().expect("run the server's program");
    assert!(output.status.success(), "{output:?}");
    let server = scene.serve();
    let load = format!("file {}", file.display());
    check_tour(&gdb(&[&[load.as_str(), &connect(&server)], &TOUR[..]].concat()), &scene.machine);
    let alone = gdb(&[&load, "info address hz", "show architecture"]);
    alone.has("info address hz", &format!("{:#x}", scene.machine.hz));
    alone.has("show architecture", "x86-64");
}

#[test]
fn no_file_is_needed() {
    let scene = Scene::small();
    let server = scene.serve();
    let session = scene.gdb(&server, &TOUR);
    check_tour(&session, &scene.machine);
    let [file] = &server.symbol_files()[..] else { panic!("one file: {:?}", server.symbol_files()) };
    session.has(&connect(&server), &format!("Reading symbols from {}", file.display()));
    assert!(
        !session.of("thread apply all bt").contains("Backtrace stopped"),
        "all stacks have an end:\n{session}"
    );
}

#[test]
fn the_users_own_file_shows_the_same() {
    let scene = Scene::small();
    let session =
        scene.gdb_with_file(&scene.serve(), &["info threads", "info registers", "p (int)hz", "x/i $pc"]);
    session.is("info threads", &scene.machine.gdb_threads());
    check_registers(&session, "info registers", scene.machine.crashed());
    session.is("p (int)hz", "$1 = 100");
    session.has("x/i $pc", "<kdb_enter+51>:\tnop");
}

/// gdb's own analysis of prologues finds the frames of the user's file: it has no unwind information.
#[test]
fn the_users_own_file_gives_backtraces() {
    let scene = Scene::small();
    let session = scene.gdb_with_file(&scene.serve(), &["bt", "thread apply all bt"]);
    check_frames(&session, "bt", &scene.machine.gdb_frames(scene.machine.crashed()));
    check_frames(&session, "thread apply all bt", &scene.machine.gdb_all_frames());
}

/// gdb cuts the addresses of a FreeBSD file to 32 bits if it was not told otherwise before: a trap that is documented.
/// The next debugger must not suffer from it.
#[test]
fn a_file_in_the_wrong_order_hurts_only_its_session() {
    let scene = Scene::small();
    let server = scene.serve();
    let file = format!("file {}", scene.kernel.display());
    gdb(&[&file, &connect(&server), "info threads", "bt", "info registers", "x/gx &hz"]);
    scene.gdb(&server, &["info threads"]).is("info threads", &scene.machine.gdb_threads());
}

#[test]
fn code_and_names() {
    let scene = Scene::small();
    let session = scene.gdb(
        &scene.serve(),
        &[
            "info symbol panic",
            "info line *panic",
            "x/2i panic",
            "disassemble kdb_enter,+5",
            "info symbol &hz",
            "p $rip",
        ],
    );
    let panic = scene.machine.panic;
    session.is("info symbol panic", "panic in section .text");
    session.is(
        "info line *panic",
        &format!("No line number information available for address {panic:#x} <panic>"),
    );
    session.is(
        "x/2i panic",
        &format!("{panic:#x} <panic>: push %rbp\n{:#x} <panic+1>: mov %rsp,%rbp", panic + 1),
    );
    session.has("disassemble kdb_enter,+5", "<kdb_enter+1>:\tmov    %rsp,%rbp");
    session.is("info symbol &hz", "hz in section .bss");
    session.has("p $rip", "<kdb_enter+51>");
}

#[test]
fn every_thread_has_its_own_registers() {
    let scene = Scene::small();
    let commands: Vec<String> = (1..=scene.machine.threads.len())
        .map(|number| format!("thread apply {number} info registers"))
        .collect();
    let commands: Vec<&str> = commands.iter().map(String::as_str).collect();
    let session = scene.gdb(&scene.serve(), &commands);
    for (command, thread) in commands.iter().zip(&scene.machine.threads) {
        let heading = format!("Thread {} (", command.split(' ').nth(2).expect("a number"));
        assert!(session.of(command).trim_start().starts_with(&heading), "{session}");
        let without = session.of(command).trim_start().lines().skip(1).collect::<Vec<_>>().join("\n");
        let printed: Vec<(&str, &str)> = without
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(name, value)| (name, value.split_whitespace().next().expect("a value")))
            .collect();
        let expected = thread.gdb_registers();
        assert_eq!(printed, expected.iter().map(|(n, v)| (*n, v.as_str())).collect::<Vec<_>>(), "{session}");
    }
}

#[test]
fn a_hole_is_an_error_and_the_session_goes_on() {
    let scene = Scene::small();
    let session = scene.gdb(
        &scene.serve(),
        &["x/gx 0xffffffff8c000000", "x/2gx 0xfffffffffffffffc", "p *(int *)0", "info threads"],
    );
    session.has("x/gx 0xffffffff8c000000", "Cannot access memory at address 0xffffffff8c000000");
    session.has("x/2gx 0xfffffffffffffffc", "Cannot access memory at address");
    session.is("p *(int *)0", "Cannot access memory at address 0x0");
    session.is("info threads", &scene.machine.gdb_threads());
}

/// What can be read before a hole is shown.
#[test]
fn a_read_into_a_hole_shows_what_is_before_it() {
    let scene = Scene::small();
    let end = scene.machine.crashed().register("rsp").expect("rsp").next_multiple_of(4096);
    let end = (0..4).map(|page| end + page * 4096).collect::<Vec<_>>();
    let commands: Vec<String> = end.iter().map(|end| format!("x/4gx {:#x}", end - 16)).collect();
    let session = scene.gdb(&scene.serve(), &commands.iter().map(String::as_str).collect::<Vec<_>>());
    let holes = end.iter().zip(&commands).filter(|(end, command)| {
        session.of(command).contains(&format!("Cannot access memory at address {end:#x}"))
            && session.of(command).contains(&format!("{:#x}:\t0x", **end - 16))
    });
    assert_eq!(holes.count(), 1, "the stack has one end\n{session}");
}

#[test]
fn nothing_runs() {
    let scene = Scene::small();
    let stop = format!("*{:#x}", scene.machine.panic);
    let breakpoint = format!("break {stop}");
    let session = scene.gdb(
        &scene.serve(),
        &[
            "continue",
            "stepi",
            &breakpoint,
            "continue",
            "step",
            "finish",
            "thread 3",
            "stepi",
            "info threads",
        ],
    );
    for (command, time) in
        [("continue", 0), ("stepi", 0), ("continue", 1), ("step", 0), ("finish", 0), ("stepi", 1)]
    {
        assert!(session.nth(command, time).contains(NOTHING_RUNS), "{command} {time} in\n{session}");
    }
    session.has("continue", "Thread 1 \"sysctl\" stopped.");
    session.has("continue", "in kdb_enter ()");
    session.has(&breakpoint, &format!("Breakpoint 1 at {:#x}", scene.machine.panic));
    let threads = scene.machine.gdb_threads().replace("* 1 ", "1 ").replace("\n3 ", "\n* 3 ");
    session.is("info threads", &threads);
}

#[test]
fn nothing_is_written() {
    let scene = Scene::small();
    let before = std::fs::read(&scene.vmcore).expect("the dump");
    let session = scene.gdb(
        &scene.serve(),
        &[
            "set var *(int *)&hz = 5",
            "p (int)hz",
            "set var $rip = 5",
            "p $rip",
            "call (int)panic()",
            "info threads",
        ],
    );
    session
        .has("set var *(int *)&hz = 5", &format!("Cannot access memory at address {:#x}", scene.machine.hz));
    session.is("p (int)hz", "$1 = 100");
    session.has("set var $rip = 5", "Could not write register \"rip\"");
    session.has("p $rip", "<kdb_enter+51>");
    session.has("call (int)panic()", "Cannot access memory at address");
    session.is("info threads", &scene.machine.gdb_threads());
    assert!(std::fs::read(&scene.vmcore).expect("the dump") == before, "the dump was changed");
}

#[test]
fn monitor_commands() {
    let scene = Scene::small();
    let session = scene.gdb(
        &scene.serve(),
        &[
            "monitor help",
            "monitor info",
            "monitor ps",
            "monitor threads",
            "monitor bt",
            "monitor bt all",
            "monitor bt 100011",
            "monitor bt 5",
            "monitor nlist hz nosuch",
            "monitor nonsense",
            "thread 3",
            "monitor bt",
        ],
    );
    let machine = &scene.machine;
    for command in ["help", "info", "ps", "threads", "bt [TID|all]", "nlist NAME..."] {
        session.has("monitor help", &format!("monitor {command} "));
        session.has("monitor nonsense", &format!("monitor {command} "));
    }
    for fact in ["FreeBSD minidump version 3", "kdb_sysctl_panic", "100670 (pid 800) sysctl on CPU 2"] {
        session.has("monitor info", fact);
    }
    session.is(
        "monitor ps",
        "PID PPID S THREADS COMMAND
         800 - R 1 sysctl
         28 - - 3 pagedaemon
         11 - R 4 idle
         1 - - 1 init
         0 - - 2 kernel",
    );
    for thread in &machine.threads {
        session.has("monitor threads", &format!(" {}\n", thread.name));
    }
    session.is("monitor bt", &machine.monitor_frames(machine.crashed()));
    let all =
        |threads: &[Thread]| threads.iter().map(|thread| machine.monitor_frames(thread)).collect::<String>();
    session.is("monitor bt all", &all(&machine.threads));
    session.has("monitor bt 100011", "thread 100011 (pid 0) kernel/softirq_0");
    session.is("monitor bt 5", "5: no such thread");
    session.is("monitor nlist hz nosuch", &format!("{:016x} B hz\nnosuch: no such symbol", machine.hz));
    session.has("monitor nonsense", "nonsense: no such command");
    let selected = tidy(session.nth("monitor bt", 1));
    assert_eq!(selected, tidy(&machine.monitor_frames(&machine.threads[2])), "{session}");
}

#[test]
fn threads_are_found_by_name() {
    let scene = Scene::small();
    let session =
        scene.gdb(&scene.serve(), &["thread find softirq", "thread find pid 28", "thread find nobody"]);
    session.is("thread find softirq", "Thread 11 has target name 'kernel/softirq_0'");
    assert_eq!(session.of("thread find pid 28").matches("has extra info 'pid 28'").count(), 3, "{session}");
    session.is("thread find nobody", "No threads match 'nobody'");
}

#[test]
fn sessions_end_and_others_begin() {
    let scene = Scene::small();
    let mut server = scene.serve();
    let again = connect(&server);
    let session =
        scene.gdb(&server, &["detach", "info threads", &again, "kill", &again, "info threads", "disconnect"]);
    session.has("detach", "detached");
    session.is("info threads", "No threads.");
    assert_eq!(tidy(session.nth("info threads", 1)), tidy(&scene.machine.gdb_threads()), "{session}");
    let next = scene.gdb(&server, &["info threads"]); // ends with the session open
    next.is("info threads", &scene.machine.gdb_threads());
    scene.gdb(&server, &["info threads"]).is("info threads", &scene.machine.gdb_threads());
    assert!(server.is_alive());
}

#[test]
fn two_at_once_do_not_disturb_each_other() {
    let scene = Scene::small();
    let server = scene.serve();
    let second = format!("shell {}", inner_session(&scene, &connect(&server)));
    let session = scene.gdb(&server, &["thread 5", &second, "bt", "p $rsp"]);
    session.has(&second, "* 2    Thread 100089");
    check_frames(&session, "bt", &scene.machine.gdb_frames(&scene.machine.threads[4]));
    session.has("p $rsp", &format!("{:#x}", scene.machine.threads[4].register("rsp").expect("rsp")));
}

/// A shell command that runs another gdb, with another thread selected, while the first one waits.
fn inner_session(scene: &Scene, connect: &str) -> String {
    let folder = scene.kernel.parent().expect("a folder");
    let output = folder.join("inner");
    let program = gdb_program();
    let quoted = |word: &std::ffi::OsStr| format!("'{}'", word.to_string_lossy());
    let words: Vec<String> =
        std::iter::once(program.get_program()).chain(program.get_args()).map(quoted).collect();
    let (words, output) = (words.join(" "), output.display());
    format!(
        "{words} -batch -ex {connect:?} -ex 'thread 2' -ex 'info threads' >{output} 2>&1 </dev/null; cat {output}"
    )
}

/// A dump that lacks the crashed thread's registers: gdb insists on a program counter before it lets anyone in.
#[test]
fn unreadable_registers_keep_nobody_out() {
    let mut system = System { crashed: None, ..System::small() };
    system.thread(100_670).on_cpu = None;
    system.thread(100_670).pcb_unreadable = true;
    let scene = Scene::of(&system);
    let session = scene.gdb(&scene.serve(), &["info registers rsp", "bt", "thread 2", "bt", "continue"]);
    session.has("info registers rsp", "<unavailable>");
    let second = &scene.machine.threads[1];
    assert_eq!(frames(session.nth("bt", 1)), tidy(&scene.machine.gdb_frames(second)), "{session}");
    session.has("continue", NOTHING_RUNS);
}

#[test]
fn over_a_unix_socket() {
    let scene = Scene::small();
    let server = crate::driver::Server::on_socket(&[&scene.kernel, &scene.vmcore]);
    scene.gdb(&server, &["info threads"]).is("info threads", &scene.machine.gdb_threads());
}

#[test]
fn over_a_pipe() {
    let scene = Scene::small();
    let cache = tempfile::tempdir().expect("a folder");
    let program = server_program(cache.path());
    let (kernel, vmcore) = (scene.kernel.display(), scene.vmcore.display());
    let pipe =
        format!("target remote | {} --stdio {kernel} {vmcore}", program.get_program().to_string_lossy());
    let session = gdb(&[&pipe, "info threads", "p (int)hz", "continue", "detach"]);
    session.is("info threads", &scene.machine.gdb_threads());
    session.is("p (int)hz", "$1 = 100");
    session.has("continue", NOTHING_RUNS);
}

#[test]
fn the_published_dump() {
    let Some(real) = crate::real::amd64() else { return };
    let machine = Machine::published(&real.expected);
    let server = crate::driver::Server::start(&[&real.kernel, &real.vmcore]);
    let connect = connect(&server);
    let session = gdb(&[&[connect.as_str()], &TOUR[..], &["monitor bt all"]].concat());
    session.is("info threads", &machine.gdb_threads());
    check_frames(&session, "bt", &machine.gdb_frames(machine.crashed()));
    check_frames(&session, "thread apply all bt", &machine.gdb_all_frames());
    for (name, value) in &machine.crashed().registers {
        let line = format!("{name} {value:#x} ");
        assert!(
            (tidy(session.of("info registers")) + "\n").replace('\n', " \n").contains(&line),
            "{line}\n{session}"
        );
    }
    session.is("p (int)hz", "$1 = 100");
    session.has("x/4gx &hz", "00000064\t");
    let all: String = machine.threads.iter().map(|thread| machine.monitor_frames(thread)).collect();
    session.is("monitor bt all", &all);
}
