//! What debuggers can do with an image beside looking at threads: gdb's `info os` and `find`, physical addresses; and how
//! little lldb has to ask.

use crate::expected::Thread;
use crate::scene::Scene;

#[test]
fn gdb_lists_processes_and_threads_of_the_operating_system() {
    let scene = Scene::small();
    let commands = ["info os", "info os processes", "info os threads", "info os files", "info os sockets"];
    let session = scene.gdb(&scene.serve(), &commands);
    session.is(
        "info os",
        "Type Description
         processes Listing of all processes
         threads Listing of all threads
         files Listing of all file descriptors
         modules Listing of all loaded kernel modules",
    );
    session.is(
        "info os processes",
        "pid user command cores
         800 sysctl 2
         28 pagedaemon
         11 idle 0,1,3
         1 init
         0 kernel",
    );
    for Thread { name, tid, .. } in &scene.machine.threads {
        let threads = crate::driver::tidy(session.of("info os threads"));
        assert!(threads.contains(&format!(" {name} {tid}")), "{session}");
    }
    session.is("info os files", "error\nproc.p_fd is needed, and the kernel has no type information: name its kernel.debug or vmlinux");
    session.has("info os sockets", "there is no such table, only processes, threads, files, modules");
}

#[test]
fn gdb_finds_and_says_what_it_could_not_search() {
    let scene = Scene::small();
    let hz = scene.machine.hz;
    let here = format!("find /w1 {hz:#x}, +4, 100");
    let all = "find &version, +0x40, 'F', 'r', 'e', 'e', 'B', 'S', 'D'";
    let hole = "find 0xffffffff80200000, +0x100000, 'n', 'o', 'n', 'e'";
    let session = scene.gdb(&scene.serve(), &[&here, "print $numfound", all, hole]);
    session.is(&here, &format!("{hz:#x} <hz>\n1 pattern found."));
    session.has("print $numfound", "= 1");
    session.has(all, "1 pattern found.");
    session.has(hole, "not found, but 0x");
    session.has(hole, " is not in the image");
}

/// With QEMU's own command.
#[test]
fn gdb_reads_physical_memory() {
    let scene = Scene::small();
    let commands = [
        "maintenance packet Qqemu.PhyMemMode:1",
        "x/4xb 0x200000",
        "x/xb 0xffffffff80200000",
        "maintenance packet Qqemu.PhyMemMode:0",
        "x/4xb 0xffffffff80200000",
    ];
    let session = scene.gdb(&scene.serve(), &commands);
    session.has("x/4xb 0x200000", "0x55\t0x48\t0x89\t0xe5");
    session.has("x/xb 0xffffffff80200000", "Cannot access memory");
    session.has("x/4xb 0xffffffff80200000", "0x55\t0x48\t0x89\t0xe5");
}

/// Otherwise it asks for every thread, which takes long where there are thousands.
#[test]
fn lldb_asks_for_all_threads_at_once() {
    let scene = Scene::small();
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("packets");
    let logging = format!("log enable -f {} gdb-remote packets", log.display());
    let server = scene.serve();
    let connect = format!("gdb-remote {}", server.port);
    let session =
        crate::driver::lldb(&[&logging, &connect, "thread list", "process continue", "thread list"]);
    for thread in &scene.machine.threads {
        for time in 0..2 {
            assert!(
                session.nth("thread list", time).contains(&format!("tid = {},", thread.tid)),
                "{session}"
            );
        }
    }
    let packets = std::fs::read_to_string(log).expect("the log");
    assert!(packets.contains("$jThreadsInfo"), "{packets}");
    for asked in ["qThreadStopInfo", "qfThreadInfo", "jThreadExtendedInfo:{"] {
        assert!(!packets.contains(asked), "{asked} in\n{packets}");
    }
}
