//! Finds the kernel in an image that tells nothing of virtual addresses.

use crate::image::{Image, RawMemory, Settings, Source, raw};
use crate::kernel::linux::Told;
use crate::kernel::{self, Found, Hints};
use crate::space::{Phys, Space};
use crate::symbols::Symbols;
use crate::symbols::debuginfod::Debuginfod;
use crate::symbols::vmlinux::{self, Wanted};
use crate::{Error, Result};
use kgdbserver_arch::{By, Located, Machine, Region, Via};
use std::path::Path;
use std::sync::Arc;

/// What no format recognised is raw memory if a kernel is found in it. Of the ways in which emulators lay memory out, the
/// one counts in which most of the kernel's page tables are where the kernel expects them.
pub(super) fn recognise_raw(
    error: Error,
    source: Arc<dyn Source>,
    symbols: &Symbols,
    hints: &Hints,
) -> Result<Image> {
    let Error::UnknownFormat { path, tried } = error else { return Err(error) };
    let machine = symbols.file().and_then(|file| file.machine());
    let mut best: Option<(usize, &str, Image)> = None;
    let mut failed = None;
    for (name, layout) in raw::layouts(source.len()) {
        let image = raw::open(source.clone(), &layout)?;
        // What may be no image at all is not read to its end.
        let hints = Hints { search_briefly: true, ..hints.clone() };
        let lost = match kernel::locate(&image, machine, symbols, &hints) {
            Ok(found) => lost_tables(&image, &found),
            Err(why) => {
                failed = Some(why);
                continue;
            }
        };
        if best.as_ref().is_none_or(|(least, ..)| lost < *least) {
            best = Some((lost, name, image));
        }
    }
    match best {
        Some((_, name, mut image)) => {
            if !name.starts_with("0 ") {
                image.warnings.push(format!("raw memory, taken for {name}; --raw-memory says otherwise"));
            }
            Ok(image)
        }
        // Without a kernel file it could have been Linux only.
        None if machine.is_none() => Err(Error::UnknownFormat { path, tried }),
        None => {
            let why = failed.map(|why| why.to_string()).unwrap_or_default();
            Err(Error::UnknownFormat { path, tried: format!("{tried}; {}: {why}", RawMemory::NAME) })
        }
    }
}

fn lost_tables(image: &Image, found: &Found) -> usize {
    let of = |region: &Region| match &region.via {
        Via::Tables { form, root } => form.lost_tables(&Phys(&*image.memory), *root),
        _ => 0,
    };
    found.located.regions.iter().map(of).sum()
}

/// Finds the kernel in an image that tells nothing of virtual addresses.
pub(super) fn locate(image: &Image, symbols: &Symbols, hints: &Hints) -> Option<Result<Found>> {
    let unknown = image.plain.is_some() && image.regions.is_empty();
    let machine = image.machine.or_else(|| symbols.file()?.machine());
    unknown.then(|| kernel::locate(image, machine, symbols, hints))
}

/// The machine: the kernel that was found tells it, or the image, or the kernel file.
pub(super) fn machine(image: &Image, symbols: &Symbols, found: Option<&Result<Found>>) -> Result<Machine> {
    let of_kernel = || Some(found?.as_ref().ok()?.machine);
    let machine = of_kernel().or(image.machine).or_else(|| symbols.file()?.machine());
    machine.ok_or_else(|| {
        Error::Unsupported("the image does not tell its machine; give the kernel file as well".into())
    })
}

/// The names of a Linux image to which no kernel file was given, with the one that is found by its build id: beside the
/// image, where distributions install it, or on the servers that the user named in `DEBUGINFOD_URLS`.
pub(super) fn with_vmlinux(symbols: Symbols, told: &Told, image: &Path, settings: &Settings) -> Symbols {
    let build_id = told.info.build_id();
    let wanted = Wanted { build_id: build_id.as_deref(), release: told.info.release() };
    let local = vmlinux::find(&wanted, image);
    let progress = |done: u64, total: u64| {
        if let Some(progress) = &settings.progress {
            progress(done, total);
        }
    };
    let fetch = || Some(Debuginfod::from_env()?.find(build_id.as_deref()?, &progress));
    let fetched = if local.found.is_none() { fetch() } else { None };
    let searches = [Some(local), fetched];
    let mut found = None;
    for search in searches.into_iter().flatten() {
        search.looked.iter().for_each(|(place, outcome)| log::info!("vmlinux: {place}: {outcome}"));
        found = found.or(search.found);
    }
    match found {
        Some(file) => symbols.with_file(Arc::new(file)),
        None => symbols,
    }
}

pub(super) fn space(image: &Image, machine: Machine, found: Option<&Result<Found>>) -> Space {
    let regions = match found {
        Some(Ok(found)) => &found.located.regions,
        _ => &image.regions,
    };
    Space::new(machine, regions.clone(), image.memory.clone())
}

/// What is to be said about a kernel that may not be the right one.
pub(super) fn doubt(found: &Result<Found>) -> Option<String> {
    match found.as_ref().map(|found| &found.located) {
        Err(why) => Some(format!("only physical memory can be read: {why}")),
        Ok(Located { at, by: By::Search(others), .. }) => {
            let other = others.first()?;
            Some(format!(
                "the kernel was found at physical {at} by its page tables; there is another one at {other}, so this may \
                 be what an earlier boot left"
            ))
        }
        Ok(_) => None,
    }
}
