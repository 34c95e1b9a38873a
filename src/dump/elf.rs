//! An ELF core as the kernel that kexec starts shows one in `/proc/vmcore`: physical memory, with the virtual addresses at which
//! the kernel maps it. Pages that were left out are what a segment's memory has more than its file, as makedumpfile does it.

use super::headers::{self, Kind};
use super::linux::{self, DirectMap};
use super::mapped::Mapped;
use super::notes::Notes;
use super::plan::Plan;
use super::{Abi, CHUNK, Job, Written, threads};
use crate::image::elf::{HEADERS_LIMIT, PT_DUMP_DELTA};
use crate::{Error, Result};
use goblin::elf::ProgramHeader;
use goblin::elf::header::{ELFOSABI_FREEBSD, ELFOSABI_LINUX, ELFOSABI_NONE, ELFOSABI_STANDALONE};
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_LOAD, PT_NOTE};
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Memory begins at a multiple of this in the file, so that it can be mapped, and zeros can be holes.
const ALIGNMENT: u64 = 4096;
/// Tries to write memory of which more and more turns out to be unreadable.
const TRIES: usize = 4;
/// What the kernel maps is taken for anything, if nothing else is told.
const ALL_RIGHTS: u32 = PF_R | PF_W | PF_X;

/// A segment: memory, and where it lies in the file.
pub(super) struct Segment {
    pub(super) pa: u64,
    pub(super) len: u64,
    /// With the pages behind it that were left out.
    memory: u64,
    offset: u64,
}

/// A core that is being written.
struct Core<'a> {
    job: &'a Job<'a>,
    kind: Kind,
    notes: Notes,
    /// Of a minidump, where the kernel maps its memory.
    mapped: Option<Mapped<'a>>,
}

pub(super) fn write(job: &Job<'_>, abi: Abi) -> Result<Written> {
    let core = Core::of(job, abi)?;
    // Those who read the cores of kernels do so by the page, debuggers by the byte.
    let piece = if core.mapped.is_some() { 1 } else { 1 << job.image.page_shift };
    let mut unreadable: Vec<Range<u64>> = Vec::new();
    for _ in 0..TRIES {
        job.file.set_len(0).map_err(|error| job.io(error))?;
        let plan = Plan::of(job, job.image.page_shift, &unreadable);
        let mut segments = segments(&plan);
        let end = core.lay_out(&mut segments)?;
        let lost = fill(job, &segments, piece)?;
        if lost.is_empty() {
            // The last pages may be zeros.
            job.file.set_len(end).map_err(|error| job.io(error))?;
            return Ok(Written { memory: plan.bytes(), lost: plan.lost, file: end });
        }
        unreadable.extend(lost);
        unreadable.sort_by_key(|range| range.start);
    }
    Err(Error::Unsupported("ever more of the image turns out to be unreadable".into()))
}

impl<'a> Core<'a> {
    fn of(job: &'a Job<'a>, abi: Abi) -> Result<Self> {
        let machine = job.image.machine.unwrap_or(job.kvm.space().machine);
        // What is known of a kernel that is not Linux's is in FreeBSD's way.
        let bsd = job.kvm.linux().is_none() && matches!(job.kvm.located(), Some(Ok(_)));
        let mapped = Mapped::of(job)?;
        let brand = match (&mapped, abi) {
            (None, _) if bsd => ELFOSABI_STANDALONE,
            (None, _) => ELFOSABI_NONE,
            (Some(_), Abi::FreeBsd) => ELFOSABI_FREEBSD,
            (Some(_), Abi::Linux) => ELFOSABI_LINUX,
        };
        // Plain memory of 32-bit machines may lie above 4 GiB; where it is mapped is left to its page tables.
        let wide = mapped.is_none() || machine.ptr_bytes == 8;
        let notes = match mapped {
            Some(_) => threads::notes(job.kvm, machine, abi)?,
            None => Notes::of(job.kvm, machine.big_endian),
        };
        Ok(Self { job, kind: Kind { machine, wide, brand }, notes, mapped })
    }

    /// Places segments in the file, and writes what stands before them; returns where the file ends.
    fn lay_out(&self, segments: &mut [Segment]) -> Result<u64> {
        let job = self.job;
        let big_endian = self.kind.machine.big_endian;
        // Our own note comes first, so that no others need be read to know the file.
        let contents = |kept_at| {
            let own = self.mapped.as_ref().map(|mapped| mapped.note(kept_at, big_endian));
            [own.unwrap_or_default(), self.notes.bytes.clone()].concat()
        };
        let after = |at: u64, len: u64| {
            let start = at.next_multiple_of(ALIGNMENT);
            start..start + len
        };
        // Where things lie changes nothing in how many headers there are.
        let notes_len = contents(0).len() as u64;
        let count = self.described(segments, &(0..notes_len))?.len();
        let notes = after(headers::size(count, self.kind), notes_len);
        let kept = after(notes.end, self.mapped.as_ref().map_or(0, Mapped::len));
        let mut end = kept.end;
        for segment in &mut *segments {
            let place = after(end, segment.len);
            (segment.offset, end) = (place.start, place.end);
        }
        let headers = self.described(segments, &notes)?;
        if !self.kind.wide && headers.iter().any(|header| header.p_paddr.max(end) > u32::MAX.into()) {
            let what = "an ELF core of a 32-bit machine has no room for memory above 4 GiB (PAE, LPAE): use --format minidump";
            return Err(Error::Unsupported(what.into()));
        }
        job.file.write_all_at(&headers::file(self.kind, headers)?, 0).map_err(|error| job.io(error))?;
        job.file.write_all_at(&contents(kept.start), notes.start).map_err(|error| job.io(error))?;
        if let Some(mapped) = &self.mapped {
            mapped.copy(job, kept.start)?;
        }
        Ok(end)
    }

    /// The program headers, with the notes in that place.
    fn described(&self, segments: &[Segment], notes: &Range<u64>) -> Result<Vec<ProgramHeader>> {
        let len = notes.end - notes.start;
        let note = ProgramHeader {
            p_type: PT_NOTE,
            p_flags: 0,
            p_offset: notes.start,
            p_filesz: len,
            p_memsz: len,
            p_align: 4, // gdb takes no notes that claim another alignment
            ..ProgramHeader::new()
        };
        let note = (len > 0).then_some(note);
        let memory: Box<dyn Iterator<Item = ProgramHeader>> = match &self.mapped {
            Some(mapped) => Box::new(mapped.described(segments)),
            None => Box::new(plain(self.job, segments)),
        };
        let headers: Vec<ProgramHeader> =
            note.into_iter().chain(memory).take(HEADERS_LIMIT as usize + 1).collect();
        match headers.len() <= HEADERS_LIMIT as usize {
            true => Ok(headers),
            false => Err(Error::Unsupported(format!("memory in more than {HEADERS_LIMIT} pieces"))),
        }
    }
}

/// Plain memory: the kernel's own image, and all memory.
fn plain<'a>(job: &Job<'_>, segments: &'a [Segment]) -> impl Iterator<Item = ProgramHeader> + use<'a> {
    let delta = job.image.plain.as_ref().and_then(|plain| plain.delta).map(|delta| ProgramHeader {
        p_type: PT_DUMP_DELTA,
        p_vaddr: delta.va.0,
        p_paddr: delta.pa.0,
        p_align: delta.align,
        ..ProgramHeader::new()
    });
    let in_text: Vec<ProgramHeader> = linux::text(job.kvm)
        .iter()
        .flat_map(|(range, va)| {
            within(segments, range.clone())
                .map(|part| part.header(va.0.wrapping_add(part.pa - range.start), ALL_RIGHTS))
        })
        .collect();
    let map = DirectMap::of(job.kvm);
    let va =
        |segment: &Segment| map.va(job.kvm, &(segment.pa..segment.pa + segment.len)).map_or(0, |va| va.0);
    let all: Vec<ProgramHeader> =
        segments.iter().map(|segment| segment.header(va(segment), ALL_RIGHTS)).collect();
    delta.into_iter().chain(in_text).chain(all)
}

/// The parts of segments that hold a range of physical memory.
pub(super) fn within(segments: &[Segment], range: Range<u64>) -> impl Iterator<Item = Segment> {
    let first = segments.partition_point(|segment| segment.pa + segment.len <= range.start);
    let near = segments.get(first..).unwrap_or_default().iter();
    let end = range.end;
    near.take_while(move |segment| segment.pa < end).filter_map(move |segment| segment.part(&range))
}

/// A segment for each range of memory, which takes what was left out directly behind it, and one without contents for
/// what was left out elsewhere.
fn segments(plan: &Plan) -> Vec<Segment> {
    let segment = |range: &Range<u64>, len| Segment { pa: range.start, len, memory: len, offset: 0 };
    let mut segments: Vec<Segment> =
        plan.written.iter().map(|range| segment(range, range.end - range.start)).collect();
    let empty =
        plan.left_out.iter().map(|range| Segment { memory: range.end - range.start, ..segment(range, 0) });
    segments.extend(empty);
    segments.sort_by_key(|segment| segment.pa);
    segments.dedup_by(|next, last| {
        let behind = next.len == 0 && last.pa + last.memory == next.pa;
        last.memory += if behind { next.memory } else { 0 };
        behind
    });
    segments
}

impl Segment {
    /// What of it lies in a range; none if that is nothing.
    fn part(&self, range: &Range<u64>) -> Option<Self> {
        let (start, end) = (self.pa.max(range.start), (self.pa + self.len).min(range.end));
        let len = end.checked_sub(start).filter(|len| *len > 0)?;
        Some(Self { pa: start, len, memory: len, offset: self.offset + (start - self.pa) })
    }

    /// Its header at a virtual address.
    pub(super) fn header(&self, va: u64, rights: u32) -> ProgramHeader {
        ProgramHeader {
            p_type: PT_LOAD,
            p_flags: rights,
            p_offset: self.offset,
            p_vaddr: va,
            p_paddr: self.pa,
            p_filesz: self.len,
            p_memsz: self.memory,
            p_align: 0,
        }
    }
}

/// Writes the memory; returns what could not be read, in pieces of so many bytes.
fn fill(job: &Job<'_>, segments: &[Segment], piece: u64) -> Result<Vec<Range<u64>>> {
    let page = 1 << job.image.page_shift;
    let total = segments.iter().map(|segment| segment.len).sum();
    let (mut done, mut lost) = (0, Vec::new());
    let mut buf = vec![0; CHUNK];
    for segment in segments {
        for at in (0..segment.len).step_by(CHUNK) {
            job.tell(done, total)?;
            let len = (segment.len - at).min(CHUNK as u64);
            let (pa, offset) = (segment.pa + at, segment.offset + at);
            let chunk = buf.get_mut(..len as usize).unwrap_or_default();
            if job.read(pa, chunk) < chunk.len() {
                let pages = chunk.chunks_mut(page).zip((pa..).step_by(page));
                let bad = pages.map(|(bytes, pa)| {
                    let got = job.read(pa, bytes) as u64 / piece * piece;
                    pa + got..pa + bytes.len() as u64
                });
                lost.extend(bad.filter(|lost| !lost.is_empty()).collect::<Vec<_>>());
            }
            job.store(chunk, offset, page)?;
            done += len;
        }
    }
    job.tell(total, total)?;
    Ok(lost)
}
