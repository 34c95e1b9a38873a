//! What runs, and what stops it: nothing does. Clients stay calm if they are told so in the right way.

use super::front::{Reply, Session};
use super::writes::Breakpoint;
use super::{encode, errno, threads};

const RUNNING: &str = "This kernel runs all the time, and was looked at anew.\n";
const MESSAGE: &str = "This is a kernel image: nothing runs, and nothing can be stepped or continued.\n";

/// `c`, `s`, `vCont`: a message on the console, and a stop. An error would make lldb lose the connection, and a debug
/// adapter wait for a stop for ever.
///
/// gdb gets a stop without a signal ("Thread 1 stopped."). A SIGTRAP where it asked for a step is that step done, and
/// its `step`, `next` and `finish` would go on stepping for ever, as the program counter never leaves the function.
///
/// Of a running kernel this is how a debugger sees it as it is now: a stop makes it forget all that it had read.
///
/// A step stops in the thread that it was asked of. All else stops in the first one, the crashed one, or on a running kernel
/// in the selected one: a debug adapter has asked for the frames of every thread before, so that what it selected last is
/// no thread that its user chose.
pub(super) fn step(session: &mut Session, _: &[u8]) -> Reply {
    session.look_anew();
    let target = &session.target;
    let stepping = target.stepping.and_then(|tid| target.thread(tid)).map(|(position, _)| position);
    stop(session, stepping.or(session.target.selected).unwrap_or(0))
}

/// See `step`.
pub(super) fn go_on(session: &mut Session, _: &[u8]) -> Reply {
    session.look_anew();
    let runs = session.target.kvm.is_live();
    stop(session, session.target.selected.filter(|_| runs).unwrap_or(0))
}

/// Stops in a thread, which gdb takes for selected then.
fn stop(session: &mut Session, position: usize) -> Reply {
    let text = if session.target.kvm.is_live() { RUNNING } else { MESSAGE };
    let mut message = b"O".to_vec();
    message.extend(encode::hex(text.as_bytes()));
    session.select(position);
    let Some(thread) = session.target.current() else { return Reply::Packet(message) };
    let signal = if session.target.client.lldb { 5 } else { 0 };
    Reply::Packets(vec![message, threads::stopped(session, thread, signal)])
}

/// `Z`: accepted, and never carried out. An error makes gdb abort `continue`, and lldb write a trap instruction itself.
/// Where one was accepted nothing is written, so that what a debugger believes to be its trap stays the kernel's code.
pub(super) fn set_breakpoint(session: &mut Session, arguments: &[u8]) -> Reply {
    let Some(breakpoint) = breakpoint(arguments) else { return malformed() };
    match session.target.writes.accept(breakpoint) {
        true => Reply::Ok,
        false => Reply::Error(errno::FULL, "more breakpoints than any debugger sets".into()),
    }
}

/// `z`: accepted, and forgotten.
pub(super) fn remove_breakpoint(session: &mut Session, arguments: &[u8]) -> Reply {
    let Some(breakpoint) = breakpoint(arguments) else { return malformed() };
    session.target.writes.forget(&breakpoint);
    Reply::Ok
}

/// `TYPE,ADDRESS,KIND`, and perhaps conditions behind it. What the kind means depends on the processor; none is longer.
fn breakpoint(arguments: &[u8]) -> Option<Breakpoint> {
    let (kind, rest) = (arguments.first().filter(|kind| kind.is_ascii_digit())?, arguments.get(1..)?);
    let rest = rest.strip_prefix(b",")?;
    let address = rest.split(|byte| *byte == b',').next()?;
    let code = matches!(kind, b'0' | b'1');
    Some(Breakpoint { code, address: encode::number(address)? })
}

fn malformed() -> Reply {
    Reply::malformed("TYPE,ADDRESS,KIND")
}
