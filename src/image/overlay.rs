//! Changes that lie over an image: whoever reads through the overlay sees them, and the image is not written.
//!
//! They are kept by the page's place in the image and not by virtual address, so that all addresses of a page agree, and
//! page tables that were changed translate as changed. Only what the image holds can be changed.

use super::{Addr, Census, Memory, Unwritten};
use crate::{Error, Result};
use kgdbserver_arch::{Fault, Pa, Va};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Changes are kept in pieces of this many bytes, whatever the machine's pages are.
const PIECE: usize = 4096;

/// What an overlay holds if nobody says otherwise, in bytes.
pub const LIMIT: usize = 64 << 20;

/// An image's memory, and changes to it.
pub struct Overlay {
    below: Arc<dyn Memory>,
    /// By the place of their first byte.
    pieces: RwLock<BTreeMap<Addr, Piece>>,
    /// How many pieces there may be.
    limit: usize,
}

/// Bytes of which some were changed.
struct Piece {
    bytes: [u8; PIECE],
    changed: [u64; PIECE / 64],
    /// The virtual address of its first byte, as who wrote there first had it.
    va: Va,
}

/// Changed bytes that lie side by side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where they lie in the image.
    pub at: Addr,
    /// Where they lay for who wrote them first.
    pub va: Va,
    /// What the image has there.
    pub was: Vec<u8>,
    /// What is seen instead.
    pub now: Vec<u8>,
}

impl Piece {
    fn is_changed(&self, offset: usize) -> bool {
        self.changed.get(offset / 64).is_some_and(|word| word >> (offset % 64) & 1 != 0)
    }

    /// Changes one byte, or, without a value, gives the image's back.
    fn set(&mut self, offset: usize, value: Option<u8>) {
        let bit = 1 << (offset % 64);
        if let Some(word) = self.changed.get_mut(offset / 64) {
            *word = if value.is_some() { *word | bit } else { *word & !bit };
        }
        if let (Some(byte), Some(value)) = (self.bytes.get_mut(offset), value) {
            *byte = value;
        }
    }
}

/// A place's piece, and the place within it; none for what is no memory.
fn split(at: Addr) -> Option<(Addr, usize)> {
    let within = |address: u64| (address % PIECE as u64) as usize;
    let first = |address: u64| address - address % PIECE as u64;
    match at {
        Addr::Phys(Pa(pa)) => Some((Addr::Phys(Pa(first(pa))), within(pa))),
        Addr::Virt(Va(va)) => Some((Addr::Virt(Va(first(va))), within(va))),
        Addr::File(_) => None,
    }
}

impl Overlay {
    /// An overlay without changes, which takes at most about `limit` bytes of them.
    pub fn new(below: Arc<dyn Memory>, limit: usize) -> Self {
        Self { below, pieces: RwLock::default(), limit: limit.div_ceil(PIECE) }
    }

    fn pieces(&self) -> RwLockReadGuard<'_, BTreeMap<Addr, Piece>> {
        self.pieces.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn pieces_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<Addr, Piece>> {
        self.pieces.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// All changes, in ascending order.
    pub fn changes(&self) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        for (first, piece) in &*self.pieces() {
            for offset in (0..PIECE).filter(|offset| piece.is_changed(*offset)) {
                let (Some(at), Some(byte)) = (first.checked_add(offset as u64), piece.bytes.get(offset))
                else {
                    continue;
                };
                let ends = |last: &Change| last.at.checked_add(last.now.len() as u64);
                match changes.last_mut().filter(|last| ends(last) == Some(at)) {
                    Some(last) => last.now.push(*byte),
                    None => {
                        let va = Va(piece.va.0.wrapping_add(offset as u64));
                        changes.push(Change { at, va, was: Vec::new(), now: vec![*byte] });
                    }
                }
            }
        }
        changes.iter_mut().for_each(|change| change.was = self.below_at(change.at, change.now.len()));
        changes
    }

    /// What the image has there; it had it when the change was made.
    fn below_at(&self, at: Addr, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        let got = self.below.read(at, &mut bytes).unwrap_or(0);
        bytes.truncate(got);
        bytes
    }

    /// Whether the image has these bytes at a place.
    pub(crate) fn is_below(&self, at: Addr, bytes: &[u8]) -> bool {
        self.below_at(at, bytes.len()) == bytes
    }

    /// Takes back all changes; returns how many bytes that are.
    pub fn revert_all(&self) -> usize {
        let pieces = std::mem::take(&mut *self.pieces_mut());
        let count =
            |piece: &Piece| piece.changed.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        pieces.values().map(count).sum()
    }

    /// Takes back the change that a place is part of; none if it is as in the image.
    pub fn revert(&self, at: Addr) -> Option<Change> {
        let holds = |change: &Change| {
            let (Some((a, _)), Some((b, _))) = (split(change.at), split(at)) else { return false };
            let same_kind = std::mem::discriminant(&a) == std::mem::discriminant(&b);
            let end = change.at.checked_add(change.now.len() as u64);
            same_kind && change.at <= at && end.is_none_or(|end| at < end)
        };
        let change = self.changes().into_iter().find(holds)?;
        let mut pieces = self.pieces_mut();
        for nth in 0..change.now.len() {
            let place = change.at.checked_add(nth as u64).and_then(split);
            if let Some((first, offset)) = place
                && let Some(piece) = pieces.get_mut(&first)
            {
                piece.set(offset, None);
            }
        }
        pieces.retain(|_, piece| piece.changed.iter().any(|word| *word != 0));
        Some(change)
    }

    /// Keeps a piece's part of a change; false if that would be too much.
    fn keep(&self, at: Addr, data: &[u8], va: Va) -> bool {
        let Some((first, offset)) = split(at) else { return false };
        let mut pieces = self.pieces_mut();
        if pieces.len() >= self.limit && !pieces.contains_key(&first) {
            return false;
        }
        let fresh = || Piece {
            bytes: [0; PIECE],
            changed: [0; PIECE / 64],
            va: Va(va.0.wrapping_sub(offset as u64)),
        };
        let piece = pieces.entry(first).or_insert_with(fresh);
        data.iter().zip(offset..).for_each(|(byte, offset)| piece.set(offset, Some(*byte)));
        true
    }

    /// Makes all of these changes, or none if they are too many; returns how many bytes they are.
    ///
    /// # Errors
    /// [`Error::OverlayFull`].
    pub(crate) fn make(&self, changes: &[Change]) -> Result<usize> {
        let mut needed: BTreeSet<Addr> = self.pieces().keys().copied().collect();
        for (at, _, _) in changes.iter().flat_map(parts) {
            needed.extend(split(at).map(|(first, _)| first));
            if needed.len() > self.limit {
                return Err(Error::OverlayFull { limit: self.limit * PIECE });
            }
        }
        for (at, part, va) in changes.iter().flat_map(parts) {
            self.keep(at, part, va);
        }
        Ok(changes.iter().map(|change| change.now.len()).sum())
    }

    /// Puts the changes over what was read.
    fn cover(&self, at: Addr, buf: &mut [u8]) {
        let last = at.checked_add((buf.len() as u64).saturating_sub(1));
        let (Some((from, skipped)), Some((to, _))) = (split(at), last.and_then(split)) else { return };
        for (first, piece) in self.pieces().range(from..=to) {
            // Of the first piece only the end is wanted, of the others `buf` begins before them.
            let (start, before) = match *first == from {
                true => (skipped, 0),
                false => (0, distance(at, *first)),
            };
            let rest = buf.get_mut(before..).unwrap_or_default();
            for (offset, byte) in (start..PIECE).zip(rest).filter(|(offset, _)| piece.is_changed(*offset)) {
                *byte = piece.bytes.get(offset).copied().unwrap_or(*byte);
            }
        }
    }
}

/// A change, cut where pieces end: place, bytes, virtual address.
fn parts(change: &Change) -> impl Iterator<Item = (Addr, &[u8], Va)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let rest = change.now.get(done..).filter(|rest| !rest.is_empty())?;
        let (at, va) = (change.at.checked_add(done as u64)?, Va(change.va.0.wrapping_add(done as u64)));
        let part = rest.get(..PIECE - split(at)?.1).unwrap_or(rest);
        done += part.len();
        Some((at, part, va))
    })
}

/// Bytes from one place to a higher one of the same kind.
fn distance(from: Addr, to: Addr) -> usize {
    let number = |(Addr::Phys(Pa(address)) | Addr::Virt(Va(address)) | Addr::File(address)): Addr| address;
    number(to).saturating_sub(number(from)) as usize
}

impl Memory for Overlay {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Fault> {
        let got = self.below.read(at, buf)?;
        self.cover(at, buf.get_mut(..got).unwrap_or_default());
        Ok(got)
    }

    fn write(&self, at: Addr, data: &[u8], va: Va) -> Result<usize, Unwritten> {
        let (_, offset) = split(at).ok_or(Unwritten::ReadOnly)?;
        let data = data.get(..PIECE - offset).unwrap_or(data);
        let held = self.below.read(at, &mut vec![0; data.len()])?;
        match self.keep(at, data.get(..held).unwrap_or_default(), va) {
            true => Ok(held),
            false => Err(Unwritten::Full(self.limit * PIECE)),
        }
    }

    fn locate(&self, pa: Pa) -> Result<u64, Fault> {
        self.below.locate(pa)
    }

    fn pages(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        self.below.pages()
    }

    fn left_out(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        self.below.left_out()
    }

    fn census(&self) -> Census {
        self.below.census()
    }

    fn is_live(&self) -> bool {
        self.below.is_live()
    }
}

#[cfg(test)]
mod tests;
