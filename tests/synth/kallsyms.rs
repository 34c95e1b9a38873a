//! Linux's table of symbols, as `scripts/kallsyms.c` of each release lays it out in the kernel's read-only data.

use super::bytes::{Endian, round_up};
use std::collections::BTreeMap;

/// What differs between releases.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    pub addresses: Addresses,
    /// The addresses come last, instead of first.
    pub addresses_last: bool,
    /// Symbols in the order of their names: three bytes each.
    pub seqs: bool,
    /// The number of symbols and the markers have the size of a pointer, instead of 32 bits.
    pub wide_counts: bool,
    /// Names may be longer than 127 bytes.
    pub long_names: bool,
    /// Bytes that every part is aligned to; 0: a pointer's.
    pub alignment: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// `kallsyms_addresses`: pointers.
    Pointers,
    /// `kallsyms_offsets` from the lowest address, `kallsyms_relative_base`.
    Offsets,
    /// The same with CONFIG_KALLSYMS_ABSOLUTE_PERCPU: symbols of letter A as they are, others counted down from -1.
    AbsolutePercpu,
    /// `kallsyms_offsets` from each one's own place.
    Places,
    /// `kallsyms_offsets` that are addresses: 32-bit kernels that cannot be moved.
    Values,
}

pub const LINUX_3_2: Release = Release {
    addresses: Addresses::Pointers,
    addresses_last: false,
    seqs: false,
    wide_counts: true,
    long_names: false,
    alignment: 256,
};
pub const LINUX_4_4: Release = Release { alignment: 0, ..LINUX_3_2 };
pub const LINUX_4_9: Release = Release { addresses: Addresses::Offsets, ..LINUX_4_4 };
pub const LINUX_5_10: Release = Release { wide_counts: false, ..LINUX_4_9 };
pub const LINUX_6_1: Release = Release { long_names: true, ..LINUX_5_10 };
pub const LINUX_6_2: Release = Release { seqs: true, ..LINUX_6_1 };
pub const LINUX_6_4: Release = Release { addresses_last: true, ..LINUX_6_2 };
pub const LINUX_7_0: Release = Release { addresses: Addresses::Places, alignment: 4, ..LINUX_6_4 };

/// Substrings that a byte stands for, where it is free.
const COMMON: &[&str] =
    &["T__x64_sys_", "t_init", "__", "sys_", "_read", "_write", "tcp_", "xfs_", "dev", "er"];

#[derive(Clone, Debug)]
pub struct Symbol {
    pub address: u64,
    /// nm(1)'s.
    pub letter: char,
    pub name: String,
}

/// The symbols of a kernel, in the order of their addresses.
#[derive(Clone, Debug)]
pub struct Kallsyms {
    pub endian: Endian,
    /// Bytes of a pointer: 4 or 8.
    pub word: usize,
    pub release: Release,
    pub symbols: Vec<Symbol>,
}

/// The table in memory, and the addresses of its parts by their names (`kallsyms_names`).
#[derive(Clone, Debug)]
pub struct Built {
    pub at: u64,
    pub bytes: Vec<u8>,
    pub labels: BTreeMap<&'static str, u64>,
}

impl Kallsyms {
    /// The table as it lies at an address, which is a multiple of 256.
    pub fn build(&self, at: u64) -> Built {
        let mut built = Built { at, bytes: Vec::new(), labels: BTreeMap::new() };
        if !self.release.addresses_last {
            self.put_addresses(&mut built);
        }
        let count = self.symbols.len();
        self.label(&mut built, "kallsyms_num_syms");
        built.bytes.extend(self.count(count));
        let tokens = self.tokens();
        let mut markers = Vec::new();
        self.label(&mut built, "kallsyms_names");
        let names = built.bytes.len();
        for (number, symbol) in self.symbols.iter().enumerate() {
            if number % 256 == 0 {
                markers.push(built.bytes.len() - names);
            }
            let packed = pack(&format!("{}{}", symbol.letter, symbol.name), &tokens);
            built.bytes.extend(self.length(packed.len()));
            built.bytes.extend(packed);
        }
        self.label(&mut built, "kallsyms_markers");
        built.bytes.extend(markers.iter().flat_map(|marker| self.count(*marker)));
        if self.release.seqs && !self.release.addresses_last {
            self.put_seqs(&mut built);
        }
        self.label(&mut built, "kallsyms_token_table");
        let mut index = Vec::new();
        let table = built.bytes.len();
        for token in &tokens {
            index.extend(self.endian.u16((built.bytes.len() - table) as u16));
            built.bytes.extend(token.bytes().chain([0]));
        }
        self.label(&mut built, "kallsyms_token_index");
        built.bytes.extend(index);
        if self.release.addresses_last {
            self.put_addresses(&mut built);
            self.put_seqs(&mut built);
        }
        built
    }

    fn label(&self, built: &mut Built, name: &'static str) {
        let alignment = if self.release.alignment == 0 { self.word } else { self.release.alignment };
        built.bytes.resize(round_up(built.bytes.len(), alignment), 0);
        built.labels.insert(name, built.at + built.bytes.len() as u64);
    }

    fn put_addresses(&self, built: &mut Built) {
        if self.release.addresses == Addresses::Pointers {
            self.label(built, "kallsyms_addresses");
            built.bytes.extend(self.symbols.iter().flat_map(|symbol| self.pointer(symbol.address)));
            return;
        }
        let absolute_percpu = self.release.addresses == Addresses::AbsolutePercpu;
        let absolute = |symbol: &Symbol| absolute_percpu && symbol.letter == 'A';
        let base = self.symbols.iter().find(|symbol| !absolute(symbol)).unwrap().address;
        self.label(built, "kallsyms_offsets");
        for symbol in &self.symbols {
            let place = built.at + built.bytes.len() as u64;
            let value = match self.release.addresses {
                _ if absolute(symbol) => symbol.address,
                Addresses::AbsolutePercpu => base.wrapping_sub(symbol.address).wrapping_sub(1),
                Addresses::Offsets => symbol.address - base,
                Addresses::Places => symbol.address.wrapping_sub(place),
                Addresses::Values | Addresses::Pointers => symbol.address,
            };
            built.bytes.extend(self.endian.u32(value as u32));
        }
        if matches!(self.release.addresses, Addresses::Offsets | Addresses::AbsolutePercpu) {
            self.label(built, "kallsyms_relative_base");
            built.bytes.extend(self.pointer(base));
        }
    }

    fn put_seqs(&self, built: &mut Built) {
        let mut order: Vec<usize> = (0..self.symbols.len()).collect();
        order.sort_by_key(|number| &self.symbols[*number].name);
        self.label(built, "kallsyms_seqs_of_names");
        built
            .bytes
            .extend(order.iter().flat_map(|number| (*number as u32).to_be_bytes().into_iter().skip(1)));
    }

    fn pointer(&self, value: u64) -> Vec<u8> {
        match self.word {
            4 => self.endian.u32(value as u32).to_vec(),
            _ => self.endian.u64(value).to_vec(),
        }
    }

    fn count(&self, value: usize) -> Vec<u8> {
        match self.release.wide_counts {
            true => self.pointer(value as u64),
            false => self.endian.u32(value as u32).to_vec(),
        }
    }

    fn length(&self, length: usize) -> Vec<u8> {
        match length {
            0..=0x7f => vec![length as u8],
            _ if self.release.long_names => vec![0x80 | length as u8, (length / 128) as u8],
            _ => vec![u8::try_from(length).expect("an old kernel's name")],
        }
    }

    /// What each byte stands for: itself where a name has it, a common substring, or nothing.
    fn tokens(&self) -> Vec<String> {
        let mut tokens = vec![String::new(); 256];
        for symbol in &self.symbols {
            for byte in symbol.name.bytes().chain([symbol.letter as u8]) {
                tokens[usize::from(byte)] = char::from(byte).to_string();
            }
        }
        let free: Vec<usize> = (0..256).rev().filter(|byte| tokens[*byte].is_empty()).collect();
        for (byte, common) in free.into_iter().zip(COMMON) {
            tokens[byte] = (*common).to_string();
        }
        tokens
    }
}

/// The bytes that stand for a text, the longest tokens first.
fn pack(text: &str, tokens: &[String]) -> Vec<u8> {
    let long: Vec<usize> = (0..256).filter(|byte| tokens[*byte].len() > 1).collect();
    let mut packed = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let fits = |byte: &&usize| text[at..].starts_with(tokens[**byte].as_str());
        let best = long.iter().filter(fits).max_by_key(|byte| tokens[**byte].len());
        let byte = best.copied().unwrap_or_else(|| text.as_bytes()[at].into());
        packed.push(byte as u8);
        at += tokens[byte].len();
    }
    packed
}
