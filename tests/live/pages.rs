//! What the pages show of a guest that runs, from within and from outside. They show one of x86-64.

use crate::driver::{GDB_WAITS, Server, Transcript, gdb_multiarch, server_program};
use crate::guest::Guest;
use crate::page::{Session, block, compare, has_lines, session, typed, without_numbers};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

const LIVE: &str = include_str!("../../docs/live.md");
const LINUX: &str = include_str!("../../docs/linux.md");
const WRITING: &str = include_str!("../../docs/writing.md");

fn is_shown(guest: &Guest) -> bool {
    guest.machine.name == "x86_64"
}

/// Types a session in gdb, and compares what it prints.
#[track_caller]
fn in_gdb(port: &str, session: &Session<'_>) -> Transcript {
    let connect = format!("target remote :{port}");
    let transcript = gdb_multiarch(&[&[GDB_WAITS, &connect], typed(session).as_slice()].concat());
    compare(&transcript, session);
    transcript
}

/// What the server says when it starts.
pub(crate) fn show_the_start(guest: &mut Guest) {
    if !is_shown(guest) {
        return;
    }
    let shown: Vec<&str> = block(LIVE, "$ sudo kgdbserver --live").lines().skip(1).collect();
    let said = guest.run(
        "kgdbserver --live 2>/tmp/page & until grep -q from.here /tmp/page; do sleep 0.2; done; cat /tmp/page; \
         killall kgdbserver",
    );
    has_lines(&said, "kgdbserver --live", &shown, without_numbers);
}

/// What gdb shows of the guest, while its server listens.
pub(crate) fn show_the_sessions(guest: &Guest) {
    for begin in ["(gdb) info threads", "(gdb) continue"] {
        if is_shown(guest) {
            in_gdb(&guest.port.to_string(), &session(LIVE, begin, "gdb"));
        }
    }
}

/// With the kernel's vmlinux, for which a server that was built without optimisation needs a minute.
pub(crate) fn show_the_outside(guest: &mut Guest) {
    let is_full = std::env::var_os("KGDBSERVER_FULL").is_some();
    let Some(vmlinux) = guest.vmlinux().filter(|_| is_full && is_shown(guest)) else {
        return eprintln!("skipped: what pages show from outside, without KGDBSERVER_FULL or the vmlinux");
    };
    let [ram, qmp] = ["ram.img", "qmp"].map(|name| guest.folder.path().join(name));
    show_qmp(&[&vmlinux, &ram], &qmp);
    show_writing(&[&vmlinux, &ram]);
    assert_eq!(guest.run("cat /proc/sys/kernel/panic").trim(), "30", "what the page writes");
}

fn show_qmp(files: &[&Path], qmp: &Path) {
    let server = Server::start_with(files, &["--qmp", qmp.to_str().expect("a path of letters")]);
    // An interrupt may be due where the page shows user mode.
    let page = LINUX.replace("0x0000000000401820 in ?? ()", "...");
    let mut session = session(&page, "$ qemu-system-x86_64", "gdb");
    session.insert(session.len() - 1, ("shell sleep 1", Vec::new())); // people type slower than we do
    let transcript = in_gdb(&server.port, &session);
    let [before, after] = [0, 1].map(|time| {
        let printed = transcript.nth("p jiffies_64", time).trim();
        printed.rsplit(' ').next().and_then(|word| word.parse::<u64>().ok()).expect("a number")
    });
    assert!(before < after, "the guest stands still\n{transcript}");
}

/// A server whose log is kept. It is killed when it goes.
struct Logged {
    child: Child,
    log: PathBuf,
}

impl Logged {
    /// Starts it; returns the port as well.
    fn start(files: &[&Path], folder: &Path) -> (Self, String) {
        let [log, port] = ["log", "port"].map(|name| folder.join(name));
        let mut server = server_program(folder);
        server.arg("--write").args(files).args(["--listen", ":0", "--port-file"]).arg(&port);
        server.stdin(Stdio::null()).stderr(File::create(&log).expect("a log"));
        let mut server = Self { child: server.spawn().expect("start the server"), log };
        while !port.exists() {
            assert!(server.child.try_wait().expect("wait for it").is_none(), "{}", server.said());
            std::thread::sleep(Duration::from_millis(100));
        }
        (server, std::fs::read_to_string(port).expect("a port").trim().to_owned())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a log")
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may be gone
        let _ = self.child.wait();
    }
}

fn show_writing(files: &[&Path]) {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, port) = Logged::start(files, folder.path());
    // What the server says stands below what is typed.
    let mut session = session(WRITING, "$ kgdbserver --gdb --write", "gdb");
    let is_logged = |line: &&str| line.starts_with("[WARN ]");
    let logged: Vec<&str> =
        session.iter().flat_map(|(_, printed)| printed.clone()).filter(is_logged).collect();
    assert!(!logged.is_empty(), "the page shows the log");
    session.iter_mut().for_each(|(_, printed)| printed.retain(|line| !line.is_empty() && !is_logged(line)));
    in_gdb(&port, &session);
    has_lines(&server.said(), "--write", &logged, without_numbers);
}
