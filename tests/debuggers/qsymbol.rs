//! A server without a kernel file: the debugger's own symbols find the threads.

use crate::driver::{gdb, tidy};
use crate::scene::{Scene, connect};

/// gdb asks only when it is connected, and has chosen a thread by then: the one that stood for the image. It keeps it
/// until another one is selected.
#[test]
fn gdb_finds_the_threads_with_its_own_file() {
    let scene = Scene::small();
    let server = scene.serve_without_kernel();
    let session = scene
        .gdb_with_file(&server, &["info threads", "p $rsp", "thread 2", "info threads", "bt", "monitor ps"]);
    let crashed = scene.machine.gdb_frames(scene.machine.crashed());
    // Behind the thread that stands for the image, all have a number that is greater by one.
    let expected = |star: usize| -> Vec<String> {
        let listed = scene.machine.gdb_threads();
        let threads = listed.lines().skip(1).map(|line| line.trim_start_matches("* "));
        let line = |(number, line): (usize, &str)| {
            let (_, rest) = line.split_once(' ').expect("a number");
            format!("{}{} {rest}", if number + 2 == star { "* " } else { "" }, number + 2)
        };
        threads.enumerate().map(line).collect()
    };
    // Without what gdb says of threads that came and, since gdb 16, of those that went: "[New Thread 100670 (id 2)]".
    let printed = |time| -> Vec<String> {
        let lines = tidy(session.nth("info threads", time));
        lines.lines().filter(|line| !line.starts_with('[')).map(str::to_owned).collect()
    };
    let first = printed(0);
    assert_eq!(
        first[1], "* 1 Thread 1 \"image (threads not found)\" (pid 0) 0x0000000000000000 in ?? ()",
        "{session}"
    );
    assert_eq!(first[2..], expected(0), "{session}");
    session.has("p $rsp", "<unavailable>");
    assert_eq!(printed(1)[1..], expected(2), "{session}");
    session.is("bt", &crashed);
    session.has("monitor ps", "pagedaemon");
}

#[test]
fn gdb_goes_to_the_crashed_thread_when_told_to_continue() {
    let scene = Scene::small();
    let session = scene.gdb_with_file(&scene.serve_without_kernel(), &["continue", "bt"]);
    session.has("continue", "Thread 2 \"sysctl\" stopped.");
    session.is("bt", &scene.machine.gdb_frames(scene.machine.crashed()));
}

#[test]
fn without_any_symbols_memory_can_be_read() {
    let scene = Scene::small();
    let read = format!("x/wx {:#x}", scene.machine.hz);
    let session = gdb(&[
        &connect(&scene.serve_without_kernel()),
        "info threads",
        "bt",
        &read,
        "monitor ps",
        "monitor info",
    ]);
    session.has(
        "info threads",
        "* 1    Thread 1 \"image (threads not found)\" (pid 0) 0x0000000000000000 in ?? ()",
    );
    session.has(&read, "0x00000064");
    session.has("monitor info", "FreeBSD minidump version 3");
}

/// lldb asks while it connects, and selects the crashed thread.
#[test]
fn lldb_finds_the_threads_with_its_own_file() {
    let scene = Scene::small();
    let session = scene.lldb(&scene.serve_without_kernel(), &["thread list", "bt", "process continue", "bt"]);
    for thread in &scene.machine.threads {
        session.has("thread list", &scene.machine.lldb_thread(thread, "kernel"));
    }
    session.has("thread list", "name = 'sysctl', stop reason = panic: kdb_sysctl_panic");
    assert_eq!(
        session.of("thread list").matches(": tid = ").count(),
        scene.machine.threads.len(),
        "{session}"
    );
    for (time, frame) in [0, 1].into_iter().flat_map(|time| {
        scene
            .machine
            .lldb_frames(scene.machine.crashed(), "kernel")
            .into_iter()
            .map(move |frame| (time, frame))
    }) {
        assert!(tidy(session.nth("bt", time)).contains(&frame), "{frame} in\n{session}");
    }
}
