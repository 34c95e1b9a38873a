//! A minidump's memory where the kernel maps it: a segment for each stretch of addresses, and several of the same bytes where
//! several addresses mean them.
//!
//! The minidump's header and its page tables go along as they are, and a note tells where.

use super::Job;
use super::elf::{Segment, within};
use super::notes::Notes;
use super::words::Words;
use crate::image::elf::{HEADERS_LIMIT, MINIDUMP};
use crate::image::{Image, Kept};
use crate::pages::{Run, runs};
use crate::{Error, Result};
use goblin::elf::ProgramHeader;
use goblin::elf::program_header::{PF_R, PF_W, PF_X, PT_NULL};
use kgdbserver_arch::{Rights, Via};
use std::ops::Range;

/// What the kernel maps.
pub(super) struct Mapped<'a> {
    kept: &'a Kept,
    /// In ascending order, disjoint.
    runs: Vec<Run>,
    /// Physical memory that has an address whatever the page tables say: the direct map's.
    direct: Range<u64>,
}

impl<'a> Mapped<'a> {
    /// None for an image that keeps no page tables apart.
    pub(super) fn of(job: &Job<'a>) -> Result<Option<Self>> {
        let Some(kept) = &job.image.kept else { return Ok(None) };
        let space = job.kvm.space();
        let mut all: Vec<Run> = Vec::new();
        for run in space.regions().iter().flat_map(|region| runs(region, space, 1 << job.image.page_shift)) {
            match all.last_mut() {
                Some(last) if last.leads_to(&run) => last.len += run.len,
                _ => all.push(run),
            }
            if all.len() > HEADERS_LIMIT as usize {
                let what = format!("the kernel maps memory in more than {HEADERS_LIMIT} pieces");
                return Err(Error::Unsupported(what));
            }
        }
        all.sort_by_key(|run| run.va);
        // Where regions overlap, both have the mapping that counts.
        all.dedup_by(|next, last| {
            let inside = next.va.0 - last.va.0;
            let common = inside < last.len;
            last.len = if common { last.len.max(inside.saturating_add(next.len)) } else { last.len };
            common
        });
        Ok(Some(Self { kept, runs: all, direct: direct(job.image) }))
    }

    /// Bytes of what goes along.
    pub(super) fn len(&self) -> u64 {
        len(&self.kept.header) + len(&self.kept.tables)
    }

    /// Writes it.
    pub(super) fn copy(&self, job: &Job<'_>, to: u64) -> Result<()> {
        job.copy(&self.kept.header, to)?;
        job.copy(&self.kept.tables, to + len(&self.kept.header))
    }

    /// The note that tells where it is; it has the same length wherever that is.
    pub(super) fn note(&self, at: u64, big_endian: bool) -> Vec<u8> {
        let mut words = Words::new(big_endian);
        words.u64(at).u64(self.len());
        let mut notes = Notes::none(big_endian);
        notes.push(MINIDUMP.0, MINIDUMP.1, &words.bytes);
        notes.bytes
    }

    /// The headers of memory that is mapped, and of the rest.
    pub(super) fn described<'b>(
        &'b self,
        segments: &'b [Segment],
    ) -> impl Iterator<Item = ProgramHeader> + 'b {
        let mapped = self.runs.iter().flat_map(|run| {
            let parts = within(segments, run.pa.0..run.pa.0.saturating_add(run.len));
            parts.map(|part| part.header(run.va.0 + (part.pa - run.pa.0), flags(run.rights)))
        });
        let unmapped = [0..self.direct.start, self.direct.end..u64::MAX];
        let unmapped = unmapped.into_iter().flat_map(|range| within(segments, range));
        let unmapped = unmapped.map(|part| ProgramHeader { p_type: PT_NULL, ..part.header(0, PF_R) });
        mapped.chain(unmapped)
    }
}

fn direct(image: &Image) -> Range<u64> {
    match image.direct_map.as_ref().map(|map| (&map.via, map.last.0 - map.first.0)) {
        Some((Via::Linear(first), last)) => first.0..first.0.saturating_add(last).saturating_add(1),
        _ => 0..0,
    }
}

fn len(range: &Range<u64>) -> u64 {
    range.end.saturating_sub(range.start)
}

fn flags(rights: Option<Rights>) -> u32 {
    let Some(Rights { write, execute }) = rights else { return PF_R | PF_W | PF_X };
    PF_R | if write { PF_W } else { 0 } | if execute { PF_X } else { 0 }
}
