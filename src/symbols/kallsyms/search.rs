//! Searches a kernel's memory for kallsyms, where nothing tells where it is: VMCOREINFO does since 6.0.
//!
//! The digits are always tokens of their own, side by side: this is quick to find. The table of tokens around them
//! agrees with the index behind it, which no other bytes do. The names lie in front of it, and the number of symbols in
//! front of the names: walking that many names must lead to the markers.

use super::Table;
use super::addresses::Stored;
use super::find::{
    ALIGNMENTS, INDEX_BYTES, NAMES_LIMIT, Parts, SYMBOL_LIMIT, TOKENS_LIMIT, names_of, padding, tokens_of,
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
/// How many tables of tokens are looked at.
const TABLES_LIMIT: usize = 8;
/// From the number of symbols to the tokens it is rarely further, in bytes.
const NEAR: u64 = 4 << 20;
/// How many names must be sound before all are walked.
const GLANCE: u64 = 8;

/// A table that was found, and the ways in which its addresses may be kept, likely ones first.
pub(super) struct Found {
    pub(super) parts: Parts,
    pub(super) names: Names,
    pub(super) stored: Vec<Stored>,
}

/// Makes the table of what was found, if it is sound.
type Accept<'a> = &'a dyn Fn(Found) -> Option<Table>;

/// A search through a range of addresses.
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

    /// The first table that is accepted.
    pub(super) fn find(&mut self, accept: Accept<'_>) -> Option<Table> {
        while self.tables < TABLES_LIMIT {
            match self.digits.pop_front() {
                Some(digits) => {
                    if let Some(table) = self.around(digits, accept) {
                        return Some(table);
                    }
                }
                None if self.at < self.end => self.advance(),
                None => return None,
            }
        }
        None
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
        let next = match why {
            Fault::NoRegion => {
                let regions = self.space.regions().iter().map(|region| region.first.0);
                regions.filter(|first| *first > va.0).min()
            }
            Fault::NotMapped => va.0.checked_add(self.space.hole(va)),
            _ => {
                self.missing.get_or_insert((va, why));
                va.0.checked_add(1)
            }
        };
        let page = next.and_then(|next| next.checked_next_multiple_of(PAGE));
        page.unwrap_or(self.end).min(self.end)
    }

    /// The table whose tokens include these digits.
    fn around(&mut self, digits: Va, accept: Accept<'_>) -> Option<Table> {
        let (token_table, token_index, tokens) = token_table(self.space, digits)?;
        self.tables += 1;
        let parts = Parts { count: 0, names: token_table, token_table, token_index };
        let mut first =
            [NEAR, NAMES_LIMIT].map(|bytes| self.start.max(token_table.0.saturating_sub(bytes))).to_vec();
        first.dedup();
        first.into_iter().find_map(|first| self.names_behind(first, parts, &tokens, accept))
    }

    /// The names that lie before a table of tokens and behind an address, their number in front of them.
    fn names_behind(
        &mut self,
        first: u64,
        parts: Parts,
        tokens: &Tokens,
        accept: Accept<'_>,
    ) -> Option<Table> {
        let machine = self.space.machine;
        let (va, bytes) = self.in_front_of(first, parts.token_table.0);
        let last = bytes.len().checked_sub(4)?;
        // The number of symbols is at a multiple of 4, as the tokens may not be.
        let mut offsets = (padding(va, 4)..last + 1).step_by(4).rev();
        offsets.find_map(|offset| {
            let rest = bytes.get(offset..)?;
            let count = machine.uint(rest.get(..4)?);
            // A name takes two bytes at least, and little more than half a KiB.
            let plausible = (rest.len() as u64 / 1024..=rest.len() as u64 / 2).contains(&count);
            if !plausible || !(1..=SYMBOL_LIMIT).contains(&count) {
                return None;
            }
            // What follows the number are zeros up to the names, the first of which has a length.
            let padding = rest.iter().skip(4).take(256).position(|byte| *byte != 0)?;
            let packed = rest.get(4 + padding..)?;
            let num_syms = Va(va + offset as u64);
            let parts = Parts { count, names: Va(num_syms.0 + 4 + padding as u64), ..parts };
            let names = self.try_names(machine, &parts, packed, tokens)?;
            accept(Found { parts, names, stored: places(self.space, &parts, num_syms) })
        })
    }

    fn try_names(
        &mut self,
        machine: Machine,
        parts: &Parts,
        packed: &[u8],
        tokens: &Tokens,
    ) -> Option<Names> {
        if !glance(packed, parts.count, tokens) {
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

/// The tokens around the digits, and where they and their index begin.
fn token_table(space: &Space, digits: Va) -> Option<(Va, Va, Tokens)> {
    const FIRST_DIGIT: usize = b'0' as usize;
    let machine = space.machine;
    let mut bytes = vec![0; (TOKENS_LIMIT + 256) as usize + INDEX_BYTES];
    let (got, _) = space.read_prefix(digits, &mut bytes);
    let bytes = bytes.get(..got)?;
    let last = memchr::memchr_iter(0, bytes).nth(255 - FIRST_DIGIT)?;
    ALIGNMENTS.iter().find_map(|alignment| {
        let end = last + 1;
        let index_at = end + padding(digits.0.wrapping_add(end as u64), *alignment);
        let index = bytes.get(index_at..)?.get(..INDEX_BYTES)?;
        let before = machine.uint(index.chunks_exact(2).nth(FIRST_DIGIT)?);
        let table_at = Va(digits.0.checked_sub(before)?);
        let mut table = vec![0; before as usize + end];
        space.read_exact(table_at, &mut table).ok()?;
        let tokens = tokens_of(machine, &table, index).ok()?;
        Some((table_at, digits.checked_add(index_at as u64)?, tokens))
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
    let behind = parts.token_index.0.wrapping_add(INDEX_BYTES as u64);
    let end = behind.wrapping_add(parts.count * 4);
    let base = end.wrapping_add(padding(end, pointer) as u64);
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
