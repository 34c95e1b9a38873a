//! Packets over a byte stream: framing, acknowledgements, and what rude clients send.

use super::console::{Heard, Wire};
use super::encode;
use std::io::{self, Read, Write};

/// No packet of a client is longer; we announce less (see `front::PACKET_SIZE`).
const PACKET_LIMIT: usize = 256 << 10;

/// A byte stream to a client.
pub(super) trait Stream: Read + Write {
    /// Whether a read would return at once.
    fn is_ready(&self) -> io::Result<bool>;
}

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A packet's payload, as it was sent: binary data in it is still escaped.
    Packet(Vec<u8>),
    /// A packet longer than any that is to be expected; it was read to its end and thrown away.
    TooLong,
    /// A packet whose checksum is wrong, on a connection that agreed not to acknowledge, so nobody will send it again.
    Damaged,
    /// The stream ended.
    Closed,
}

/// How a client begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// As the protocol wants it.
    Packet,
    /// In another way, of which this is some.
    Other(Vec<u8>),
    /// Not at all: the stream ended.
    Nothing,
}

/// One connection.
pub(super) struct Transport<S> {
    stream: S,
    buffer: Vec<u8>,
    /// How much of the buffer was received.
    filled: usize,
    /// How much of that was used.
    at: usize,
    /// Whether packets are acknowledged: until the client asks that they are not.
    acks: bool,
    /// What was sent last, for a client that did not understand it.
    last: Vec<u8>,
    out: Vec<u8>,
}

impl<S: Stream> Transport<S> {
    pub(super) fn new(stream: S) -> Self {
        let (buffer, last, out) = (vec![0; 16 << 10], Vec::new(), Vec::new());
        Self { stream, buffer, filled: 0, at: 0, acks: true, last, out }
    }

    /// From the next packet on, none is acknowledged.
    pub(super) fn stop_acks(&mut self) {
        self.acks = false;
    }

    /// Waits for the first byte, which is not yet used up.
    pub(super) fn greeting(&mut self) -> io::Result<Greeting> {
        if self.at >= self.filled {
            self.fill()?;
        }
        let begin = self.buffer.get(self.at..self.filled).unwrap_or_default();
        Ok(match begin.first() {
            None => Greeting::Nothing,
            Some(b'+' | b'-' | b'$' | 0x03) => Greeting::Packet,
            Some(_) => Greeting::Other(begin.get(..16).unwrap_or(begin).to_vec()),
        })
    }

    /// Waits for the next packet. A client's ^C is passed over: nothing runs that could be interrupted.
    pub(super) fn receive(&mut self) -> io::Result<Event> {
        loop {
            let Some(byte) = self.byte()? else { return Ok(Event::Closed) };
            match byte {
                b'-' if self.acks => self.send_again()?,
                b'$' => {
                    if let Some(event) = self.packet()? {
                        return Ok(event);
                    }
                }
                _ => {}
            }
        }
    }

    /// The rest of a packet; none if its checksum is wrong and the client was asked to send it again.
    fn packet(&mut self) -> io::Result<Option<Event>> {
        let mut payload = Vec::new();
        let mut sum = 0u8;
        let mut length = 0;
        loop {
            match self.byte()? {
                None => return Ok(Some(Event::Closed)),
                Some(b'#') => break,
                // Nothing else may be written so: what was begun was given up, and this is the next.
                Some(b'$') => {
                    payload.clear();
                    (sum, length) = (0, 0);
                }
                Some(byte) => {
                    sum = sum.wrapping_add(byte);
                    length += 1;
                    if length <= PACKET_LIMIT {
                        payload.push(byte);
                    }
                }
            }
        }
        let (Some(high), Some(low)) = (self.byte()?, self.byte()?) else { return Ok(Some(Event::Closed)) };
        let sound = encode::unhex(&[high, low]).as_deref() == Some(&[sum]);
        Ok(match (sound, self.acks) {
            (true, acks) => {
                if acks {
                    self.out.push(b'+');
                }
                Some(if length > PACKET_LIMIT { Event::TooLong } else { Event::Packet(payload) })
            }
            (false, true) => {
                self.stream.write_all(b"-")?;
                self.stream.flush()?;
                None
            }
            (false, false) => Some(Event::Damaged),
        })
    }

    /// Sends bytes that are packets already, behind the acknowledgement that is due.
    pub(super) fn send(&mut self, packets: Vec<u8>) -> io::Result<()> {
        let sent = if self.out.is_empty() {
            self.stream.write_all(&packets)
        } else {
            // One write, so that the acknowledgement and the reply travel together.
            self.out.extend_from_slice(&packets);
            self.stream.write_all(&self.out)
        };
        self.out.clear();
        self.last = if self.acks { packets } else { Vec::new() };
        sent.and_then(|()| self.stream.flush())
    }

    fn send_again(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.last)?;
        self.stream.flush()
    }

    fn fill(&mut self) -> io::Result<()> {
        self.filled = loop {
            match self.stream.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.at = 0;
        Ok(())
    }

    fn byte(&mut self) -> io::Result<Option<u8>> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    /// The next byte, which stays the next.
    fn peek(&mut self) -> io::Result<Option<u8>> {
        if self.at >= self.filled {
            self.fill()?;
        }
        Ok(self.buffer.get(..self.filled).and_then(|filled| filled.get(self.at)).copied())
    }
}

impl<S: Stream> Wire for Transport<S> {
    fn send_now(&mut self, packets: &[u8]) -> io::Result<()> {
        self.send(packets.to_vec())
    }

    /// Passes over acknowledgements, and what is neither a packet nor ^C.
    fn heard(&mut self) -> io::Result<Heard> {
        while self.at < self.filled || self.stream.is_ready()? {
            match self.peek()? {
                Some(b'$') => return Ok(Heard::Packet),
                Some(0x03) => {
                    self.at += 1;
                    return Ok(Heard::Interrupt);
                }
                Some(_) => self.at += 1,
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        Ok(Heard::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client that has sent `input` and hung up.
    struct Script {
        input: io::Cursor<Vec<u8>>,
        output: Vec<u8>,
    }

    impl Read for Script {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            self.input.read(buf)
        }
    }

    impl Write for Script {
        fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
            self.output.write(buf)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Stream for Script {
        fn is_ready(&self) -> io::Result<bool> {
            Ok(true)
        }
    }

    fn transport(input: &[u8]) -> Transport<Script> {
        Transport::new(Script { input: io::Cursor::new(input.to_vec()), output: Vec::new() })
    }

    fn packet(text: &str) -> Event {
        Event::Packet(text.into())
    }

    #[test]
    fn packets_are_acknowledged_with_their_reply() {
        let mut wire = transport(b"+$qC#b4");
        assert_eq!(wire.receive().unwrap(), packet("qC"));
        wire.send(b"$OK#9a".to_vec()).unwrap();
        assert_eq!(wire.stream.output, b"+$OK#9a");
        assert_eq!(wire.receive().unwrap(), Event::Closed);
    }

    #[test]
    fn a_reply_is_sent_again_and_a_damaged_packet_asked_for_again() {
        let mut wire = transport(b"$qC#b4-$qC#00$qC#b4");
        assert_eq!(wire.receive().unwrap(), packet("qC"));
        wire.send(b"$OK#9a".to_vec()).unwrap();
        assert_eq!(wire.receive().unwrap(), packet("qC"));
        assert_eq!(wire.stream.output, b"+$OK#9a$OK#9a-");
    }

    #[test]
    fn without_acknowledgements_a_damaged_packet_is_an_event() {
        let mut wire = transport(b"$qC#00-$qC#b4");
        wire.stop_acks();
        assert_eq!(wire.receive().unwrap(), Event::Damaged);
        assert_eq!(wire.receive().unwrap(), packet("qC"));
        wire.send(b"$OK#9a".to_vec()).unwrap();
        assert_eq!(wire.stream.output, b"$OK#9a");
    }

    #[test]
    fn interrupts_and_noise_between_packets_are_passed_over() {
        let mut wire = transport(b"\x03\x03+++noise$qC#b4");
        assert_eq!(wire.receive().unwrap(), packet("qC"));
    }

    #[test]
    fn while_a_command_runs_only_interrupts_and_packets_are_heard() {
        let mut wire = transport(b"$qC#b4++\x03+$qC#b4");
        assert_eq!(wire.receive().unwrap(), packet("qC"));
        assert_eq!(wire.heard().unwrap(), Heard::Interrupt);
        assert_eq!(wire.heard().unwrap(), Heard::Packet);
        assert_eq!(wire.receive().unwrap(), packet("qC"), "what was heard is still there");
        assert_eq!(wire.heard().map_err(|error| error.kind()), Err(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn a_packet_without_end_is_thrown_away() {
        let mut long = [b"$".as_slice(), &[b'x'; PACKET_LIMIT + 10]].concat();
        let sum = long.iter().skip(1).fold(0u8, |sum, byte| sum.wrapping_add(*byte));
        long.extend(format!("#{sum:02x}$qC#b4").bytes());
        let mut wire = transport(&long);
        assert_eq!(wire.receive().unwrap(), Event::TooLong);
        assert_eq!(wire.receive().unwrap(), packet("qC"));
    }

    #[test]
    fn half_a_packet_ends_the_connection_or_is_given_up_for_the_next() {
        for input in ["$qC", "$qC#b"] {
            assert_eq!(transport(input.as_bytes()).receive().unwrap(), Event::Closed, "{input:?}");
        }
        assert_eq!(transport(b"$qSupp$qC#b4").receive().unwrap(), packet("qC"));
        let dollars = [vec![b'$'; 1 << 20], b"qC#b4".to_vec()].concat();
        assert_eq!(transport(&dollars).receive().unwrap(), packet("qC"));
    }

    #[test]
    fn other_protocols_are_known_by_their_first_byte() {
        for input in ["GET / HTTP/1.1\r\n\r\n$qC#b4", "\x16\x03\x01", "\n$qC#b4"] {
            let begin = &input.as_bytes()[..input.len().min(16)];
            assert_eq!(transport(input.as_bytes()).greeting().unwrap(), Greeting::Other(begin.to_vec()));
        }
        assert_eq!(transport(b"").greeting().unwrap(), Greeting::Nothing);
        for input in ["+", "$qC#b4", "-", "\x03"] {
            let mut wire = transport(input.as_bytes());
            assert_eq!(wire.greeting().unwrap(), Greeting::Packet, "{input:?}");
            assert_eq!(wire.greeting().unwrap(), Greeting::Packet, "{input:?}");
        }
        let mut wire = transport(b"$qC#b4");
        assert_eq!(wire.greeting().unwrap(), Greeting::Packet);
        assert_eq!(wire.receive().unwrap(), packet("qC"));
    }
}
