//! Searches a kernel's memory for kallsyms, where nothing tells where it is: VMCOREINFO does since 6.0.
//!
//! The digits are always tokens of their own, side by side: this is quick to find. The table of tokens around them
//! agrees with the index behind it, which no other bytes do. The names lie in front of it, and the number of symbols in
//! front of the names: walking that many names must lead to the markers.

use super::addresses::Stored;
use super::find::{
    ALIGNMENTS, INDEX_BYTES, NAMES_LIMIT, Parts, SYMBOL_LIMIT, TOKENS_LIMIT, names_of, tokens_of,
};
use super::names::{Lengths, Names};
use super::tokens::Tokens;
use crate::describe;
use crate::space::Space;
use kgdbserver_arch::{Fault, Machine, Va};
use memchr::memmem;
use std::collections::VecDeque;
use std::ops::Range;

const DIGITS: &[u8] = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00";
/// Bytes read at a time.
const CHUNK: u64 = 1 << 20;
/// What is missing is skipped in steps of so many bytes.
const PAGE: u64 = 4096;
/// How many names are walked in vain before the search is given up. A sound table takes one walk.
const WALKED_LIMIT: u64 = 50_000_000;
/// How many names must be sound before all are walked.
const GLANCE: u64 = 8;

/// A table that was found, and the ways in which its addresses may be kept, likely ones first.
pub(super) struct Found {
    pub(super) parts: Parts,
    pub(super) names: Names,
    pub(super) stored: Vec<Stored>,
}

/// A search through a range of addresses: an iterator over what may be kallsyms.
pub(super) struct Search<'a> {
    space: &'a Space,
    start: u64,
    at: u64,
    end: u64,
    /// Where digits were found.
    digits: VecDeque<Va>,
    tables: usize,
    missing: Option<(Va, Fault)>,
    walks_left: u64,
}

impl<'a> Search<'a> {
    pub(super) fn new(space: &'a Space, range: Range<u64>) -> Self {
        let Range { start, end } = range;
        let (digits, walks_left) = (VecDeque::new(), WALKED_LIMIT);
        Self { space, start, at: start, end, digits, tables: 0, missing: None, walks_left }
    }

    /// Why nothing was found, and what to do.
    pub(super) fn failure(&self) -> String {
        let Self { start, end, .. } = self;
        let range = format!("{start:#x}..{end:#x}");
        let what = match (self.tables, self.missing) {
            _ if start >= end => "no memory was searched for it".into(),
            (_, Some((va, why))) => {
                format!(
                    "it was not found in {range}, of which pages are missing (first {va}: {})",
                    describe(why)
                )
            }
            (0, None) => format!("{range} holds none (is CONFIG_KALLSYMS off?)"),
            (tables, None) => format!("{range} holds {tables} that cannot be understood"),
        };
        format!("{what}; give the kernel's vmlinux or System.map")
    }

    /// Reads the next chunk, and finds the digits in it.
    fn advance(&mut self) {
        let mut chunk = vec![0; usize::try_from((self.end - self.at).min(CHUNK)).unwrap_or_default()];
        let (got, fault) = self.space.read_prefix(Va(self.at), &mut chunk);
        let read = chunk.get(..got).unwrap_or_default();
        self.digits.extend(memmem::find_iter(read, DIGITS).map(|offset| Va(self.at + offset as u64)));
        let next = self.at + got as u64;
        self.at = match fault {
            Some(why) => self.skip(Va(next), why),
            None if next < self.end => next - (DIGITS.len() as u64 - 1),
            None => next,
        };
    }

    /// Where to go on behind an address that cannot be read.
    fn skip(&mut self, va: Va, why: Fault) -> u64 {
        let unmapped = matches!(why, Fault::NotMapped | Fault::NoRegion);
        if !unmapped {
            self.missing.get_or_insert((va, why));
        }
        let hole = if unmapped { self.space.hole(va) } else { 1 };
        let next = va.0.saturating_add(hole).checked_next_multiple_of(PAGE);
        next.unwrap_or(self.end).min(self.end)
    }

    /// The table whose tokens include these digits.
    fn around(&mut self, digits: Va) -> Option<Found> {
        let machine = self.space.machine;
        let (token_table, token_index, tokens) = token_table(self.space, digits)?;
        self.tables += 1;
        let first = self.start.max(token_table.0.saturating_sub(NAMES_LIMIT));
        let (va, bytes) = self.in_front_of(first, token_table.0);
        // The number of symbols is at a multiple of 4.
        let offsets = (0..bytes.len() as u64).rev().filter(|offset| (va + offset) % 4 == 0);
        offsets.into_iter().find_map(|offset| {
            let rest = bytes.get(usize::try_from(offset).ok()?..)?;
            let count = machine.uint(rest.get(..4)?);
            // What follows the number are zeros up to the names, the first of which has a length.
            let behind = rest.get(4..)?;
            let padding = behind.iter().take(256).position(|byte| *byte != 0)?;
            let packed = behind.get(padding..)?;
            let names = Va(va + offset + 4 + padding as u64);
            let parts = Parts { count, names, token_table, token_index };
            let names = self.try_names(machine, &parts, packed, &tokens)?;
            let stored = places(self.space, &parts, Va(va + offset));
            Some(Found { parts, names, stored })
        })
    }

    fn try_names(
        &mut self,
        machine: Machine,
        parts: &Parts,
        packed: &[u8],
        tokens: &Tokens,
    ) -> Option<Names> {
        // A name takes two bytes at least, and little more than half a KiB.
        let plausible = (packed.len() as u64 / 1024..=packed.len() as u64 / 2).contains(&parts.count);
        if !plausible || parts.count > SYMBOL_LIMIT || !glance(packed, parts.count, tokens) {
            return None;
        }
        self.walks_left = self.walks_left.checked_sub(parts.count)?;
        names_of(machine, parts, packed, tokens.clone()).ok()
    }

    /// The bytes in front of `end`, back to `first` or to what cannot be read, and where they begin.
    fn in_front_of(&mut self, first: u64, end: u64) -> (u64, Vec<u8>) {
        let mut bytes = vec![0; usize::try_from(end - first).unwrap_or_default()];
        let (mut at, mut from) = (first, first);
        while at < end {
            let buf = bytes.get_mut((at - first) as usize..).unwrap_or_default();
            let (got, fault) = self.space.read_prefix(Va(at), buf);
            at += got as u64;
            if let Some(why) = fault {
                at = self.skip(Va(at), why).min(end);
                from = at;
            }
        }
        bytes.drain(..(from - first) as usize);
        (from, bytes)
    }
}

impl Iterator for Search<'_> {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        while self.at < self.end || !self.digits.is_empty() {
            while let Some(digits) = self.digits.pop_front() {
                if let Some(found) = self.around(digits) {
                    return Some(found);
                }
            }
            self.advance();
        }
        None
    }
}

/// The tokens around the digits, and where they and their index begin.
fn token_table(space: &Space, digits: Va) -> Option<(Va, Va, Tokens)> {
    const FIRST_DIGIT: usize = b'0' as usize;
    let machine = space.machine;
    let mut bytes = vec![0; (TOKENS_LIMIT + 256) as usize + INDEX_BYTES];
    let (got, _) = space.read_prefix(digits, &mut bytes);
    let bytes = bytes.get(..got)?;
    let last = memchr::memchr_iter(0, bytes).nth(255 - FIRST_DIGIT)?;
    ALIGNMENTS.iter().find_map(|alignment| {
        let index_at = (digits.0 + last as u64 + 1).next_multiple_of(*alignment);
        let index = bytes.get((index_at - digits.0) as usize..)?.get(..INDEX_BYTES)?;
        let before = machine.uint(index.chunks_exact(2).nth(FIRST_DIGIT)?);
        let table_at = digits.0.checked_sub(before)?;
        let mut table = vec![0; (index_at - table_at) as usize];
        space.read_exact(Va(table_at), &mut table).ok()?;
        let tokens = tokens_of(machine, &table, index).ok()?;
        Some((Va(table_at), Va(index_at), tokens))
    })
}

/// Whether the first names are sound.
fn glance(packed: &[u8], count: u64, tokens: &Tokens) -> bool {
    let mut at = 0;
    (0..count.min(GLANCE)).all(|_| {
        let Some(name) = Lengths::SevenBits.tokens(packed, at) else { return false };
        at = name.end;
        tokens.make_name(packed.get(name).unwrap_or_default())
    })
}

/// Where the addresses can be. `num_syms` is where the number of symbols was found.
fn places(space: &Space, parts: &Parts, num_syms: Va) -> Vec<Stored> {
    let pointer = u64::from(space.machine.ptr_bytes);
    let offsets_at = |at: u64, base: u64| Some(Stored::Offsets(Va(at), space.pointer(Va(base)).ok()?.0));
    // Behind the index of tokens, since 6.4.
    let behind = parts.token_index.0 + INDEX_BYTES as u64;
    let base = (behind + parts.count * 4).next_multiple_of(pointer);
    let mut stored: Vec<_> = offsets_at(behind, base).into_iter().collect();
    stored.extend([Stored::Pointers(Va(behind)), Stored::Places(Va(behind))]);
    // In front of the number of symbols, until 6.3.
    let down = |va: u64, alignment: u64| va - va % alignment;
    for alignment in ALIGNMENTS.into_iter().filter(|alignment| *alignment >= pointer) {
        let label = down(num_syms.0, alignment);
        let base = label.saturating_sub(alignment);
        stored.extend(offsets_at(down(base.saturating_sub(parts.count * 4), alignment), base));
        stored.push(Stored::Pointers(Va(down(label.saturating_sub(parts.count * pointer), alignment))));
    }
    stored
}
