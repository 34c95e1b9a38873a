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

/// An entry that a walk came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Its level; 0 is the lowest.
    pub level: usize,
    /// Where it lies; none of an entry that was in hand already.
    pub at: Option<Pa>,
    /// Its value.
    pub raw: u64,
    /// What that means.
    pub entry: Entry,
}

/// Bits of an entry, and what the processor's manual or a kernel calls them.
pub type Flags = &'static [(u64, &'static str)];

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
    /// The bits of a page's entry that have names worth showing.
    pub flags: Flags,
}

impl Radix {
    /// Finds `va` in the tree whose top table lies at `root`.
    pub fn walk(&self, mem: &dyn ReadPhys, root: Pa, va: Va) -> Result<Mapped, Fault> {
        self.walk_showing(mem, root, va, &mut |_| ())
    }

    /// The same, and shows every entry on the way.
    pub fn walk_showing(
        &self,
        mem: &dyn ReadPhys,
        root: Pa,
        va: Va,
        show: &mut impl FnMut(Step),
    ) -> Result<Mapped, Fault> {
        let top = self.index_bits.len().saturating_sub(1);
        let (at, raw) = self.entry(mem, root, top, va)?;
        self.follow(mem, (top, Some(at), raw), va, show)
    }

    /// Goes on from an entry of `level` already in hand; a minidump keeps only such entries.
    pub fn resume(&self, mem: &dyn ReadPhys, level: usize, raw: u64, va: Va) -> Result<Mapped, Fault> {
        self.resume_showing(mem, level, raw, va, &mut |_| ())
    }

    /// The same, and shows every entry on the way, the one in hand first.
    pub fn resume_showing(
        &self,
        mem: &dyn ReadPhys,
        level: usize,
        raw: u64,
        va: Va,
        show: &mut impl FnMut(Step),
    ) -> Result<Mapped, Fault> {
        self.follow(mem, (level, None, raw), va, show)
    }

    fn follow(
        &self,
        mem: &dyn ReadPhys,
        (level, at, raw): (usize, Option<Pa>, u64),
        va: Va,
        show: &mut impl FnMut(Step),
    ) -> Result<Mapped, Fault> {
        let entry = self.decoded(raw, level);
        show(Step { level, at, raw, entry });
        match entry {
            Entry::Absent => Err(Fault::NotMapped),
            Entry::Leaf { pa, shift, rights } => {
                let offset = va.0 & ((1 << shift) - 1);
                let pa = pa.checked_add(offset).ok_or(Fault::NotMapped)?;
                Ok(Mapped { pa, bytes: (1 << shift) - offset, rights })
            }
            Entry::Table(table) => {
                let below = level.checked_sub(1).ok_or(Fault::NotMapped)?;
                let (at, raw) = self.entry(mem, table, below, va)?;
                self.follow(mem, (below, Some(at), raw), va, show)
            }
        }
    }

    /// log2 of the bytes around an address that an entry on the way to it decides on: it maps them all, or nothing there.
    /// So does one that leads to a table which cannot be read. If not even the top entry could be read, others of the top table
    /// may be: arm's has four pages, of which a dump may lack the user half.
    pub fn decides(&self, last: Option<Step>) -> u8 {
        match last {
            Some(Step { entry: Entry::Leaf { shift, .. }, .. }) => shift,
            Some(step) => self.shift(step.level),
            None => self.shift(self.index_bits.len().saturating_sub(1)),
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
                    Ok((_, raw)) => (self.decode)(raw, level),
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

    /// Where the entry for an address lies in a table, and its value.
    fn entry(&self, mem: &dyn ReadPhys, table: Pa, level: usize, va: Va) -> Result<(Pa, u64), Fault> {
        let bits = self.index_bits.get(level).copied().unwrap_or(0);
        let index = va.0 >> self.shift(level) & ((1 << bits) - 1);
        let at = table.checked_add(index * u64::from(self.entry_bytes)).ok_or(Fault::NotMapped)?;
        let mut bytes = [0; 8];
        let bytes = bytes.get_mut(..usize::from(self.entry_bytes)).unwrap_or_default();
        mem.read_phys(at, bytes)?;
        Ok((at, self.value(bytes)))
    }
}
