//! Debuggers that the server starts: `--gdb` and `--lldb`.

use crate::driver::{finish_with, gdb_program, lldb_program, server_program, tidy};
use crate::scene::Scene;
use std::process::Command;

/// What `kgdbserver OPTION=PROGRAM KERNEL IMAGE` prints if the user types those commands.
fn started(scene: &Scene, option: &str, debugger: &Command, typed: &str) -> String {
    let cache = tempfile::tempdir().expect("a folder");
    let mut server = server_program(cache.path());
    server.arg(format!("{option}={}", debugger.get_program().to_string_lossy()));
    server.args([&scene.kernel, &scene.vmcore]);
    tidy(&finish_with(server, typed))
}

#[test]
fn gdb_is_connected_already() {
    let scene = Scene::small();
    let output =
        started(&scene, "--gdb", &gdb_program(), "set width 0\nset confirm off\ninfo threads\nquit\n");
    let expected = tidy(&scene.machine.gdb_threads());
    assert!(output.contains(expected.split_once('\n').expect("lines").1), "{output}");
}

#[test]
fn lldb_is_connected_already() {
    let scene = Scene::small();
    let output = started(&scene, "--lldb", &lldb_program(), "thread list\nquit\n");
    for thread in &scene.machine.threads {
        let listed = scene.machine.lldb_thread(thread, "kernel");
        assert!(output.contains(&listed), "{listed} in\n{output}");
    }
}

#[test]
fn a_debugger_that_is_not_there_is_named() {
    let scene = Scene::small();
    let output = started(&scene, "--gdb", &Command::new("no-such-gdb"), "");
    assert!(output.contains("no debugger found (tried no-such-gdb)"), "{output}");
}
