//! `monitor` commands, as each debugger prints them.

use crate::driver::{lldb_program, version};
use crate::scene::Scene;

#[test]
fn addresses_in_gdb() {
    let scene = Scene::small();
    let session = scene.gdb(
        &scene.serve(),
        &["monitor sym panic+5 0x10 nonsense", "monitor sym", "monitor vtop hz", "monitor vtop 0x10"],
    );
    session.is(
        "monitor sym panic+5 0x10 nonsense",
        "0xffffffff80201c25 panic+0x5 .text
         0x0000000000000010 no symbol
         nonsense: no such symbol",
    );
    session.is("monitor sym", "monitor sym ADDRESS...");
    session.is(
        "monitor vtop hz",
        "address 0xffffffff80410000 hz
         region 0xfffffe0000000000-0xffffffffbfffffff: page-table entries in the file, from byte 0x7000 on
         level 2 byte 0x805010 = 0x80000000004001e3 page of 2 MiB at physical 0x400000, rw- P RW A D G NX
         physical 0x0000000000410000
         file byte 0x80d000",
    );
    session.is(
        "monitor vtop 0x10",
        "address 0x0000000000000010
         fault the image knows no mapping for this part of the address space",
    );
}

#[test]
fn help_and_the_session_itself() {
    let scene = Scene::small();
    let session = scene.gdb(
        &scene.serve(),
        &[
            "monitor help proc",
            "monitor help user",
            "monitor help nonsense",
            "monitor proc 5",
            "monitor proc 1",
            "monitor stats",
        ],
    );
    session.is(
        "monitor help proc",
        "monitor proc [PID|TID]
         whose memory user addresses mean, from now on
         Without a number: of gdb's selected thread, in lldb of the first one, as it does not tell.
         lldb remembers what it has read: settings set target.process.disable-memory-cache true
         The same as monitor user.",
    );
    session.is("monitor help user", session.of("monitor help proc"));
    session.has("monitor help nonsense", "nonsense: no such command\nmonitor help [COMMAND] ");
    session.is("monitor proc 5", "5: no such process or thread");
    session.is(
        "monitor proc 1",
        "cannot read user space from dead kernel: proc.p_vmspace is needed, and the kernel has no type information: name its kernel.debug or vmlinux",
    );
    for line in ["connected ", "packets ", "reads ", "bytes read "] {
        session.has("monitor stats", line);
    }
}

#[test]
fn the_same_in_lldb() {
    let scene = Scene::small();
    let sym = "process plugin packet monitor sym panic+5";
    let session = scene.lldb(&scene.serve(), &[sym, "process plugin packet monitor vtop hz"]);
    session.has(sym, "0xffffffff80201c25  panic+0x5  .text");
    session.has("process plugin packet monitor vtop hz", "page of 2 MiB at physical 0x400000, rw-");
}

#[test]
fn regions() {
    let scene = Scene::small();
    let server = scene.serve();
    let session = scene.gdb(
        &server,
        &[
            "monitor regions",
            "monitor regions hz",
            "monitor info mem",
            "monitor regions all",
            "monitor regions nonsense",
        ],
    );
    session.is(
        "monitor regions",
        "0xfffff80000000000-0xfffffbffffffffff direct map
         0xffffffff80200000-0xffffffff80204fff text",
    );
    session.is("monitor regions hz", "0xffffffff80400000-0xffffffff805fffff rw-");
    session.is("monitor regions nonsense", "nonsense: no such symbol");
    let mapped = session.of("monitor info mem");
    assert_eq!(mapped, session.of("monitor regions all"));
    for line in [
        "0xfffff80000000000-0xfffffbffffffffff  r??  direct map\n0xfffffe0010001000-0xfffffe0010004fff  rw-\n",
        "0xffffffff80200000-0xffffffff80204fff  r-x  text\n0xffffffff80205000-0xffffffff803fffff  r-x\n",
    ] {
        assert!(mapped.contains(line), "{line:?} is not in\n{session}");
    }
    let session = scene.lldb(&server, &["memory region 0xffffffff80410000", "memory region --all"]);
    session.has("memory region 0xffffffff80410000", "[0xffffffff80400000-0xffffffff80600000) rw-");
    if version(&mut lldb_program()) < 15 {
        return; // lldb 14 cannot list them
    }
    for line in [
        "[0x0000000000000000-0xfffff80000000000) ---\n[0xfffff80000000000-0xfffffc0000000000) r-- direct map\n",
        // Behind the name stands lldb's own for the part of the kernel's file.
        "[0xffffffff80200000-0xffffffff80205000) r-x text",
        "[0xffffffff80205000-0xffffffff80400000) r-x\n",
        "[0xffffffff80600000-0xffffffffffffffff) ---\n",
    ] {
        session.has("memory region --all", line);
    }
}
