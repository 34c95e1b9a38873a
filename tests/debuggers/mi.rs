//! gdb's machine interface, which IDEs speak.

use crate::driver::{finish_with, gdb_program};
use crate::scene::{Scene, connect};

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
