//! Threads: names for both kinds of clients, and the thread that comes first.

use super::front::{Reply, Session};
use super::{encode, errno, lldb_threads};
use crate::kernel::Thread;
use std::fmt::Write;

/// `?`: the crashed thread, or else the first. `library` makes lldb ask what is loaded.
pub(super) fn stop_reason(session: &mut Session, _: &[u8]) -> Reply {
    session.select(0);
    match session.target.threads().first() {
        Some(thread) => {
            let libraries = session.target.client.lldb && session.target.symbol_file.is_possible();
            let libraries: &[u8] = if libraries { b"library:;" } else { b"" };
            Reply::Packet([stopped(session, thread, 5).as_slice(), libraries].concat())
        }
        None => Reply::Error(errno::NO_THREAD, "no threads".into()),
    }
}

/// What all threads do when one stops.
pub(super) fn stopped(session: &Session, thread: &Thread, signal: u8) -> Vec<u8> {
    [stop_reply(session, thread, signal), lldb_threads::list(session).into_bytes()].concat()
}

/// `qThreadStopInfo`, lldb's way to a thread's name. Threads that did not stop for a reason of their own have signal 0.
pub(super) fn stop_info(session: &mut Session, arguments: &[u8]) -> Reply {
    let thread = thread_id(arguments).and_then(|tid| session.target.thread(tid));
    let Some((_, thread)) = thread else { return no_thread() };
    Reply::Packet(stop_reply(session, thread, if thread.crashed { 5 } else { 0 }))
}

/// `T05thread:..;`, and for lldb the name, the reason, and the registers it would ask for next.
///
/// gdb refuses a thread that stops without a program counter, and with it the whole connection. So one that was not
/// saved is 0 here, as in a call through a null pointer; among the registers it is unavailable. On a running kernel the thread
/// that slept just now may run, or be gone, when gdb asks for its registers: there it is told in any case.
fn stop_reply(session: &Session, thread: &Thread, signal: u8) -> Vec<u8> {
    let mut reply = format!("T{signal:02x}thread:{:x};", thread.tid);
    let machine = session.target.kvm.space().machine;
    if session.target.client.lldb {
        // A name may hold `;` and `:`, so it goes in digits.
        let _ = write!(reply, "hexname:{};", hex_text(&thread.name));
        if let Some(reason) = reason(session, thread) {
            let _ = write!(reply, "reason:exception;description:{};", hex_text(&reason));
        }
        for (reg, bytes) in expedited(session, thread) {
            let _ = write!(reply, "{reg:02x}:{};", String::from_utf8_lossy(&encode::hex(&bytes)));
        }
    } else {
        let pc = session.target.registers(thread).raw(machine.arch.pc);
        if pc.is_none() || session.target.kvm.is_live() {
            let pc = encode::hex(&pc.unwrap_or_else(|| vec![0; machine.ptr_bytes.into()]));
            // Writing to a String cannot fail.
            let _ = write!(reply, "{:02x}:{};", machine.arch.pc, String::from_utf8_lossy(&pc));
        }
    }
    reply.into_bytes()
}

pub(super) fn hex_text(text: &str) -> String {
    String::from_utf8_lossy(&encode::hex(text.as_bytes())).into_owned()
}

/// Why a thread stopped, if it is the crashed one.
pub(super) fn reason(session: &Session, thread: &Thread) -> Option<String> {
    let kvm = &session.target.kvm;
    let panic = || kvm.kernel().ok()?.panic_message(kvm.space());
    thread.crashed.then(|| panic().map_or("crashed".into(), |message| format!("panic: {message}")))
}

/// The registers that a client needs to show a thread's first frame.
pub(super) fn expedited(session: &Session, thread: &Thread) -> Vec<(usize, Vec<u8>)> {
    let arch = session.target.kvm.space().machine.arch;
    let registers = session.target.registers(thread);
    let wanted = [arch.pc, arch.sp, arch.frames.register];
    wanted.into_iter().filter_map(|reg| Some((reg, registers.raw(reg)?))).collect()
}

/// `qXfer:threads:read`: gdb's way to names, CPUs and states.
pub(super) fn xfer(session: &mut Session, arguments: &[u8]) -> Reply {
    if arguments.starts_with(b"0,") {
        session.look_anew();
    }
    let xml = session.threads_xml.take().unwrap_or_else(|| threads_xml(session.target.threads()));
    let reply = Reply::xfer(xml.as_bytes(), arguments);
    session.threads_xml = Some(xml);
    reply
}

/// `qfThreadInfo`: the way to the numbers alone, which gdbstub answers.
pub(super) fn first_numbers(session: &mut Session, _: &[u8]) -> Reply {
    session.look_anew();
    Reply::Pass(b"qfThreadInfo".to_vec())
}

fn threads_xml(threads: &[Thread]) -> String {
    let mut xml = String::from("<?xml version=\"1.0\"?>\n<threads>\n");
    for thread in threads {
        let core = thread.on_cpu.map(|cpu| format!(" core=\"{cpu}\"")).unwrap_or_default();
        let (name, extra) = (encode::xml(&thread.name), encode::xml(&extra_info(thread)));
        let _ = writeln!(xml, "<thread id=\"{:x}\"{core} name=\"{name}\">{extra}</thread>", thread.tid);
    }
    xml + "</threads>\n"
}

/// `pid 28 [S] vmwait`.
pub(super) fn extra_info(thread: &Thread) -> String {
    let state = thread.state.map(|state| format!(" [{state}]")).unwrap_or_default();
    let wait = thread.wait.as_ref().map(|wait| format!(" {wait}")).unwrap_or_default();
    let crashed = if thread.crashed { " crashed" } else { "" };
    format!("pid {}{state}{wait}{crashed}", thread.pid)
}

/// `qC`: the current thread. lldb takes a plain number for a process, and then fails to connect.
pub(super) fn current(session: &mut Session, _: &[u8]) -> Reply {
    let Some(thread) = session.target.current() else { return no_thread() };
    let process = if session.target.client.lldb { "p1." } else { "" };
    Reply::Packet(format!("QC{process}{:x}", thread.tid).into_bytes())
}

/// `T`: whether a thread exists.
pub(super) fn alive(session: &mut Session, arguments: &[u8]) -> Reply {
    let Some(tid) = thread_id(arguments) else { return Reply::malformed("a thread") };
    if session.target.thread(tid).is_some() { Reply::Ok } else { no_thread() }
}

/// `H`: which thread the next packets mean. 0 is any thread, -1 all of them.
pub(super) fn select(session: &mut Session, arguments: &[u8]) -> Reply {
    let (operation, id) = arguments.split_at_checked(1).unwrap_or_default();
    let any = |id: &[u8]| matches!(id, b"0" | b"-1" | b"p1.0" | b"p1.-1" | b"p-1.-1" | b"p0.0");
    match (operation, thread_id(id)) {
        (b"c", tid) if tid.is_some() || any(id) => {
            session.target.stepping = tid;
            Reply::Ok
        }
        (b"g", _) if any(id) => Reply::Ok,
        (b"g", Some(tid)) => match session.target.thread(tid).map(|(position, _)| position) {
            Some(position) => {
                session.select(position);
                Reply::Ok
            }
            None => {
                // gdb does not look at this reply: what it reads next must not be another thread's.
                session.target.selected = None;
                no_thread()
            }
        },
        _ => Reply::malformed("g or c, and a thread"),
    }
}

/// A thread's number, with or without a process before it.
pub(super) fn thread_id(text: &[u8]) -> Option<u64> {
    let number = match text.strip_prefix(b"p") {
        Some(rest) => rest.splitn(2, |byte| *byte == b'.').nth(1)?,
        None => text,
    };
    encode::number(number).filter(|tid| *tid != 0)
}

pub(super) fn no_thread() -> Reply {
    Reply::Error(errno::NO_THREAD, "there is no such thread".into())
}
