//! Threads as lldb asks for them: all in one reply.
//!
//! `jThreadExtendedInfo` has no answer: lldb shows little of it, and would ask for each thread whenever it lists them.

use super::encode;
use super::front::{Reply, Session};
use super::threads::{expedited, hex_text, reason};
use crate::kernel::Thread;
use serde_json::{Value, json};

/// `QListThreadsInStopReply`.
pub(super) fn in_stop_reply(session: &mut Session, _: &[u8]) -> Reply {
    session.target.client.threads_listed = true;
    Reply::Ok
}

/// All threads, and those that stopped for a reason: lldb then asks for neither one by one. Not where the client's symbols
/// may yet find other threads.
pub(super) fn list(session: &Session) -> String {
    let threads = session.target.threads();
    if !session.target.client.threads_listed || session.target.kvm.symbols().is_empty() {
        return String::new();
    }
    let tids: Vec<String> = threads.iter().map(|thread| format!("{:x}", thread.tid)).collect();
    let stopped = threads.iter().filter(|thread| thread.crashed).map(|thread| json_thread(session, thread));
    let stopped = Value::from(stopped.collect::<Vec<_>>()).to_string();
    format!("threads:{};jstopinfo:{};", tids.join(","), hex_text(&stopped))
}

/// `jThreadsInfo`: all of that for all threads at once.
pub(super) fn all(session: &mut Session, _: &[u8]) -> Reply {
    let threads: Vec<Value> =
        session.target.threads().iter().map(|thread| json_thread(session, thread)).collect();
    let mut packet = Vec::new();
    encode::escape(&mut packet, Value::from(threads).to_string().as_bytes());
    Reply::Packet(packet)
}

fn json_thread(session: &Session, thread: &Thread) -> Value {
    let register = |(reg, bytes): (usize, Vec<u8>)| {
        (reg.to_string(), Value::from(String::from_utf8_lossy(&encode::hex(&bytes)).into_owned()))
    };
    let registers: serde_json::Map<_, _> = expedited(session, thread).into_iter().map(register).collect();
    let mut info = json!({ "tid": thread.tid, "name": thread.name, "registers": registers });
    if let (Some(reason), Some(info)) = (reason(session, thread), info.as_object_mut()) {
        info.insert("reason".into(), "exception".into());
        info.insert("description".into(), reason.into());
        info.insert("signal".into(), 5.into());
    }
    info
}
