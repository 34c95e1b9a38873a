//! Finds the kernel in an image that tells nothing of virtual addresses.

use crate::image::{Image, RawMemory, Source, raw};
use crate::kernel::{self, Found, Hints};
use crate::space::Space;
use crate::symbols::Symbols;
use crate::{Error, Result};
use kgdbserver_arch::{By, Located, Machine};
use std::sync::Arc;

/// What no format recognised is raw memory if a kernel is found in it.
pub(super) fn recognise_raw(
    error: Error,
    source: Arc<dyn Source>,
    symbols: &Symbols,
    hints: &Hints,
) -> Result<Image> {
    let Error::UnknownFormat { path, tried } = error else { return Err(error) };
    let Some(machine) = symbols.file().and_then(|file| file.machine()) else {
        return Err(Error::UnknownFormat { path, tried });
    };
    let image = raw::open(source, &RawMemory::default())?;
    match kernel::locate(&image, Some(machine), symbols, hints) {
        Ok(_) => Ok(image),
        Err(why) => Err(Error::UnknownFormat { path, tried: format!("{tried}; {}: {why}", raw::NAME) }),
    }
}

/// Finds the kernel in an image that tells nothing of virtual addresses.
pub(super) fn locate(image: &Image, symbols: &Symbols, hints: &Hints) -> Option<Result<Found>> {
    let unknown = image.plain.is_some() && image.regions.is_empty();
    let machine = image.machine.or_else(|| symbols.file()?.machine());
    unknown.then(|| kernel::locate(image, machine, symbols, hints))
}

/// The machine: the image tells it, or the kernel that was found in it, or the kernel file.
pub(super) fn machine(image: &Image, symbols: &Symbols, found: Option<&Result<Found>>) -> Result<Machine> {
    let of_kernel = || Some(found?.as_ref().ok()?.machine);
    let machine = image.machine.or_else(of_kernel).or_else(|| symbols.file()?.machine());
    machine.ok_or_else(|| {
        Error::Unsupported("the image does not tell its machine; give the kernel file as well".into())
    })
}

pub(super) fn space(image: &Image, machine: Machine, found: Option<&Result<Found>>) -> Space {
    let regions = match found {
        Some(Ok(found)) => &found.located.regions,
        _ => &image.regions,
    };
    Space::new(machine, regions.clone(), image.memory.clone())
}

/// What is to be said about a kernel that was not where it was told to be.
pub(super) fn doubt(found: &Result<Found>) -> Option<String> {
    match found.as_ref().map(|found| &found.located) {
        Err(why) => Some(format!("only physical memory can be read: {why}")),
        Ok(Located { at, by: By::Search(others), .. }) => {
            let mut text = format!("the kernel was found at physical {at} by its page tables");
            if let Some(other) = others.first() {
                text +=
                    &format!("; there is another one at {other}, so this may be what an earlier boot left");
            }
            Some(text)
        }
        Ok(_) => None,
    }
}
