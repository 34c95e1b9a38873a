//! The machine's memory while the kernel is laid out in it.
//!
//! As on a real system, text and data lie in 2 MiB pages, small structures in the direct map, and kernel stacks in
//! 4 KiB pages of kernel address space with a hole below each.

use super::super::elf::{Contents, Elf};
use super::super::minidump::{Layout, Minidump, PAGE, Rights, SUPERPAGE};
use super::System;
use super::kernel::DATA;
use super::text::TEXT;
use std::ops::Range;

const TEXT_FRAME: u64 = 0x20_0000;
const DATA_FRAME: u64 = 0x40_0000;
const HEAP_FRAME: u64 = 0x100_0000;

const STACKS_FROM_KERNBASE: u64 = 0x1000_0000;
const HOLE_FROM_KERNBASE: u64 = 0x0c00_0000;
const STACK_PAGES: u64 = 4;
const MESSAGE_RING: usize = 16384;

/// Fills what was allocated and not written: whoever reads a field that is not there should notice.
const JUNK: u8 = 0xa5;

pub(super) struct Memory {
    dump: Minidump,
    heap: u64,
    stacks: u64,
}

impl Memory {
    /// Memory with the kernel's sections loaded.
    pub(super) fn booted(system: &System, kernel: &Elf) -> Self {
        let mut dump = Minidump::new(system.dump_version);
        dump.kernbase = system.kernbase.unwrap_or(dump.kernbase);
        let stacks: usize = system.processes.iter().map(|process| process.threads.len()).sum();
        if let Some(last) = dump.memory.last_mut() {
            last.end = last.end.max(last.start + (stacks as u64 + 16) * (STACK_PAGES + 1) * PAGE);
        }
        dump.map(TEXT, TEXT_FRAME, SUPERPAGE, Rights::Execute);
        dump.map(DATA, DATA_FRAME, SUPERPAGE, Rights::Write);
        for section in &kernel.sections {
            match &section.contents {
                Contents::Bytes(bytes) => dump.write(section.address, bytes),
                Contents::Zeros(size) => dump.write(section.address, &vec![0; *size as usize]),
            }
        }
        let (heap, stacks) = (dump.dmap.start + HEAP_FRAME, dump.kernbase + STACKS_FROM_KERNBASE);
        Self { dump, heap, stacks }
    }

    /// Allocates in the direct map, for cache lines' sake at a multiple of 64.
    pub(super) fn alloc(&mut self, size: u64) -> u64 {
        let address = self.heap;
        self.heap = (address + size).next_multiple_of(64);
        self.dump.write(address, &vec![JUNK; (self.heap - address) as usize]);
        address
    }

    /// Maps a new kernel stack.
    pub(super) fn stack(&mut self) -> Range<u64> {
        let start = self.stacks + PAGE;
        let end = start + STACK_PAGES * PAGE;
        for page in (start..end).step_by(PAGE as usize) {
            let frame = self.dump.take_frame();
            self.dump.map(page, frame, PAGE, Rights::Write);
            self.dump.write(page, &[0; PAGE as usize]);
        }
        self.stacks = end;
        start..end
    }

    /// Stores the message ring in memory and in the dump's own section.
    pub(super) fn messages(&mut self, text: &str) -> Range<u64> {
        let mut ring = text.as_bytes().to_vec();
        assert!(ring.len() <= MESSAGE_RING, "too many messages");
        ring.resize(MESSAGE_RING, 0);
        let address = self.alloc(ring.len() as u64);
        self.write(address, &ring);
        self.dump.msgbuf = ring;
        address..address + MESSAGE_RING as u64
    }

    /// An address of kernel space that nothing is mapped at.
    pub(super) fn hole(&self) -> u64 {
        self.dump.kernbase + HOLE_FROM_KERNBASE
    }

    pub(super) fn write(&mut self, address: u64, bytes: &[u8]) {
        self.dump.write(address, bytes);
    }

    pub(super) fn int(&mut self, address: u64, value: u32) {
        self.dump.write(address, &self.dump.endian.u32(value));
    }

    pub(super) fn word(&mut self, address: u64, value: u64) {
        self.dump.write(address, &self.dump.endian.u64(value));
    }

    pub(super) fn into_dump(self) -> (Vec<u8>, Layout) {
        self.dump.build()
    }
}
