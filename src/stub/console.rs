//! What a `monitor` command prints while it runs, and how its user stops it.
//!
//! A client may send ^C. gdb does not: it forgets the command and tells nobody (13 and 16; gdbserver and QEMU do not notice
//! either). What is printed after that it takes for the answer to its next packet, and each answer for that to the packet
//! after: all it shows would be wrong from then on. So that packet ends the connection, unless nothing was printed.

use super::encode;
use std::io;
use std::time::{Duration, Instant};

/// Text goes out in pieces of about so many bytes; what comes slowly, after so long.
const PIECE: usize = 4096;
const SLOWLY: Duration = Duration::from_millis(200);

/// A debugger that hears nothing for so long may give up: gdb's `remotetimeout` is 2 seconds.
const SILENCE: Duration = Duration::from_secs(1);

/// How often the line is looked at, which costs a system call.
const LOOK: Duration = Duration::from_millis(20);

/// The connection, as a command sees it.
pub(super) trait Wire {
    /// Sends packets.
    fn send_now(&mut self, packets: &[u8]) -> io::Result<()>;

    /// Whether the client has sent something, without waiting for it.
    fn heard(&mut self) -> io::Result<Heard>;
}

/// What a client sent while a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing that matters.
    Nothing,
    /// ^C.
    Interrupt,
    /// The next packet, although the last one is not answered: the client does not wait for the answer any more.
    Packet,
}

/// The client wants no more of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped;

/// Where a command prints.
pub(super) struct Console<'a> {
    wire: &'a mut dyn Wire,
    text: String,
    sent: Instant,
    looked: Instant,
    printed: bool,
    /// Why nothing more is to be printed.
    ended: Option<io::Result<Heard>>,
}

impl<'a> Console<'a> {
    pub(super) fn new(wire: &'a mut dyn Wire) -> Self {
        let now = Instant::now();
        Self { wire, text: String::new(), sent: now, looked: now, printed: false, ended: None }
    }

    /// Prints text, which may wait here until more comes.
    pub(super) fn print(&mut self, text: &str) -> Result<(), Stopped> {
        if self.ended.is_none() {
            self.text += text;
        }
        self.poll()
    }

    /// Looks whether to go on. To be called again and again by what takes long: between two processes, two threads.
    pub(super) fn poll(&mut self) -> Result<(), Stopped> {
        let now = Instant::now();
        if self.ended.is_none() && now - self.looked >= LOOK {
            self.looked = now;
            match self.wire.heard() {
                Ok(Heard::Nothing) => {}
                other => self.ended = Some(other),
            }
        }
        if self.ended.is_some() {
            return Err(Stopped);
        }
        let silent = now - self.sent;
        if self.text.len() >= PIECE || !self.text.is_empty() && silent >= SLOWLY || silent >= SILENCE {
            self.flush();
        }
        self.ended.is_none().then_some(()).ok_or(Stopped)
    }

    /// The command's end: sends the rest, and the answer if the client waits for one. Fails if the connection is to end.
    pub(super) fn end(mut self) -> io::Result<()> {
        match self.ended.take() {
            Some(Err(error)) => return Err(error),
            Some(Ok(Heard::Packet)) if self.printed => {
                let text = "the debugger gave up a command, and would take its output for answers: it has to connect again";
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, text));
            }
            Some(Ok(Heard::Packet)) => return Ok(()),
            Some(Ok(_)) => self.text += "interrupted\n",
            None => {}
        }
        if !self.text.is_empty() {
            self.flush();
        }
        let mut ok = Vec::new();
        encode::frame(&mut ok, b"OK");
        match self.ended {
            Some(Err(error)) => Err(error),
            _ => self.wire.send_now(&ok),
        }
    }

    /// Sends what there is, and be it nothing: then it only says that the command still runs.
    fn flush(&mut self) {
        let mut packets = Vec::new();
        let text = std::mem::take(&mut self.text);
        let pieces = text.as_bytes().chunks(PIECE);
        pieces.for_each(|piece| output(&mut packets, piece));
        if packets.is_empty() {
            output(&mut packets, b"");
        }
        if let Err(error) = self.wire.send_now(&packets) {
            self.ended = Some(Err(error));
        }
        self.printed = true;
        self.sent = Instant::now();
    }
}

/// A packet of console output.
fn output(packets: &mut Vec<u8>, text: &[u8]) {
    encode::frame(packets, &[b"O", encode::hex(text).as_slice()].concat());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hears what it is told, in this order, and then nothing.
    #[derive(Default)]
    struct Line {
        sent: Vec<u8>,
        heard: Vec<Heard>,
    }

    impl Wire for Line {
        fn send_now(&mut self, packets: &[u8]) -> io::Result<()> {
            self.sent.extend(packets);
            Ok(())
        }

        fn heard(&mut self) -> io::Result<Heard> {
            Ok(self.heard.pop().unwrap_or(Heard::Nothing))
        }
    }

    /// What goes out, without the checksums.
    fn payloads(line: &Line) -> Vec<String> {
        let text = String::from_utf8_lossy(&line.sent);
        text.split('$')
            .skip(1)
            .map(|packet| packet.split('#').next().unwrap_or_default().to_owned())
            .collect()
    }

    #[test]
    fn text_goes_out_in_pieces_and_is_answered() {
        let mut line = Line::default();
        let mut console = Console::new(&mut line);
        console.print("one\n").unwrap();
        console.print(&"x".repeat(PIECE)).unwrap();
        console.print("two\n").unwrap();
        console.end().unwrap();
        let lengths: Vec<usize> = payloads(&line).iter().map(String::len).collect();
        assert_eq!(lengths, [1 + 2 * PIECE, 1 + 2 * 4, 1 + 2 * 4, 2]);
        assert_eq!(payloads(&line)[2..], ["O74776f0a", "OK"]);
    }

    #[test]
    fn a_command_that_prints_nothing_is_only_answered() {
        let mut line = Line::default();
        Console::new(&mut line).end().unwrap();
        assert_eq!(payloads(&line), ["OK"]);
    }

    #[test]
    fn who_is_silent_for_long_says_that_he_lives() {
        let mut line = Line::default();
        let mut console = Console::new(&mut line);
        console.sent -= SILENCE;
        console.poll().unwrap();
        console.end().unwrap();
        assert_eq!(payloads(&line), ["O", "OK"]);
    }

    #[test]
    fn an_interrupt_ends_the_output() {
        let mut line = Line { heard: vec![Heard::Interrupt], ..Line::default() };
        let mut console = Console::new(&mut line);
        console.print("a").unwrap();
        console.looked -= LOOK;
        assert_eq!(console.print("b"), Err(Stopped));
        assert_eq!(console.print("c"), Err(Stopped));
        console.end().unwrap();
        let expected = String::from_utf8(encode::hex(b"abinterrupted\n")).unwrap();
        assert_eq!(payloads(&line), [format!("O{expected}"), "OK".into()]);
    }

    #[test]
    fn whoever_sends_the_next_packet_gets_no_answer_to_this_one() {
        let mut line = Line { heard: vec![Heard::Packet], ..Line::default() };
        let mut console = Console::new(&mut line);
        console.looked -= LOOK;
        assert_eq!(console.print("a"), Err(Stopped));
        console.end().unwrap();
        assert_eq!(payloads(&line), Vec::<String>::new());
    }

    #[test]
    fn whoever_would_take_output_for_an_answer_is_hung_up_on() {
        let mut line = Line { heard: vec![Heard::Packet], ..Line::default() };
        let mut console = Console::new(&mut line);
        console.print(&"x".repeat(PIECE)).unwrap();
        console.looked -= LOOK;
        assert_eq!(console.poll(), Err(Stopped));
        assert_eq!(console.end().map_err(|error| error.kind()), Err(io::ErrorKind::ConnectionAborted));
        assert_eq!(payloads(&line).len(), 1);
    }
}
