//! ELF cores of kernels: all memory, in a segment for each stretch of it.
//!
//! FreeBSD's full dumps; Linux's vmcores as kexec's capture kernel, makedumpfile and QEMU write them. The format tells of
//! memory only, and which kernel that is, and where its page tables lie, is another's question.

use super::extents::{Extent, Extents, Stretches};
use super::{Format, Image, Plain, Source, minidump};
use crate::{Error, Result};
use goblin::container::{Container, Ctx};
use goblin::elf::header::{EI_OSABI, ET_CORE, Header, SELFMAG};
use goblin::elf::program_header::{PT_LOAD, PT_NOTE, PT_NULL};
use goblin::elf::{Elf, ProgramHeader, SectionHeader};
use kgdbserver_arch::{Delta, Machine, Pa, Region, Va, Via};
use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

pub(super) const FORMAT: Format =
    Format { name: NAME, probe: |source| parse_header(source).is_some(), open, set: None };

const NAME: &str = "ELF core";

/// Where FreeBSD loaded its kernel.
pub(crate) const PT_DUMP_DELTA: u32 = 0x6fb5_d000;
/// A note of our own, in an ELF core made of a minidump: the offset and the size of the minidump's header and its page tables
/// in the file. Memory is mapped where they say; what they do not map has headers of type `PT_NULL`, as debuggers take a
/// `PT_LOAD` for memory at its virtual address, and BFD's aarch64 takes no core with a type that it does not know.
pub(crate) const MINIDUMP: (&str, u32) = ("kgdbserver", 1);

/// The brand of FreeBSD's dumps.
const STANDALONE: u8 = 255;

/// No kernel dump has more program headers. makedumpfile begins a new segment behind 256 pages or more that it leaves out,
/// so this is 4 TiB of which every other MiB is in use.
pub(crate) const HEADERS_LIMIT: u32 = 1 << 22;

/// makedumpfile keeps the program headers to itself until all memory is written.
const UNWRITTEN: &str =
    "its program headers are empty, and nothing else tells what its memory is: the dump was not finished";

/// `e_phnum` of a file with more program headers than fit 16 bits.
const PN_XNUM: u16 = 0xffff;

fn parse_header(source: &dyn Source) -> Option<Header> {
    let mut bytes = [0; 64];
    let got = source.read_at(0, &mut bytes).ok()?;
    let bytes = bytes.get(..got).filter(|bytes| bytes.get(..SELFMAG) == Some(b"\x7fELF"))?;
    Elf::parse_header(bytes).ok().filter(|header| header.e_type == ET_CORE)
}

fn open(source: Arc<dyn Source>) -> Result<Image> {
    let header = parse_header(&*source).ok_or_else(|| corrupt(0, "no ELF header"))?;
    let bad = |error: goblin::error::Error| corrupt(0, error.to_string());
    let ctx = Ctx::new(header.container().map_err(bad)?, header.endianness().map_err(bad)?);
    let machine = machine(&header, ctx)?;
    let freebsd = header.e_ident.get(EI_OSABI) == Some(&STANDALONE);
    let mut headers = program_headers(&*source, &header, ctx)?;
    let bare = bare(source.clone(), &headers, machine);
    if let Some(at) = minidump(&bare) {
        return open_minidump(source, &headers, &at, bare);
    }
    if freebsd && !ctx.is_big() {
        carry(&mut headers);
    }
    let segments = Segments::of(&headers, ctx, freebsd)?;
    let memory = Stretches {
        by_va: Extents::new(&segments.by_va),
        excluded: Extents::new(&segments.excluded),
        ..Stretches::new(source, &segments.physical)
    };
    // What is stored by virtual address needs no page tables; the memory itself knows its holes.
    let all = Region { first: Va(0), last: Va(u64::MAX), via: Via::Stored };
    let plain = Plain {
        segments: segments.physical.len().max(segments.by_va.len()),
        notes: segments.notes,
        vmcoreinfo: None,
        delta: segments.delta,
    };
    Ok(Image {
        machine: Some(machine),
        regions: if segments.by_va.is_empty() { Vec::new() } else { vec![all] },
        ..memory.image(NAME, plain)
    })
}

/// The notes, and no memory.
fn bare(source: Arc<dyn Source>, headers: &[ProgramHeader], machine: Machine) -> Image {
    let notes = headers.iter().filter(|header| header.p_type == PT_NOTE).map(file_range).collect();
    let plain = Plain { notes, ..Plain::default() };
    Image { machine: Some(machine), ..Stretches::new(source, &[]).image(NAME, plain) }
}

/// Where a core that was made of a minidump has that one's header and its page tables.
fn minidump(bare: &Image) -> Option<Range<u64>> {
    let (name, kind) = MINIDUMP;
    let note = bare.each_note().find(|note| note.name == name && note.kind == kind)?;
    let contents = bare.contents(&note.contents)?;
    let machine = bare.machine?;
    let (offset, size) = contents.split_at_checked(8)?;
    let start = machine.uint(offset);
    Some(start..start.saturating_add(machine.uint(size.get(..8)?)))
}

fn open_minidump(
    source: Arc<dyn Source>,
    headers: &[ProgramHeader],
    at: &Range<u64>,
    bare: Image,
) -> Result<Image> {
    let memory = headers.iter().enumerate().filter(|(_, header)| [PT_LOAD, PT_NULL].contains(&header.p_type));
    let memory = memory.map(|(index, header)| extent(index, header, header.p_paddr));
    let physical: Vec<Extent> = memory.filter_map(Result::transpose).collect::<Result<_>>()?;
    let notes = bare.plain.as_ref().map(|plain| plain.notes.clone()).unwrap_or_default();
    let told = minidump::told(&source, at, bare)?;
    let memory = Stretches { page_shift: told.page_shift, ..Stretches::new(source, &physical) };
    let plain = Plain { segments: physical.len(), notes, ..Plain::default() };
    let Image { memory, warnings, plain, .. } = memory.image(NAME, plain);
    Ok(Image { memory, warnings, plain, ..told })
}

fn file_range(header: &ProgramHeader) -> Range<u64> {
    header.p_offset..header.p_offset.saturating_add(header.p_filesz)
}

fn machine(header: &Header, ctx: Ctx) -> Result<Machine> {
    let arch = kgdbserver_arch::ALL.iter().find(|arch| arch.elf_machine == header.e_machine);
    let unknown = || {
        Error::Unsupported(format!(
            "an {NAME} of a machine that this build does not know (ELF number {})",
            header.e_machine
        ))
    };
    let arch = arch.ok_or_else(unknown)?;
    // Not the file's class: the cores of 32-bit machines with memory above 4 GiB (PAE, LPAE) are files of 64 bits.
    Ok(Machine { arch, big_endian: !ctx.is_little_endian(), ptr_bytes: arch.ptr_bytes() })
}

/// The program headers, wherever they stand: QEMU puts them behind a section header.
fn program_headers(source: &dyn Source, header: &Header, ctx: Ctx) -> Result<Vec<ProgramHeader>> {
    let entry = ProgramHeader::size(ctx) as u64;
    if u64::from(header.e_phentsize) != entry {
        return Err(corrupt(0, format!("program headers of {} bytes", header.e_phentsize)));
    }
    let count = match header.e_phnum {
        PN_XNUM => many(source, header, ctx)?,
        count => count.into(),
    };
    if count > HEADERS_LIMIT {
        return Err(corrupt(header.e_phoff, format!("{count} program headers")));
    }
    let outside = |_| corrupt(header.e_phoff, "the program headers do not lie in the file");
    let bytes = source.bytes(header.e_phoff, u64::from(count) * entry).map_err(outside)?;
    let bad = |error: goblin::error::Error| corrupt(header.e_phoff, error.to_string());
    ProgramHeader::parse(&bytes, 0, count as usize, ctx).map_err(bad)
}

/// Gives back what 32-bit headers cut off: i386 with PAE has memory above 4 GiB. FreeBSD writes segments in ascending
/// order, so an address lower than the one before stands for one that is 4 GiB higher.
fn carry(headers: &mut [ProgramHeader]) {
    const NOWHERE: u64 = u32::MAX as u64;
    let (mut above, mut last) = (0, 0);
    for header in headers.iter_mut().filter(|header| header.p_type == PT_LOAD && header.p_paddr != NOWHERE) {
        above += if header.p_paddr < last { 1 << 32 } else { 0 };
        last = header.p_paddr;
        header.p_paddr += above;
    }
}

/// A count of program headers that does not fit 16 bits stands in the first, empty section.
fn many(source: &dyn Source, header: &Header, ctx: Ctx) -> Result<u32> {
    let bad = || {
        corrupt(
            header.e_shoff,
            "the number of program headers should stand in a section header, and does not",
        )
    };
    let bytes = source.bytes(header.e_shoff, SectionHeader::size(ctx) as u64).map_err(|_| bad())?;
    let first =
        SectionHeader::parse_from(&bytes, 0, 1, ctx).ok().and_then(|first| Some(first.first()?.sh_info));
    first.filter(|_| header.e_shoff != 0).ok_or_else(bad)
}

/// What the program headers tell.
#[derive(Default)]
struct Segments {
    physical: Vec<Extent>,
    by_va: Vec<Extent>,
    excluded: Vec<Extent>,
    notes: Vec<Range<u64>>,
    delta: Option<Delta>,
}

impl Segments {
    fn of(headers: &[ProgramHeader], ctx: Ctx, freebsd: bool) -> Result<Self> {
        let mut segments = Self::default();
        let nowhere = if ctx.container == Container::Big { u64::MAX } else { u32::MAX.into() };
        // FreeBSD's dumps of powerpc: no segment has a physical address, and the first one says so. In a copy of Linux's
        // /proc/kcore it is just some segments, of vmalloc's area and the modules.
        let first = headers.first().filter(|first| freebsd && first.p_type == PT_LOAD);
        let by_va = first.is_some_and(|first| first.p_paddr == nowhere);
        for (index, header) in headers.iter().enumerate() {
            match header.p_type {
                PT_LOAD if by_va => segments.by_va.extend(extent(index, header, header.p_vaddr)?),
                PT_LOAD if header.p_paddr == nowhere => {}
                PT_LOAD => {
                    segments.physical.extend(extent(index, header, header.p_paddr)?);
                    // QEMU's offset of -1 is that of a device's memory, which never was there to be left out.
                    let left_out = !freebsd && header.p_offset != nowhere;
                    segments.excluded.extend(excluded(header).filter(|_| left_out));
                }
                PT_NOTE => segments.notes.push(file_range(header)),
                PT_DUMP_DELTA => segments.delta = Some(delta(header)),
                _ => {}
            }
        }
        if segments.physical.is_empty() && segments.by_va.is_empty() {
            let unwritten = headers.iter().all(|header| header.p_type == PT_NULL);
            return Err(corrupt(0, if unwritten { UNWRITTEN } else { "no segment holds memory" }));
        }
        let mut loaded = headers.iter().filter(|header| header.p_type == PT_LOAD);
        if !freebsd && loaded.any(|header| header.p_paddr == nowhere) {
            // Linux's /proc/kcore has the kernel twice: by its own mapping, and in the memory that it lies in. Of what the
            // kernel freed of itself when it had started (`free_initmem`) the former reads as zeros, whoever has the pages.
            segments.physical.sort_by_key(|extent| Reverse(extent.len));
        }
        Ok(segments)
    }
}

fn delta(header: &ProgramHeader) -> Delta {
    Delta { va: Va(header.p_vaddr), pa: Pa(header.p_paddr), align: header.p_align }
}

/// A segment's memory, as far as the file has it: what `p_memsz` promises beyond `p_filesz` is not in the image, and
/// not zeros either. None for an empty one.
fn extent(index: usize, header: &ProgramHeader, start: u64) -> Result<Option<Extent>> {
    let (len, offset) = (header.p_filesz.min(header.p_memsz), header.p_offset);
    if len == 0 {
        return Ok(None); // and its offset means nothing: 0, or of QEMU -1
    }
    let refuse = |what: &str| corrupt(offset, format!("segment {index} {what}"));
    // No file is larger than its offsets, which are signed.
    if i64::try_from(offset.saturating_add(len)).is_err() {
        return Err(refuse("lies where no file reaches"));
    }
    if start.checked_add(len).is_none() {
        return Err(refuse("goes beyond the end of the address space"));
    }
    Ok(Some(Extent { start, len, offset }))
}

/// The pages that makedumpfile left out: what `p_memsz` promises beyond `p_filesz`.
fn excluded(header: &ProgramHeader) -> Option<Extent> {
    let start = header.p_paddr.checked_add(header.p_filesz)?;
    let len = header.p_memsz.checked_sub(header.p_filesz).filter(|len| *len > 0)?;
    // There is no place in the file; with this one, neighbours become one.
    start.checked_add(len).map(|_| Extent { start, len, offset: start })
}

fn corrupt(offset: u64, what: impl Into<String>) -> Error {
    Error::Corrupt { format: NAME, offset, what: what.into() }
}
