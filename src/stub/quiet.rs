//! Packets that change nothing in an image, and are accepted so that who sends them goes on.

use super::front::{Reply, Session};

/// What would matter if something ran: which signals are passed on, which system calls and new threads stop it, where it is
/// loaded, what becomes of it when the connection is lost.
pub(super) fn accept(_: &mut Session, _: &[u8]) -> Reply {
    Reply::Ok
}

/// `qGDBServerVersion`, which lldb shows of a platform and notes in its log.
pub(super) fn version(_: &mut Session, _: &[u8]) -> Reply {
    Reply::Packet(concat!("name:kgdbserver;version:", env!("CARGO_PKG_VERSION"), ";").into())
}
