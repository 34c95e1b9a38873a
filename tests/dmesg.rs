//! The message buffer: its order, what of it is unread, and rings that cannot be believed.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

mod synth;

use kgdbserver::Kvm;
use kgdbserver::kvm::Options;
use kgdbserver::report;
use synth::{Compiled, System};

fn open(built: &Compiled) -> Kvm {
    let options = Options { kernel: Some(built.file("kernel")), ..Options::default() };
    Kvm::open_with(&built.save(), options).expect("open")
}

/// The boundary: the whole text, `|`, the unread part; or the error.
fn check(built: &Compiled, expected: &str) {
    let got = match open(built).log() {
        Ok(log) => format!("{}|{}", log.text, log.unread),
        Err(error) => format!("error: {error}"),
    };
    assert_eq!(got, expected);
}

const SIZE: u64 = 12;
const WRITTEN: u64 = 16;
const READ: u64 = 20;
const MODULUS: u64 = 28;

#[test]
fn a_ring_that_wrapped_is_put_in_order_and_holes_are_skipped() {
    let Some(built) = Compiled::new("freebsd.c") else { return };
    check(&built, "old line\nunread 1\n+++unread 2\n|unread 1\n+++unread 2\n");
}

#[test]
fn positions_wrap_around_the_modulus() {
    let Some(mut built) = Compiled::new("freebsd.c") else { return };
    // Written has wrapped to 11, read is 23 bytes behind it.
    built.poke("messages", WRITTEN, &11_u32.to_le_bytes());
    built.poke("messages", READ, &(32_u32 * 16 - 12).to_le_bytes());
    check(&built, "old line\nunread 1\n+++unread 2\n|unread 1\n+++unread 2\n");
    built.poke("messages", READ, &11_u32.to_le_bytes());
    check(&built, "old line\nunread 1\n+++unread 2\n|");
    // More unread than the ring holds: all of it.
    built.poke("messages", READ, &100_u32.to_le_bytes());
    check(&built, "old line\nunread 1\n+++unread 2\n|old line\nunread 1\n+++unread 2\n");
    // A modulus that cannot be does no harm.
    built.poke("messages", MODULUS, &0_u32.to_le_bytes());
    check(&built, "old line\nunread 1\n+++unread 2\n|ad 2\n");
}

#[test]
fn what_cannot_be_believed_is_an_error() {
    let Some(mut built) = Compiled::new("freebsd.c") else { return };
    let at = built.symbol("messages");
    built.poke("messages", SIZE, &u32::MAX.to_le_bytes());
    check(&built, &format!("error: msgbuf at {at:#x}: its size is 4294967295"));
    built.poke("messages", SIZE, &0_u32.to_le_bytes());
    check(&built, &format!("error: msgbuf at {at:#x}: its size is 0"));
    built.poke("messages", SIZE, &32_u32.to_le_bytes());
    built.poke_word("messages", 0, 0x1000);
    check(
        &built,
        "error: invalid address (0x1000): the image knows no mapping for this part of the address space",
    );
    built.poke("messages", 8, &1_u32.to_le_bytes());
    check(&built, &format!("error: msgbuf at {at:#x}: its magic number is 0x1"));
    built.poke_word("msgbufp", 0, 0);
    check(
        &built,
        "error: invalid address (0x8): the image knows no mapping for this part of the address space",
    );
}

#[test]
fn who_attaches_is_told_the_unread_part_and_the_panic() {
    let Some(built) = Compiled::new("freebsd.c") else { return };
    assert_eq!(
        report::farewell(&open(&built)),
        "Unread portion of the kernel message buffer:\nunread 1\n+++unread 2\nPanic: a compiled panic\n"
    );
}

#[test]
fn a_long_unread_part_is_cut_to_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut system = System::small();
    system.message_buffer = (1..=100).map(|number| format!("line {number}\n")).collect();
    system.panic = None;
    let (kernel, vmcore) = system.build().save(folder.path());
    let kvm = Kvm::open_with(&vmcore, Options { kernel: Some(kernel), ..Options::default() }).expect("open");
    let text = report::farewell(&kvm);
    assert_eq!(text.lines().count(), 41);
    assert!(
        text.starts_with("Unread portion of the kernel message buffer (60 lines before: dmesg):\nline 61\n"),
        "{text}"
    );
    assert!(text.ends_with("line 100\n"));
    assert_eq!(kvm.log().expect("log").text, system.message_buffer);
}
