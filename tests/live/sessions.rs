//! Debuggers of this machine at the server in the guest.

use crate::STEADY;
use crate::driver::{Transcript, gdb_multiarch, lldb};
use crate::guest::{Guest, PATIENCE};
use crate::pages;
use crate::rsp::{Client, GDB, document};
use std::collections::BTreeSet;
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub(crate) fn debuggers_see_it_run(guest: &mut Guest) {
    let said = guest.serve("--live");
    assert!(said.contains("Listening on port 1234"), "{said}");
    let user = guest.run("ps -o user,comm | grep kgdbserver | head -1");
    assert!(user.contains("65534"), "privileges were not dropped: {user}");
    gdb_sees_it_as_it_is_now(guest);
    pages::show_the_sessions(guest);
    lldb_sees_it_as_it_is_now(guest);
    jiffies_go_on(guest);
    new_threads_are_seen(guest);
    a_fork_storm_is_survived(guest);
}

/// gdb's session with the server in the guest.
fn gdb_with(guest: &Guest, before: &[&str], commands: &[&str]) -> Transcript {
    let connect = format!("target remote :{}", guest.port);
    gdb_multiarch(&[before, &["set remotetimeout 250", &connect], commands].concat())
}

fn gdb_sees_it_as_it_is_now(guest: &mut Guest) {
    // The kernel's messages are behind a pointer whose place VMCOREINFO tells.
    let messages = "print (*(struct printk_ringbuffer **)&prb)->desc_ring.head_id.counter";
    let module = guest.run("cat /sys/module/fuse/sections/.gnu.linkonce.this_module");
    let module = format!("print ((struct module *){})->name", module.trim());
    guest.run("(while :; do echo tick >/dev/kmsg; sleep 1; done) & echo $! >/tmp/ticking");
    let commands = [messages, "shell sleep 3", messages, &module, "info threads", "continue", "bt 1"];
    let session = gdb_with(guest, &[], &commands);
    guest.run("kill $(cat /tmp/ticking)");
    assert!(number(&session, messages, 1) > number(&session, messages, 0), "{session}");
    session.has(&module, "= \"fuse\"");
    for name in STEADY {
        session.has("info threads", &format!("\"{name}\""));
    }
    session.has("continue", "This kernel runs all the time");
}

fn lldb_sees_it_as_it_is_now(guest: &mut Guest) {
    let connect = format!("gdb-remote {}", guest.port);
    let patience = "settings set plugin.process.gdb-remote.packet-timeout 250";
    let session = lldb(&[patience, &connect, "thread list", "continue", "thread list"]);
    for (pid, (name, _)) in guest.processes().iter().filter(|(_, row)| STEADY.contains(&row.0.as_str())) {
        for time in 0..2 {
            let list = session.nth("thread list", time);
            assert!(list.contains(&format!(": tid = {pid}")), "{name} is not in list {time}:\n{session}");
        }
    }
}

/// The clock, by the kernel's own table of names, or by its vmlinux where that has more and is at hand.
fn jiffies_go_on(guest: &Guest) {
    let vmlinux = guest.vmlinux().map(|path| format!("file {}", path.display()));
    if !guest.machine.names_data && vmlinux.is_none() {
        eprintln!("skipped: no vmlinux (scripts/make-images --debug) has the name jiffies_64");
        return;
    }
    let jiffies = "print *(unsigned long *)&jiffies_64";
    let session = gdb_with(
        guest,
        &vmlinux.as_deref().map_or(vec![], |file| vec![file]),
        &[jiffies, "shell sleep 1", jiffies],
    );
    // 250 a second, by the guest's clock.
    let ticks = number(&session, jiffies, 1) - number(&session, jiffies, 0);
    assert!((100..100_000).contains(&ticks), "{session}");
}

/// What `print` printed.
fn number(session: &Transcript, command: &str, time: usize) -> u64 {
    let text = session.nth(command, time).trim();
    text.rsplit(' ').next().unwrap().parse().unwrap_or_else(|_| panic!("{text}\n{session}"))
}

pub(crate) fn connect(guest: &Guest) -> Client<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", guest.port)).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    Client::new(stream)
}

/// The names of all threads, as gdb asks for them.
fn threads(client: &mut Client<TcpStream>) -> BTreeSet<String> {
    let xml = document(client, "threads:read:", 0xffff);
    xml.split(" name=\"").skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

fn new_threads_are_seen(guest: &mut Guest) {
    let mut client = connect(guest);
    client.ask(GDB);
    assert!(!threads(&mut client).contains("newcomer"));
    guest.run("ln -s cast /bin/newcomer; newcomer sleep & sleep 1");
    assert!(threads(&mut client).contains("newcomer"));
    guest.run("killall newcomer; sleep 1");
    assert!(!threads(&mut client).contains("newcomer"));
}

/// Processes that begin and end all the time, on both CPUs. A debugger looks at them while they do.
fn a_fork_storm_is_survived(guest: &mut Guest) {
    let full = std::env::var_os("KGDBSERVER_FULL").is_some();
    let duration = Duration::from_secs(if full { 60 } else { 10 });
    for _ in 0..2 {
        guest.run("(while :; do sleep 0 & sleep 0 & sleep 0 & wait; done) >/dev/null 2>&1 &");
    }
    let mut client = connect(guest);
    client.ask(GDB);
    // Without it gdb gives up where the thread that slept just now runs when its registers are read: three of 20 sessions.
    let stop = client.ask("?");
    let pc = stop.split(';').nth(1).and_then(|part| part.split_once(':'));
    assert!(pc.is_some_and(|(_, digits)| digits.len() == 16), "{stop}");
    let start = Instant::now();
    let mut looks = 0;
    while looks < 3 || start.elapsed() < duration {
        let threads = threads(&mut client);
        for name in STEADY {
            assert!(threads.contains(name), "{name} is lost in look {looks}: {threads:?}");
        }
        looks += 1;
    }
    eprintln!("{}: {looks} looks in {:?}", guest.machine.name, start.elapsed());
    if full {
        let session = gdb_with(guest, &[], &["info threads", "continue", "info threads"]);
        for (name, time) in STEADY.into_iter().flat_map(|name| [(name, 0), (name, 1)]) {
            let list = session.nth("info threads", time);
            assert!(list.contains(&format!("\"{name}\"")), "{name} is lost in list {time}:\n{session}");
        }
        lldb_sees_it_as_it_is_now(guest);
    }
}
