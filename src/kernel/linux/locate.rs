//! Finds a Linux kernel in physical memory.

use super::bare;
use super::told::{Known, Origin, Told};
use super::vmcoreinfo::Vmcoreinfo;
use super::vmcoreinfo_scan::{self, Candidate};
use crate::image::{Addr, Image};
use crate::kernel::{Found, Hints};
use crate::space::Space;
use crate::symbols::Symbols;
use crate::{Error, Result};
use kgdbserver_arch::{By, Located, Lost, Machine, Pa, Paging};
use std::sync::Arc;

/// The longest VMCOREINFO is a page.
const INFO_LIMIT: usize = 64 << 10;

/// No image holds more kernels: the one that crashed, the one that dumped it, and what earlier boots left.
const KERNELS: usize = 16;
/// How far behind a kernel's VMCOREINFO another's is looked for, in bytes.
const NEIGHBOURHOOD: u64 = 1 << 30;

/// Finds the kernel that VMCOREINFO tells of, or else the registers of a CPU; none if there is no such thing.
pub(crate) fn locate(
    image: &Image,
    machine: Option<Machine>,
    symbols: &Symbols,
    hints: &Hints,
) -> Option<Result<Found>> {
    match read(image, hints) {
        Ok(Some(told)) => Some(found(image, machine, told, symbols)),
        Ok(None) => match search(image, machine, symbols, hints) {
            None if symbols.address("init_task").is_some() => Some(Err(Error::Unsupported(
                "neither VMCOREINFO nor a CPU's control registers lead to the kernel of this Linux kernel file: name a \
                 text with its VMCOREINFO"
                    .into(),
            ))),
            found => found.map(Ok),
        },
        Err(error) => Some(Err(error)),
    }
}

/// Searches memory for VMCOREINFO of a kernel that is there; the first one counts. A kernel file that is not Linux's makes it
/// pointless.
fn search(image: &Image, machine: Option<Machine>, symbols: &Symbols, hints: &Hints) -> Option<Found> {
    let other = symbols.file().is_some() && symbols.address("init_task").is_none();
    if other || image.plain.is_none() {
        return None;
    }
    let looked = |bytes: u64| {
        if bytes >> 30 > 0 {
            log::info!("searching memory for a Linux kernel: {} GiB", bytes >> 30);
        }
    };
    let kernel = |candidate: Candidate| {
        let told = Told::new(image, at(image, candidate.pa)?, Origin::Search(candidate.pa));
        found(image, machine, told, symbols).ok()
    };
    let all = (!hints.search_briefly).then_some(0..u64::MAX);
    let places = vmcoreinfo_scan::likely(image).chain(all.clone());
    let mut candidates = places.flat_map(|place| vmcoreinfo_scan::at_pages(image, place, looked));
    let Some((pa, mut first)) = candidates.find_map(|candidate| Some((candidate.pa.0, kernel(candidate)?)))
    else {
        let elsewhere = |_| vmcoreinfo_scan::elsewhere(image, looked).find_map(kernel);
        return bare::locate(image, machine, symbols).or_else(|| all.and_then(elsewhere));
    };
    // A kernel keeps two copies; others are of a crash kernel, or of an earlier boot.
    let around = pa + 1..pa.saturating_add(NEIGHBOURHOOD);
    let others = vmcoreinfo_scan::at_pages(image, around, |_| ()).filter_map(kernel);
    let others = others.map(|other| other.located.at);
    let mut others: Vec<Pa> = others.filter(|at| *at != first.located.at).take(KERNELS).collect();
    others.sort_unstable();
    others.dedup();
    first.located.by = By::Search(others);
    Some(first)
}

/// VMCOREINFO, from where the user said, or from the image's notes.
fn read(image: &Image, hints: &Hints) -> Result<Option<Told>> {
    let told = |info, origin| Ok(Some(Told::new(image, info, origin)));
    let not = |what: String| Error::Usage(format!("{what}: not VMCOREINFO (no OSRELEASE in it)"));
    if let Some(path) = &hints.vmcoreinfo {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        let info = Vmcoreinfo::parse(&bytes).ok_or_else(|| not(path.display().to_string()))?;
        return told(info, Origin::File(path.clone()));
    }
    if let Some(pa) = hints.vmcoreinfo_at {
        let info = at(image, pa).ok_or_else(|| not(format!("physical {pa}")))?;
        return told(info, Origin::At(pa));
    }
    let notes = image.notes().into_iter().filter(|note| note.name == "VMCOREINFO").map(|note| note.contents);
    let bare = image.plain.as_ref().and_then(|plain| plain.vmcoreinfo.clone());
    let noted = notes.chain(bare).find_map(|range| Vmcoreinfo::parse(&image.contents(&range)?));
    let named = || hints.noted_at.and_then(|pa| Some((at(image, pa)?, Origin::At(pa))));
    match noted.map(|info| (info, Origin::Note)).or_else(named) {
        Some((info, origin)) => told(info, origin),
        None => Ok(None),
    }
}

/// The text at a physical address, up to where the image has no more.
fn at(image: &Image, pa: Pa) -> Option<Vmcoreinfo> {
    let mut bytes = vec![0; INFO_LIMIT];
    let got = image.memory.read(Addr::Phys(pa), &mut bytes).ok()?;
    Vmcoreinfo::parse(bytes.get(..got)?)
}

fn found(image: &Image, machine: Option<Machine>, told: Told, symbols: &Symbols) -> Result<Found> {
    let unknown = || {
        Error::Unsupported(
            "a Linux kernel, but neither the image nor its VMCOREINFO tells the machine".into(),
        )
    };
    let known = Known { image, told: &told, symbols, cpu: 0 };
    let machine = machine.or_else(|| told.machine()).or_else(|| unmarked(&known)).ok_or_else(unknown)?;
    let paging = paging(machine, &known)?;
    let machine = Machine { big_endian: paging.big_endian.unwrap_or(machine.big_endian), ..machine };
    let mem = Space::new(machine, paging.kernel.clone(), image.memory.clone());
    let text = told.info.symbol("_stext").or_else(|| told.info.symbol("init_uts_ns")).unwrap_or_default();
    let missing = |why| {
        Error::Unsupported(format!("the kernel's page tables cannot be read: {}", crate::describe(why)))
    };
    let at = match mem.translate(kgdbserver_arch::Va(text)).map_err(missing)?.at {
        Addr::Phys(pa) => pa,
        _ => Pa(0),
    };
    let by = match told.origin {
        Origin::Search(_) => By::Search(Vec::new()),
        _ => By::Dump,
    };
    // What a search found is one text among others, until memory proves it.
    let proved = told.proved(&mem).unwrap_or(!matches!(told.origin, Origin::Search(_)));
    if !proved {
        return Err(Error::Unsupported(format!(
            "VMCOREINFO {} tells of Linux {}, but memory at its addresses holds something else",
            told.origin,
            told.info.release()
        )));
    }
    let located = Located { at, by, regions: paging.kernel.clone() };
    Ok(Found { machine, located, linux: Some(Arc::new(Told { paging: Some(paging), ..told })) })
}

/// The processor, of those whose kernels tell nothing of their own: the one whose page tables prove themselves.
fn unmarked(known: &Known<'_>) -> Option<Machine> {
    let proved = |linux: &kgdbserver_arch::Linux| linux.marks.is_empty() && (linux.paging)(known).is_ok();
    let arch = kgdbserver_arch::ALL.iter().find(|arch| arch.linux.is_some_and(proved))?;
    Some(Machine { arch, big_endian: false, ptr_bytes: arch.ptr_bytes() })
}

/// The address spaces of a kernel, by what it tells.
fn paging(machine: Machine, known: &Known<'_>) -> Result<Paging> {
    let name = machine.arch.name;
    let table = machine.arch.linux;
    let table =
        table.ok_or_else(|| Error::Unsupported(format!("this build does not know Linux on {name}")))?;
    (table.paging)(known).map_err(|lost| match lost {
        Lost::NoSymbol(key) => Error::Unsupported(format!(
            "the kernel's page tables cannot be found: VMCOREINFO does not tell {key}"
        )),
        other => Error::Unsupported(format!("the kernel's page tables cannot be found: {other:?}")),
    })
}
