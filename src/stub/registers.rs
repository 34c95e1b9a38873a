//! Registers: `g` and `p`. One that was not saved is `xx` in `g`, and an error in `p`, which lldb would take for 0xcc.

use super::front::{Reply, Session};
use super::threads::{no_thread, thread_id};
use super::{encode, errno};
use crate::kernel::Saved;
use kgdbserver_arch::Registers;

/// `g`, all of them; gdbstub answers for the thread that is selected.
pub(super) fn all(session: &mut Session, arguments: &[u8]) -> Reply {
    let arguments = match select(session, arguments) {
        Ok(arguments) => arguments,
        Err(reply) => return reply,
    };
    if session.target.selected.is_some() || !arguments.is_empty() {
        return Reply::Pass([b"g", arguments].concat());
    }
    let unknown = Registers::unknown(session.target.kvm.space().machine);
    Reply::Packet(b"xx".repeat(session.target.all_registers(&unknown).len()))
}

/// `pNUMBER`, one of them.
pub(super) fn one(session: &mut Session, arguments: &[u8]) -> Reply {
    let number = match select(session, arguments) {
        Ok(digits) => encode::number(digits).and_then(|number| usize::try_from(number).ok()),
        Err(reply) => return reply,
    };
    let Some(number) = number else { return Reply::malformed("a register's number") };
    if let Some(reply) = probed(session, number) {
        return reply;
    }
    let thread = session.target.selected.and(session.target.current());
    let Some(thread) = thread else {
        return Reply::Error(errno::UNAVAILABLE, "no thread is selected".into());
    };
    match session.target.register(thread, number) {
        Some(bytes) => Reply::Packet(encode::hex(&bytes)),
        None => Reply::Error(errno::UNAVAILABLE, why_unavailable(thread.saved).into()),
    }
}

fn why_unavailable(saved: Saved) -> &'static str {
    match saved {
        Saved::Nowhere(why) => why,
        Saved::Switched(_) => "the kernel does not save this register when a thread sleeps",
        Saved::Stopped(_) | Saved::Noted(_) => "this register was not saved when the system went down",
    }
}

/// Selects the thread that lldb's suffix names, if there is one. Returns what is before it.
fn select<'a>(session: &mut Session, arguments: &'a [u8]) -> Result<&'a [u8], Reply> {
    const SUFFIX: &[u8] = b";thread:";
    let at = memchr::memmem::find(arguments, SUFFIX).unwrap_or(arguments.len());
    let (before, id) = arguments.split_at_checked(at).unwrap_or_default();
    if let Some(id) = id.strip_prefix(SUFFIX) {
        let tid = thread_id(id.strip_suffix(b";").unwrap_or(id));
        let position = tid.and_then(|tid| session.target.thread(tid)).map(|(position, _)| position);
        session.select(position.ok_or_else(no_thread)?);
    }
    Ok(before)
}

/// The answer to lldb's first `p`, a probe whether that packet is supported. An error, the right answer for a register
/// that was not saved, would mean that it is not; lldb would use `g` for ever.
fn probed(session: &mut Session, number: usize) -> Option<Reply> {
    if !session.target.client.lldb || std::mem::replace(&mut session.target.client.probed, true) {
        return None;
    }
    let reg = session.target.kvm.space().machine.arch.regs.get(number)?;
    Some(Reply::Packet(b"xx".repeat(reg.bytes.into())))
}
