//! What a debugger writes: `M` and `X`. Registers stay as they were saved.

use super::front::{Reply, Session};
use super::serve::Writing;
use super::{encode, errno};
use crate::image::RawMemory;
use crate::{Error, Kvm};
use std::cell::Cell;
use std::collections::BTreeSet;

/// More breakpoints than any debugger sets.
const BREAKPOINTS: usize = 1 << 16;

/// What one debugger may write, and has.
pub(super) struct Writes {
    /// Who it is, for the log.
    pub(super) who: String,
    /// Its user wants the image itself to be written.
    pub(super) confirmed: Cell<bool>,
    /// Memory has changed since it was last read for what is remembered of it.
    pub(super) changed: Cell<bool>,
    /// That writing is refused was told.
    told: Cell<bool>,
    breakpoints: BTreeSet<Breakpoint>,
}

/// A breakpoint that was accepted, and does nothing.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Breakpoint {
    pub(super) address: u64,
    /// It is on code, not on data.
    pub(super) code: bool,
}

impl Writes {
    pub(super) fn new(writing: &Writing, who: &str) -> Self {
        Self {
            who: who.into(),
            confirmed: Cell::new(matches!(writing, Writing::Image { confirmed: true })),
            changed: Cell::new(false),
            told: Cell::new(false),
            breakpoints: BTreeSet::new(),
        }
    }

    /// False if there are too many.
    pub(super) fn accept(&mut self, breakpoint: Breakpoint) -> bool {
        self.breakpoints.insert(breakpoint);
        self.breakpoints.len() <= BREAKPOINTS
    }

    pub(super) fn forget(&mut self, breakpoint: &Breakpoint) {
        self.breakpoints.remove(breakpoint);
    }

    /// The first breakpoint on code within a range.
    fn breakpoint_in(&self, address: u64, bytes: usize) -> Option<u64> {
        let from = Breakpoint { address, code: false };
        let within = |breakpoint: &&Breakpoint| breakpoint.address.wrapping_sub(address) < bytes as u64;
        let mut here = self.breakpoints.range(from..).take_while(within);
        here.find(|breakpoint| breakpoint.code).map(|breakpoint| breakpoint.address)
    }

    /// Why nothing may be written; none if something may.
    pub(super) fn refusal(&self, kvm: &Kvm) -> Option<&'static str> {
        match (kvm.overlay(), kvm.is_writable(), self.confirmed.get()) {
            (Some(_), ..) | (_, true, true) => None,
            (_, true, false) => {
                Some("writing the machine's own memory needs a second step: monitor write on")
            }
            _ if kvm.is_live() || kvm.image().format == RawMemory::NAME => Some(
                "memory is only read: --overlay lets a debugger change its view of it, --write the memory itself",
            ),
            _ => Some(
                "an image is only read: start the server with --overlay to change this debugger's view of it",
            ),
        }
    }
}

/// `MADDRESS,LENGTH:DIGITS`.
pub(super) fn hexadecimal(session: &mut Session, arguments: &[u8]) -> Reply {
    write(session, arguments, encode::unhex)
}

/// `XADDRESS,LENGTH:BYTES`. gdb asks with a length of 0 whether there is this packet.
pub(super) fn binary(session: &mut Session, arguments: &[u8]) -> Reply {
    write(session, arguments, encode::unescape)
}

/// `G`, `P`: registers are what the kernel or the dump saved, and nothing runs that could take others.
pub(super) fn registers(_: &mut Session, _: &[u8]) -> Reply {
    Reply::Error(errno::READ_ONLY, "the registers of a kernel image cannot be written".into())
}

fn write(session: &Session, arguments: &[u8], decode: fn(&[u8]) -> Option<Vec<u8>>) -> Reply {
    let writes = &session.target.writes;
    if let Some(why) = writes.refusal(&session.target.kvm) {
        // gdb shows its own text and not this.
        if !writes.told.replace(true) {
            log::warn!("{}: not written: {why}", writes.who);
        }
        return Reply::Error(errno::READ_ONLY, why.into());
    }
    let Some((va, data)) = parse(arguments, decode) else {
        return Reply::malformed("ADDRESS,LENGTH:BYTES");
    };
    if let Some(breakpoint) = writes.breakpoint_in(va, data.len()) {
        let why = format!("a breakpoint is set at {breakpoint:#x}: delete it before writing there");
        return Reply::Error(errno::READ_ONLY, why);
    }
    let mut done = 0;
    while let Some(rest) = data.get(done..).filter(|rest| !rest.is_empty()) {
        match session.target.write(va.wrapping_add(done as u64), rest) {
            Ok(written) => done += written,
            Err(error) => return failed(&error, done),
        }
    }
    Reply::Ok
}

/// The protocol has no word for "these bytes and no more": what could be written before stays written, as by kvm_write.
fn failed(error: &Error, done: usize) -> Reply {
    let number = match error {
        Error::ReadOnly => errno::READ_ONLY,
        Error::OverlayFull { .. } => errno::FULL,
        _ => errno::FAULT,
    };
    let before = if done > 0 { format!(" ({done} bytes before it were written)") } else { String::new() };
    Reply::Error(number, format!("{error}{before}"))
}

/// The address and the bytes, if they are as many as the packet says.
fn parse(arguments: &[u8], decode: fn(&[u8]) -> Option<Vec<u8>>) -> Option<(u64, Vec<u8>)> {
    let colon = memchr::memchr(b':', arguments)?;
    let (place, data) = arguments.split_at_checked(colon)?;
    let (va, length) = encode::pair(place)?;
    let data = decode(data.get(1..)?)?;
    (data.len() as u64 == length).then_some((va, data))
}
