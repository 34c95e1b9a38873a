//! The headers of an ELF core.

use crate::{Error, Result};
use goblin::container::{Container, Ctx};
use goblin::elf::header::{
    EI_CLASS, EI_DATA, EI_OSABI, EI_VERSION, ELFCLASS32, ELFCLASS64, ELFDATA2LSB, ELFDATA2MSB, ELFMAG,
    ET_CORE, EV_CURRENT,
};
use goblin::elf::{Header, ProgramHeader, SectionHeader};
use kgdbserver_arch::Machine;
use scroll::Pwrite;
use scroll::ctx::TryIntoCtx;

/// `e_phnum` of a file that has more program headers than fit 16 bits: then the first section header tells.
const PN_XNUM: u16 = 0xffff;

/// What kind of a core it is.
#[derive(Clone, Copy)]
pub(super) struct Kind {
    pub(super) machine: Machine,
    /// Whether its addresses have 64 bits.
    pub(super) wide: bool,
    /// Whose core it is (`EI_OSABI`).
    pub(super) brand: u8,
}

impl Kind {
    fn ctx(self) -> Ctx {
        let container = if self.wide { Container::Big } else { Container::Little };
        Ctx::new(container, if self.machine.big_endian { scroll::BE } else { scroll::LE })
    }

    fn ident(self) -> [u8; 16] {
        let set = [
            (EI_CLASS, if self.wide { ELFCLASS64 } else { ELFCLASS32 }),
            (EI_DATA, if self.machine.big_endian { ELFDATA2MSB } else { ELFDATA2LSB }),
            (EI_VERSION, EV_CURRENT),
            (EI_OSABI, self.brand),
        ];
        let value =
            |at| ELFMAG.get(at).or(set.iter().find(|(place, _)| *place == at).map(|(_, value)| value));
        std::array::from_fn(|at| value(at).copied().unwrap_or(0))
    }
}

fn are_many(count: usize) -> bool {
    count >= PN_XNUM.into()
}

/// Bytes of all headers, if there are so many program headers.
pub(super) fn size(count: usize, kind: Kind) -> u64 {
    let ctx = kind.ctx();
    let section = if are_many(count) { SectionHeader::size(ctx) } else { 0 };
    (Header::size(ctx) + count * ProgramHeader::size(ctx) + section) as u64
}

/// All headers, as they stand at the beginning of the file: the program headers directly behind the first one, where crash(8)
/// and makedumpfile(8) look for them, and a section header last if it is needed.
pub(super) fn file(kind: Kind, headers: Vec<ProgramHeader>) -> Result<Vec<u8>> {
    let (ctx, count) = (kind.ctx(), headers.len());
    let many = are_many(count);
    let section_size = if many { SectionHeader::size(ctx) } else { 0 };
    let len = size(count, kind);
    let header = Header {
        e_ident: kind.ident(),
        e_type: ET_CORE,
        e_machine: kind.machine.arch.elf_machine,
        e_version: EV_CURRENT.into(),
        e_entry: 0,
        e_phoff: Header::size(ctx) as u64,
        e_shoff: if many { len - section_size as u64 } else { 0 },
        e_flags: 0,
        e_ehsize: Header::size(ctx) as u16,
        e_phentsize: ProgramHeader::size(ctx) as u16,
        e_phnum: u16::try_from(count).unwrap_or(PN_XNUM),
        e_shentsize: section_size as u16,
        e_shnum: many.into(),
        e_shstrndx: 0,
    };
    let bad = |error: goblin::error::Error| Error::Unsupported(format!("ELF headers: {error}"));
    let mut bytes = vec![0; len as usize];
    let mut at = bytes.pwrite_with(header, 0, ctx.le).map_err(bad)?;
    for header in headers {
        at += header.try_into_ctx(bytes.get_mut(at..).unwrap_or_default(), ctx).map_err(bad)?;
    }
    if many {
        let section = SectionHeader { sh_info: count as u32, ..SectionHeader::new() };
        section.try_into_ctx(bytes.get_mut(at..).unwrap_or_default(), ctx).map_err(bad)?;
    }
    Ok(bytes)
}
