//! Where a FreeBSD kernel lies in a dump of all memory.

use crate::image::Image;
use crate::kernel::{Found, Hints};
use crate::space::Phys;
use crate::symbols::Symbols;
use crate::{Error, Result, describe};
use kgdbserver_arch::{Delta, Facts, Fault, Located, Lost, Machine, Pa, ReadPhys};

/// An image, and names for what is in it.
struct Known<'a> {
    image: &'a Image,
    symbols: &'a Symbols,
}

impl ReadPhys for Known<'_> {
    fn read_phys(&self, pa: Pa, buf: &mut [u8]) -> Result<(), Fault> {
        Phys(&*self.image.memory).read_phys(pa, buf)
    }
}

impl Facts for Known<'_> {
    fn symbol(&self, name: &str) -> Option<u64> {
        self.symbols.address(name).map(|va| va.0)
    }

    fn delta(&self) -> Option<Delta> {
        self.image.plain.as_ref()?.delta
    }
}

/// Finds the kernel's page tables by its symbols. DragonFly's, on a real machine, are found in the same way.
pub(crate) fn locate(
    image: &Image,
    machine: Option<Machine>,
    symbols: &Symbols,
    _: &Hints,
) -> Option<Result<Found>> {
    let machine = machine?;
    let found = |located| Found { machine, located, linux: None };
    Some(find(image, machine, symbols).map(found))
}

fn find(image: &Image, machine: Machine, symbols: &Symbols) -> Result<Located> {
    let name = machine.arch.name;
    let unwalked = || {
        Error::Unsupported(format!("FreeBSD's page tables on {name} cannot be found in a dump of all memory"))
    };
    let full = machine.arch.freebsd.and_then(|table| table.full).ok_or_else(unwalked)?;
    let advice = if symbols.file().is_none() { ": give the kernel file" } else { "" };
    full(&Known { image, symbols }).map_err(|lost| Error::Unsupported(explain(lost, advice)))
}

fn explain(lost: Lost, advice: &str) -> String {
    match lost {
        Lost::NoSymbol(name) => {
            format!("the kernel's page tables cannot be found without its symbol {name}{advice}")
        }
        Lost::Unreadable(name, why) => {
            format!("the kernel's page tables cannot be found: {name} cannot be read: {}", describe(why))
        }
        Lost::Unproved(name, pa) => format!(
            "the kernel's page tables were not found: {name}, which should lie at physical {pa}, leads to none that map \
             it there (is it another kernel's file?)"
        ),
        Lost::Nowhere(name) => format!(
            "the kernel's page tables were not found: nowhere is there a {name} that leads to tables that map it there \
             (is it another kernel's file?)"
        ),
    }
}
