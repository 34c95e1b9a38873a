//! The order and widths of registers against gdbstub_arch's description of the same `g` packets.
#![allow(clippy::indexing_slicing, clippy::panic, reason = "a test may fail by panicking")]

use gdbstub::arch::Registers;
use gdbstub_arch::{aarch64, arm, ppc, riscv, x86};
use kgdbserver_arch::Arch;

/// Compares, name by name, what a packet holds with what each register was given.
#[track_caller]
fn check(arch: &Arch, packet: &impl Registers, value: impl Fn(&str) -> u128) {
    let mut bytes = Vec::new();
    packet.gdb_serialize(|byte| bytes.extend(byte));
    let mut rest = bytes.as_slice();
    for reg in arch.regs {
        let (ours, behind) = rest.split_at(reg.bytes.into());
        let given = value(reg.name).to_le_bytes();
        assert_eq!(ours, &given[..reg.bytes.into()], "{} {}", arch.name, reg.name);
        rest = behind;
    }
}

/// The number behind a letter.
fn number(name: &str) -> Option<usize> {
    name.get(1..)?.parse().ok()
}

#[test]
fn aarch64_registers() {
    let mut regs = aarch64::reg::AArch64CoreRegs::default();
    (regs.sp, regs.pc, regs.cpsr) = (0x5b, 0x5c, 0x6000_03c5);
    (0..31).for_each(|i| regs.x[i] = 0x1000 + i as u64);
    check(&kgdbserver_arch::aarch64::ARCH, &regs, |name| match name {
        "sp" => 0x5b,
        "pc" => 0x5c,
        "cpsr" => 0x6000_03c5,
        x => 0x1000 + number(x).map_or(999, |i| i as u128),
    });
}

#[test]
fn arm_registers() {
    let mut regs = arm::reg::ArmCoreRegs::default();
    (0..13).for_each(|i| regs.r[i] = 0x1000 + i as u32);
    (regs.sp, regs.lr, regs.pc, regs.cpsr) = (1, 2, 3, 0x6000_0013);
    let mut bytes = Vec::new();
    regs.gdb_serialize(|byte| bytes.extend(byte));
    let table = &kgdbserver_arch::arm::ARCH.regs;
    for (at, reg) in table.iter().enumerate().take(16) {
        let value: u32 = match reg.name {
            "sp" => 1,
            "lr" => 2,
            "pc" => 3,
            r => 0x1000 + number(r).map_or(999, |i| i as u32),
        };
        assert_eq!(bytes[at * 4..][..4], value.to_le_bytes(), "{}", reg.name);
        assert_eq!(reg.bytes, 4);
    }
    // Its packet is the old one, with the FPA's eight registers of 12 bytes and a status word before cpsr. In a target
    // description of the core alone cpsr follows at once.
    assert_eq!((table.len(), table[16].name), (17, "cpsr"));
    assert!(bytes.ends_with(&0x6000_0013_u32.to_le_bytes()));
}

#[test]
fn riscv64_registers() {
    const ABI: [&str; 32] = [
        "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "fp", "s1", "a0", "a1", "a2", "a3", "a4", "a5",
        "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
    ];
    let mut regs = riscv::reg::RiscvCoreRegs::<u64> { pc: 0x77, ..Default::default() };
    (0..32).for_each(|i| regs.x[i] = 0x1000 + i as u64);
    check(&kgdbserver_arch::riscv64::ARCH, &regs, |name| {
        ABI.iter().position(|known| *known == name).map_or(0x77, |i| 0x1000 + i as u128)
    });
}

#[test]
fn i386_registers() {
    const NAMES: [&str; 10] = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "eip", "eflags"];
    let mut regs = x86::reg::X86CoreRegs::default();
    let all = [
        &mut regs.eax,
        &mut regs.ecx,
        &mut regs.edx,
        &mut regs.ebx,
        &mut regs.esp,
        &mut regs.ebp,
        &mut regs.esi,
        &mut regs.edi,
        &mut regs.eip,
        &mut regs.eflags,
    ];
    all.into_iter().zip(0x1000..).for_each(|(reg, value)| *reg = value);
    let segments = &mut regs.segments;
    (segments.cs, segments.ss, segments.ds) = (0x20, 0x28, 0x29);
    (segments.es, segments.fs, segments.gs) = (0x2a, 0x2b, 0x2c);
    (0..8).for_each(|i| regs.st[i] = [i as u8; 10]);
    let fpu = &mut regs.fpu;
    (fpu.fctrl, fpu.fstat, fpu.ftag, fpu.fiseg) = (0xf0, 0xf1, 0xf2, 0xf3);
    (fpu.fioff, fpu.foseg, fpu.fooff, fpu.fop) = (0xf4, 0xf5, 0xf6, 0xf7);
    check(&kgdbserver_arch::i386::ARCH, &regs, |name| {
        let in_list = |list: &[&str]| list.iter().position(|known| *known == name);
        if let Some(i) = in_list(&NAMES) {
            return 0x1000 + i as u128;
        }
        if let Some(i) = in_list(&["fctrl", "fstat", "ftag", "fiseg", "fioff", "foseg", "fooff", "fop"]) {
            return 0xf0 + i as u128;
        }
        if let Some(i) = in_list(&["ss", "ds", "es", "fs", "gs"]) {
            return 0x28 + i as u128;
        }
        match name.strip_prefix("st").and_then(|i| i.parse::<u8>().ok()) {
            Some(i) => (0..16).fold(0, |value, _| value << 8 | u128::from(i)),
            None => 0x20, // cs
        }
    });
}

/// gdbstub_arch knows the 32-bit machine: the same registers in the same order, the floating-point ones between.
#[test]
fn powerpc_registers() {
    let mut regs =
        ppc::reg::PowerPcCommonRegs { pc: 1, msr: 2, cr: 3, lr: 4, ctr: 5, xer: 6, ..Default::default() };
    (0..32).for_each(|i| regs.r[i] = 0x1000 + i as u32);
    let mut bytes = Vec::new();
    regs.gdb_serialize(|byte| bytes.extend(byte));
    let (general, rest) = bytes.split_at(32 * 4);
    let special = &rest[32 * 8..][..6 * 4];
    let table = kgdbserver_arch::ppc64::ARCH.regs;
    assert_eq!(table.len(), 38);
    for (reg, bytes) in table.iter().zip(general.chunks(4).chain(special.chunks(4))) {
        let value = match reg.name {
            "pc" => 1,
            "msr" => 2,
            "cr" => 3,
            "lr" => 4,
            "ctr" => 5,
            "xer" => 6,
            r => 0x1000 + number(r).map_or(999, |i| i as u32),
        };
        assert_eq!(bytes, value.to_be_bytes(), "{}", reg.name);
        let narrow = matches!(reg.name, "cr" | "xer");
        assert_eq!(reg.bytes, if narrow { 4 } else { 8 }, "{}", reg.name);
    }
}
