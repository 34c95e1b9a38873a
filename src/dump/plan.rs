//! Which memory goes into a dump.

use super::Job;
use kgdbserver_arch::Pa;
use std::ops::Range;

/// Physical memory: disjoint ranges in ascending order.
#[derive(Default)]
pub(super) struct Plan {
    /// What is written.
    pub(super) written: Vec<Range<u64>>,
    /// What was there, and was left out on purpose.
    pub(super) left_out: Vec<Range<u64>>,
    /// Bytes that the image should hold, and does not.
    pub(super) lost: u64,
}

impl Plan {
    /// All of an image but `unreadable` pages, in pages of `1 << page_shift` bytes: what the image holds only a part of is
    /// lost.
    pub(super) fn of(job: &Job<'_>, page_shift: u8, unreadable: &[Range<u64>]) -> Self {
        let own = 1 << job.image.page_shift.min(page_shift);
        let held = runs(job.image.memory.pages().filter(|pa| !job.is_lost(*pa)), own);
        let written = without(whole(&held, 1 << page_shift), unreadable);
        let left_out = whole(&runs(job.image.memory.left_out(), own), 1 << page_shift);
        let dumped = job.image.memory.pages().count() as u64 * own;
        let lost = dumped.saturating_sub(bytes(&written));
        Self { written, left_out, lost }
    }

    pub(super) fn bytes(&self) -> u64 {
        bytes(&self.written)
    }

    /// The address behind all memory.
    pub(super) fn end(&self) -> u64 {
        let end = |ranges: &[Range<u64>]| ranges.last().map_or(0, |range| range.end);
        end(&self.written).max(end(&self.left_out))
    }
}

fn bytes(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

/// Pages of `len` bytes in ascending order, put together.
fn runs(pages: impl Iterator<Item = Pa>, len: u64) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for Pa(start) in pages {
        let end = start.saturating_add(len);
        match runs.last_mut() {
            Some(last) if last.end == start => last.end = end,
            _ => runs.push(start..end),
        }
    }
    runs
}

/// What of `ranges` is in none of `holes`, which are in ascending order.
fn without(ranges: Vec<Range<u64>>, holes: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = Vec::with_capacity(ranges.len());
    let mut holes = holes.iter().peekable();
    for mut range in ranges {
        while let Some(hole) = holes.next_if(|hole| hole.start < range.end) {
            if range.start < hole.start {
                left.push(range.start..hole.start);
            }
            range.start = range.start.max(hole.end);
        }
        if !range.is_empty() {
            left.push(range);
        }
    }
    left
}

/// The pages of `len` bytes that lie within ranges.
fn whole(ranges: &[Range<u64>], len: u64) -> Vec<Range<u64>> {
    let whole = ranges.iter().map(|range| range.start.next_multiple_of(len)..range.end / len * len);
    whole.filter(|range| !range.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_ranges() {
        let pages = [0x1000, 0x2000, 0x5000].map(Pa);
        assert_eq!(runs(pages.into_iter(), 0x1000), [0x1000..0x3000, 0x5000..0x6000]);
        assert_eq!(whole(&[0x1000..0x9000, 0xa000..0xb000], 0x4000), std::slice::from_ref(&(0x4000..0x8000)));
    }

    #[test]
    fn holes_are_taken_out() {
        let left = without(vec![0..10, 20..30, 40..50], &[0..2, 4..5, 9..10, 20..30, 45..46]);
        assert_eq!(left, [2..4, 5..9, 40..45, 46..50]);
    }
}
