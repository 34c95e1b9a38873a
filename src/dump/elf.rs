//! An ELF core as the kernel that kexec starts shows one in `/proc/vmcore`: physical memory, with the virtual addresses at which
//! the kernel maps it. Pages that were left out are what a segment's memory has more than its file, as makedumpfile does it.

use super::linux::{self, DirectMap};
use super::notes::Notes;
use super::plan::Plan;
use super::{Job, Written, headers, is_zero};
use crate::{Error, Result};
use goblin::elf::ProgramHeader;
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_LOAD, PT_NOTE};
use std::ops::Range;
use std::os::unix::fs::FileExt;

/// Memory begins at a multiple of this in the file, so that it can be mapped, and zeros can be holes.
const ALIGNMENT: u64 = 4096;
/// Bytes read at a time.
const CHUNK: u64 = 1 << 20;
/// Where FreeBSD loaded its kernel, and the brand of its dumps.
const PT_DUMP_DELTA: u32 = 0x6fb5_d000;
const STANDALONE: u8 = 255;
/// Tries to write memory of which more and more turns out to be unreadable.
const TRIES: usize = 4;

/// A segment: memory, and where it lies in the file.
struct Segment {
    pa: u64,
    len: u64,
    /// With the pages behind it that were left out.
    memory: u64,
    offset: u64,
}

pub(super) fn write(job: &Job<'_>) -> Result<Written> {
    let mut unreadable: Vec<Range<u64>> = Vec::new();
    for _ in 0..TRIES {
        job.file.set_len(0).map_err(|error| job.io(error))?;
        let plan = Plan::of(job, job.image.page_shift, &unreadable);
        let mut segments = segments(&plan);
        let end = lay_out(job, &mut segments)?;
        let lost = fill(job, &segments)?;
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

/// Places segments in the file, and writes what stands before them; returns where the file ends.
fn lay_out(job: &Job<'_>, segments: &mut [Segment]) -> Result<u64> {
    let machine = job.image.machine.unwrap_or(job.kvm.space().machine);
    let notes = Notes::of(job.kvm, machine.big_endian);
    let notes_len = notes.bytes.len() as u64;
    // Where a segment lies changes nothing in how many headers there are.
    let notes_at =
        headers::size(described(job, segments, 0..notes_len).len(), machine).next_multiple_of(ALIGNMENT);
    let mut end = notes_at + notes_len;
    for segment in &mut *segments {
        segment.offset = end.next_multiple_of(ALIGNMENT);
        end = segment.offset + segment.len;
    }
    let headers = described(job, segments, notes_at..notes_at + notes_len);
    // What is known of a kernel that is not Linux's is in FreeBSD's way.
    let bsd = job.kvm.linux().is_none() && matches!(job.kvm.located(), Some(Ok(_)));
    let brand = if bsd { STANDALONE } else { 0 };
    job.file.write_all_at(&headers::file(machine, brand, headers)?, 0).map_err(|error| job.io(error))?;
    job.file.write_all_at(&notes.bytes, notes_at).map_err(|error| job.io(error))?;
    Ok(end)
}

/// The program headers: notes, the kernel's own image, all memory.
fn described(job: &Job<'_>, segments: &[Segment], notes: Range<u64>) -> Vec<ProgramHeader> {
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
    let delta = job.image.plain.as_ref().and_then(|plain| plain.delta).map(|delta| ProgramHeader {
        p_type: PT_DUMP_DELTA,
        p_vaddr: delta.va.0,
        p_paddr: delta.pa.0,
        p_align: delta.align,
        ..ProgramHeader::new()
    });
    let text = linux::text(job.kvm);
    let in_text = text.iter().flat_map(|(range, va)| {
        let parts = segments.iter().filter_map(|segment| segment.part(range));
        parts.map(|part| part.header(va.0.wrapping_add(part.pa - range.start)))
    });
    let map = DirectMap::of(job.kvm);
    let va =
        |segment: &Segment| map.va(job.kvm, &(segment.pa..segment.pa + segment.len)).map_or(0, |va| va.0);
    let all = segments.iter().map(|segment| segment.header(va(segment)));
    let note = (len > 0).then_some(note);
    note.into_iter().chain(delta).chain(in_text).chain(all).collect()
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

    fn header(&self, va: u64) -> ProgramHeader {
        ProgramHeader {
            p_type: PT_LOAD,
            p_flags: PF_R | PF_W | PF_X,
            p_offset: self.offset,
            p_vaddr: va,
            p_paddr: self.pa,
            p_filesz: self.len,
            p_memsz: self.memory,
            p_align: 0,
        }
    }
}

/// Writes the memory; returns what could not be read.
fn fill(job: &Job<'_>, segments: &[Segment]) -> Result<Vec<Range<u64>>> {
    let page = 1 << job.image.page_shift;
    let total = segments.iter().map(|segment| segment.len).sum();
    let (mut done, mut lost) = (0, Vec::new());
    let mut buf = vec![0; CHUNK as usize];
    for segment in segments {
        for at in (0..segment.len).step_by(CHUNK as usize) {
            job.tell(done, total)?;
            let len = (segment.len - at).min(CHUNK);
            let (pa, offset) = (segment.pa + at, segment.offset + at);
            let chunk = buf.get_mut(..len as usize).unwrap_or_default();
            if !job.read(pa, chunk) {
                let pages = chunk.chunks_mut(page).zip((pa..).step_by(page));
                let bad =
                    pages.filter_map(|(bytes, pa)| (!job.read(pa, bytes)).then(|| pa..pa + page as u64));
                lost.extend(bad.collect::<Vec<_>>());
            }
            store(job, chunk, offset, page)?;
            done += len;
        }
    }
    job.tell(total, total)?;
    Ok(lost)
}

/// Writes what is not zeros: the rest is a hole in the file.
fn store(job: &Job<'_>, chunk: &[u8], offset: u64, page: usize) -> Result<()> {
    let pages: Vec<&[u8]> = chunk.chunks(page).collect();
    let mut at = 0;
    for run in pages.chunk_by(|one, next| is_zero(one) == is_zero(next)) {
        let len: usize = run.iter().map(|page| page.len()).sum();
        let bytes = chunk.get(at..at + len).unwrap_or_default();
        if !run.first().is_none_or(|page| is_zero(page)) {
            job.file.write_all_at(bytes, offset + at as u64).map_err(|error| job.io(error))?;
        }
        at += len;
    }
    Ok(())
}
