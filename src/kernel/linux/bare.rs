//! Finds a kernel that tells nothing of itself, by the registers that control a CPU: QEMU's notes have them on x86. They
//! lead to page tables, these to the kernel's text, and behind that lies its banner.

use super::scan;
use super::told::{Known, Origin, Told};
use super::vmcoreinfo::Vmcoreinfo;
use crate::image::{Addr, Image};
use crate::kernel::{Found, text};
use crate::space::Space;
use crate::symbols::Symbols;
use kgdbserver_arch::{By, Located, Machine, Pa, Va};
use memchr::memmem;
use std::sync::Arc;

/// If none of so many CPUs tells, none does.
const CPUS: usize = 64;
/// Bytes of a page, on the processors whose control registers are in any dump.
const PAGE: u64 = 4096;
/// Kernels begin at a multiple of this, and as far as their text goes everything is mapped.
const ALIGNMENT: u64 = 2 << 20;
/// No kernel's text is longer.
const TEXT_LIMIT: u64 = 64 << 20;

/// What `linux_banner` begins with, in front of the release. In formats of it there is no digit.
const BANNER: &[u8] = b"Linux version ";
const RELEASE_LIMIT: usize = 64;

/// The kernel that the first CPU runs whose registers tell.
pub(super) fn locate(image: &Image, machine: Option<Machine>, symbols: &Symbols) -> Option<Found> {
    let machine = machine?;
    let find = machine.arch.linux?.bare?;
    let nothing = |cpu| Told::new(image, Vmcoreinfo::default(), Origin::Registers(cpu));
    let cpus = nothing(0).prstatus.len().min(CPUS);
    (0..cpus).map(nothing).enumerate().find_map(|(cpu, nothing)| {
        let (paging, code) = find(&Known { image, told: &nothing, symbols, cpu }).ok()?;
        let mem = Space::new(machine, paging.kernel.clone(), image.memory.clone());
        let start = beginning(&mem, code);
        let release = release(&mem, start)?;
        let at = match mem.translate(start).ok()?.at {
            Addr::Phys(pa) => pa,
            _ => Pa(0),
        };
        let located = Located { at, by: By::Dump, regions: paging.kernel.clone() };
        let info = Vmcoreinfo::parse(format!("OSRELEASE={release}\nPAGESIZE={PAGE}\n").as_bytes())?;
        let told = Told { info, start: Some(start.0), paging: Some(paging), ..nothing };
        Some(Found { machine, located, linux: Some(Arc::new(told)) })
    })
}

/// The lowest address from which on everything is mapped up to the kernel's text.
fn beginning(mem: &Space, code: Va) -> Va {
    let steps = (0..TEXT_LIMIT / ALIGNMENT).map_while(|step| {
        let va = Va((code.0 & !(ALIGNMENT - 1)).checked_sub(step * ALIGNMENT)?);
        mem.translate(va).is_ok().then_some(va)
    });
    steps.last().unwrap_or(code)
}

/// What the kernel calls itself. There may be a draft of its banner beside the banner itself, with the same release.
fn release(mem: &Space, start: Va) -> Option<String> {
    scan::find(mem, start.0, |at, piece| {
        memmem::find_iter(piece, BANNER).find_map(|place| {
            let va = Va(at.0.checked_add((place + BANNER.len()) as u64)?);
            let release = mem.string(va, RELEASE_LIMIT).ok()?;
            let release = release.split(|byte| *byte == b' ').next().map(text)?;
            release.starts_with(|first: char| first.is_ascii_digit()).then_some(release)
        })
    })
}
