//! A kernel's symbols, by name and by address.

use super::kind;
use super::names::Names;
use super::tokens::Hash;
use crate::symbols::{Kind, Symbol};
use crate::{Error, Result};
use kgdbserver_arch::Va;
use std::fmt;
use std::sync::OnceLock;

/// What lies behind these belongs to no symbol in front of them. The last two matter where the table holds code only,
/// so that the next symbol is far away.
const ENDS: &[&str] = &["_end", "_etext", "_einittext"];

/// So many places of symbols are shown where they disagree.
const SHOWN: usize = 3;
/// Few addresses have more names.
const ALIASES: usize = 4;

/// The symbols of a kernel in the order of their addresses, as kallsyms has them: with addresses, and without sizes.
pub struct Table {
    addresses: Vec<u64>,
    names: Names,
    /// Hashes of names in the upper halves, numbers of symbols in the lower ones; sorted. Made when first needed:
    /// 100,000 symbols take 4 ms.
    by_name: OnceLock<Vec<u64>>,
    /// The addresses of `ENDS`, sorted.
    ends: OnceLock<Vec<u64>>,
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Table {
    /// Symbols with these addresses, in ascending order, and these names.
    pub(super) fn new(addresses: Vec<u64>, names: Names) -> Result<Self, String> {
        if addresses.len() != names.len() {
            return Err(format!("{} addresses for {} names", addresses.len(), names.len()));
        }
        if !addresses.is_sorted() {
            return Err("the addresses are not in order".into());
        }
        Ok(Self { addresses, names, by_name: OnceLock::new(), ends: OnceLock::new() })
    }

    /// How many symbols there are.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Every symbol, in ascending order of addresses.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol> + '_ {
        (0..self.len()).filter_map(|number| self.symbol(number))
    }

    /// The symbol of exactly this name; of several one that is global, else the one with the lowest address.
    pub fn by_name(&self, name: &str) -> Option<Symbol> {
        let found = self.named(name);
        let global = found.iter().find(|number| self.names.letter(**number).is_ascii_uppercase());
        self.symbol(*global.or(found.first())?)
    }

    /// The nearest symbol at or below an address, unless the kernel's code or all of it ends between the two. Plain
    /// numbers are no addresses; on x86_64 until 6.14 these include the offsets of per-CPU variables.
    pub fn by_address(&self, va: Va) -> Option<Symbol> {
        let after = self.addresses.partition_point(|address| *address <= va.0);
        let nearest = (0..after).rev().find(|number| self.is_address(*number))?;
        let address = *self.addresses.get(nearest)?;
        if address != va.0 && (after == self.len() || self.is_end(address)) {
            return None;
        }
        // Of several names for one address the kernel's own sorting puts the most telling one first.
        let first = self.addresses.partition_point(|other| *other < address);
        self.symbol((first..after).find(|number| self.is_address(*number))?)
    }

    /// By how much the kernel's addresses are higher than the table's, wrapping: the displacement that a kernel got
    /// which System.map does not know. `known` holds symbols with their true addresses.
    ///
    /// # Errors
    /// The table has none of the symbols, or they tell different displacements: it is another kernel's.
    pub fn displacement(&self, known: &[(&str, u64)]) -> Result<u64> {
        let known = known.iter().filter_map(|(name, truth)| Some((*name, self.by_name(name)?.va.0, *truth)));
        let known: Vec<_> = known.collect();
        let agreeing = |displacement: u64| {
            known.iter().filter(|(_, va, truth)| truth.wrapping_sub(*va) == displacement).count()
        };
        let told = known.iter().map(|(_, va, truth)| truth.wrapping_sub(*va));
        let none = || Error::Unsupported("none of the symbols that the image tells is in the table".into());
        let best = told.max_by_key(|displacement| agreeing(*displacement)).ok_or_else(none)?;
        if agreeing(best) * 2 > known.len() {
            return Ok(best);
        }
        let show = |part: fn(&(&str, u64, u64)) -> u64| {
            let show = |known: &(&str, u64, u64)| format!("{} {:#x}", known.0, part(known));
            known.iter().take(SHOWN).map(show).collect::<Vec<_>>().join(", ")
        };
        let what = "where symbols lie".to_owned();
        Err(Error::Mismatch { what, kernel: show(|known| known.1), image: show(|known| known.2) })
    }

    /// The same symbols with addresses that are higher by `displacement`, wrapping. Plain numbers stay as they are.
    #[must_use]
    pub fn displaced(mut self, displacement: u64) -> Self {
        let moved = self.addresses.iter().enumerate().map(|(number, address)| {
            address.wrapping_add(if self.is_address(number) { displacement } else { 0 })
        });
        let mut order: Vec<(u64, u32)> = moved.zip(0..).collect();
        order.sort_unstable();
        self.addresses = order.iter().map(|(address, _)| *address).collect();
        self.names.reorder(order.into_iter().map(|(_, number)| number));
        Self { by_name: OnceLock::new(), ends: OnceLock::new(), ..self }
    }

    /// Whether a symbol of this name has this address; none if there is no such symbol.
    pub(super) fn has(&self, name: &str, address: u64) -> Option<bool> {
        let found = self.named(name);
        let same = |number: &usize| self.addresses.get(*number) == Some(&address);
        (!found.is_empty()).then(|| found.iter().any(same))
    }

    pub(super) fn addresses(&self) -> &[u64] {
        &self.addresses
    }

    /// Whether it is a place in memory, and no plain number.
    fn is_address(&self, number: usize) -> bool {
        kind(self.names.letter(number)) != Kind::Absolute
    }

    fn symbol(&self, number: usize) -> Option<Symbol> {
        let address = *self.addresses.get(number)?;
        let letter = self.names.letter(number);
        let kind = kind(letter);
        Some(Symbol {
            name: self.names.text(number),
            va: Va(address),
            size: if kind == Kind::Absolute { 0 } else { self.size(number, address) },
            kind,
            function: kind == Kind::Text,
            global: letter.is_ascii_uppercase(),
        })
    }

    /// Bytes from a symbol's address to the next one's; 0 where there is none, or it is not near.
    fn size(&self, number: usize, address: u64) -> u64 {
        let behind = self.addresses.get(number..).unwrap_or_default();
        let near = behind.iter().take(ALIASES).find(|other| **other > address);
        let far = || behind.get(behind.partition_point(|other| *other <= address));
        match near.or_else(far) {
            Some(next) if !self.is_end(address) => next - address,
            _ => 0,
        }
    }

    fn is_end(&self, address: u64) -> bool {
        let ends = self.ends.get_or_init(|| {
            let found = ENDS.iter().flat_map(|name| self.named(name));
            let mut ends: Vec<_> = found.filter_map(|number| self.addresses.get(number).copied()).collect();
            ends.sort_unstable();
            ends
        });
        ends.binary_search(&address).is_ok()
    }

    /// The numbers of the symbols of this name, in ascending order.
    fn named(&self, name: &str) -> Vec<usize> {
        let sorted = self.by_name.get_or_init(|| self.sort_names());
        let key = Hash::of(name.as_bytes()).key();
        let first = sorted.partition_point(|entry| entry >> 32 < u64::from(key));
        let same = sorted.iter().skip(first).take_while(|entry| **entry >> 32 == u64::from(key));
        let is = |number: &usize| self.names.is(*number, name.as_bytes());
        same.map(|entry| *entry as u32 as usize).filter(is).collect()
    }

    fn sort_names(&self) -> Vec<u64> {
        let entry = |number: usize| u64::from(self.names.hash(number).key()) << 32 | number as u64;
        let mut sorted: Vec<_> = (0..self.len()).map(entry).collect();
        sorted.sort_unstable();
        sorted
    }
}
