//! Virtual memory: regions over an image.

use crate::image::{Addr, Memory, Moment, Unwritten};
use crate::{Error, Result};
use kgdbserver_arch::{
    Fault, HashTable, Machine, Mapped, Pa, Radix, ReadPhys, Region, Rights, Step, Va, Via,
};
use std::sync::Arc;

/// The kernel's address space.
pub struct Space {
    /// The machine that was imaged.
    pub machine: Machine,
    regions: Vec<Region>,
    memory: Arc<dyn Memory>,
}

/// Where a virtual address lies in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The place of the byte asked for.
    pub at: Addr,
    /// How many bytes from there on are known to lie side by side; at least 1.
    pub bytes: u64,
    /// What the page may be used for; none where the image does not say.
    pub rights: Option<Rights>,
}

/// How an address was translated.
pub struct Walk<'a> {
    /// The region that the address lies in; none if it lies in none.
    pub region: Option<&'a Region>,
    /// The entries of page tables on the way.
    pub steps: Vec<Step>,
    /// Where the first of them lies in the image file, if the image keeps it apart from memory.
    pub kept_at: Option<u64>,
    /// Where the way ended.
    pub place: Result<Place, Fault>,
}

/// An image's memory, for page-table walks.
pub(crate) struct Phys<'a>(pub(crate) &'a dyn Memory);

impl ReadPhys for Phys<'_> {
    fn read_phys(&self, pa: Pa, buf: &mut [u8]) -> Result<(), Fault> {
        match self.0.read(Addr::Phys(pa), buf)? {
            n if n == buf.len() => Ok(()),
            _ => Err(Fault::NotInImage(pa)),
        }
    }
}

impl Space {
    /// A space of regions; where two overlap, the first one counts.
    pub fn new(machine: Machine, regions: Vec<Region>, memory: Arc<dyn Memory>) -> Self {
        Self { machine, regions, memory }
    }

    /// Another space over the same memory: a process's own.
    pub fn over(&self, regions: Vec<Region>) -> Self {
        Self { machine: self.machine, regions, memory: self.memory.clone() }
    }

    /// Another space over the same memory, in which every address is a physical one. Those of 32-bit machines have more bits
    /// (PAE, LPAE).
    pub fn physical(&self) -> Self {
        let all = Region { first: Va(0), last: Va(u64::MAX), via: Via::Linear(Pa(0)) };
        Self { machine: Machine { ptr_bytes: 8, ..self.machine }, ..self.over(vec![all]) }
    }

    /// The same of a running kernel with pages that are read once, for the time of one question; else the same.
    pub fn moment(self: &Arc<Self>) -> Arc<Self> {
        if !self.is_live() {
            return self.clone();
        }
        let memory = Arc::new(Moment::new(self.memory.clone()));
        Arc::new(Self { machine: self.machine, regions: self.regions.clone(), memory })
    }

    /// Whether it changes while it is read.
    pub fn is_live(&self) -> bool {
        self.memory.is_live()
    }

    /// The regions, in the order in which they are tried.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The shape of the page tables; none where no region has any.
    pub fn form(&self) -> Option<Radix> {
        self.regions.iter().find_map(|region| match &region.via {
            Via::Tables { form, .. } | Via::Entries { form, .. } => Some(*form),
            _ => None,
        })
    }

    /// The physical or stored memory behind it.
    pub fn memory(&self) -> &dyn Memory {
        &*self.memory
    }

    /// An address as the regions have it. On a machine of 32 bits a higher one is none, unless a debugger or a C
    /// program widened it with its sign. A tag stands for what an address without it has.
    pub(crate) fn canonical(&self, va: Va) -> Result<Va, Fault> {
        if self.machine.arch.tagged {
            return Ok(Va(((va.0 << 8).cast_signed() >> 8).cast_unsigned()));
        }
        const ALL_ONES: u64 = u32::MAX as u64;
        match (self.machine.ptr_bytes, va.0 >> 32, va.0 >> 31 & 1) {
            (4, ALL_ONES, 1) => Ok(Va(va.0 & ALL_ONES)),
            (4, 1.., _) => Err(Fault::NoRegion),
            _ => Ok(va),
        }
    }

    /// Finds the place of a virtual address.
    pub fn translate(&self, va: Va) -> Result<Place, Fault> {
        let va = self.canonical(va)?;
        self.follow(self.region(va).ok_or(Fault::NoRegion)?, va, &mut |_| ())
    }

    /// The same, with every step of the way.
    pub fn walk(&self, va: Va) -> Walk<'_> {
        let canonical = self.canonical(va);
        let region = canonical.ok().and_then(|va| self.region(va));
        let mut steps = Vec::new();
        let place = canonical
            .and_then(|va| self.follow(region.ok_or(Fault::NoRegion)?, va, &mut |step| steps.push(step)));
        let kept_at = region.and_then(|region| kept_at(region, canonical.ok()?));
        Walk { region, steps, kept_at, place }
    }

    /// The region that counts at an address.
    pub(crate) fn region(&self, va: Va) -> Option<&Region> {
        self.regions.iter().find(|region| region.contains(va))
    }

    /// Translates an address of a region, and shows the entries on the way.
    pub(crate) fn follow(
        &self,
        region: &Region,
        va: Va,
        show: &mut impl FnMut(Step),
    ) -> Result<Place, Fault> {
        let offset = va.0 - region.first.0;
        let left = (region.last.0 - va.0).saturating_add(1);
        let place = |mapped: Mapped| Place {
            at: Addr::Phys(mapped.pa),
            bytes: mapped.bytes.min(left),
            rights: Some(mapped.rights),
        };
        let memory = &Phys(&*self.memory);
        match &region.via {
            Via::Linear(pa) => {
                let pa = pa.checked_add(offset).ok_or(Fault::NotMapped)?;
                Ok(Place { at: Addr::Phys(pa), bytes: left, rights: None })
            }
            Via::Stored => Ok(Place { at: Addr::Virt(va), bytes: left, rights: None }),
            Via::Tables { form, root } => form.walk_showing(memory, *root, va, show).map(place),
            Via::Entries { form, level, at } => {
                let mut bytes = [0; 8];
                let bytes = bytes.get_mut(..usize::from(form.entry_bytes)).unwrap_or_default();
                self.file(entry_at(form, *level, at.start, offset), bytes)?;
                form.resume_showing(memory, *level, form.value(bytes), va, show).map(place)
            }
            Via::Hash { table, at } => {
                table.find(va, |offset, group| self.file(at.start + offset, group)).map(place)
            }
        }
    }

    /// Fills `buf` from the image file; what is behind its end maps nothing.
    fn file(&self, at: u64, buf: &mut [u8]) -> Result<(), Fault> {
        match self.memory.read(Addr::File(at), buf)? {
            got if got == buf.len() => Ok(()),
            _ => Err(Fault::NotMapped),
        }
    }

    /// The addresses that a hashed page table maps, in ascending order. There is no order to walk it in.
    pub fn hashed(&self, table: &HashTable, at: u64) -> Vec<Va> {
        let mut all = Vec::new();
        for number in 0..table.groups() {
            let mut group = [0; HashTable::GROUP];
            if self.file(at + number * HashTable::GROUP as u64, &mut group).is_ok() {
                all.extend(table.addresses(number, &group));
            }
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Reads the longest prefix that can be read; fails if that is not even one byte.
    pub fn read(&self, va: Va, buf: &mut [u8]) -> Result<usize> {
        match self.read_prefix(va, buf) {
            (0, Some(why)) => Err(Error::Fault { va, why }),
            (done, _) => Ok(done),
        }
    }

    /// Fills `buf`, or fails at the first byte that cannot be read.
    pub fn read_exact(&self, va: Va, buf: &mut [u8]) -> Result<()> {
        match self.read_prefix(va, buf) {
            (_, None) => Ok(()),
            (done, Some(why)) => Err(Error::Fault { va: Va(va.0.wrapping_add(done as u64)), why }),
        }
    }

    /// How many bytes could be read, and what stopped the read if that is not all.
    pub fn read_prefix(&self, va: Va, buf: &mut [u8]) -> (usize, Option<Fault>) {
        let mut done = 0;
        while done < buf.len() {
            let step = va.checked_add(done as u64).ok_or(Fault::NoRegion);
            match step.and_then(|va| self.read_once(va, buf.get_mut(done..).unwrap_or_default())) {
                Ok(got) => done += got,
                Err(why) => return (done, Some(why)),
            }
        }
        (done, None)
    }

    fn read_once(&self, va: Va, buf: &mut [u8]) -> Result<usize, Fault> {
        let place = self.translate(va)?;
        let wanted = buf.len().min(usize::try_from(place.bytes).unwrap_or(usize::MAX));
        self.memory.read(place.at, buf.get_mut(..wanted).unwrap_or_default())
    }

    /// Writes the longest prefix that can be written, and returns its length; fails if that is not even one byte.
    ///
    /// # Errors
    /// Those of a read; [`Error::ReadOnly`] where the image is only read; what an overlay or the system has against it.
    pub fn write(&self, va: Va, data: &[u8]) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = data.get(done..).filter(|rest| !rest.is_empty()) {
            let at = Va(va.0.wrapping_add(done as u64));
            let step = va.checked_add(done as u64).ok_or(Unwritten::Fault(Fault::NoRegion));
            match step.and_then(|va| self.write_once(va, rest)) {
                Ok(written) => done += written,
                Err(_) if done > 0 => break,
                Err(Unwritten::Fault(why)) => return Err(Error::Fault { va: at, why }),
                Err(Unwritten::ReadOnly) => return Err(Error::ReadOnly),
                Err(Unwritten::Full(limit)) => return Err(Error::OverlayFull { limit }),
                Err(Unwritten::Io(source)) => return Err(Error::Unwritten { va: at, source }),
            }
        }
        Ok(done)
    }

    fn write_once(&self, va: Va, data: &[u8]) -> Result<usize, Unwritten> {
        let place = self.translate(va)?;
        let wanted = data.len().min(usize::try_from(place.bytes).unwrap_or(usize::MAX));
        self.memory.write(place.at, data.get(..wanted).unwrap_or_default(), va)
    }

    /// An unsigned integer of `bytes` (at most 8) bytes, in the machine's byte order.
    pub fn uint(&self, va: Va, bytes: usize) -> Result<u64> {
        let mut buf = [0; 8];
        let buf =
            buf.get_mut(..bytes).ok_or_else(|| Error::Unsupported(format!("an integer of {bytes} bytes")))?;
        self.read_exact(va, buf)?;
        Ok(self.machine.uint(buf))
    }

    /// A 32-bit `int`.
    pub fn int(&self, va: Va) -> Result<i32> {
        let mut buf = [0; 4];
        self.read_exact(va, &mut buf)?;
        Ok(if self.machine.big_endian { i32::from_be_bytes(buf) } else { i32::from_le_bytes(buf) })
    }

    /// A pointer.
    pub fn pointer(&self, va: Va) -> Result<Va> {
        self.uint(va, self.machine.ptr_bytes.into()).map(Va)
    }

    /// The bytes of a NUL-terminated string, without the NUL; at most `limit` bytes, so an unterminated one ends there.
    pub fn string(&self, va: Va, limit: usize) -> Result<Vec<u8>> {
        let mut text = vec![0; limit];
        let got = self.read(va, &mut text)?;
        let end = text.iter().take(got).position(|byte| *byte == 0).unwrap_or(got);
        text.truncate(end);
        Ok(text)
    }
}

/// Where the entry for the address `offset` bytes into a region lies in the image file, in the array that begins at `array`.
fn entry_at(form: &Radix, level: usize, array: u64, offset: u64) -> u64 {
    array + (offset >> form.shift(level)) * u64::from(form.entry_bytes)
}

fn kept_at(region: &Region, va: Va) -> Option<u64> {
    match &region.via {
        Via::Entries { form, level, at } => Some(entry_at(form, *level, at.start, va.0 - region.first.0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::ram::Ram;
    use kgdbserver_arch::i386;

    #[test]
    fn physical_addresses_of_32_bit_machines_go_beyond_4_gib() {
        let machine = Machine { arch: &i386::ARCH, big_endian: false, ptr_bytes: 4 };
        let memory = Ram::from_iter([(0x1_0000_0ffc, vec![1, 2, 3, 4, 5, 6, 7, 8])]);
        let space = Space::new(machine, Vec::new(), Arc::new(memory));
        assert_eq!(space.physical().uint(Va(0x1_0000_1000), 4).unwrap(), 0x0807_0605);
        assert!(space.physical().uint(Va(0x1000), 4).is_err());
    }
}
