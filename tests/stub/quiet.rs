//! Packets that change nothing.

use crate::conversation::check;
use crate::rsp::{GDB, LLDB, Server, digits};
use crate::support::Saved;
use crate::synth::System;

#[test]
fn what_would_matter_if_something_ran_is_accepted() {
    let files = Saved::small();
    check(
        &mut Server::of(&files).connect(),
        &format!(
            "-> QPassSignals:e;10;14
            <- OK
            -> QProgramSignals:0;1;3
            <- OK
            -> QCatchSyscalls:1
            <- OK
            -> QThreadEvents:1
            <- OK
            -> QNonStop:0
            <- OK
            // what it cannot be
            -> QNonStop:1
            <-
            -> vMustReplyEmpty
            <-
            -> qGDBServerVersion
            <- name:kgdbserver;version:{};",
            env!("CARGO_PKG_VERSION")
        ),
    );
}

/// gdb since 16 takes a text for the number; lldb asks for a number and a text in digits.
#[test]
fn errors_have_a_text_in_the_form_that_the_client_takes() {
    let files = Saved::small();
    let server = Server::of(&files);
    let readonly = "the registers of a kernel image cannot be written";
    for (hello, ask, expected) in [
        (GDB.to_owned(), "vMustReplyEmpty", "E1e".to_owned()),
        (format!("{GDB};error-message+"), "vMustReplyEmpty", format!("E.{readonly}")),
        (LLDB.to_owned(), "vMustReplyEmpty", "E1e".to_owned()),
        (LLDB.to_owned(), "QEnableErrorStrings", format!("E1e;{}", digits(readonly))),
    ] {
        let mut client = server.connect();
        client.ask(&hello);
        client.ask(ask);
        assert_eq!(client.ask("P10=0000000000000000"), expected, "{hello}");
    }
}

/// Each says why, where lldb and gdb ask for texts.
#[test]
fn every_error_has_its_reason() {
    let files = Saved::new(System { stopped_cpus: vec![0, 3], ..System::small() }.build());
    let server = Server::of(&files);
    let mut client = server.connect();
    client.ask(&format!("{GDB};error-message+"));
    for (packet, reason) in [
        ("m10,4", "invalid address (0x10): the image knows no mapping for this part of the address space"),
        ("x10,4", "invalid address (0x10): the image knows no mapping for this part of the address space"),
        (
            "mffffffff80205000,4",
            "invalid address (0xffffffff80205000): physical address 0x205000 is not in the image",
        ),
        ("p0", "this register was not saved when the system went down"),
        ("p11;thread:186a2", "the kernel does not save this register when a thread sleeps"),
        ("p0;thread:186a4", "it was running, and its CPU did not stop"),
        ("p0;thread:7777", "there is no such thread"),
        ("Hg7777", "there is no such thread"),
        ("p0", "no thread is selected"),
        ("T7777", "there is no such thread"),
        ("qThreadStopInfo7777", "there is no such thread"),
        ("qlinux.vmcoreinfo", "this image has no VMCOREINFO"),
        ("m10", "malformed packet: expected ADDRESS,LENGTH"),
    ] {
        assert_eq!(client.ask(packet), format!("E.{reason}"), "{packet}");
    }
}
