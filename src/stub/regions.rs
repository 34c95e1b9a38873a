//! `qMemoryRegionInfo`, lldb's way to ask what an address is for.
//!
//! gdb has a packet of its own kind, `qXfer:memory-map`. It is not offered: a list of all that is mapped takes a walk over
//! everything, and gdb refuses to read what is not in it.

use super::front::{Reply, Session};
use super::{encode, errno};
use crate::cells::Access;
use crate::regions::Stretch;
use kgdbserver_arch::{Rights, Va};

/// `qMemoryRegionInfo:ADDRESS`.
pub(super) fn info(session: &mut Session, address: &[u8]) -> Reply {
    let Some(va) = encode::number(address) else { return Reply::malformed("an address") };
    if session.target.physical {
        return Reply::Unsupported;
    }
    let Stretch { first, last, access, name } = session.target.view(|view| view.at(Va(va)));
    if access == Access::Unmapped && session.target.may_lack(Va(va)) {
        return Reply::Error(
            errno::FAULT,
            "the image is cut off, and may lack what maps this address".into(),
        );
    }
    // lldb asks for what comes next until an end is its invalid address, the highest one, which a sum cannot pass.
    let size = last.0.saturating_add(1) - first.0;
    let permissions = match access {
        Access::Unmapped => String::new(),
        Access::Mapped(rights) => format!("permissions:{};", permissions(rights)),
    };
    let hex = |name: String| String::from_utf8_lossy(&encode::hex(name.as_bytes())).into_owned();
    let name = name.map(|name| format!("name:{};", hex(name))).unwrap_or_default();
    Reply::Packet(format!("start:{:x};size:{size:x};{permissions}{name}", first.0).into_bytes())
}

/// Without a word from the image nothing but reading is promised.
fn permissions(rights: Option<Rights>) -> String {
    let letter =
        |set: fn(&Rights) -> bool, letter| if rights.as_ref().is_some_and(set) { letter } else { "" };
    format!("r{}{}", letter(|rights| rights.write, "w"), letter(|rights| rights.execute, "x"))
}
