//! A small client of the GDB remote serial protocol, and the server that it talks to.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test program uses a part of this, and a helper that cannot go on should stop the test"
)]

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// What gdb 13 says of itself.
pub const GDB: &str = "qSupported:multiprocess+;swbreak+;hwbreak+;qRelocInsn+;fork-events+;vfork-events+;exec-events+;\
                       vContSupported+;QThreadEvents+;no-resumed+;memory-tagging+";
/// gdb 16 also takes binary memory.
pub const GDB_16: &str = "qSupported:multiprocess+;swbreak+;hwbreak+;qRelocInsn+;fork-events+;vContSupported+;\
                          binary-upload+";
/// What lldb 19 says of itself.
pub const LLDB: &str = "qSupported:xmlRegisters=i386,arm,mips,arc;multiprocess+;fork-events+;vfork-events+";
/// lldb 20 and later take the same binary memory as gdb, which they do not say.
pub const LLDB_22: &str =
    "qSupported:xmlRegisters=i386,arm,mips,arc;multiprocess+;fork-events+;vfork-events+;swbreak+;hwbreak+";

/// The command, serving; killed when it goes.
pub struct Server {
    child: Child,
    errors: BufReader<ChildStderr>,
    /// The line that says where it listens.
    pub banner: String,
}

impl Server {
    /// Starts the command and waits until it listens.
    pub fn start<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
        command.args(arguments).stdin(Stdio::null()).stderr(Stdio::piped()).env_remove("RUST_LOG");
        let mut child = command.spawn().expect("start the server");
        let errors = BufReader::new(child.stderr.take().expect("its standard error"));
        let mut server = Self { child, errors, banner: String::new() };
        server.banner = server.line_with("Listening on ");
        server
    }

    /// Starts it with a kernel and an image on any free port.
    pub fn of(files: &crate::support::Saved) -> Self {
        Self::start([files.kernel.as_os_str(), files.vmcore.as_os_str(), "--listen".as_ref(), ":0".as_ref()])
    }

    /// The next line of standard error that holds a text.
    pub fn line_with(&mut self, text: &str) -> String {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert_ne!(
                self.errors.read_line(&mut line).expect("a line"),
                0,
                "it ended before it said {text:?}"
            );
        }
        line.trim().to_owned()
    }

    pub fn port(&self) -> u16 {
        self.banner.strip_prefix("Listening on port ").and_then(|port| port.parse().ok()).expect("a port")
    }

    /// A new connection.
    pub fn connect(&self) -> Client<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port())).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Client::new(stream)
    }

    /// The number of its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end; the exit status.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().expect("its end").code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended already
        let _ = self.child.wait();
    }
}

/// One end of a connection.
pub struct Client<S> {
    pub stream: S,
    acks: bool,
}

impl<S: Read + Write> Client<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, acks: true }
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("send");
        self.stream.flush().expect("send");
    }

    /// The next byte; none at the end.
    pub fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(0) => None,
            Ok(_) => Some(byte[0]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("no answer: {error}"),
        }
    }

    /// The next packet's payload as it came, runs and escapes undone; acknowledgements are passed over.
    pub fn packet(&mut self) -> Vec<u8> {
        while self.byte().expect("a packet, not the end") != b'$' {}
        let (mut raw, mut sum) = (Vec::new(), 0u8);
        loop {
            match self.byte().expect("the rest of a packet") {
                b'#' => break,
                byte => {
                    sum = sum.wrapping_add(byte);
                    raw.push(byte);
                }
            }
        }
        let digits = [self.byte().expect("a checksum"), self.byte().expect("a checksum")];
        assert_eq!(String::from_utf8_lossy(&digits), format!("{sum:02x}"), "the checksum");
        if self.acks {
            let _ = self.stream.write_all(b"+"); // after a good-bye nobody may be there
        }
        decoded(&raw)
    }

    /// Sends a packet and returns the reply as text; console output (`O`) is a line before it.
    pub fn ask(&mut self, payload: &str) -> String {
        let reply = self.ask_bytes(payload.as_bytes());
        reply.iter().map(|byte| printable(*byte)).collect()
    }

    /// Sends a packet and returns the reply, behind the console output that came before it.
    pub fn ask_bytes(&mut self, payload: &[u8]) -> Vec<u8> {
        self.write(&framed(payload));
        let (mut reply, mut packet) = (Vec::new(), self.packet());
        while packet.first() == Some(&b'O') && packet != b"OK" {
            reply.extend(packet);
            reply.push(b'\n');
            packet = self.packet();
        }
        reply.extend(packet);
        if payload == b"QStartNoAckMode" && reply == b"OK" {
            self.acks = false;
        }
        reply
    }

    /// Whether the other side hangs up, and sends nothing before that but acknowledgements.
    pub fn is_closed(&mut self) -> bool {
        loop {
            match self.byte() {
                None => return true,
                Some(b'+') => {}
                Some(_) => return false,
            }
        }
    }
}

/// A document that is read in pieces of a size, as clients do.
pub fn document<S: Read + Write>(client: &mut Client<S>, object: &str, piece: usize) -> String {
    let mut document = Vec::new();
    loop {
        let reply = client.ask_bytes(format!("qXfer:{object}:{:x},{piece:x}", document.len()).as_bytes());
        document.extend(&reply[1..]);
        assert!(reply.len() <= piece + 1, "{} bytes are more than {piece}", reply.len() - 1);
        match reply[0] {
            b'm' => assert!(reply.len() > 1, "nothing, and no end"),
            b'l' => return String::from_utf8(document).unwrap(),
            other => panic!("{}", char::from(other)),
        }
    }
}

/// A packet around a payload.
pub fn framed(payload: &[u8]) -> Vec<u8> {
    let sum = payload.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    [b"$", payload, format!("#{sum:02x}").as_bytes()].concat()
}

/// Undoes `}` escapes and `*` runs.
fn decoded(raw: &[u8]) -> Vec<u8> {
    let mut bytes = raw.iter().copied();
    let mut out: Vec<u8> = Vec::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'}' => out.push(bytes.next().expect("an escaped byte") ^ 0x20),
            b'*' => {
                let (last, count) = (*out.last().expect("a byte to repeat"), bytes.next().expect("a count"));
                out.extend(std::iter::repeat_n(last, usize::from(count) - 29));
            }
            other => out.push(other),
        }
    }
    out
}

fn printable(byte: u8) -> String {
    match byte {
        b'\n' | 0x20..0x7f => char::from(byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    }
}

/// The digits of bytes or a text.
pub fn digits(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text that digits stand for.
pub fn undigits(digits: &str) -> String {
    let pair = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("two digits");
    String::from_utf8((0..digits.len()).step_by(2).map(pair).collect()).expect("text")
}
