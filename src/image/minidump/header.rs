//! A minidump's header: its values, what they rule out, and the address ranges that they describe.

use super::corrupt;
use crate::Result;
use crate::image::Source;
use kgdbserver_arch::{
    Arch, ByteOrder, Field, HashTable, Kept, Machine, Minidump, ModeField, Pa, Region, Va, Via,
};

/// A mode's name takes this many bytes, NULs included.
const NAME_BYTES: u64 = 32;

/// The header's values.
pub(super) struct Header {
    row: &'static Minidump,
    pub(super) machine: Machine,
    pub(super) version: u32,
    pub(super) msgbufsize: u64,
    pub(super) bitmapsize: u64,
    pub(super) pmapsize: u64,
    pub(super) dumpavailsize: Option<u64>,
    kernbase: u64,
    kernend: Option<u64>,
    direct_map: Option<Direct>,
    relocated: Option<Moved>,
    kept: Kept,
}

/// A direct map: where it begins, the address after its last, and the physical address it begins with.
struct Direct {
    base: u64,
    end: u64,
    phys: u64,
}

/// A kernel that runs from `start` to `end`, and was linked for another address.
struct Moved {
    linked_at: u64,
    start: u64,
    end: u64,
}

/// Reads header fields in one byte order.
struct Reader<'a> {
    source: &'a dyn Source,
    machine: Machine,
}

impl Reader<'_> {
    fn bytes<'b>(&self, at: u64, buf: &'b mut [u8]) -> Result<&'b [u8]> {
        let short = |_| corrupt(at, "the file ends within the header");
        self.source.read_exact_at(at, buf).map_err(short)?;
        Ok(buf)
    }

    fn uint(&self, field: Field) -> Result<u64> {
        let mut bytes = [0; 8];
        let bytes = bytes.get_mut(..usize::from(field.bytes)).unwrap_or_default();
        Ok(self.machine.uint(self.bytes(field.offset.into(), bytes)?))
    }

    /// The address after a range's last. Some kernels write the last address itself, whose lowest bits are all set.
    fn end(&self, field: Field) -> Result<u64> {
        let end = self.uint(field)?;
        Ok(if end & 0xfff == 0xfff { end.saturating_add(1) } else { end })
    }

    fn mode(&self, field: ModeField) -> Result<u64> {
        let (offset, names) = match field {
            ModeField::Number(field) => return self.uint(field),
            ModeField::Name(offset, names) => (u64::from(offset), names),
        };
        let mut name = [0; NAME_BYTES as usize];
        let name = self.bytes(offset, &mut name)?.split(|byte| *byte == 0).next().unwrap_or_default();
        let unknown = || {
            let (name, known) = (String::from_utf8_lossy(name), names.join(", "));
            corrupt(offset, format!("page tables of the kind {name:?}; supported are {known}"))
        };
        let known = names.iter().position(|known| known.as_bytes() == name).ok_or_else(unknown)?;
        Ok(known as u64)
    }
}

impl Header {
    pub(super) fn read(source: &dyn Source, arch: &'static Arch, row: &'static Minidump) -> Result<Self> {
        let (reader, version) = find_version(source, arch, row)?;
        let when = |since: u32| version >= since;
        let mode = row.mode.filter(|mode| when(mode.since)).map_or(Ok(0), |mode| reader.mode(mode.field))?;
        let kept = (row.kept)(version, mode);
        let kept = kept.map_err(|what| corrupt(0, format!("{what} ({mode:#x}) is not supported")))?;
        let direct_map = row.direct_map.map(|fields| {
            let phys = fields.phys.map_or(Ok(0), |field| reader.uint(field))?;
            Ok(Direct { base: reader.uint(fields.base)?, end: reader.end(fields.end)?, phys })
        });
        let relocated = row.relocated.map(|fields| {
            let (start, end) = (reader.uint(fields.start)?, reader.end(fields.end)?);
            Ok(Moved { linked_at: fields.linked_at, start, end })
        });
        let dumpavailsize = row.dumpavailsize.filter(|(since, _)| when(*since));
        Ok(Self {
            row,
            machine: reader.machine,
            version,
            msgbufsize: reader.uint(row.msgbufsize)?,
            bitmapsize: reader.uint(row.bitmapsize)?,
            pmapsize: reader.uint(row.pmapsize)?,
            dumpavailsize: dumpavailsize.map(|(_, field)| reader.uint(field)).transpose()?,
            kernbase: reader.uint(row.kernbase)?,
            kernend: row.kernend.map(|field| reader.end(field)).transpose()?,
            direct_map: direct_map.transpose()?,
            relocated: relocated.transpose()?,
            kept,
        })
    }

    /// What the format is called.
    pub(super) fn format(&self) -> &'static str {
        self.row.name
    }

    /// Another system whose dumps of this version look the same.
    pub(super) fn shared_with(&self) -> Option<&'static str> {
        self.row.shared.filter(|(version, _)| *version == self.version).map(|(_, system)| system)
    }

    pub(super) fn page_shift(&self) -> u8 {
        self.kept.page_shift()
    }

    /// Refuses what cannot be, and returns what is merely odd.
    pub(super) fn check(&self) -> Result<Vec<String>> {
        let aligned = |value: u64, to: u64| value.is_multiple_of(to);
        let direct = self.direct_map.as_ref();
        let whole = self.whole_table_bytes();
        let rules = [
            (self.bitmapsize != 0, "the page bitmap is empty"),
            (
                aligned(self.pmapsize, self.kept.entry_bytes().into()),
                "the page-table section ends within an entry",
            ),
            (self.kernbase != 0, "kernbase is 0"),
            (aligned(self.kernbase, 1 << self.page_shift()), "kernbase is not page aligned"),
            (self.kernend.is_none_or(|end| self.kernbase <= end), "the kernel's map ends before it begins"),
            (direct.is_none_or(|map| map.base <= map.end), "the direct map ends before it begins"),
            (
                self.pmapsize == 0 || whole.is_none_or(|bytes| bytes == self.pmapsize),
                "the top page table is not whole",
            ),
            (
                self.pmapsize == 0 || !matches!(self.kept, Kept::Hash { .. }) || self.hash_table().is_some(),
                "the hashed page table's size is not a power of two",
            ),
            (
                self.relocated.as_ref().is_none_or(|moved| moved.start <= moved.end),
                "the kernel ends before it starts",
            ),
        ];
        if let Some((_, what)) = rules.iter().find(|(holds, _)| !holds) {
            return Err(corrupt(0, *what));
        }
        let odd = [
            (self.pmapsize == 0, "the dump holds no page-table entries: only the direct map can be read"),
            (
                !aligned(self.bitmapsize, 8),
                "the page bitmap ends within a word; the rest of the word counts as zero",
            ),
        ];
        Ok(odd.iter().filter(|(holds, _)| *holds).map(|(_, text)| (*text).to_owned()).collect())
    }

    /// Bytes of the section where it must hold a whole table.
    fn whole_table_bytes(&self) -> Option<u64> {
        let Kept::Top(form) = self.kept else { return None };
        let bits = form.index_bits.last().copied().unwrap_or(0);
        Some(u64::from(form.entry_bytes) << bits)
    }

    fn hash_table(&self) -> Option<HashTable> {
        let Kept::Hash { kernels_order } = self.kept else { return None };
        HashTable::new(self.pmapsize, !kernels_order || self.machine.big_endian)
    }

    /// Every range of addresses that the header tells of. Of two that overlap the one that begins higher is meant: the
    /// kernel's map may lie within the range that is set aside for the direct map, and the other way round.
    pub(super) fn regions(&self, pmap: u64) -> Vec<Region> {
        let ranges = [self.direct_map(), self.kernel_map(pmap), self.link_addresses()];
        let mut regions: Vec<Region> = ranges.into_iter().flatten().collect();
        regions.sort_by_key(|region| std::cmp::Reverse(region.first));
        regions
    }

    pub(super) fn direct_map(&self) -> Option<Region> {
        let Direct { base, end, phys } = self.direct_map.as_ref()?;
        let last = end.checked_sub(1).filter(|last| last >= base)?;
        Some(Region { first: Va(*base), last: Va(last), via: Via::Linear(Pa(*phys)) })
    }

    fn kernel_map(&self, pmap: u64) -> Option<Region> {
        let at = pmap..pmap + self.pmapsize;
        if self.pmapsize == 0 {
            return None;
        }
        let known = self.kernend.and_then(|end| end.checked_sub(1));
        let (first, last, via) = match self.kept {
            Kept::Entries { form, level } => {
                let entries = self.pmapsize / u64::from(form.entry_bytes);
                let bytes = entries.saturating_mul(1 << form.shift(level));
                let last = self.kernbase.saturating_add(bytes.checked_sub(1)?);
                (self.kernbase, last, Via::Entries { form, level, at })
            }
            Kept::Top(form) => {
                let level = form.index_bits.len().checked_sub(1)?;
                let shift = form.shift(level);
                let mask = (1u64 << form.index_bits.last()?) - 1;
                // The range begins with the entry that kernbase lies in.
                let skipped = (self.kernbase >> shift & mask) * u64::from(form.entry_bytes);
                let at = at.start + skipped..at.end;
                (self.kernbase >> shift << shift, known.unwrap_or(u64::MAX), Via::Entries { form, level, at })
            }
            Kept::Hash { .. } => {
                (self.kernbase, known.unwrap_or(u64::MAX), Via::Hash { table: self.hash_table()?, at })
            }
        };
        Some(Region { first: Va(first), last: Va(last), via })
    }

    /// By how much the kernel's addresses are higher than its file's.
    pub(super) fn kerndisp(&self) -> u64 {
        self.relocated.as_ref().map_or(0, |moved| moved.start.wrapping_sub(moved.linked_at))
    }

    /// The kernel at the addresses of its file, as kvm_read(3) takes them. It lies in the direct map.
    fn link_addresses(&self) -> Option<Region> {
        let (moved, direct) = (self.relocated.as_ref()?, self.direct_map.as_ref()?);
        let displaced = self.kerndisp() != 0 && (direct.base..direct.end).contains(&moved.start);
        let within = moved.linked_at & 0xfff;
        let pa = direct.phys.checked_add(moved.start.checked_sub(direct.base)?)?.checked_sub(within)?;
        let bytes = moved.end.min(direct.end).checked_sub(moved.start)?.checked_sub(1)?;
        let last = moved.linked_at.checked_add(bytes)?;
        displaced.then_some(Region {
            first: Va(moved.linked_at - within),
            last: Va(last),
            via: Via::Linear(Pa(pa)),
        })
    }
}

/// The version, and the byte order in which it is one.
fn find_version<'a>(
    source: &'a dyn Source,
    arch: &'static Arch,
    row: &Minidump,
) -> Result<(Reader<'a>, u32)> {
    let orders: &[bool] = if row.order == ByteOrder::OfVersion { &[true, false] } else { &[false] };
    let mut refused = 0;
    for big_endian in orders {
        let machine = Machine { arch, big_endian: *big_endian, ptr_bytes: row.ptr_bytes };
        let reader = Reader { source, machine };
        let version = u32::try_from(reader.uint(row.version)?).unwrap_or(u32::MAX);
        if row.versions.contains(&version) {
            return Ok((reader, version));
        }
        refused = version;
    }
    let (first, last) = (row.versions.start(), row.versions.end());
    let what = format!("minidump version {refused}; supported are {first} to {last}");
    Err(corrupt(u64::from(row.version.offset), what))
}
