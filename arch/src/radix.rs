use crate::{Fault, Pa, Va, uint};

/// Read access to physical memory, as a page-table walk needs it.
pub trait ReadPhys {
    /// Fills `buf` from physical memory, or says why it cannot.
    fn read_phys(&self, pa: Pa, buf: &mut [u8]) -> Result<(), Fault>;
}

/// What a page may be used for, beside being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Stores are allowed.
    pub write: bool,
    /// Instructions may be fetched.
    pub execute: bool,
}

/// One decoded page-table entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// Maps nothing.
    Absent,
    /// Leads to the table of the next lower level.
    Table(Pa),
    /// Maps a page of `1 << shift` bytes that begins at `pa`.
    Leaf {
        /// First byte of the page.
        pa: Pa,
        /// log2 of the page's size in bytes.
        shift: u8,
        /// What the page may be used for.
        rights: Rights,
    },
}

/// Where a virtual address lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// The physical address of the byte asked for.
    pub pa: Pa,
    /// Bytes from there to the end of its page; at least 1.
    pub bytes: u64,
    /// What the page may be used for.
    pub rights: Rights,
}

/// Shape of a page-table tree.
#[derive(Debug, Clone, Copy)]
pub struct Radix {
    /// log2 of the smallest page's size.
    pub page_shift: u8,
    /// Address bits that index the table of each level, lowest level first.
    pub index_bits: &'static [u8],
    /// Bytes of one entry: 4 or 8.
    pub entry_bytes: u8,
    /// Whether entries are stored most significant byte first.
    pub big_endian: bool,
    /// Bits of an entry's address that are none: the one by which AMD's memory encryption marks a page.
    pub ignored: u64,
    /// Tells what an entry of a level (0: lowest) means.
    pub decode: fn(raw: u64, level: usize) -> Entry,
}

impl Radix {
    /// Finds `va` in the tree whose top table lies at `root`.
    pub fn walk(&self, mem: &dyn ReadPhys, root: Pa, va: Va) -> Result<Mapped, Fault> {
        let top = self.index_bits.len().saturating_sub(1);
        let raw = self.entry(mem, root, top, va)?;
        self.resume(mem, top, raw, va)
    }

    /// Goes on from an entry of `level` already in hand; a minidump keeps only such entries.
    pub fn resume(&self, mem: &dyn ReadPhys, level: usize, raw: u64, va: Va) -> Result<Mapped, Fault> {
        match self.decoded(raw, level) {
            Entry::Absent => Err(Fault::NotMapped),
            Entry::Leaf { pa, shift, rights } => {
                let offset = va.0 & ((1 << shift) - 1);
                let pa = pa.checked_add(offset).ok_or(Fault::NotMapped)?;
                Ok(Mapped { pa, bytes: (1 << shift) - offset, rights })
            }
            Entry::Table(table) => {
                let below = level.checked_sub(1).ok_or(Fault::NotMapped)?;
                let raw = self.entry(mem, table, below, va)?;
                self.resume(mem, below, raw, va)
            }
        }
    }

    /// How many bytes from an unmapped address on are unmapped too, since one entry covers them all; at least 1.
    pub fn hole_from(&self, mem: &dyn ReadPhys, root: Pa, va: Va) -> u64 {
        let top = self.index_bits.len().saturating_sub(1);
        self.entry(mem, root, top, va).map_or_else(|_| self.rest(top, va), |raw| self.hole(mem, top, raw, va))
    }

    /// The same, from an entry of `level` already in hand. A table that cannot be read maps nothing anywhere.
    pub fn hole(&self, mem: &dyn ReadPhys, level: usize, raw: u64, va: Va) -> u64 {
        match (self.decoded(raw, level), level.checked_sub(1)) {
            (Entry::Leaf { .. }, _) => 1,
            (Entry::Table(table), Some(below)) => match self.entry(mem, table, below, va) {
                Ok(raw) => self.hole(mem, below, raw, va),
                Err(_) => self.rest(level, va),
            },
            _ => self.rest(level, va),
        }
    }

    /// How many tables of a tree cannot be read, of the first few hundred: none if memory is where the tree expects it.
    pub fn lost_tables(&self, mem: &dyn ReadPhys, root: Pa) -> usize {
        const LIMIT: usize = 256;
        let (mut lost, mut seen) = (0, 0);
        let mut open = vec![(root, self.index_bits.len().saturating_sub(1))];
        while let Some((table, level)) = open.pop().filter(|_| seen < LIMIT) {
            seen += 1;
            let bits = self.index_bits.get(level).copied().unwrap_or(0);
            for index in 0..1u64 << bits {
                let below = match self.entry(mem, table, level, Va(index << self.shift(level))) {
                    Ok(raw) => (self.decode)(raw, level),
                    Err(_) => {
                        lost += 1;
                        break;
                    }
                };
                if let (Entry::Table(pa), Some(level @ 1..)) = (below, level.checked_sub(1)) {
                    open.push((pa, level));
                }
            }
        }
        lost
    }

    /// Bytes from an address to the end of what one entry of `level` covers.
    pub fn rest(&self, level: usize, va: Va) -> u64 {
        let size = 1u64 << self.shift(level);
        size - (va.0 & (size - 1))
    }

    /// log2 of the bytes of address space that one entry of `level` maps.
    pub fn shift(&self, level: usize) -> u8 {
        self.page_shift + self.index_bits.iter().take(level).sum::<u8>()
    }

    /// The highest address that the tree has an entry for.
    pub(crate) fn last(&self) -> u64 {
        match self.shift(self.index_bits.len()) {
            bits @ ..64 => (1 << bits) - 1,
            _ => u64::MAX,
        }
    }

    /// The value of an entry whose stored bytes are `bytes` (as many as `entry_bytes` says).
    pub fn value(&self, bytes: &[u8]) -> u64 {
        uint(bytes, self.big_endian)
    }

    /// Whether the tree maps `va` to `pa`.
    pub(crate) fn maps(&self, mem: &dyn ReadPhys, root: Pa, va: Va, pa: Pa) -> bool {
        self.walk(mem, root, va).is_ok_and(|mapped| mapped.pa == pa)
    }

    /// An entry's meaning. Ignored bits go only now: some entries hold the complement of an address.
    fn decoded(&self, raw: u64, level: usize) -> Entry {
        match (self.decode)(raw, level) {
            Entry::Absent => Entry::Absent,
            Entry::Table(pa) => Entry::Table(Pa(pa.0 & !self.ignored)),
            Entry::Leaf { pa, shift, rights } => Entry::Leaf { pa: Pa(pa.0 & !self.ignored), shift, rights },
        }
    }

    fn entry(&self, mem: &dyn ReadPhys, table: Pa, level: usize, va: Va) -> Result<u64, Fault> {
        let bits = self.index_bits.get(level).copied().unwrap_or(0);
        let index = va.0 >> self.shift(level) & ((1 << bits) - 1);
        let at = table.checked_add(index * u64::from(self.entry_bytes)).ok_or(Fault::NotMapped)?;
        let mut bytes = [0; 8];
        let bytes = bytes.get_mut(..usize::from(self.entry_bytes)).unwrap_or_default();
        mem.read_phys(at, bytes)?;
        Ok(self.value(bytes))
    }
}
