//! The machine's memory while the kernel is laid out in it.
//!
//! As on a real system, text and data lie in 2 MiB pages, small structures in the direct map, and kernel stacks in
//! 4 KiB pages of kernel address space with a hole below each.

use super::super::elf::{Contents, Elf};
use super::super::machine::Machine;
use super::super::minidump::{Layout, Minidump, Rights, SUPERPAGE};
use super::System;
use std::ops::Range;

/// Where kernels are loaded that cannot be moved.
const TEXT_FRAME: u64 = 0x20_0000;
const HEAP_FRAME: u64 = 0x100_0000;

const STACKS_FROM_KERNBASE: u64 = 0x1000_0000;
/// Where small structures lie on a machine without a direct map.
const HEAP_FROM_KERNBASE: u64 = 0x0800_0000;
const HOLE_FROM_KERNBASE: u64 = 0x0c00_0000;
/// The direct map under five-level paging.
const WIDE_DMAP: Range<u64> = 0xff01_0000_0000_0000..0xff21_0000_0000_0000;
const STACK_PAGES: u64 = 4;
const MESSAGE_RING: usize = 16384;

/// Fills what was allocated and not written: whoever reads a field that is not there should notice.
const JUNK: u8 = 0xa5;

pub(super) struct Memory {
    machine: &'static Machine,
    pub(super) dump: Minidump,
    heap: u64,
    stacks: u64,
}

impl Memory {
    /// Memory with the kernel's sections loaded.
    pub(super) fn booted(system: &System, kernel: &Elf) -> Self {
        let machine = system.machine;
        let mut dump = Minidump::of(machine, system.dump_version);
        dump.kernbase = system.kernbase.unwrap_or(dump.kernbase);
        let stacks: usize = system.processes.iter().map(|process| process.threads.len()).sum();
        if let Some(last) = dump.memory.last_mut() {
            last.end = last.end.max(last.start + (stacks as u64 + 16) * (STACK_PAGES + 1) * machine.page);
        }
        let text = system.full.as_ref().map_or(machine.ram + TEXT_FRAME, |full| full.loaded_at);
        if system.full.as_ref().is_some_and(|full| full.five_levels) {
            dump.dmap = WIDE_DMAP;
        }
        if system.full.as_ref().is_some_and(|full| !full.high_memory) {
            dump.memory.pop();
        }
        match machine.moved_to() {
            // From the first address it is linked for to the end of its data, in one piece.
            Some(phys) => dump.alias(machine.kernload..machine.data + SUPERPAGE, phys + machine.kernload),
            None => {
                dump.map(machine.text, text, SUPERPAGE, Rights::Execute);
                dump.map(machine.data, text + SUPERPAGE, SUPERPAGE, Rights::Write);
            }
        }
        for section in &kernel.sections {
            match &section.contents {
                Contents::Bytes(bytes) => dump.write(section.address, bytes),
                Contents::Zeros(size) => dump.write(section.address, &vec![0; *size as usize]),
            }
        }
        let heap = match machine.has_dmap() {
            true => dump.dmap.start + (machine.ram + HEAP_FRAME - machine.dmap_phys),
            false => dump.kernbase + HEAP_FROM_KERNBASE,
        };
        let stacks = dump.kernbase + STACKS_FROM_KERNBASE;
        Self { machine, dump, heap, stacks }
    }

    /// Allocates in the direct map where there is one, for cache lines' sake at a multiple of 64.
    pub(super) fn alloc(&mut self, size: u64) -> u64 {
        let address = self.heap;
        self.heap = (address + size).next_multiple_of(64);
        if !self.machine.has_dmap() {
            let page = self.machine.page;
            // The page that the heap already ends in is mapped.
            let pages = address.next_multiple_of(page)..self.heap;
            pages.step_by(page as usize).for_each(|page| self.map_page(page));
        }
        self.dump.write(address, &vec![JUNK; (self.heap - address) as usize]);
        address
    }

    /// Maps a new kernel stack.
    pub(super) fn stack(&mut self) -> Range<u64> {
        let page = self.machine.page;
        let start = self.stacks + page;
        let end = start + STACK_PAGES * page;
        for at in (start..end).step_by(page as usize) {
            self.map_page(at);
        }
        self.stacks = end;
        start..end
    }

    /// Maps a new page of zeros.
    fn map_page(&mut self, va: u64) {
        let (frame, size) = (self.dump.take_frame(), self.machine.page);
        self.dump.map(va, frame, size, Rights::Write);
        self.dump.write(va, &vec![0; size as usize]);
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

    /// A pointer or a `long`.
    pub(super) fn word(&mut self, address: u64, value: u64) {
        self.dump.write(address, &self.machine.pointer(value));
    }

    pub(super) fn into_dump(self) -> (Vec<u8>, Layout) {
        self.dump.build()
    }
}
