//! Kernels that sign return addresses: the bits that hold the code, found and told.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod rsp;
mod support;
mod synth;

use kgdbserver_arch::{PacMask, Va};
use rsp::{GDB, LLDB, Server, digits};
use std::sync::Arc;
use support::Saved;
use synth::System;
use synth::machine::{self, Machine};

fn system(machine: &'static Machine, ptrauth: Option<bool>) -> Saved {
    Saved::new(System { ptrauth, ..System::on(machine) }.build())
}

fn signed() -> Saved {
    system(&machine::ARM64, Some(true))
}

/// The bits above 48, without the one that tells the kernel's half.
const MASK: u64 = 0xff7f << 48;

#[test]
fn a_code_is_taken_off_in_either_half() {
    let mask = PacMask::above(48).unwrap();
    assert_eq!(PacMask::new(u64::MAX << 48), Some(mask));
    assert_eq!((mask.high(), mask.low(), mask.address_bits()), (MASK, 0x7f << 48, 48));
    let kernels = Va(0xffff_0000_0020_0d80);
    for signed in [0xffff_0000_0020_0d80, 0x9f80_0000_0020_0d80, 0x0080_0000_0020_0d80] {
        assert_eq!(mask.strip(Va(signed)), kernels, "{signed:#x}");
    }
    for signed in [0x0000_0000_0020_0d80, 0x7f7f_0000_0020_0d80, 0xff00_0000_0020_0d80] {
        assert_eq!(mask.strip(Va(signed)), Va(0x20_0d80), "{signed:#x}");
    }
    assert_eq!(PacMask::above(39).map(PacMask::high), Some(0xff7f_ff80_0000_0000));
    for no_room in [64, 255] {
        assert_eq!(PacMask::above(no_room), None);
    }
    assert_eq!(PacMask::new(0), None);
    assert_eq!(PacMask::new(1 << 55), None, "this bit tells the halves apart");
}

#[test]
fn the_kernel_says_whether_it_signs() {
    for (machine, ptrauth, mask) in [
        (&machine::AMD64, None, None),
        (&machine::ARM64, None, None),
        (&machine::ARM64, Some(false), None),
        (&machine::ARM64, Some(true), Some(MASK)),
        (&machine::ARM64_16K, Some(true), Some(MASK)),
    ] {
        let kvm = system(machine, ptrauth).open().unwrap();
        assert_eq!(kvm.pac_mask().map(PacMask::high), mask, "{} {ptrauth:?}", machine.name);
    }
}

#[test]
fn where_the_image_lacks_the_answer_the_kernel_may_sign() {
    const HOLE: u64 = 0xffff_0000_0c00_0000;
    let kvm = system(&machine::ARM64, Some(false)).open().unwrap();
    let kvm = kvm.with_resolver(Arc::new(|name| (name == "enable_ptrauth").then_some(HOLE)));
    assert_eq!(kvm.pac_mask().map(PacMask::high), Some(MASK));
}

#[test]
fn backtraces_show_addresses_without_codes() {
    let files = signed();
    let kvm = files.open().unwrap();
    for thread in kvm.threads().unwrap().items {
        let registers = kvm.registers(&thread).unwrap();
        let found: Vec<u64> = kvm.backtrace(&registers).iter().map(|frame| frame.pc.0).collect();
        let facts = files.built.facts.thread(u32::try_from(thread.tid).unwrap());
        assert_eq!(found, facts.backtrace, "{}", thread.name);
        let (frame, mut stored) = (facts.register("x29").unwrap(), [0; 8]);
        kvm.space().read_exact(Va(frame + 8), &mut stored).unwrap();
        assert_ne!(u64::from_le_bytes(stored), facts.backtrace[1], "memory is shown as it is");
    }
}

#[test]
fn gdb_gets_the_masks_as_registers_of_every_thread() {
    const CORE_BYTES: usize = 33 * 8 + 4;
    let files = signed();
    let server = Server::of(&files);
    let mut client = server.connect();
    client.ask(GDB);
    let xml = client.ask("qXfer:features:read:target.xml:0,2000");
    let feature = xml.split_once("org.gnu.gdb.aarch64.pauth_v2").expect("the feature").1;
    let names: Vec<&str> =
        feature.split("reg name=\"").skip(1).map(|reg| &reg[..reg.find('"').unwrap()]).collect();
    assert_eq!(names, ["pauth_dmask", "pauth_cmask", "pauth_dmask_high", "pauth_cmask_high"]);
    let low = digits((MASK & !(0xff << 56)).to_le_bytes());
    let masks = [low.clone(), low, digits(MASK.to_le_bytes()), digits(MASK.to_le_bytes())];
    for thread in &files.built.facts.threads {
        assert_eq!(client.ask(&format!("Hg{:x}", thread.tid)), "OK");
        assert_eq!(client.ask("g")[CORE_BYTES * 2..], masks.concat());
        for (number, mask) in (34..).zip(&masks) {
            assert_eq!(&client.ask(&format!("p{number:x}")), mask);
        }
        assert_eq!(client.ask("p26"), "E3d", "there are four");
    }
    assert_eq!(client.ask("Hg1"), "E03");
    assert_eq!(client.ask("g"), "x".repeat((CORE_BYTES + 32) * 2), "of no thread");
}

#[test]
fn lldb_gets_the_number_of_bits() {
    let files = signed();
    let server = Server::of(&files);
    let mut client = server.connect();
    client.ask(LLDB);
    assert!(client.ask("qHostInfo").ends_with(";addressing_bits:48;"));
}

#[test]
fn nothing_is_said_where_nothing_is_signed() {
    let files = system(&machine::ARM64, Some(false));
    let server = Server::of(&files);
    let mut client = server.connect();
    client.ask(LLDB);
    assert!(!client.ask("qHostInfo").contains("addressing_bits"));
    assert!(!client.ask("qXfer:features:read:target.xml:0,2000").contains("pauth"));
    assert_eq!(client.ask("p22"), "E3d");
}
