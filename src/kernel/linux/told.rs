//! What an image tells of its Linux kernel, and whether that is true.

use super::log;
use super::scan::Place;
use super::vmcoreinfo::Vmcoreinfo;
use crate::image::{Image, PRSTATUS};
use crate::kernel::state::Log;
use crate::space::{Phys, Space};
use crate::symbols::Symbols;
use crate::{Error, Result};
use kgdbserver_arch::{Facts, Fault, Linux, Machine, Noted, Pa, Paging, ReadPhys, Va};
use std::fmt;
use std::path::PathBuf;

/// What is told of a Linux kernel.
#[derive(Debug)]
pub struct Told {
    /// The kernel's own words, or what was found out of a kernel that tells nothing.
    pub info: Vmcoreinfo,
    /// Where these were found.
    pub origin: Origin,
    /// Where the kernel's own image begins, if its words do not say so.
    pub start: Option<u64>,
    /// The notes of running tasks' registers, as many as there are CPUs that answered.
    pub prstatus: Vec<Vec<u8>>,
    /// The notes of registers that control a CPU, in the same order; none if the image has none.
    pub(super) control: Vec<Vec<u8>>,
    /// The byte order of these notes. QEMU's may have another than the machine.
    pub notes_big_endian: Option<bool>,
    /// Its address spaces, once these are found.
    pub paging: Option<Paging>,
    /// The first task, where no symbol leads to it.
    pub(super) init_task: Place,
    /// The list of modules, likewise.
    pub(super) modules: Place,
}

/// Where VMCOREINFO comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A note of the dump.
    Note,
    /// A file that the user named.
    File(PathBuf),
    /// Physical memory at an address that the user named.
    At(Pa),
    /// Physical memory, where a search found it.
    Search(Pa),
    /// There is none: the registers of a CPU in the image's notes lead to the kernel.
    Registers(usize),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note => f.write_str("from a note of the image"),
            Self::File(path) => write!(f, "from {}", path.display()),
            Self::At(pa) => write!(f, "from physical {pa}, as told"),
            Self::Search(pa) => write!(f, "from physical {pa}, where a search found it"),
            Self::Registers(cpu) => write!(f, "none; the control registers of CPU {cpu} lead to the kernel"),
        }
    }
}

impl Told {
    /// With the registers that the image's notes hold.
    pub(super) fn new(image: &Image, info: Vmcoreinfo, origin: Origin) -> Self {
        // In /proc/kcore it is of the process that reads, and all zeros.
        let notes = if image.memory.is_live() { Vec::new() } else { image.notes() };
        let of = |name: &str, kind: u32| -> Vec<Vec<u8>> {
            let notes = notes.iter().filter(|note| (&*note.name, note.kind) == (name, kind));
            notes.filter_map(|note| image.contents(&note.contents)).collect()
        };
        let row = image.machine.and_then(|machine| machine.arch.linux?.noted.first());
        let control = row.map(|row| of(row.note, row.kind)).unwrap_or_default();
        let notes_big_endian = image.machine.map(|machine| machine.big_endian);
        Self {
            info,
            origin,
            start: None,
            prstatus: of("CORE", PRSTATUS),
            control,
            notes_big_endian,
            paging: None,
            init_task: Place::default(),
            modules: Place::default(),
        }
    }

    /// The value of a register that controls a CPU, on a machine in the byte order of the notes.
    pub(super) fn control(&self, machine: Machine, cpu: usize, row: &Noted) -> Option<u64> {
        let note = self.control.get(cpu)?;
        Some(machine.uint(note.get(row.offset..row.offset + 8)?))
    }

    /// What this build knows of Linux on a machine.
    pub(super) fn table(&self, machine: Machine) -> Result<&'static Linux> {
        let unknown =
            || Error::Unsupported(format!("this build does not know Linux on {}", machine.arch.name));
        machine.arch.linux.ok_or_else(unknown)
    }

    /// The processor, by the numbers and symbols that only its kernels tell.
    pub(super) fn machine(&self) -> Option<Machine> {
        let tells = |mark: &&str| self.info.number(mark).or_else(|| self.info.symbol(mark)).is_some();
        let is = |marks: &[&str]| !marks.is_empty() && marks.iter().all(tells);
        let arch =
            kgdbserver_arch::ALL.iter().find(|arch| arch.linux.is_some_and(|linux| is(linux.marks)))?;
        Some(Machine { arch, big_endian: false, ptr_bytes: arch.ptr_bytes() })
    }

    /// The kernel's messages. They are found without types, and without a kernel file.
    pub(crate) fn log(&self, mem: &Space, symbols: &Symbols) -> Result<Log> {
        log::read(&self.messages(mem, symbols))
    }

    /// What the messages are found by.
    pub(super) fn messages<'a>(&'a self, mem: &'a Space, symbols: &'a Symbols) -> log::Source<'a> {
        log::Source { info: &self.info, symbols, mem }
    }

    /// An address at the beginning of the kernel's own image, or a little behind it.
    pub(super) fn start(&self) -> Option<u64> {
        self.info.symbol("_stext").or(self.start)
    }

    /// By how much the kernel's addresses are higher than those in its file, as far as it tells.
    pub(super) fn slide(&self, symbols: &Symbols) -> Option<u64> {
        let text = || Some(self.info.symbol("_stext")?.wrapping_sub(symbols.file()?.by_name("_stext")?.va.0));
        text().or_else(|| self.info.slide())
    }

    /// Whether memory says the same as VMCOREINFO. None if the pages that would tell are missing.
    pub(super) fn proved(&self, mem: &Space) -> Option<bool> {
        // struct uts_namespace; its struct new_utsname has six texts of 65 bytes: sysname, nodename, release..
        const FIELD: u64 = 65;
        let name = self
            .info
            .symbol("init_uts_ns")?
            .checked_add(self.info.offset("uts_namespace.name").unwrap_or(0))?;
        let field = |index: u64| mem.string(Va(name.checked_add(index * FIELD)?), FIELD as usize).ok();
        Some(field(0)? == b"Linux" && field(2)? == self.info.release().as_bytes())
    }
}

/// What page tables are found by.
pub(super) struct Known<'a> {
    pub(super) image: &'a Image,
    pub(super) told: &'a Told,
    /// Those of the kernel file, if there is one, at the addresses that it was linked for.
    pub(super) symbols: &'a Symbols,
    /// The CPU whose notes count.
    pub(super) cpu: usize,
}

impl Known<'_> {
    /// A number in the notes of the CPU.
    fn noted(&self, name: &str) -> Option<u64> {
        let machine = self.image.machine?;
        let row = machine.arch.linux?.noted.iter().find(|row| row.name == name)?;
        self.told.control(machine, self.cpu, row)
    }
}

impl ReadPhys for Known<'_> {
    fn read_phys(&self, pa: Pa, buf: &mut [u8]) -> Result<(), Fault> {
        Phys(&*self.image.memory).read_phys(pa, buf)
    }
}

impl Facts for Known<'_> {
    fn symbol(&self, name: &str) -> Option<u64> {
        let linked = || {
            Some(
                self.symbols
                    .file()?
                    .by_name(name)?
                    .va
                    .0
                    .wrapping_add(self.told.slide(self.symbols).unwrap_or(0)),
            )
        };
        self.told.info.symbol(name).or_else(linked)
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.told.info.number(name).or_else(|| self.noted(name))
    }
}
