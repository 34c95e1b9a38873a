//! Where an address leads, step by step.

use crate::describe;
use crate::image::Addr;
use crate::kvm::Kvm;
use crate::space::{Place, Space, Walk};
use kgdbserver_arch::{Entry, Fault, Radix, Region, Rights, Step, Va, Via};
use std::fmt::Write;

/// How an address was translated.
pub struct Translation<'a> {
    /// The address.
    pub va: Va,
    /// What it names, `hz+0x4`; empty if that is not known.
    pub name: String,
    /// The way.
    pub walk: Walk<'a>,
    /// The byte of the image file where it ends.
    pub offset: Result<u64, Fault>,
}

impl<'a> Translation<'a> {
    /// Translates an address of a space, the kernel's or a process's.
    pub fn of(kvm: &Kvm, space: &'a Space, va: Va) -> Self {
        let walk = space.walk(va);
        let offset = walk.place.and_then(|place| match place.at {
            Addr::Phys(pa) => kvm.image().memory.locate(pa),
            Addr::File(offset) => Ok(offset),
            Addr::Virt(Va(offset)) => kvm.image().memory.read(place.at, &mut [0]).map(|_| offset),
        });
        let name = super::symbol::Place::of(kvm, va).name().unwrap_or_default();
        Self { va, name, walk, offset }
    }

    /// Why it cannot be read.
    pub fn fault(&self) -> Option<Fault> {
        self.walk.place.err().or(self.offset.err())
    }

    /// A line for every step.
    pub fn text(&self) -> String {
        let mut lines = vec![("address", format!("{:#018x}  {}", self.va.0, self.name))];
        if self.fault() == Some(Fault::NoMemory) {
            lines.push(("fault", describe(Fault::NoMemory)));
            return aligned(&lines);
        }
        lines.extend(self.walk.region.map(|region| ("region", region_text(region))));
        if let Some(form) = self.walk.region.and_then(form) {
            let step = |step: &Step| ("", step_text(&form, step, self.walk.kept_at));
            lines.extend(self.walk.steps.iter().map(step));
        }
        match self.walk.place {
            Ok(Place { at: Addr::Phys(pa), .. }) => lines.push(("physical", format!("{:#018x}", pa.0))),
            Ok(_) => {}
            Err(why) => lines.push(("fault", describe(why))),
        }
        match (self.walk.place, self.offset) {
            (Err(_), _) => {}
            (Ok(Place { at: Addr::Virt(_), .. }), Ok(_)) => {
                lines.push(("stored", "by virtual address".into()))
            }
            (Ok(Place { at: Addr::Virt(_), .. }), Err(why)) => lines.push(("fault", describe(why))),
            (Ok(_), Ok(offset)) => lines.push(("file", format!("byte {offset:#x}"))),
            (Ok(_), Err(why)) => lines.push(("file", describe(why))),
        }
        aligned(&lines)
    }
}

fn aligned(lines: &[(&str, String)]) -> String {
    lines.iter().fold(String::new(), |mut text, (name, value)| {
        let _ = writeln!(text, "{}", format!("{name:<9} {value}").trim_end()); // writing to a String cannot fail
        text
    })
}

/// The shape of a region's page tables.
pub fn form(region: &Region) -> Option<Radix> {
    match &region.via {
        Via::Tables { form, .. } | Via::Entries { form, .. } => Some(*form),
        _ => None,
    }
}

fn region_text(region: &Region) -> String {
    let how = match &region.via {
        Via::Linear(pa) => format!("mapped as a whole, from physical {pa} on"),
        Via::Tables { form, root } => {
            format!("{} levels of page tables, the top one at physical {root}", form.index_bits.len())
        }
        Via::Entries { at, .. } => format!("page-table entries in the file, from byte {:#x} on", at.start),
        Via::Hash { at, .. } => format!("a hashed page table in the file, at byte {:#x}", at.start),
        Via::Stored => "stored by virtual address".into(),
    };
    format!("{}-{}: {how}", region.first, region.last)
}

/// `level 2  physical 0x2a0f040 = 0x0000000002a10067  table at physical 0x2a10000  P RW US A D`. The lowest level is 1.
fn step_text(form: &Radix, step: &Step, kept_at: Option<u64>) -> String {
    let at = match (step.at, kept_at) {
        (Some(pa), _) => format!("physical {pa}"),
        (None, Some(offset)) => format!("byte {offset:#x}"),
        (None, None) => String::new(),
    };
    let meaning = match step.entry {
        Entry::Absent => "maps nothing".into(),
        Entry::Table(pa) => format!("table at physical {pa}"),
        Entry::Leaf { pa, shift, rights } => {
            format!("page of {} at physical {pa}, {}", size(shift), letters(Some(rights)))
        }
    };
    let digits = usize::from(form.entry_bytes) * 2 + 2;
    let flags = flags(form, step.raw).join(" ");
    format!("level {}  {at} = {:#0digits$x}  {meaning}  {flags}", step.level + 1, step.raw)
}

/// The names of the bits that are set in an entry.
pub fn flags(form: &Radix, raw: u64) -> Vec<&'static str> {
    form.flags.iter().filter(|(bit, _)| raw & bit != 0).map(|(_, name)| *name).collect()
}

/// `r-x`. That a page can be read is all that is known where the image does not say more.
pub fn letters(rights: Option<Rights>) -> String {
    let letter = |set: fn(&Rights) -> bool, letter| match &rights {
        None => '?',
        Some(rights) if set(rights) => letter,
        Some(_) => '-',
    };
    format!("r{}{}", letter(|rights| rights.write, 'w'), letter(|rights| rights.execute, 'x'))
}

/// `2 MiB`.
fn size(shift: u8) -> String {
    let (unit, shift) = match shift {
        ..20 => ("KiB", shift.saturating_sub(10)),
        20..30 => ("MiB", shift - 20),
        _ => ("GiB", shift - 30),
    };
    format!("{} {unit}", 1u64 << shift)
}
