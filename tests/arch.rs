//! The registers' order and widths against another description of the same `g` packet: gdbstub_arch's.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

use gdbstub::arch::Registers as _;
use gdbstub_arch::x86::reg::X86_64CoreRegs;
use kgdbserver_arch::{Arch, Machine, Registers, Slot, aarch64, x86_64};
use std::collections::HashSet;

/// A machine of an architecture, 64 bits wide and little-endian.
fn machine(arch: &'static Arch) -> Machine {
    Machine { arch, big_endian: false, ptr_bytes: 8 }
}

/// Every register with a value that no other one has, and what our table names it.
fn filled() -> (X86_64CoreRegs, Vec<(&'static str, Vec<u8>)>) {
    const GENERAL: [&str; 16] = [
        "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15",
    ];
    let mut regs = X86_64CoreRegs::default();
    let mut values = Vec::new();
    for (i, name) in GENERAL.into_iter().enumerate() {
        regs.regs[i] = 0x1111_0000_0000_0000 + i as u64;
        values.push((name, regs.regs[i].to_le_bytes().to_vec()));
    }
    regs.rip = 0xffff_ffff_8020_0000;
    regs.eflags = 0x246;
    (regs.segments.cs, regs.segments.ss, regs.segments.ds) = (0x20, 0x28, 0x3b);
    (regs.segments.es, regs.segments.fs, regs.segments.gs) = (0x3c, 0x13, 0x1b);
    values.push(("rip", regs.rip.to_le_bytes().to_vec()));
    let segments = &regs.segments;
    for (name, value) in [
        ("eflags", regs.eflags),
        ("cs", segments.cs),
        ("ss", segments.ss),
        ("ds", segments.ds),
        ("es", segments.es),
        ("fs", segments.fs),
        ("gs", segments.gs),
    ] {
        values.push((name, value.to_le_bytes().to_vec()));
    }
    let stack = ["st0", "st1", "st2", "st3", "st4", "st5", "st6", "st7"];
    for (i, name) in stack.into_iter().enumerate() {
        regs.st[i] = [0xa0 + i as u8; 10];
        values.push((name, regs.st[i].to_vec()));
    }
    let fpu = &mut regs.fpu;
    for (i, (name, value)) in [
        ("fctrl", &mut fpu.fctrl),
        ("fstat", &mut fpu.fstat),
        ("ftag", &mut fpu.ftag),
        ("fiseg", &mut fpu.fiseg),
        ("fioff", &mut fpu.fioff),
        ("foseg", &mut fpu.foseg),
        ("fooff", &mut fpu.fooff),
        ("fop", &mut fpu.fop),
    ]
    .into_iter()
    .enumerate()
    {
        *value = 0xf0 + i as u32;
        values.push((name, value.to_le_bytes().to_vec()));
    }
    (regs, values)
}

#[test]
fn x86_64_registers_have_gdbs_order_and_widths() {
    let (regs, values) = filled();
    let mut packet = Vec::new();
    regs.gdb_serialize(|byte| packet.extend(byte));
    let mut ours = packet.as_slice();
    for (reg, (name, value)) in x86_64::ARCH.regs.iter().zip(&values) {
        let (bytes, rest) = ours.split_at(reg.bytes.into());
        assert_eq!((reg.name, bytes), (*name, value.as_slice()));
        ours = rest;
    }
    // Behind the core gdbstub_arch has SSE registers, which no kernel image holds; we have the segments' bases, and the kernel's own registers.
    let own: Vec<&str> = x86_64::ARCH.regs.iter().skip(values.len()).map(|reg| reg.name).collect();
    assert_eq!(own, ["fs_base", "gs_base", "k_gs_base", "cr0", "cr2", "cr3", "cr4"]);
    assert_eq!(ours.len(), 16 * 16 + 4, "xmm0 to xmm15 and mxcsr");
}

#[test]
fn every_architectures_special_registers_are_what_they_are_called() {
    for arch in kgdbserver_arch::ALL {
        let names: HashSet<&str> = arch.regs.iter().map(|reg| reg.name).collect();
        assert_eq!(names.len(), arch.regs.len(), "{}: a name twice", arch.name);
        assert!(["rip", "pc", "pswa", "nip", "eip"].contains(&arch.regs[arch.pc].name), "{}", arch.name);
        for reg in [arch.sp, arch.frames.register] {
            assert!(reg < arch.regs.len(), "{}", arch.name);
        }
    }
    assert_eq!(x86_64::ARCH.regs[x86_64::ARCH.sp].name, "rsp");
    assert_eq!(x86_64::ARCH.regs[x86_64::ARCH.frames.register].name, "rbp");
}

#[test]
fn registers_are_taken_from_the_other_byte_order() {
    let big = Machine { arch: &aarch64::ARCH, big_endian: true, ptr_bytes: 8 };
    let mut noted = Registers::unknown(big);
    noted.load(&[Slot { reg: 32, offset: 0 }, Slot { reg: 33, offset: 8 }], &(0..12).collect::<Vec<u8>>());
    let mut registers = Registers::unknown(machine(&aarch64::ARCH));
    registers.set(31, 7);
    registers.take(&noted);
    let known: Vec<_> = registers.known().collect();
    assert_eq!(known, [("sp", 7), ("pc", 0x0001_0203_0405_0607), ("cpsr", 0x0809_0a0b)]);
    assert_eq!(registers.raw(33).unwrap(), [0xb, 0xa, 9, 8]);
}

#[test]
fn saved_registers_come_from_their_slots_and_the_rest_is_unknown() {
    let mut registers = Registers::unknown(machine(&x86_64::ARCH));
    assert_eq!(registers.known().count(), 0);
    assert!(registers.bytes().iter().all(Option::is_none));
    let saved: Vec<u8> = (0..20).collect();
    // The third slot leads past the end of what was saved.
    let slots = [Slot { reg: 7, offset: 8 }, Slot { reg: 17, offset: 16 }, Slot { reg: 16, offset: 13 }];
    registers.load(&slots, &saved);
    let known: Vec<_> = registers.known().collect();
    assert_eq!(known, [("rsp", 0x0f0e_0d0c_0b0a_0908), ("eflags", 0x1312_1110)]);
    assert_eq!(registers.pc(), None);
    assert_eq!(registers.raw(7).unwrap(), [8, 9, 10, 11, 12, 13, 14, 15]);
    assert_eq!(registers.raw(24), None, "st0 was not saved");
    assert_eq!(registers.get(10_000), None);
}
