//! A guest that runs, with our own program in it.

use crate::rsp::Client;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

/// An emulated kernel boots in half a minute where nothing else runs.
const PATIENCE: Duration = Duration::from_secs(300);

/// Booted, and killed when it goes.
pub(crate) struct Guest {
    child: Child,
    console: ChildStdin,
    lines: Receiver<String>,
    pub(crate) port: u16,
}

impl Guest {
    /// Boots the guest that `scripts/make-images live-amd64` prepared; none, with a printed reason, where there is none.
    pub(crate) fn boot(append: &str) -> Option<Self> {
        let root = std::env::var_os("KGDBSERVER_LINUX_IMAGES").map(PathBuf::from).unwrap_or_default();
        let folder = root.join("live-amd64");
        if !folder.join("initramfs").exists() {
            eprintln!("skipped: no guest in {} (scripts/make-images live-amd64)", folder.display());
            return None;
        }
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|any| any.local_addr()).expect("a free port").port();
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/images/live.py");
        // One that is linked statically and optimised is faster in the guest.
        let server = std::env::var_os("KGDBSERVER_LIVE_SERVER");
        let mut child = Command::new(program)
            .arg(folder)
            .arg(server.unwrap_or_else(|| env!("CARGO_BIN_EXE_kgdbserver").into()))
            .args([&port.to_string(), "--append", append])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start the guest");
        let console = child.stdin.take().expect("its console");
        let output = BufReader::new(child.stdout.take().expect("its console"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let lines = output.split(b'\n').map_while(Result::ok);
            lines.for_each(|line| drop(sender.send(String::from_utf8_lossy(&line).replace('\r', ""))));
        });
        let guest = Self { child, console, lines, port };
        guest.until("@@ ready");
        Some(guest)
    }

    /// What it says before a line that begins so, and that line.
    fn until(&self, mark: &str) -> (String, String) {
        let mut said = String::new();
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|why| panic!("no {mark:?} ({why}); it said\n{said}"));
            if line.starts_with(mark) {
                return (said, line);
            }
            said += &(line + "\n");
        }
    }

    /// What a command prints in the guest, whatever its status.
    pub(crate) fn run(&mut self, command: &str) -> String {
        writeln!(self.console, "{command}").expect("type a command");
        self.until("@@ done ").0
    }

    /// Starts the server in the guest, as root, and waits until it listens.
    pub(crate) fn serve(&mut self, arguments: &str) -> String {
        self.run(&format!(
            "kgdbserver {arguments} --listen 0.0.0.0:1234 --allow-remote --serve-files 2>/tmp/said & \
             for i in $(seq 300); do grep -q Listening /tmp/said && break; sleep 0.2; done; cat /tmp/said"
        ))
    }

    /// A connection to the server in the guest.
    pub(crate) fn connect(&self) -> Client<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Client::new(stream)
    }

    /// The guest's processes by its own /proc: number and name. A thread of the kernel's may have a longer one than a task can.
    pub(crate) fn processes(&mut self) -> Vec<(u32, String)> {
        let said = self.run("for d in /proc/[0-9]*; do echo ${d#/proc/} $(cat $d/comm 2>&1); done");
        let row = |line: &str| {
            let (pid, name) = line.split_once(' ')?;
            Some((pid.parse().ok()?, name.get(..15).unwrap_or(name).to_owned()))
        };
        said.lines().filter_map(row).collect()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}
