//! The sessions of `docs/debuggers.md` with the published FreeBSD dump: what is typed there prints what stands there.

use crate::driver::{Server, Transcript, gdb, gdb_program, lldb, tidy, version};
use crate::scene::connect;
use std::process::Command;

const PAGE: &str = include_str!("../../docs/debuggers.md");

/// A session of the page: commands, and the lines that they print.
type Session = Vec<(&'static str, Vec<&'static str>)>;

/// The first block that begins so, cut at a debugger's prompts.
fn session(begin: &str, prompt: &str) -> Session {
    let mut blocks = PAGE.split("```\n").skip(1).step_by(2);
    let block = blocks.find(|block| block.starts_with(begin)).unwrap_or_else(|| panic!("no block {begin}"));
    let mut session: Session = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix(prompt).or(line.strip_prefix("$ ")), session.last_mut()) {
            (Some(command), _) => session.push((command, Vec::new())),
            (None, Some((_, printed))) => printed.push(line),
            (None, None) => panic!("{line} before a command"),
        }
    }
    session
}

/// Fails unless a command printed those lines in that order; `...` stands for any.
#[track_caller]
fn check(transcript: &Transcript, command: &str, expected: &[&str]) {
    let printed = tidy(transcript.of(command));
    let mut printed = printed.lines();
    for line in expected.iter().map(|line| tidy(line)).filter(|line| line != "...") {
        assert!(printed.any(|found| found == line), "{command} does not print {line:?} in\n{transcript}");
    }
}

#[test]
fn of_gdb() {
    let Some(real) = crate::real::amd64() else { return };
    let server = Server::start(&[&real.kernel, &real.vmcore]);
    let session = session("$ gdb -ex 'target remote :1234'\n(gdb) info threads", "(gdb) ");
    let mut commands = vec![connect(&server)];
    commands.extend(session.iter().skip(1).map(|(command, _)| (*command).to_owned()));
    let transcript = gdb(&commands.iter().map(String::as_str).collect::<Vec<_>>());
    for (command, printed) in session.iter().skip(1) {
        check(&transcript, command, printed);
    }
}

#[test]
fn of_lldb() {
    let Some(real) = crate::real::amd64() else { return };
    let server = Server::start(&[&real.kernel, &real.vmcore]);
    let session = session("$ lldb kernel -o 'gdb-remote 1234'", "(lldb) ");
    let connect = format!("gdb-remote {}", server.port);
    let mut commands = vec![format!("target create {}", real.kernel.display()), connect.clone()];
    commands.extend(session.iter().skip(1).map(|(command, _)| (*command).to_owned()));
    let transcript = lldb(&commands.iter().map(String::as_str).collect::<Vec<_>>());
    check(&transcript, &connect, &session[0].1);
    // lldb 14 numbers the values that it prints.
    for (command, printed) in session.iter().skip(1).filter(|(command, _)| !command.starts_with("p ")) {
        check(&transcript, command, printed);
    }
}

/// The picture is of gdb 13; others draw some lines in other ways.
#[test]
fn the_picture_is_what_gdb_draws() {
    if version(&mut gdb_program()) != 13 {
        return eprintln!("skipped: the picture is of gdb 13");
    }
    let mut screenshot = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/screenshot"));
    let output = screenshot.arg(env!("CARGO_BIN_EXE_kgdbserver")).output().expect("run scripts/screenshot");
    let drawn = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(drawn, include_str!("../../docs/tui.svg"));
}
