//! What real debuggers send, and what they are answered: recorded once on the demo's dump, and kept as text.
//!
//! `KGDBSERVER_TRANSCRIPTS=update` sends the same packets again and writes down the answers: after a change that is meant to
//! change them. `KGDBSERVER_TRANSCRIPTS=record` starts the debuggers too (those of `DEBUGGERS` that are in `PATH`), and writes
//! down what they send now.

use crate::rsp::{Client, framed};
use sha1::{Digest, Sha1};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A debugger's name with its release, its program, and what it is told.
pub(crate) type Debugger = (&'static str, &'static str, fn(&mut Command, u16));

pub(crate) const DEBUGGERS: &[Debugger] = &[
    ("gdb-13", "gdb", gdb),
    ("gdb-16", "gdb-16", gdb),
    ("lldb-14", "lldb-14", lldb),
    ("lldb-19", "lldb-19", lldb),
    ("lldb-22", "lldb-22", lldb),
];

/// What people do, and what IDEs do for them.
fn gdb(command: &mut Command, port: u16) {
    command.args(["-nx", "-batch", "-iex", "set width 0", "-ex", &format!("target remote :{port}")]);
    for line in [
        "info threads",
        "thread apply all bt",
        "info registers",
        "thread 3",
        "p (int)hz",
        "x/8i $pc",
        "x/4gx $sp",
        "x/gx 0x10",
        "find &version, +0x40, 'F', 'r', 'e', 'e'",
        "info os processes",
        "break panic",
        "continue",
        "stepi",
        "set var $rip = 0",
        "info sharedlibrary",
        "maintenance packet Qqemu.PhyMemMode:1",
        "x/gx 0x200000",
        "detach",
    ] {
        command.args(["-ex", line]);
    }
}

fn lldb(command: &mut Command, port: u16) {
    command.args(["--no-lldbinit", "-b", "-o", &format!("gdb-remote {port}")]);
    for line in [
        "thread list",
        "thread backtrace all",
        "register read",
        "thread select 3",
        "memory read -c 64 $sp",
        "p *(int *)&hz",
        "image list",
        "disassemble -c 4",
        "breakpoint set -a 0xffffffff80200d83",
        "process continue",
        "thread list",
        "process detach",
    ] {
        command.args(["-o", line]);
    }
}

/// The demo, served with a cache folder of its own. Paths are as long everywhere, as debuggers read them in pieces.
struct Demo {
    child: Child,
    port: u16,
    cache: TempDir,
}

impl Demo {
    fn serve() -> Self {
        let cache = tempfile::Builder::new().prefix("transcript-").rand_bytes(6).tempdir_in("/tmp").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
        command.args(["demo", "--listen", ":0"]).env("XDG_CACHE_HOME", cache.path()).env_remove("RUST_LOG");
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        let port = said.find_map(|line| line.strip_prefix("Listening on port ")?.parse().ok()).unwrap();
        std::thread::spawn(move || said.for_each(drop)); // a full pipe would stop it
        Self { child, port, cache }
    }

    /// A reply without what differs from run to run: the cache folder, and the name of the file in it, which is its digest.
    fn plain(&self, reply: &[u8]) -> Vec<u8> {
        let mut plain = reply.to_vec();
        let folder = self.cache.path().to_str().unwrap();
        blank(&mut plain, folder.as_bytes(), folder.len());
        blank(&mut plain, b"/kernel-", b"/kernel-".len() + 16);
        plain
    }

    /// The packets of a debugger's session, and the answers that they get now.
    fn converse(&self, packets: &[Vec<u8>]) -> String {
        let mut client = Client::new(TcpStream::connect(("127.0.0.1", self.port)).unwrap());
        client.stream.set_nodelay(true).unwrap();
        client.stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        let mut text = String::new();
        for packet in packets {
            writeln!(text, "-> {}", shown(packet)).unwrap();
            if packet == b"k" {
                break; // gdb's, which has no answer
            }
            let reply = self.plain(&client.ask_bytes(packet));
            writeln!(text, "<- {}", abridged(&reply)).unwrap();
        }
        text
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended already
        let _ = self.child.wait();
    }
}

/// Writes dots over what stands at each place where `begin` does, for so many bytes.
fn blank(text: &mut [u8], begin: &[u8], length: usize) {
    let places: Vec<usize> = (0..text.len()).filter(|at| text[*at..].starts_with(begin)).collect();
    for at in places {
        let end = (at + length).min(text.len());
        text[at..end].fill(b'.');
    }
}

/// Bytes as one line of text.
fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\\"", "\"").replace("\\'", "'")
}

/// A reply, if it is long its beginning, its length and its digest.
fn abridged(reply: &[u8]) -> String {
    const SHOWN: usize = 400;
    let text = shown(reply);
    let Some(begin) = text.get(..SHOWN) else { return text };
    let digest: String = Sha1::digest(reply).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{begin} ... {} bytes, {digest}", reply.len())
}

/// What `shown` wrote.
fn unshown(text: &str) -> Vec<u8> {
    let mut characters = text.bytes();
    let mut bytes = Vec::new();
    while let Some(byte) = characters.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match characters.next().unwrap() {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let digits = [characters.next().unwrap(), characters.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    bytes
}

/// The packets that a debugger sends when it is told the usual. Its connection leads through us.
fn record(demo: &Demo, program: &str, tell: fn(&mut Command, u16)) -> Option<Vec<Vec<u8>>> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new(program);
    tell(&mut command, listener.local_addr().unwrap().port());
    let home = tempfile::tempdir().unwrap();
    command.env("HOME", home.path()).env("TERM", "dumb").stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(Stdio::null()).spawn().ok()?;
    let (mut debugger, _) = listener.accept().unwrap();
    let mut server = TcpStream::connect(("127.0.0.1", demo.port)).unwrap();
    let (mut replies, mut back) = (server.try_clone().unwrap(), debugger.try_clone().unwrap());
    let answers = std::thread::spawn(move || std::io::copy(&mut replies, &mut back));
    let (mut sent, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(length @ 1..) = debugger.read(&mut piece) {
        sent.extend(&piece[..length]);
        server.write_all(&piece[..length]).unwrap();
    }
    server.shutdown(std::net::Shutdown::Both).unwrap();
    let _ = answers.join().unwrap(); // the debugger may have hung up first
    child.wait().unwrap();
    Some(packets_in(&sent))
}

/// The payloads of packets in a stream of bytes.
fn packets_in(stream: &[u8]) -> Vec<Vec<u8>> {
    let packets = stream.split(|byte| *byte == b'$').skip(1);
    packets.map(|packet| packet.split(|byte| *byte == b'#').next().unwrap().to_vec()).collect()
}

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts").join(name).with_extension("txt")
}

/// The packets in a transcript.
pub(crate) fn packets_of(text: &str) -> Vec<Vec<u8>> {
    text.lines().filter_map(|line| line.strip_prefix("-> ")).map(unshown).collect()
}

#[test]
fn debuggers_are_answered_as_before() {
    let wanted = std::env::var("KGDBSERVER_TRANSCRIPTS").unwrap_or_default();
    let mut compared = 0;
    for (name, program, tell) in DEBUGGERS {
        let known = std::fs::read_to_string(path(name)).unwrap_or_default();
        let recorded = if wanted == "record" { record(&Demo::serve(), program, *tell) } else { None };
        let packets = recorded.unwrap_or_else(|| packets_of(&known));
        if packets.is_empty() {
            continue;
        }
        let now = Demo::serve().converse(&packets);
        if wanted.is_empty() {
            let differing = known.lines().zip(now.lines()).find(|(known, now)| known != now);
            assert!(
                known == now,
                "{name} is answered otherwise, first here (was, is): {differing:#?}\n{HINT}"
            );
        } else {
            std::fs::write(path(name), now).unwrap();
        }
        compared += 1;
    }
    assert!(compared > 0, "no transcript");
}

const HINT: &str = "if that is meant to be: KGDBSERVER_TRANSCRIPTS=update cargo test --test stub transcripts";

#[test]
fn bytes_are_written_and_read_again() {
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(unshown(&shown(&all)), all);
    assert!(!shown(&all).contains('\n'));
    assert_eq!(
        packets_in(&[framed(b"qC"), b"+\x03".to_vec(), framed(b"g")].concat()),
        [b"qC".to_vec(), b"g".to_vec()]
    );
}
