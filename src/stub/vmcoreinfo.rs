//! VMCOREINFO for debuggers of Linux kernels that ask a remote for it, as drgn's developers propose: in pieces
//! (`qXfer:vmcoreinfo:read`) or, as they first had it, at once (`qlinux.vmcoreinfo`, also in patches for kgdb).
//! <https://github.com/osandov/drgn/wiki>, "GDB Remote Protocol proposal".

use super::encode;
use super::front::{Reply, Session};

/// `qXfer:vmcoreinfo:read::OFFSET,LENGTH`.
pub(super) fn xfer(session: &mut Session, arguments: &[u8]) -> Reply {
    match text(session) {
        Some(text) => Reply::xfer(text.as_bytes(), arguments),
        None => missing(),
    }
}

/// `qlinux.vmcoreinfo`: a `Q`, and all of it.
pub(super) fn whole(session: &mut Session, _: &[u8]) -> Reply {
    let Some(text) = text(session) else { return missing() };
    let mut packet = b"Q".to_vec();
    encode::escape(&mut packet, text.as_bytes());
    Reply::Packet(packet)
}

fn text(session: &Session) -> Option<&str> {
    session.target.kvm.linux().map(|told| told.info.text())
}

fn missing() -> Reply {
    Reply::missing("this image has no VMCOREINFO".into())
}
