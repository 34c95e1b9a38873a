//! Guests that run, with our own program in them.

use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

/// An emulated kernel boots in half a minute where nothing else runs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(300);

/// A machine whose guest `scripts/make-images` prepares.
pub(crate) struct Machine {
    /// The guest's name there.
    guest: &'static str,
    /// The variable of the environment that says where the server for it is: linked statically (`scripts/static`). With it the
    /// guest must be there, without it the machine is left out.
    server: &'static str,
    /// What its kernel calls it.
    pub(crate) name: &'static str,
    /// Whether kallsyms knows the names of data (`KALLSYMS_ALL`).
    pub(crate) names_data: bool,
}

const MACHINES: [Machine; 2] = [
    Machine { guest: "live-amd64", server: "KGDBSERVER_LIVE_AMD64", name: "x86_64", names_data: true },
    Machine { guest: "live-arm64", server: "KGDBSERVER_LIVE_ARM64", name: "aarch64", names_data: false },
];

/// Held by the guest that runs: each wants all CPUs.
static TURN: Mutex<()> = Mutex::new(());

/// A guest that has booted; killed when it goes.
pub(crate) struct Guest {
    pub(crate) machine: &'static Machine,
    child: Child,
    console: ChildStdin,
    lines: Receiver<String>,
    pub(crate) port: u16,
    /// Where its memory and QEMU's monitor are.
    pub(crate) folder: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// The guests of all machines, one after the other, each with this on its kernel's command line.
pub(crate) fn guests(append: &str) -> impl Iterator<Item = Guest> {
    MACHINES.iter().filter_map(move |machine| {
        let server = std::env::var_os(machine.server).map(PathBuf::from);
        if server.is_none() {
            eprintln!("skipped: {}: no {} (scripts/static)", machine.guest, machine.server);
        }
        let server = server?;
        assert!(
            images().join(machine.guest).join("initramfs").exists(),
            "scripts/make-images {} first",
            machine.guest
        );
        Some(Guest::boot(machine, machine.guest, &server, append))
    })
}

/// The guests of all machines with a kernel that is built for them, `live-amd64-KIND`; what was not made is left out.
pub(crate) fn built(kind: &str) -> impl Iterator<Item = Guest> {
    MACHINES.iter().filter_map(move |machine| {
        let name = format!("{}-{kind}", machine.guest);
        let server = std::env::var_os(machine.server).map(PathBuf::from);
        let server = server.filter(|_| images().join(&name).join("initramfs").exists());
        if server.is_none() {
            eprintln!(
                "skipped: {name}: it was not made (scripts/make-images {name}), or no {}",
                machine.server
            );
        }
        Some(Guest::boot(machine, &name, &server?, ""))
    })
}

fn images() -> PathBuf {
    std::env::var_os("KGDBSERVER_LINUX_IMAGES").map(PathBuf::from).unwrap_or_default()
}

/// A disk with room for dumps, which do not fit the memory that they are of: the guest knows XFS.
fn make_disk(path: &Path) {
    std::fs::File::create(path).and_then(|file| file.set_len(2 << 30)).expect("a sparse file");
    let mut make = Command::new("sh");
    make.args(["-c", "PATH=$PATH:/usr/sbin; mkfs.xfs -q \"$0\""]).arg(path);
    assert!(make.status().is_ok_and(|status| status.success()), "no mkfs.xfs (the package xfsprogs)");
}

impl Guest {
    fn boot(machine: &'static Machine, name: &str, server: &Path, append: &str) -> Self {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let prepared = images().join(name);
        let folder = tempfile::tempdir().expect("a folder");
        make_disk(&folder.path().join("disk"));
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|any| any.local_addr()).expect("a free port").port();
        let mut child = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/images/live.py"))
            .args([&prepared, server])
            .arg(port.to_string())
            .arg(folder.path())
            .args(["--append", append])
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
        let guest = Self { machine, child, console, lines, port, folder, _turn: turn };
        guest.until("@@ ready");
        guest
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

    /// What our program prints of the guest, run in it.
    pub(crate) fn json(&mut self, question: &str) -> Value {
        let said = self.run(&format!("kgdbserver {question} --live --json 2>/tmp/errors || cat /tmp/errors"));
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{question}: {error}: {said}"))
    }

    /// Starts the server in the guest, as root, and waits until it listens.
    pub(crate) fn serve(&mut self, arguments: &str) -> String {
        self.run(&format!(
            "kgdbserver {arguments} --listen 0.0.0.0:1234 --allow-remote --serve-files 2>/tmp/said & \
             for i in $(seq 300); do grep -q Listening /tmp/said && break; sleep 0.2; done; cat /tmp/said"
        ))
    }

    /// Copies a file of the guest's.
    pub(crate) fn fetch(&mut self, from: &str, to: &Path) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let port = listener.local_addr().expect("a port").port();
        let mut file = std::fs::File::create(to).expect("a file");
        let copy = std::thread::spawn(move || std::io::copy(&mut listener.accept()?.0, &mut file));
        self.run(&format!("nc 10.0.2.2 {port} <{from}"));
        assert_ne!(copy.join().expect("a copy").expect("a copy"), 0, "{from} is empty");
    }

    /// The guest's processes by its own /proc: the columns of /proc/PID/stat, with the name cut as a task's is. A thread of the
    /// kernel's may have a longer one there.
    pub(crate) fn processes(&mut self) -> BTreeMap<u64, (String, Vec<String>)> {
        let said = self.run("for d in /proc/[0-9]*; do cat $d/stat; done 2>/dev/null");
        let row = |line: &str| {
            let (pid, rest) = line.split_once(" (")?;
            let (name, columns) = rest.rsplit_once(") ")?;
            let columns = columns.split(' ').map(str::to_owned).collect();
            Some((pid.parse().ok()?, (name.get(..15).unwrap_or(name).to_owned(), columns)))
        };
        said.lines().filter_map(row).collect()
    }

    /// The kernel's own file with all its names, where `scripts/make-images --debug` has brought it.
    pub(crate) fn vmlinux(&self) -> Option<PathBuf> {
        let made_from = std::fs::read_to_string(images().join(self.machine.guest).join("made-from")).ok()?;
        let release = made_from.strip_prefix("kernel linux-image-")?.split(' ').next()?;
        Some(images().join(format!("debug/vmlinux-{release}"))).filter(|path| path.exists())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}
