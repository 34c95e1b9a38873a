//! Raw memory: bytes and nothing else. A device of a hypervisor, a file that an emulator keeps its guest's memory in.

use super::extents::{Extent, Stretches};
use super::{Image, Plain, Source};
use crate::{Error, Result};
use std::str::FromStr;
use std::sync::Arc;

/// Which physical memory a raw file holds: ranges `BASE[:LENGTH][@OFFSET]`, separated by commas.
///
/// A range without an offset follows in the file on the one before it; the first begins at 0. A range without a length
/// goes on to where the next one begins in the file, the last to the file's end. Numbers are decimal, or hexadecimal
/// after `0x`; K, M, G and T multiply by powers of 1024. `0:3G,4G` is a PC with a hole below 4 GiB, `0:2G,4G` QEMU's q35.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawMemory(Vec<Range>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    base: u64,
    len: Option<u64>,
    offset: Option<u64>,
}

impl Default for RawMemory {
    /// The whole file, in which the offset is the physical address.
    fn default() -> Self {
        Self(vec![Range { base: 0, len: None, offset: None }])
    }
}

impl FromStr for RawMemory {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split(',').map(Range::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl Range {
    fn parse(text: &str) -> Result<Self, String> {
        let (rest, offset) = text.split_once('@').map_or((text, None), |(rest, offset)| (rest, Some(offset)));
        let (base, len) = rest.split_once(':').map_or((rest, None), |(base, len)| (base, Some(len)));
        Ok(Self {
            base: number(base)?,
            len: len.map(number).transpose()?,
            offset: offset.map(number).transpose()?,
        })
    }
}

fn number(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T']);
    let shift = match text.get(digits.len()..) {
        Some("") => 0,
        Some("K") => 10,
        Some("M") => 20,
        Some("G") => 30,
        Some("T") => 40,
        _ => return Err(format!("{text}: not a number")),
    };
    let value = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => digits.parse().ok(),
    };
    let value = value.and_then(|value: u64| value.checked_mul(1 << shift));
    value.ok_or_else(|| format!("{text}: not a number"))
}

impl RawMemory {
    /// The format's name.
    pub(crate) const NAME: &str = "raw memory";

    /// The ranges' places in a file of `size` bytes.
    fn extents(&self, size: u64) -> Result<Vec<Extent>, String> {
        let unplaced = "a range needs a length if the next one has no offset";
        let mut extents = Vec::new();
        let mut after_last = Some(0);
        for (index, range) in self.0.iter().enumerate() {
            let offset = range.offset.or(after_last).ok_or(unplaced)?;
            let end = self.0.get(index + 1).map_or(Some(size), |next| next.offset);
            let to_end = end.map(|end| end.saturating_sub(offset));
            let len = range.len.or(to_end).ok_or(unplaced)?;
            extents.push(place(range.base, len, offset)?);
            after_last = range.len.map(|len| offset + len);
        }
        let mut sorted = extents.clone();
        sorted.sort_by_key(|extent| extent.start);
        let mut pairs = sorted.iter().zip(sorted.iter().skip(1));
        match pairs.find(|(one, next)| next.start - one.start < one.len) {
            Some((_, next)) => Err(format!("the range at {:#x} lies in another one", next.start)),
            None => Ok(extents),
        }
    }
}

fn place(start: u64, len: u64, offset: u64) -> Result<Extent, String> {
    let fits = |from: u64| from.checked_add(len).is_some_and(|end| i64::try_from(end).is_ok());
    match (len, fits(start) && fits(offset)) {
        (0, _) => Err(format!("the range at {start:#x} is empty")),
        (_, false) => Err(format!("the range at {start:#x} is too long")),
        (_, true) => Ok(Extent { start, len, offset }),
    }
}

/// Where a machine has the memory that is kept in one file.
struct Layout {
    /// Its ranges as `--raw-memory` takes them, and who has it so.
    name: &'static str,
    /// Bytes of memory from which on it is so.
    from: u64,
}

/// What emulators do, and the hypervisors whose snapshots are raw files. Those of a PC differ in where they leave a hole
/// for devices below 4 GiB. QEMU's pc has none in less than 3.5 GiB, its q35 none in less than 2.75 GiB.
static LAYOUTS: &[Layout] = &[
    Layout { name: "0:2G,4G (QEMU's q35)", from: 0xb000_0000 },
    Layout { name: "0:3G,4G (QEMU's pc and microvm, Cloud Hypervisor)", from: 0xc000_0000 },
    Layout { name: "0:0xd0000000,4G (Firecracker)", from: 0xd000_0000 },
    Layout { name: "0 (a PC without a hole, s390x, ppc64)", from: 0 },
    Layout { name: "1G (QEMU's virt of arm and arm64)", from: 0 },
    Layout { name: "2G (QEMU's virt of riscv64, Firecracker on arm64)", from: 0 },
];

/// How a raw file of `size` bytes may be laid out, and what to call it. Holes come first: without its hole a PC's kernel
/// may be found just the same, as it lies below, and all memory behind is misplaced.
pub(crate) fn layouts(size: u64) -> impl Iterator<Item = (&'static str, RawMemory)> {
    let fitting = LAYOUTS.iter().filter(move |layout| size > layout.from);
    fitting.filter_map(|Layout { name, .. }| Some((*name, name.split_once(' ')?.0.parse().ok()?)))
}

/// Opens a file as raw memory. What machine that is, and what lies where, only a kernel file can tell.
///
/// # Errors
/// Ranges that overlap, that are empty, or that cannot be placed in the file.
pub(crate) fn open(source: Arc<dyn Source>, layout: &RawMemory) -> Result<Image> {
    let extents = layout.extents(source.len()).map_err(|what| Error::Usage(format!("raw memory: {what}")))?;
    let plain = Plain { segments: extents.len(), ..Plain::default() };
    Ok(Stretches { writable: true, ..Stretches::new(source, &extents) }.image(RawMemory::NAME, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(text: &str) -> String {
        let layout = text.parse::<RawMemory>().and_then(|layout| layout.extents(0x1_4000_0000));
        let show = |extent: &Extent| format!("{:#x}+{:#x}@{:#x}", extent.start, extent.len, extent.offset);
        layout.map_or_else(|error| error, |extents| extents.iter().map(show).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn ranges_are_placed_in_the_file() {
        for (text, expected) in [
            ("0", "0x0+0x140000000@0x0"),
            ("0x40000000", "0x40000000+0x140000000@0x0"),
            ("0:3G,4G", "0x0+0xc0000000@0x0 0x100000000+0x80000000@0xc0000000"),
            ("4G@3G", "0x100000000+0x80000000@0xc0000000"),
            ("1M,4G@0x1000", "0x100000+0x1000@0x0 0x100000000+0x13ffff000@0x1000"),
            ("4G:4K@64K,0:1M", "0x100000000+0x1000@0x10000 0x0+0x100000@0x11000"),
            ("0,4G", "a range needs a length if the next one has no offset"),
            ("0:4G,3G", "the range at 0xc0000000 lies in another one"),
            ("0:0", "the range at 0x0 is empty"),
            ("0@5G", "the range at 0x0 is empty"),
            ("0:0x7fffffffffffffff@1", "the range at 0x0 is too long"),
            ("", ": not a number"),
            ("0:3Q", "3Q: not a number"),
            ("99999999999T", "99999999999T: not a number"),
        ] {
            assert_eq!(placed(text), expected, "{text}");
        }
    }

    #[test]
    fn every_layout_that_fits_a_file_can_be_placed_in_it() {
        for (size, expected) in [
            (1, "0 1G 2G"),
            (0xb000_0000, "0 1G 2G"),
            (0xb000_1000, "0:2G,4G 0 1G 2G"),
            (3 << 30, "0:2G,4G 0 1G 2G"),
            (0xc000_1000, "0:2G,4G 0:3G,4G 0 1G 2G"),
            (4 << 30, "0:2G,4G 0:3G,4G 0:0xd0000000,4G 0 1G 2G"),
            (1 << 40, "0:2G,4G 0:3G,4G 0:0xd0000000,4G 0 1G 2G"),
        ] {
            let found: Vec<_> = layouts(size).collect();
            let names: Vec<&str> = found.iter().filter_map(|(name, _)| name.split(' ').next()).collect();
            assert_eq!(names.join(" "), expected, "{size:#x}");
            for (name, layout) in found {
                let extents = layout.extents(size).unwrap();
                assert_eq!(extents.iter().map(|extent| extent.len).sum::<u64>(), size, "{name}");
            }
        }
    }
}
