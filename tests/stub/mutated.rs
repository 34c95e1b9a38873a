//! Packets that are nearly those of real debuggers: whatever comes, there is an answer, and the next packet's is right.
//!
//! What is tried is the same in each run. With `KGDBSERVER_FULL=1` it is more.

use crate::rsp::Client;
use crate::support::Saved;
use crate::transcripts::{DEBUGGERS, packets_of, path};
use kgdbserver::stub::serve::Server;
use std::collections::BTreeSet;
use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

const SEED: u64 = 0x6b67_6462_7365_7276;
/// No answer is longer, nor takes longer.
const LENGTH: usize = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(20);
/// What is sent is not longer.
const LONG: usize = 16 << 10;
/// What the transcripts have none of.
const OTHERS: [&str; 12] = [
    "MultiMemRead:ranges:ffffffff80200000,4,10,8;",
    "qRcmd,6274",
    "vFile:setfs:0",
    "vFile:open:2f6b65726e656c,0,0",
    "vFile:pread:0,1000,0",
    "vFile:fstat:0",
    "vFile:close:0",
    "QPassSignals:e;10",
    "qThreadExtraInfo,1893e",
    "qXfer:vmcoreinfo:read::0,1000",
    "qSymbol:ffffffff80200000:687a",
    "Mffffffff80200000,1:cc",
];
/// Numbers at the edges of something.
const NUMBERS: [&str; 8] = [
    "0",
    "ffffffffffffffff",
    "8000000000000000",
    "7fffffffffffffff",
    "ffffffff",
    "10000000000000000",
    "-1",
    "fff",
];

/// Numbers that look random (Marsaglia's xorshift64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    fn byte(&mut self) -> u8 {
        self.below(256) as u8
    }

    fn range(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length + 1);
        start..start + self.below(length - start + 1)
    }
}

/// Changes a packet a little.
fn mutate(packet: &mut Vec<u8>, others: &[Vec<u8>], random: &mut Random) {
    let range = random.range(packet.len());
    match random.below(8) {
        0 => packet.truncate(range.start),
        1 => drop(packet.drain(range)),
        2 => packet.extend_from_within(range),
        3 => packet.insert(range.start, random.byte()),
        4 => {
            let byte = random.byte();
            packet[range].fill(byte);
        }
        5 => {
            let other = &others[random.below(others.len())];
            packet.splice(range, other[random.range(other.len())].iter().copied());
        }
        6 => {
            // One number becomes another.
            let is_digit = |byte: &u8| byte.is_ascii_hexdigit();
            let start =
                packet[range.start..].iter().position(is_digit).map_or(0, |found| range.start + found);
            let end = packet[start..]
                .iter()
                .position(|byte| !is_digit(byte))
                .map_or(packet.len(), |end| start + end);
            packet.splice(start..end, NUMBERS[random.below(NUMBERS.len())].bytes());
        }
        _ => {
            let times = random.below(200);
            let part = packet[range].to_vec();
            packet.extend(part.repeat(times));
        }
    }
    packet.truncate(LONG);
}

/// Packets of real sessions, each once.
fn seeds() -> Vec<Vec<u8>> {
    let text = |(name, ..): &(&str, &str, _)| std::fs::read_to_string(path(name)).unwrap_or_default();
    let recorded = DEBUGGERS.iter().flat_map(|debugger| packets_of(&text(debugger)));
    let all: BTreeSet<Vec<u8>> = recorded.chain(OTHERS.map(|text| text.as_bytes().to_vec())).collect();
    assert!(all.len() > 300, "{} packets are few", all.len());
    all.into_iter().collect()
}

fn server(files: &Saved) -> Server {
    Server::new(Arc::new(files.open().unwrap())).serve_files(true)
}

fn rounds(usual: usize) -> usize {
    if std::env::var("KGDBSERVER_FULL").is_ok_and(|full| full == "1") { usual * 20 } else { usual }
}

/// Ends the session, as it should.
fn ends(packet: &[u8]) -> bool {
    [&b"D"[..], b"k", b"vKill"].iter().any(|end| packet.starts_with(end))
}

#[test]
fn any_packet_is_answered_and_the_next_one_rightly() {
    let files = Saved::small();
    let (server, seeds, mut random) = (server(&files), seeds(), Random(SEED));
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_read_timeout(Some(PATIENCE)).unwrap();
    let session = std::thread::spawn(move || server.connected(theirs, "a test"));
    let mut client = Client::new(ours);
    client.ask("QStartNoAckMode");
    for round in 0..rounds(20_000) {
        let mut packet = seeds[random.below(seeds.len())].clone();
        (0..=random.below(3)).for_each(|_| mutate(&mut packet, &seeds, &mut random));
        packet.retain(|byte| !b"$#".contains(byte));
        if ends(&packet) {
            continue;
        }
        let begun = Instant::now();
        let reply = client.ask_bytes(&packet);
        let shown = packet.escape_ascii();
        assert!(reply.len() < LENGTH && begun.elapsed() < PATIENCE, "round {round}: {shown}");
        assert_eq!(client.ask("qAttached"), "1", "round {round}, after {shown}");
    }
    assert_eq!(client.ask("Qqemu.PhyMemMode:0"), "OK");
    assert_eq!(client.ask("mffffffff80200000,4"), "554889e5");
    assert_eq!(client.ask("D"), "OK");
    session.join().expect("a session that ended well");
}

/// Frames, checksums and acknowledgements are not spared here.
#[test]
fn any_bytes_at_all_come_to_an_end() {
    let files = Saved::small();
    let (server, seeds, mut random) = (server(&files), seeds(), Random(SEED));
    for round in 0..rounds(300) {
        let mut said = b"+".to_vec();
        for _ in 0..20 {
            said.extend(crate::rsp::framed(&seeds[random.below(seeds.len())]));
        }
        (0..=random.below(20)).for_each(|_| mutate(&mut said, &seeds, &mut random));
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        let mut listening = ours.try_clone().unwrap();
        let begun = Instant::now();
        std::thread::scope(|scope| {
            scope.spawn(|| server.connected(theirs, "a test"));
            scope.spawn(|| std::io::copy(&mut listening, &mut std::io::sink()));
            let _ = ours.write_all(&said); // it may hear a good-bye in that
            ours.shutdown(Shutdown::Write).unwrap();
        });
        assert!(begun.elapsed() < PATIENCE, "round {round}");
    }
}
