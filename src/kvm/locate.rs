//! Finds the kernel in an image that tells nothing of virtual addresses.

use crate::image::{Image, RawMemory, Source, raw};
use crate::kernel;
use crate::space::Space;
use crate::symbols::Symbols;
use crate::{Error, Result};
use kgdbserver_arch::{By, Located, Machine};
use std::sync::Arc;

/// What no format recognised is raw memory if a kernel is found in it.
pub(super) fn recognise_raw(error: Error, source: Arc<dyn Source>, symbols: &Symbols) -> Result<Image> {
    let Error::UnknownFormat { path, tried } = error else { return Err(error) };
    let Some(machine) = symbols.file().and_then(|file| file.machine()) else {
        return Err(Error::UnknownFormat { path, tried });
    };
    let image = raw::open(source, &RawMemory::default())?;
    match kernel::locate(&image, machine, symbols) {
        Ok(_) => Ok(image),
        Err(why) => Err(Error::UnknownFormat { path, tried: format!("{tried}; {}: {why}", raw::NAME) }),
    }
}

/// Finds the kernel in an image that tells nothing of virtual addresses.
pub(super) fn locate(image: &Image, machine: Machine, symbols: &Symbols) -> Option<Result<Located>> {
    let unknown = image.plain.is_some() && image.regions.is_empty();
    unknown.then(|| kernel::locate(image, machine, symbols))
}

pub(super) fn space(image: &Image, machine: Machine, located: Option<&Result<Located>>) -> Space {
    let regions = match located {
        Some(Ok(located)) => &located.regions,
        _ => &image.regions,
    };
    Space::new(machine, regions.clone(), image.memory.clone())
}

/// What is to be said about a kernel that was not where it was told to be.
pub(super) fn doubt(located: &Result<Located>) -> Option<String> {
    match located {
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
