//! A kernel in memory: code, and behind it read-only data with the table of symbols among other bytes.

use crate::synth::Endian;
use crate::synth::kallsyms::{Addresses, Built, Kallsyms, Release, Symbol};
use kgdbserver::image::{Addr, Census, Memory};
use kgdbserver::space::Space;
use kgdbserver::symbols::kallsyms::{Table, find};
use kgdbserver_arch::{Fault, Machine, Pa, Region, Va, Via, i386, x86_64};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

/// Small, so that the parts of a small table lie in different ones.
const PAGE: u64 = 64;
/// From the kernel's beginning to the table, and to the end of all.
const TABLE: u64 = 0x8_0000;
const SIZE: u64 = 0x10_0000;
const PHYS: u64 = 0x20_0000;

/// A kernel as it is made, and changed, before it is read.
pub(crate) struct Kernel {
    pub(crate) kallsyms: Kallsyms,
    pub(crate) base: u64,
    pub(crate) built: Built,
    /// Bytes from `base` on.
    pub(crate) memory: Vec<u8>,
    /// Numbers of pages that the image lacks.
    missing: BTreeSet<u64>,
}

impl Kernel {
    pub(crate) fn new(release: Release, word: usize, endian: Endian) -> Self {
        let base = if word == 8 { 0xffff_ffff_8100_0000 } else { 0xc010_0000 };
        Self::with(base, Kallsyms { endian, word, release, symbols: symbols(base, release) })
    }

    pub(crate) fn with(base: u64, kallsyms: Kallsyms) -> Self {
        let built = kallsyms.build(base + TABLE);
        // No zeros around the table, which begins and ends like any other data.
        let mut memory: Vec<u8> =
            (0..SIZE).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8 | 1).collect();
        memory[TABLE as usize..][..built.bytes.len()].copy_from_slice(&built.bytes);
        Self { kallsyms, base, built, memory, missing: BTreeSet::new() }
    }

    pub(crate) fn space(&self) -> Space {
        let arch = if self.kallsyms.word == 8 { &x86_64::ARCH } else { &i386::ARCH };
        let big_endian = self.kallsyms.endian == Endian::Big;
        let machine = Machine { arch, big_endian, ptr_bytes: self.kallsyms.word as u8 };
        let last = Va(self.base + SIZE - 1);
        let region = Region { first: Va(self.base), last, via: Via::Linear(Pa(PHYS)) };
        let memory = Ram { bytes: self.memory.clone(), missing: self.missing.clone() };
        Space::new(machine, vec![region], Arc::new(memory))
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.base..self.base + SIZE
    }

    /// What VMCOREINFO tells.
    pub(crate) fn told(&self, name: &str) -> Option<u64> {
        self.built.labels.get(name).copied()
    }

    /// Where a part of the table lies in `memory`.
    pub(crate) fn at(&self, label: &str) -> usize {
        (self.built.labels[label] - self.base) as usize
    }

    /// Takes the page with an offset out of the image.
    pub(crate) fn lose(&mut self, offset: usize) {
        self.missing.insert(offset as u64 / PAGE);
    }

    pub(crate) fn anchors(&self) -> Vec<(&str, u64)> {
        let of = |name| self.kallsyms.symbols.iter().find(|symbol| symbol.name == name).unwrap();
        let anchors = ["_stext", "init_uts_ns"].map(|name| (name, of(name).address));
        // As VMCOREINFO has it: a pointer's value instead of its address.
        [("mem_section", 0x1234)].into_iter().chain(anchors).collect()
    }

    pub(crate) fn find_told(&self) -> kgdbserver::Result<Table> {
        find(&self.space(), 0..0, &self.anchors(), &|name| self.told(name))
    }

    pub(crate) fn find_untold(&self, anchors: &[(&str, u64)]) -> kgdbserver::Result<Table> {
        find(&self.space(), self.range(), anchors, &|_| None)
    }
}

/// Some hundred symbols with aliases, names of every digit, and what a release has of its own.
fn symbols(base: u64, release: Release) -> Vec<Symbol> {
    let symbol = |address, letter, name: &str| Symbol { address, letter, name: name.into() };
    let mut symbols = Vec::new();
    if release.addresses == Addresses::AbsolutePercpu {
        symbols.extend([
            symbol(0, 'A', "__per_cpu_start"),
            symbol(0, 'A', "fixed_percpu_data"),
            symbol(0x3_1980, 'A', "runqueues"),
        ]);
    }
    symbols.push(symbol(base, 'T', "_stext"));
    for number in 0..900 {
        let prefix = ["__x64_sys_read", "tcp_v4", "xfs_", "init_", "dev"][number % 5];
        let letter = ['T', 't', 'W', 'i'][number % 4];
        // Every seventh is an alias of the one before it.
        let address = base + (number - usize::from(number % 7 == 6)) as u64 * 0x40;
        symbols.push(symbol(address, letter, &format!("{prefix}_{number}")));
    }
    symbols.push(symbol(base + 0x1_0000, 't', &"r".repeat(if release.long_names { 300 } else { 126 })));
    symbols.push(symbol(base + 0x1_8000, 'T', "_etext"));
    for (number, letter) in ['R', 'D', 'd', 'B', 'b', 'V'].into_iter().enumerate() {
        symbols.push(symbol(base + 0x4_0000 + number as u64, letter, &format!("data{number}")));
    }
    symbols.push(symbol(base + 0x4_1000, 'D', "init_uts_ns"));
    symbols.push(symbol(base + 0x4_2000, 'D', "mem_section"));
    symbols.push(symbol(base + SIZE, 'B', "_end"));
    symbols
}

struct Ram {
    bytes: Vec<u8>,
    missing: BTreeSet<u64>,
}

impl Memory for Ram {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Fault> {
        let Addr::Phys(pa) = at else { return Err(Fault::NoMemory) };
        let offset = pa.0 - PHYS;
        if self.missing.contains(&(offset / PAGE)) || offset >= SIZE {
            return Err(Fault::NotInImage(pa));
        }
        let len = buf.len().min((PAGE - offset % PAGE) as usize);
        buf[..len].copy_from_slice(&self.bytes[offset as usize..][..len]);
        Ok(len)
    }

    fn locate(&self, pa: Pa) -> Result<u64, Fault> {
        Ok(pa.0)
    }

    fn pages(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        Box::new((0..SIZE).step_by(PAGE as usize).map(|offset| Pa(PHYS + offset)))
    }

    fn census(&self) -> Census {
        Census { dumped: SIZE / PAGE, cut_off: 0 }
    }
}
