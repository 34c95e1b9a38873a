//! A kernel map over a large dump's memory: page tables whose pages lie everywhere, as in a machine that ran for days.

use super::large::{self, Noise, PHYSICAL};
use super::synth::Built;
use super::{FILLED, GIB, KIB, MIB};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of physical memory.
pub const MEMORY: u64 = 8 * GIB;
/// Where the map begins that covers what is filled.
pub const KERNEL_MAP: u64 = KERNBASE + 0x40_0000_0000;
const KERNBASE: u64 = 0xffff_fe00_0000_0000;
/// So much lies together; the next of it lies `STRIDE` further.
const RUN: u64 = 64 * KIB;
const STRIDE: u64 = MEMORY / FILLED * RUN;
/// What one page table maps.
const REACH: u64 = 2 * MIB;
const PAGE: u64 = 4 * KIB;
/// Present, writable, accessed, modified.
const RIGHTS: u64 = 0x63;

/// Where in the physical memory from `PHYSICAL` on a byte of the kernel map lies.
pub fn place(at: u64) -> u64 {
    at / RUN * STRIDE + at % RUN
}

/// Where the page table lies that maps a byte of the kernel map.
fn table(at: u64) -> u64 {
    place(at) + STRIDE / 2
}

pub fn write(path: &Path, built: &Built) -> io::Result<()> {
    let written = large::write(path, built, MEMORY)?;
    let mut noise = Noise::new();
    for at in (0..FILLED).step_by(RUN as usize) {
        written.file.write_all_at(&noise.bytes(RUN), written.added + place(at))?;
    }
    for at in (0..FILLED).step_by(REACH as usize) {
        let pages = (at..at + REACH).step_by(PAGE as usize);
        let entries: Vec<u8> =
            pages.flat_map(|page| ((PHYSICAL + place(page)) | RIGHTS).to_le_bytes()).collect();
        written.file.write_all_at(&entries, written.added + table(at))?;
        let entry = (KERNEL_MAP - KERNBASE + at) / REACH * 8;
        written.file.write_all_at(&((PHYSICAL + table(at)) | RIGHTS).to_le_bytes(), written.pmap + entry)?;
    }
    Ok(())
}
