//! Linux's page tables as text: what a kernel tells of itself, the entries in physical memory, and where addresses lead.

mod arm;
mod arm64;
mod control;
mod ppc64;
mod riscv64;
mod s390x;
mod x86;

use crate::show;
use crate::text::{hex, lines, same_lines};
use kgdbserver_arch::{Arch, Facts, Fault, Lost, Mapped, Pa, Paging, ReadPhys, Region, Va, Via};
use std::collections::BTreeMap;

/// As large as the largest tables of s390x.
const PAGE: u64 = 0x4000;

/// What entries are stored like.
#[derive(Clone, Copy)]
struct Stored {
    bytes: usize,
    big_endian: bool,
}

const WORDS: Stored = Stored { bytes: 8, big_endian: false };
const BIG_WORDS: Stored = Stored { bytes: 8, big_endian: true };
const HALF_WORDS: Stored = Stored { bytes: 4, big_endian: false };

/// Pages of zeros but for their entries, and what a kernel tells.
struct Kernel {
    arch: &'static Arch,
    told: BTreeMap<String, u64>,
    pages: BTreeMap<u64, Vec<u8>>,
}

impl ReadPhys for Kernel {
    fn read_phys(&self, pa: Pa, buf: &mut [u8]) -> Result<(), Fault> {
        for (at, byte) in (pa.0..).zip(buf) {
            let page = self.pages.get(&(at / PAGE)).ok_or(Fault::NotInImage(pa))?;
            *byte = page[(at % PAGE) as usize];
        }
        Ok(())
    }
}

impl Facts for Kernel {
    fn symbol(&self, name: &str) -> Option<u64> {
        self.told.get(name).copied()
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.told.get(&format!("NUMBER({name})")).copied()
    }
}

impl Kernel {
    /// Words of `NAME=VALUE`, and lines of `ADDRESS: ENTRY`.
    fn new(arch: &'static Arch, stored: Stored, told: &str, entries: &str) -> Self {
        let word = |word: &str| word.split_once('=').map(|(name, value)| (name.to_owned(), hex(value)));
        let told = told.split_whitespace().map(|text| word(text).expect(text)).collect();
        let mut kernel = Self { arch, told, pages: BTreeMap::new() };
        for (at, entry, _) in lines(entries).map(parts) {
            let page = kernel.pages.entry(at / PAGE).or_insert_with(|| vec![0; PAGE as usize]);
            let (big, little) = (entry.to_be_bytes(), entry.to_le_bytes());
            let bytes = if stored.big_endian { &big[8 - stored.bytes..] } else { &little[..stored.bytes] };
            page[(at % PAGE) as usize..][..stored.bytes].copy_from_slice(bytes);
        }
        kernel
    }

    fn paging(&self) -> Result<Paging, Lost> {
        let linux = self.arch.linux.expect("Linux runs on it");
        (linux.paging)(self)
    }

    /// Where each address leads, by the first region that has it.
    fn show(&self, regions: &[Region], expected: &str) -> String {
        let walk = |line: &str| {
            let va = line.split(':').next().unwrap_or(line);
            format!("{va}: {}\n", show(self.walk(regions, Va(hex(va)))))
        };
        lines(expected).map(walk).collect()
    }

    fn walk(&self, regions: &[Region], va: Va) -> Result<Mapped, Fault> {
        let region = regions.iter().find(|region| region.contains(va)).ok_or(Fault::NoRegion)?;
        match &region.via {
            Via::Tables { form, root } => form.walk(self, *root, va),
            Via::Linear(first) => {
                let rights = kgdbserver_arch::Rights { write: true, execute: true };
                let pa = Pa(first.0 + (va.0 - region.first.0));
                Ok(Mapped { pa, bytes: region.last.0 - va.0 + 1, rights })
            }
            other => panic!("{other:?}"),
        }
    }
}

/// `ADDRESS: ENTRY !MASK`, where the mask makes the entry one that maps nothing.
fn parts(line: &str) -> (u64, u64, Option<u64>) {
    let (at, rest) = line.split_once(':').expect(line);
    let (entry, mask) = rest.split_once('!').unwrap_or((rest, ""));
    let mask = (!mask.is_empty()).then(|| hex(mask.trim()));
    (hex(at), hex(entry.trim()), mask)
}

/// A kernel's own address space: lines of `ADDRESS: PA RIGHTS BYTES-LEFT`. With any of its entries made invalid (its bits
/// `valid` inverted, unless it says otherwise), one of the addresses is mapped no more, or the tables prove nothing.
#[track_caller]
fn check(arch: &'static Arch, stored: Stored, valid: u64, told: &str, entries: &str, expected: &str) {
    let kernel = Kernel::new(arch, stored, told, entries);
    let paging = kernel.paging().expect("paging");
    same_lines(&kernel.show(&paging.kernel, expected), expected);
    for twin in lines(entries) {
        let (at, entry, mask) = parts(twin);
        let invalid = format!("{at:x}: {:x}", entry ^ mask.unwrap_or(valid));
        let entries: Vec<&str> =
            lines(entries).map(|line| if line == twin { &invalid } else { line }).collect();
        let kernel = Kernel::new(arch, stored, told, &entries.join("\n"));
        match kernel.paging() {
            Err(Lost::Unproved("swapper_pg_dir" | "init_top_pgt", _) | Lost::Nowhere("swapper_pg_dir")) => {}
            Err(lost) => panic!("without {twin}: {lost:?}"),
            Ok(paging) => {
                let shown = kernel.show(&paging.kernel, expected);
                let unmapped = |text: &str| text.matches("NotMapped").count();
                assert!(unmapped(&shown) > unmapped(expected), "without {twin}:\n{shown}");
            }
        }
    }
}

/// A process's address space, whose top table lies at `root`.
#[track_caller]
fn check_user(kernel: &Kernel, root: u64, expected: &str) {
    let paging = kernel.paging().expect("paging");
    let region = paging.user.region(kernel, Pa(root)).expect("a top table");
    same_lines(&kernel.show(&[region], expected), expected);
}
