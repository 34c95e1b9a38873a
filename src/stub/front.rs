//! The front: looks at every packet first.

use super::client::Texts;
use super::console::Console;
use super::gdbstub_core::Core;
use super::target::KernelTarget;
use super::transport::{Event, Stream, Transport};
use super::writes::Writes;
use super::{
    encode, errno, files, host, libraries, lldb_threads, memory, monitor, offsets, osdata, patience,
    physical, quiet, regions, registers, resolve, resume, search, threads, vmcoreinfo, writes,
};
use crate::Kvm;
use crate::symbols::served::SymbolFile;
use std::io;
use std::sync::Arc;

/// What we announce: longer replies make gdb and lldb faster, up to about this.
pub(super) const PACKET_SIZE: usize = 128 << 10;

/// Nobody types a longer command.
const COMMAND_LIMIT: usize = 1024;

/// How a packet is answered.
pub(super) enum Reply {
    /// `OK`.
    Ok,
    /// A payload.
    Packet(Vec<u8>),
    /// Several packets, one behind the other.
    Packets(Vec<Vec<u8>>),
    /// A number, and a text for clients that asked for texts.
    Error(u8, String),
    /// The empty reply: not supported.
    Unsupported,
    /// A command of the user's, which prints while it runs.
    Command(String),
    /// gdbstub answers this packet, which may not be the one that came.
    Pass(Vec<u8>),
}

impl Reply {
    /// The packet breaks the protocol's grammar.
    pub(super) fn malformed(expected: &str) -> Self {
        Self::Error(errno::INVALID, format!("malformed packet: expected {expected}"))
    }

    /// Something that is not there.
    pub(super) fn missing(text: String) -> Self {
        Self::Error(errno::NO_ENTRY, text)
    }

    /// A part of an object that is read in pieces: `OFFSET,LENGTH`.
    pub(super) fn xfer(data: &[u8], arguments: &[u8]) -> Self {
        let Some((offset, length)) = encode::pair(arguments) else { return Self::malformed("OFFSET,LENGTH") };
        let rest = usize::try_from(offset).ok().and_then(|offset| data.get(offset..)).unwrap_or_default();
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(PACKET_SIZE / 2);
        let (piece, more) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        let mut packet = vec![if more.is_empty() { b'l' } else { b'm' }];
        encode::escape(&mut packet, piece);
        Self::Packet(packet)
    }
}

/// A packet that the front answers.
struct Row {
    /// What the packet begins with, or is.
    name: &'static str,
    /// Whether arguments follow.
    arguments: bool,
    /// Answers it; gets what follows the name.
    answer: fn(&mut Session, &[u8]) -> Reply,
}

const fn is(name: &'static str, answer: fn(&mut Session, &[u8]) -> Reply) -> Row {
    Row { name, arguments: false, answer }
}

const fn begins(name: &'static str, answer: fn(&mut Session, &[u8]) -> Reply) -> Row {
    Row { name, arguments: true, answer }
}

/// The first row that fits counts.
static ROWS: &[Row] = &[
    is("?", threads::stop_reason),
    begins("H", threads::select),
    begins("T", threads::alive),
    begins("g", registers::all),
    begins("p", registers::one),
    begins("m", memory::m),
    begins("x", memory::x),
    begins("MultiMemRead:", memory::ranges),
    begins("qSearch:memory:", search::memory),
    begins("G", writes::registers),
    begins("M", writes::hexadecimal),
    begins("P", writes::registers),
    begins("X", writes::binary),
    begins("Z", resume::set_breakpoint),
    begins("z", resume::remove_breakpoint),
    is("vCont?", |_, _| Reply::Unsupported),
    begins("vCont", resume::go_on),
    begins("c", resume::go_on),
    begins("C", resume::go_on),
    begins("s", resume::step),
    begins("S", resume::step),
    begins("vFile:", files::operate),
    begins("qSupported", supported),
    is("k", kill),
    is("QStartNoAckMode", no_acks),
    is("QThreadSuffixSupported", lldb),
    is("QListThreadsInStopReply", lldb_threads::in_stop_reply),
    is("QEnableErrorStrings", error_strings),
    is("qC", threads::current),
    begins("qXfer:threads:read::", threads::xfer),
    begins("qXfer:osdata:read:", osdata::read),
    begins("qXfer:vmcoreinfo:read::", vmcoreinfo::xfer),
    is("qlinux.vmcoreinfo", vmcoreinfo::whole),
    is("qfThreadInfo", threads::first_numbers),
    begins("qXfer:libraries:read::", libraries::gdb),
    begins("qXfer:libraries-svr4:read::", libraries::lldb),
    begins("qThreadStopInfo", threads::stop_info),
    is("jThreadsInfo", lldb_threads::all),
    is("qHostInfo", host::host),
    is("qProcessInfo", host::process),
    begins("qSymbol:", resolve::symbol),
    is("qOffsets", offsets::offsets),
    is("qqemu.Supported", physical::supported),
    is("qqemu.PhyMemMode", physical::mode),
    begins("Qqemu.PhyMemMode:", physical::set_mode),
    is("qGDBServerVersion", quiet::version),
    begins("QPassSignals:", quiet::accept),
    begins("QProgramSignals:", quiet::accept),
    begins("QCatchSyscalls:", quiet::accept),
    begins("QThreadEvents:", quiet::accept),
    begins("QSetDetachOnError:", quiet::accept),
    begins("QDisableRandomization:", quiet::accept),
    is("QNonStop:0", quiet::accept),
    begins("qMemoryRegionInfo:", regions::info),
    begins("qRcmd,", command),
];

/// One debugger's session.
pub(super) struct Session {
    pub(super) target: KernelTarget,
    pub(super) resolve: resolve::Answers,
    /// `qXfer:threads`' document, which a client reads in many pieces.
    pub(super) threads_xml: Option<String>,
    /// The name of a table of `qXfer:osdata`, and the table.
    pub(super) osdata: Option<(Vec<u8>, String)>,
    /// Files that the client has open; none if it may not open any.
    pub(super) files: Option<files::Files>,
    /// Where the last search found something.
    pub(super) found: Option<u64>,
    core: Core,
    /// The client agreed that packets are not acknowledged.
    acks_end: bool,
}

impl Session {
    pub(super) fn new(
        kvm: Arc<Kvm>,
        symbol_file: Arc<SymbolFile>,
        serve_files: bool,
        writes: Writes,
    ) -> Self {
        let mut target = KernelTarget::new(kvm, symbol_file, writes);
        let core = Core::new(&mut target);
        let mut session = Self {
            target,
            resolve: resolve::Answers::default(),
            threads_xml: None,
            osdata: None,
            files: serve_files.then(files::Files::default),
            found: None,
            core,
            acks_end: false,
        };
        // Clients select a thread before they ask for registers, gdbstub has none until then.
        session.select(0);
        session
    }

    /// Serves one connection to its end.
    pub(super) fn run(&mut self, mut wire: Transport<impl Stream>) -> io::Result<()> {
        loop {
            let reply = match wire.receive()? {
                Event::Closed => return Ok(()),
                Event::Packet(packet) => {
                    self.wait_for_files(&packet, &mut wire)?;
                    self.reply(&packet)
                }
                Event::TooLong => Reply::malformed("a shorter packet"),
                Event::Damaged => Reply::malformed("a correct checksum"),
            };
            self.send(reply, &mut wire)?;
            if std::mem::take(&mut self.acks_end) {
                wire.stop_acks();
            }
            if self.core.is_over() {
                return Ok(());
            }
        }
    }

    /// Makes the symbol files before a packet asks for them.
    fn wait_for_files(&self, packet: &[u8], wire: &mut Transport<impl Stream>) -> io::Result<()> {
        let files = &self.target.symbol_file;
        let asked =
            [b"qXfer:exec-file:".as_slice(), b"qXfer:libraries:"].iter().any(|name| packet.starts_with(name));
        if self.target.client.lldb || !asked || files.is_made() {
            return Ok(());
        }
        let files = files.clone();
        patience::patiently(wire, move || files.make())
    }

    fn reply(&mut self, packet: &[u8]) -> Reply {
        log::trace!("<- {}", String::from_utf8_lossy(packet.get(..200).unwrap_or(packet)));
        self.target.count.packets.add(1);
        self.target.client.at_registers = packet == b"g";
        // A long write comes in many packets.
        let writes = matches!(packet, [b'M' | b'X', b'0'..=b'9' | b'a'..=b'f', ..]);
        if !writes && self.target.writes.changed.take() {
            self.target.look_again();
            self.forget();
        }
        match row(packet) {
            Some((row, arguments)) => (row.answer)(self, arguments),
            None => Reply::Pass(packet.to_vec()),
        }
    }

    fn send(&mut self, reply: Reply, wire: &mut Transport<impl Stream>) -> io::Result<()> {
        if let Reply::Command(line) = reply {
            self.look_anew();
            let mut console = Console::new(wire);
            monitor::run(&self.target, &line, &mut console);
            return console.end();
        }
        let packets = self.encode(reply);
        log::trace!("-> {}", String::from_utf8_lossy(packets.get(..200).unwrap_or(&packets)));
        wire.send(packets)
    }

    /// Makes a thread the current one, for us and for gdbstub.
    pub(super) fn select(&mut self, position: usize) {
        let Some(thread) = self.target.threads().get(position) else { return };
        let packet = format!("Hg{:x}", thread.tid);
        self.target.selected = Some(position);
        self.core.answer(&mut self.target, packet.as_bytes());
    }

    /// Looks at a running kernel anew.
    pub(super) fn look_anew(&mut self) {
        if self.target.kvm.is_live() {
            self.target.look_anew();
            self.threads_xml = None;
        }
    }

    /// Shows the client another view of the image: with other names there may be other threads.
    pub(super) fn replace(&mut self, kvm: Kvm) {
        self.target.show(Arc::new(kvm));
        // The thread that the client has selected is gone, which it does not know yet.
        self.target.selected = None;
        self.forget();
    }

    /// Drops what is remembered of documents that a client reads in pieces.
    fn forget(&mut self) {
        self.threads_xml = None;
        self.osdata = None;
    }

    fn encode(&mut self, reply: Reply) -> Vec<u8> {
        let mut out = Vec::new();
        match reply {
            Reply::Ok => encode::frame(&mut out, b"OK"),
            Reply::Unsupported | Reply::Command(_) => encode::frame(&mut out, b""),
            Reply::Packet(payload) => encode::frame(&mut out, &payload),
            Reply::Packets(payloads) => payloads.iter().for_each(|payload| encode::frame(&mut out, payload)),
            Reply::Error(number, text) => encode::frame(&mut out, &self.error(number, &text)),
            Reply::Pass(packet) => return self.core.answer(&mut self.target, &packet),
        }
        out
    }

    fn error(&self, number: u8, text: &str) -> Vec<u8> {
        let mut payload = format!("E{number:02x}").into_bytes();
        match self.target.client.texts {
            Texts::None => {}
            Texts::Behind => {
                payload.push(b';');
                payload.extend(encode::hex(text.as_bytes()));
            }
            Texts::Instead => {
                payload = b"E.".to_vec();
                encode::escape(&mut payload, text.as_bytes());
            }
        }
        payload
    }
}

fn row(packet: &[u8]) -> Option<(&'static Row, &[u8])> {
    ROWS.iter().find_map(|row| {
        let rest = packet.strip_prefix(row.name.as_bytes())?;
        (row.arguments || rest.is_empty()).then_some((row, rest))
    })
}

/// `qSupported`: gdbstub's list, with what the front adds, and without what it answers differently.
///
/// Without `multiprocess` gdb shows `Thread 100670`, with it `Thread 1.100670`: there is only one kernel.
fn supported(session: &mut Session, features: &[u8]) -> Reply {
    let features = String::from_utf8_lossy(features.strip_prefix(b":").unwrap_or(features)).into_owned();
    session.target.client.learn(&features);
    let ours = |feature: &&str| !feature.is_empty() && !feature.starts_with("multiprocess");
    let passed = features.split(';').filter(ours).collect::<Vec<_>>().join(";");
    let reply = session.core.supported(&mut session.target, &passed);
    let kept = |feature: &&str| {
        let changed = ["PacketSize=", "multiprocess", "vContSupported"];
        !changed.iter().any(|name| feature.starts_with(name))
    };
    let theirs = reply.split(';').filter(kept);
    let size = format!("PacketSize={PACKET_SIZE:x}");
    let target = &session.target;
    let (always, files, linux) = (true, target.symbol_file.is_possible(), target.kvm.linux().is_some());
    let added = [
        ("qXfer:threads:read+", always),
        ("qXfer:osdata:read+", always),
        ("binary-upload+", always),
        ("MultiMemRead+", always),
        ("QThreadSuffixSupported+", always),
        ("QListThreadsInStopReply+", always),
        ("qXfer:libraries:read+", files),
        ("qXfer:libraries-svr4:read+", files),
        ("qXfer:vmcoreinfo:read+", linux),
    ];
    let added = added.into_iter().filter_map(|(feature, offered)| offered.then_some(feature));
    let list: Vec<&str> = std::iter::once(size.as_str()).chain(theirs).chain(added).collect();
    Reply::Packet(list.join(";").into_bytes())
}

/// The session's end. lldb waits to be told that what it killed is dead; gdb does not.
fn kill(session: &mut Session, _: &[u8]) -> Reply {
    session.core.answer(&mut session.target, b"k");
    Reply::Packets(if session.target.client.lldb { vec![b"X09".to_vec()] } else { Vec::new() })
}

/// `qRcmd`: `monitor`.
fn command(_: &mut Session, line: &[u8]) -> Reply {
    match encode::unhex(line) {
        Some(line) if line.len() <= COMMAND_LIMIT => {
            Reply::Command(String::from_utf8_lossy(&line).into_owned())
        }
        Some(_) => Reply::malformed("a shorter command"),
        None => Reply::malformed("hexadecimal digits"),
    }
}

fn no_acks(session: &mut Session, _: &[u8]) -> Reply {
    session.acks_end = true;
    Reply::Ok
}

/// Only lldb sends this.
fn lldb(session: &mut Session, _: &[u8]) -> Reply {
    session.target.client.lldb = true;
    Reply::Ok
}

fn error_strings(session: &mut Session, _: &[u8]) -> Reply {
    session.target.client.texts = Texts::Behind;
    Reply::Ok
}
