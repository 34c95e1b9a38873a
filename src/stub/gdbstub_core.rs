//! gdbstub's state machine behind the front: packets in, packets out.
//!
//! gdbstub treats a packet that it cannot parse as the end of the session, as probe-rs and others found. A debugger
//! cannot know that, so after such an error the machine is built anew and told what its predecessor knew.

use super::target::KernelTarget;
use super::{encode, errno};
use gdbstub::conn::Connection;
use gdbstub::stub::GdbStub;
use gdbstub::stub::state_machine::GdbStubStateMachine;
use std::convert::Infallible;

/// gdbstub scans its whole buffer for every packet, so a large one makes every packet slow: 4 KiB costs under a
/// microsecond, 1 MiB a millisecond.
const BUFFER: usize = 4096;

/// A client's feature that gdbstub knows nothing of.
const NOTHING: &str = "xmlRegisters=none";

/// Where gdbstub writes to.
struct Sink(Vec<u8>);

impl Connection for Sink {
    type Error = Infallible;

    fn write(&mut self, byte: u8) -> Result<(), Infallible> {
        self.0.push(byte);
        Ok(())
    }

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

type Machine = GdbStubStateMachine<'static, KernelTarget, Sink>;

/// gdbstub, for one session.
pub(super) struct Core {
    machine: Option<Machine>,
    /// The features that the client listed, for a new machine.
    features: String,
    over: bool,
}

impl Core {
    pub(super) fn new(target: &mut KernelTarget) -> Self {
        let mut core = Self { machine: None, features: NOTHING.to_owned(), over: false };
        core.start(target);
        core
    }

    /// Whether the client said good-bye.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// gdbstub's reply to `qSupported`. Over an empty list it would fail, so that it gets one that means nothing to it.
    pub(super) fn supported(&mut self, target: &mut KernelTarget, features: &str) -> String {
        self.features = if features.is_empty() { NOTHING } else { features }.to_owned();
        let packets = self.answer(target, format!("qSupported:{}", self.features).as_bytes());
        let payload = packets.split(|byte| matches!(byte, b'$' | b'#')).nth(1).unwrap_or_default();
        String::from_utf8_lossy(payload).into_owned()
    }

    /// The packets with which gdbstub answers a packet.
    pub(super) fn answer(&mut self, target: &mut KernelTarget, packet: &[u8]) -> Vec<u8> {
        if packet.len() > BUFFER - 16 {
            return error_packet();
        }
        match self.feed(target, packet) {
            Some(reply) => reply,
            None => {
                self.restart(target);
                error_packet()
            }
        }
    }

    fn start(&mut self, target: &mut KernelTarget) {
        let stub = GdbStub::builder(Sink(Vec::new())).packet_buffer_size(BUFFER).build();
        // The front acknowledges, so gdbstub need not.
        self.machine = stub.ok().and_then(|stub| stub.run_state_machine(target).ok());
        self.feed(target, b"QStartNoAckMode");
    }

    fn restart(&mut self, target: &mut KernelTarget) {
        self.start(target);
        self.feed(target, format!("qSupported:{}", self.features).as_bytes());
        if let Some(tid) = target.current().map(|thread| thread.tid) {
            self.feed(target, format!("Hg{tid:x}").as_bytes());
        }
    }

    /// What gdbstub wrote; none if it failed, and is gone.
    fn feed(&mut self, target: &mut KernelTarget, packet: &[u8]) -> Option<Vec<u8>> {
        let mut framed = Vec::new();
        encode::frame(&mut framed, packet);
        let mut machine = self.machine.take()?;
        for byte in framed {
            machine = match machine {
                GdbStubStateMachine::Idle(idle) => idle
                    .incoming_data(target, byte)
                    .inspect_err(|error| log::debug!("gdbstub starts anew: {error}"))
                    .ok()?,
                other => other,
            };
        }
        let sink = match &mut machine {
            GdbStubStateMachine::Idle(idle) => idle.borrow_conn(),
            GdbStubStateMachine::Disconnected(end) => {
                self.over = true;
                end.borrow_conn()
            }
            GdbStubStateMachine::Running(_) | GdbStubStateMachine::CtrlCInterrupt(_) => return None,
        };
        let mut written = std::mem::take(&mut sink.0);
        if written.first() == Some(&b'+') {
            written.remove(0);
        }
        self.machine = Some(machine);
        Some(written)
    }
}

fn error_packet() -> Vec<u8> {
    let mut packet = Vec::new();
    encode::frame(&mut packet, format!("E{:02x}", errno::INVALID).as_bytes());
    packet
}
