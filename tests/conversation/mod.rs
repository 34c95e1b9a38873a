//! What a client says, and what it must be told.
#![allow(unreachable_pub, clippy::unwrap_used, reason = "a helper that cannot go on should stop the test")]

use crate::rsp::{Client, GDB, GDB_16, LLDB, LLDB_22};
use crate::text::{lines, same_lines};
use std::fmt::Write as _;
use std::io::{Read, Write};

/// Sends the packets behind `->` and compares the whole conversation. `GDB` and `LLDB` stand for what these list in
/// `qSupported`; `...` at the end of an answer stands for its rest.
#[track_caller]
pub fn check<S: Read + Write>(client: &mut Client<S>, conversation: &str) {
    let mut found = String::new();
    let mut expected = lines(conversation)
        .filter(|line| !line.starts_with("->"))
        .map(|line| line.strip_suffix("...").map(str::len));
    for packet in lines(conversation).filter_map(|line| line.strip_prefix("->")) {
        let packet = packet.trim();
        let sent = match packet {
            "GDB" => GDB,
            "GDB_16" => GDB_16,
            "LLDB" => LLDB,
            "LLDB_22" => LLDB_22,
            other => other,
        };
        writeln!(found, "-> {packet}").unwrap();
        for line in client.ask(sent).split('\n') {
            let mut line = format!("<- {line}");
            if let Some(shown) = expected.next().flatten().filter(|shown| *shown < line.len()) {
                line.replace_range(shown.., "...");
            }
            writeln!(found, "{}", line.trim_end()).unwrap();
        }
    }
    same_lines(&found, conversation);
}
