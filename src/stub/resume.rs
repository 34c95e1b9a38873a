//! What runs, and what stops it: nothing does. Clients stay calm if they are told so in the right way.

use super::front::{Reply, Session};
use super::{encode, errno, threads};

const MESSAGE: &str = "This is a kernel image: nothing runs, and nothing can be stepped or continued.\n";

/// `c`, `s`, `vCont`: a message on the console, and a stop. An error would make lldb lose the connection, and a debug
/// adapter wait for a stop for ever.
///
/// gdb gets a stop without a signal ("Thread 1 stopped."). A SIGTRAP where it asked for a step is that step done, and
/// its `step`, `next` and `finish` would go on stepping for ever, as the program counter never leaves the function.
pub(super) fn resume(session: &mut Session, _: &[u8]) -> Reply {
    let mut message = b"O".to_vec();
    message.extend(encode::hex(MESSAGE.as_bytes()));
    // Where no thread was selected, gdb takes the one that stops for selected.
    session.select(session.target.selected.unwrap_or(0));
    let Some(thread) = session.target.current() else { return Reply::Packet(message) };
    let signal = if session.target.client.lldb { 5 } else { 0 };
    Reply::Packets(vec![message, threads::stopped(session, thread, signal)])
}

/// `Z` and `z`: accepted, and forgotten. An error makes gdb abort `continue`, and lldb write a trap instruction itself.
pub(super) fn breakpoint(_: &mut Session, arguments: &[u8]) -> Reply {
    let well_formed = arguments.first().is_some_and(u8::is_ascii_digit) && arguments.get(1) == Some(&b',');
    if well_formed { Reply::Ok } else { Reply::malformed("TYPE,ADDRESS,KIND") }
}

/// `M`, `X`, `G`, `P`: an image is read, not written.
pub(super) fn write(_: &mut Session, _: &[u8]) -> Reply {
    Reply::Error(errno::READ_ONLY, "a kernel image cannot be written".into())
}
