//! gdb and lldb write memory: each in an overlay of its own, and none into the file.

use crate::driver::{Server, Transcript};
use crate::scene::Scene;

const HOLE: u64 = 0xffff_ffff_8c00_0000;

fn serve(scene: &Scene) -> Server {
    Server::start_with(&[&scene.kernel, &scene.vmcore], &["--overlay"])
}

#[track_caller]
fn is_untouched(scene: &Scene, before: &[u8], session: &Transcript) {
    let now = std::fs::read(&scene.vmcore).expect("the image");
    assert!(now == before, "the file has changed\n{session}");
}

#[test]
fn gdb_writes_what_it_alone_sees() {
    let scene = Scene::small();
    let before = std::fs::read(&scene.vmcore).expect("the image");
    let server = serve(&scene);
    let (hz, panic) = (scene.machine.hz, scene.machine.panic);
    let restore = format!("restore {} binary {:#x} 0 64", scene.kernel.display(), panic);
    let hole = format!("set var *(int *){HOLE:#x} = 1");
    let session = scene.gdb(
        &server,
        &[
            "set var {int}&hz = 1000",
            "p (int)hz",
            &restore,
            "x/4xb panic",
            &hole,
            "set var $rip = 0",
            "break panic",
            "monitor overlay",
            "monitor overlay revert",
            "p (int)hz",
            "info threads",
        ],
    );
    session.is("p (int)hz", "$1 = 1000");
    session.has("x/4xb panic", "0x7f\t0x45\t0x4c\t0x46");
    session.has(&hole, &format!("Cannot access memory at address {HOLE:#x}"));
    session.has("set var $rip = 0", "Could not write register");
    session.has("monitor overlay", &format!("{panic:016x} panic  64 bytes at physical 0x"));
    session.has("monitor overlay", &format!("{hz:016x} hz  4 bytes at physical 0x"));
    session.has("monitor overlay", "64000000 -> e8030000");
    session.has("monitor overlay revert", "68 bytes are as in the image again");
    assert_eq!(session.nth("p (int)hz", 1).trim(), "$2 = 100", "{session}");
    session.is("info threads", &scene.machine.gdb_threads());
    is_untouched(&scene, &before, &session);
    scene.gdb(&server, &["p (int)hz"]).is("p (int)hz", "$1 = 100");
}

#[test]
fn gdb_leaves_no_traps() {
    let scene = Scene::small();
    let server = serve(&scene);
    let session = scene.gdb(&server, &["break panic", "continue", "monitor overlay", "x/xb panic"]);
    session.is("monitor overlay", "nothing is changed");
    session.has("x/xb panic", "0x55");
}

#[test]
fn gdb_is_told_that_nothing_is_written_without_the_flag() {
    let scene = Scene::small();
    let session = scene.gdb(&scene.serve(), &["set var {int}&hz = 1000", "p (int)hz"]);
    session.has("set var {int}&hz = 1000", "Cannot access memory at address");
    session.is("p (int)hz", "$1 = 100");
}

#[test]
fn lldb_writes_what_it_alone_sees() {
    let scene = Scene::small();
    let before = std::fs::read(&scene.vmcore).expect("the image");
    let server = serve(&scene);
    let (hz, panic) = (scene.machine.hz, scene.machine.panic);
    let write = format!("memory write -s 4 {hz:#x} 0x3e8");
    let from_file = format!("memory write -i {} {panic:#x}", scene.kernel.display());
    let hole = format!("memory write -s 4 {HOLE:#x} 1");
    let stop = format!("breakpoint set -a {:#x}", panic + 0x10);
    let session = scene.lldb(
        &server,
        &[
            &write,
            "p *(int *)&hz",
            &hole,
            &stop,
            "process plugin packet monitor overlay",
            "settings set target.process.disable-memory-cache true",
            "process plugin packet monitor overlay revert hz",
            "p *(int *)&hz",
        ],
    );
    session.has("p *(int *)&hz", "1000");
    session.has(&hole, &format!("memory write failed for {HOLE:#x}"));
    session.has("process plugin packet monitor overlay", &format!("{hz:016x} hz  4 bytes at physical 0x"));
    assert_eq!(session.of("process plugin packet monitor overlay").matches(" -> ").count(), 1, "{session}");
    assert!(session.nth("p *(int *)&hz", 1).contains("100"), "{session}");
    assert!(!session.nth("p *(int *)&hz", 1).contains("1000"), "{session}");
    let session = scene.lldb(&server, &[&from_file, &format!("x/4xb {panic:#x}")]);
    session.has(&format!("x/4xb {panic:#x}"), "0x7f 0x45 0x4c 0x46");
    is_untouched(&scene, &before, &session);
}
