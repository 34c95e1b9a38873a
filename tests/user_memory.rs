//! Memory of processes, in a debugger's session: whose it is that an address means.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

mod rsp;
mod support;
mod synth;

use rsp::{GDB, LLDB, Server, digits, undigits};
use synth::Compiled;

/// Where the kernel of `tests/data/freebsd.c` has an environment; only process 20 has that page.
const ENVIRONMENT: &str = "m7fffffffd070,a";
const FAULT: &str = "E0e";

/// The compiled kernel must stay as long as the server: its types are read when first asked for.
fn serve() -> Option<(Server, Compiled)> {
    let built = Compiled::new("freebsd.c")?;
    let (kernel, vmcore) = (built.file("kernel"), built.save());
    let server = Server::start([kernel.as_os_str(), vmcore.as_os_str(), "--listen".as_ref(), ":0".as_ref()]);
    Some((server, built))
}

#[test]
fn in_gdb_it_is_the_selected_threads() {
    let Some((server, _built)) = serve() else { return };
    let mut gdb = server.connect();
    gdb.ask(GDB);
    let seen = digits("HOME=/root");
    let rows = [
        ("?", seen.as_str()), // the crashed thread's
        ("Hg186ab", FAULT),   // a kernel thread's
        ("Hg186b4", &seen),
        ("Hg1", FAULT), // nobody's
    ];
    for (select, expected) in rows {
        gdb.ask(select);
        assert_eq!(gdb.ask(ENVIRONMENT), expected, "after {select}");
    }
    gdb.ask("Hg186b4");
    assert_eq!(gdb.ask("m1000,8"), FAULT, "no page table maps this");
}

#[test]
fn in_lldb_it_is_the_first_threads_or_the_chosen_ones() {
    let Some((server, _built)) = serve() else { return };
    let mut lldb = server.connect();
    lldb.ask(LLDB);
    lldb.ask("QThreadSuffixSupported");
    let seen = digits("HOME=/root");
    assert_eq!(lldb.ask(ENVIRONMENT), seen);
    lldb.ask("p10;thread:186ab;");
    assert_eq!(lldb.ask(ENVIRONMENT), seen, "registers of another thread say nothing of memory");

    let mut user = |command: &str| {
        let reply = lldb.ask(&format!("qRcmd,{}", digits(command)));
        let text: String = reply
            .lines()
            .filter_map(|line| line.strip_prefix('O'))
            .filter(|o| *o != "K")
            .map(undigits)
            .collect();
        (text, lldb.ask(ENVIRONMENT))
    };
    let none = "cannot read user space from dead kernel: the process has none: it is exiting\n";
    assert_eq!(user("user 100011"), (none.into(), seen.clone()));
    assert_eq!(user("user 100021"), ("user addresses mean memory of cron (pid 21)\n".into(), FAULT.into()));
    assert_eq!(user("user 100020"), ("user addresses mean memory of sh (pid 20)\n".into(), seen.clone()));
    assert_eq!(user("user 7"), ("7: no such process or thread\n".into(), seen.clone()));
    assert_eq!(user("user sh"), ("sh: not the number of a process or a thread\n".into(), seen.clone()));
    assert_eq!(user("user 1 2"), ("monitor proc [PID|TID]\n".into(), seen.clone()));
    assert_eq!(user("user"), ("user addresses mean memory of sh (pid 20)\n".into(), seen));
}
