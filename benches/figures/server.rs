//! The server beside an echo server, which does nothing but answer, and beside gdbserver.

use super::debuggers::{GDB, Peer};
use super::files::{self, Files, MIB, PHYSICAL};
use super::library::{DIRECT_MAP, private_memory_of};
use super::measure::{Times, in_turn};
use super::table::{Row, time};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

/// What gdb writes to a file: 64 MiB.
pub(crate) const DUMPED: u64 = 64 * MIB;

/// A server in a process of its own, ended when dropped.
pub(crate) struct Server {
    child: Child,
    port: u16,
    /// What it says must have somewhere to go.
    _said: BufReader<ChildStderr>,
}

impl Server {
    /// Starts a command that says `... port N` on stderr.
    fn start(command: &mut Command) -> std::io::Result<Self> {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert!(said.read_line(&mut line)? > 0, "{command:?} ended before it listened");
            if let Some((_, port)) = line.trim().split_once("istening on port ") {
                break port.parse().unwrap();
            }
        };
        Ok(Self { child, port, _said: said })
    }

    pub(crate) fn of(files: &Files) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
        command.args(["--listen", ":0"]).args([&files.kernel, &files.vmcore]);
        Self::start(&mut command).unwrap()
    }

    /// Serves an image without a kernel file, and keeps what it makes for debuggers in a folder.
    pub(crate) fn alone(image: &Path, cache: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
        command
            .env("XDG_CACHE_HOME", cache)
            .env_remove("DEBUGINFOD_URLS")
            .args(["--listen", ":0"])
            .arg(image);
        Self::start(&mut command).unwrap()
    }

    fn myself(role: &str) -> Self {
        Self::start(Command::new(std::env::current_exe().unwrap()).arg(role)).unwrap()
    }

    pub(super) fn peer(&self) -> Peer {
        Peer { port: self.port, schedstat: format!("/proc/{}/task/*/schedstat", self.child.id()) }
    }

    /// CPU time that its threads have used, in seconds.
    fn cpu(&self) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let nanoseconds = |path: std::path::PathBuf| -> f64 {
            let text = fs::read_to_string(path.join("schedstat")).unwrap();
            text.split(' ').next().unwrap().parse().unwrap()
        };
        tasks.map(|task| nanoseconds(task.unwrap().path())).sum::<f64>() / 1e9
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

/// Sends packets, and waits for what comes back.
pub(super) struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes of the last answer.
    answer: usize,
}

impl Client {
    fn of(server: &Server) -> Self {
        Self::at(server.port)
    }

    pub(super) fn at(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: vec![0; 1 << 20], answer: 0 }
    }

    /// Waits for the end of the answering packet.
    fn ask(&mut self, packet: &[u8]) {
        self.stream.write_all(packet).unwrap();
        let mut end = 0;
        while end < 4 || self.buffer[end - 3] != b'#' {
            let got = self.stream.read(&mut self.buffer[end..]).unwrap();
            assert!(got > 0, "the server hung up");
            end += got;
        }
        self.answer = end;
    }

    pub(super) fn say(&mut self, payload: &str) -> String {
        self.ask(&packet(payload));
        String::from_utf8_lossy(&self.buffer[..self.answer]).into_owned()
    }

    pub(super) fn without_acks(mut self) -> Self {
        self.say("QStartNoAckMode");
        self.stream.write_all(b"+").unwrap();
        self
    }
}

fn packet(payload: &str) -> Vec<u8> {
    let sum = payload.bytes().fold(0u8, u8::wrapping_add);
    format!("${payload}#{sum:02x}").into_bytes()
}

/// The echo server: sends back what comes in.
pub(crate) fn echo() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    eprintln!("Listening on port {}", listener.local_addr().unwrap().port());
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = [0; 16 << 10];
    while let Ok(got @ 1..) = stream.read(&mut buffer) {
        stream.write_all(&buffer[..got]).unwrap();
    }
}

/// A process for gdbserver to hold: fills its memory with noise, says where that is, and stops.
pub(crate) fn hold() {
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        state.to_le_bytes()
    };
    let memory: Vec<u8> = (0..DUMPED / 8).flat_map(|_| noise()).collect();
    println!("{:x}", memory.as_ptr().addr());
    std::process::abort();
}

/// gdbserver and what it holds.
pub(crate) struct Gdbserver {
    pub(crate) server: Server,
    pub(crate) address: u64,
}

impl Gdbserver {
    /// None where there is no gdbserver, or where it may not trace.
    pub(crate) fn start() -> Option<Self> {
        let mut command = Command::new("gdbserver");
        command.arg("127.0.0.1:0").arg(std::env::current_exe().unwrap()).arg("hold").stdout(Stdio::piped());
        let mut server = Server::start(&mut command).ok()?;
        let mut client = Client::of(&server).without_acks();
        let stopped = client.say("c");
        let mut line = String::new();
        BufReader::new(server.child.stdout.take()?).read_line(&mut line).ok()?;
        let address = u64::from_str_radix(line.trim(), 16).ok()?;
        assert!(stopped.starts_with("$T06"), "gdbserver: {stopped}");
        Some(Self { server, address })
    }
}

pub(crate) fn rows() -> Vec<Row> {
    let gdbserver = Gdbserver::start();
    if gdbserver.is_none() {
        eprintln!("no gdbserver, or it may not trace processes: its figures are left out");
    }
    let files = files::sized("4GiB");
    let server = Server::of(&files);
    let mut rows = round_trips(&server, gdbserver.as_ref());
    // With what a debugger makes it do.
    GDB.list_threads(&server.peer());
    let used = private_memory_of(&server.child.id().to_string());
    rows.push(
        Row::new("private memory, server", format!("{used:.1} MiB")).wanted("4 MB", used <= 4.0 / 1.048_576),
    );
    rows
}

const ROUNDS: usize = 15;
const CALLS: usize = 2000;

/// `m` of 64 bytes that were read before.
fn round_trips(server: &Server, gdbserver: Option<&Gdbserver>) -> Vec<Row> {
    let echo = Server::myself("echo");
    let question = packet(&format!("m{:x},40", DIRECT_MAP + PHYSICAL));
    let (mut ours, mut theirs) = (Client::of(server).without_acks(), Client::of(&echo));
    // An echo as long as our answer: the sizes are the same in both directions.
    let echoed = packet(&"0".repeat(128));
    let cpu = |server: &Server, ask: &mut dyn FnMut()| {
        let before = server.cpu();
        (0..CALLS).for_each(|_| ask());
        (server.cpu() - before) / CALLS as f64
    };
    let (mut used, mut used_by_echo) = (Vec::new(), Vec::new());
    let (mut taken, mut taken_by_echo) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        used.push(cpu(server, &mut || ours.ask(&question)));
        used_by_echo.push(cpu(&echo, &mut || theirs.ask(&echoed)));
        let [a, b] = in_turn(1, CALLS, [&mut || ours.ask(&question), &mut || theirs.ask(&echoed)]);
        taken.push(a.best());
        taken_by_echo.push(b.best());
    }
    let (taken, taken_by_echo) = (Times::of(taken), Times::of(taken_by_echo));
    let (used, used_by_echo) = (Times::of(used), Times::of(used_by_echo));
    let ratio = taken.ratio(&taken_by_echo);
    let mut trip = Row::new("round trip, 64 B", time(taken.best()))
        .wanted("1.2 x echo", ratio <= 1.2)
        .beside("echo", time(taken_by_echo.best()), ratio);
    let mut work = Row::new("server CPU of that", time(used.best()))
        .wanted("8 us", used.best() < 8e-6)
        .beside("echo", time(used_by_echo.best()), used.ratio(&used_by_echo));
    if let Some(peer) = gdbserver {
        let mut client = Client::of(&peer.server).without_acks();
        let question = packet(&format!("m{:x},40", peer.address));
        let before = peer.server.cpu();
        let [times] = in_turn(5, CALLS, [&mut || client.ask(&question)]);
        let cpu = (peer.server.cpu() - before) / (6 * CALLS) as f64;
        trip = trip.beside("gdbserver", time(times.best()), taken.best() / times.best());
        work = work.beside("gdbserver", time(cpu), used.best() / cpu);
    }
    vec![trip, work]
}
