//! Opens a running BSD: its memory, and what finds names in it.

use super::system::{self, System};
use super::{Bsd, Flavour, denial};
use crate::image::live::kmem::Kmem;
use crate::image::live::own::Own;
use crate::image::live::{Device, Live, NAME};
use crate::image::no_memory::NoMemory;
use crate::image::running::Running;
use crate::image::{Facts, Image, Memory, Source, Store};
use crate::symbols::Resolver;
use crate::{Error, Result};
use kgdbserver_arch::{Machine, Region, Va, Via};
use std::path::Path;
use std::sync::Arc;

const MEM: &str = "/dev/mem";
const KMEM: &str = "/dev/kmem";

/// Opens what a device stands for.
///
/// # Errors
/// [`Error::Denied`], with the reason and what to do; a device that only another system has.
pub(super) fn open(
    system: Arc<dyn System>,
    flavour: &'static Flavour,
    device: Device,
    write: bool,
) -> Result<Live> {
    let asked = &*system;
    let page = system::number(asked, "hw.pagesize").filter(|page| page.is_power_of_two()).unwrap_or(4096);
    let with_memory = match device {
        Device::Mem => true,
        Device::Null => false,
        _ => return Err(Error::Unsupported(format!("{}: that is Linux's; here it is {MEM}", device.path()))),
    };
    let memory: Arc<dyn Memory> = match with_memory {
        true => Arc::new(kmem(asked, page, write)?),
        false => Arc::new(Running(Arc::new(NoMemory))),
    };
    let machine = host_machine()?;
    let slide = slide(asked);
    let image = Image {
        format: NAME,
        shared_with: None,
        version: None,
        machine: Some(machine),
        page_shift: page.trailing_zeros() as u8,
        size: 0,
        memory,
        regions: vec![if with_memory { kernel_half(machine) } else { NoMemory::REGION }],
        direct_map: None,
        facts: Facts {
            hostname: system::text(asked, "kern.hostname"),
            version: system::text(asked, "kern.version"),
            ..Facts::default()
        },
        kerndisp: 0,
        warnings: Vec::new(),
        plain: None,
        kept: None,
    };
    let file = system::text(asked, "kern.bootfile").filter(|_| with_memory).map(Into::into);
    let bsd = Bsd { system, flavour };
    let own: Arc<dyn Own> = Arc::new(bsd.clone());
    let resolver: Resolver = Arc::new(move |name| bsd.symbol(name).map(|symbol| symbol.va.0));
    let resolver = Some(resolver).filter(|_| with_memory);
    Ok(Live { own: Some(own), file, slide, resolver, writable: write && with_memory, ..Live::of(image) })
}

/// Both devices of memory.
fn kmem(system: &dyn System, page: u64, write: bool) -> Result<Kmem> {
    let open = |path: &str| -> Result<Arc<dyn Source>> {
        let file =
            system.open(path, write).map_err(|error| denial::of_device(system, path, write, &error))?;
        Ok(Arc::new(Store::device(file, Path::new(path), write)))
    };
    Ok(Kmem { physical_memory: Some(open(MEM)?), virtual_memory: open(KMEM)?, page })
}

/// The machine that we run on.
fn host_machine() -> Result<Machine> {
    let name = match std::env::consts::ARCH {
        "x86" => "i386",
        other => other,
    };
    let arch = kgdbserver_arch::ALL.iter().find(|arch| arch.name == name);
    let unknown =
        || Error::Unsupported(format!("a running kernel of {name}, which this build does not know"));
    let ptr_bytes = size_of::<usize>() as u8;
    Ok(Machine { arch: arch.ok_or_else(unknown)?, big_endian: cfg!(target_endian = "big"), ptr_bytes })
}

/// The addresses that the device translates. Where processes have the lower half of all addresses, the kernel has the upper.
fn kernel_half(machine: Machine) -> Region {
    let halves = ["x86_64", "aarch64", "riscv64"].contains(&machine.arch.name);
    let first = if halves { 1 << 63 } else { 0 };
    Region { first: Va(first), last: Va(u64::MAX), via: Via::Stored }
}

/// FreeBSD since 13 tells where its kernel was linked and where it runs, as only powerpc64's differ.
fn slide(system: &dyn System) -> u64 {
    let number = |name| system::number(system, name);
    let moved = number("kern.relbase_address").zip(number("kern.base_address"));
    moved.map_or(0, |(runs, linked)| runs.wrapping_sub(linked))
}
