//! Minidumps of the BSDs: the pages that were in use, and the kernel's page tables.
//!
//! ```text
//! header page | message buffer | dump_avail | bitmap | page-table entries | one page per set bit
//! ```
//!
//! One reader for every processor: what differs stands in [`kgdbserver_arch::Minidump`].

mod header;

use super::pages::{Pages, Range};
use super::part::Part;
use super::{Addr, Census, Facts, Format, Image, Kept, Memory, Source};
use crate::{Error, Result};
use header::Header;
use kgdbserver_arch::{Arch, Fault, Machine, Minidump, Pa};
use std::ops::Range as FileRange;
use std::sync::Arc;

pub(super) const FORMAT: Format =
    Format { name: NAME, probe: |source| row(source).is_some(), open, set: None };

const NAME: &str = "FreeBSD minidump";

/// A bitmap of at most this size (8 GiB of 4 KiB pages) is counted when the file is opened, to compare it with the
/// file's size; opening a larger dump must not take longer.
const COUNTED_AT_OPEN: u64 = 256 << 10;

/// The kernel's own array holds fewer ranges than this many bytes.
const DUMP_AVAIL_LIMIT: u64 = 1 << 20;

/// The architecture whose magic the file begins with.
fn row(source: &dyn Source) -> Option<(&'static Arch, &'static Minidump)> {
    let systems =
        kgdbserver_arch::ALL.iter().flat_map(|arch| [(*arch, arch.freebsd), (*arch, arch.dragonfly)]);
    let rows = systems.filter_map(|(arch, system)| Some((arch, system?.minidumps)));
    rows.flat_map(|(arch, rows)| rows.iter().map(move |row| (arch, row))).find(|(_, row)| {
        let mut magic = vec![0; usize::from(row.magic_bytes)];
        let mut expected = row.magic.as_bytes().to_vec();
        expected.resize(magic.len(), 0);
        source.read_exact_at(0, &mut magic).is_ok() && magic == expected
    })
}

fn open(source: Arc<dyn Source>) -> Result<Image> {
    let Some((arch, row)) = row(&*source) else { return Err(corrupt(0, "no magic")) };
    let header = Header::read(&*source, arch, row)?;
    let machine = header.machine;
    let layout = Layout::of(&header, row)?;
    layout.check_size(source.len())?;
    let mut warnings = header.check()?;
    let ranges = match layout.dump_avail {
        Some((at, len)) => ranges_of(&*source, machine, at, len, header.page_shift())?,
        None => vec![Range { start: 0, end: header.bitmapsize.saturating_mul(8), bit: 0 }],
    };
    let bits = ranges.last().map_or(0, |last| last.bit + (last.end - last.start));
    if bits > header.bitmapsize.saturating_mul(8) {
        let what = format!("the ranges of physical memory hold {bits} pages, the bitmap has fewer bits");
        return Err(corrupt(layout.bitmap, what));
    }
    warnings.extend(marks_beyond(&*source, layout.bitmap, bits, header.bitmapsize));
    let pages = Pages::new(source.clone(), machine.big_endian, layout.bitmap, ranges, header.page_shift());
    let memory =
        Dumped { source: source.clone(), pages, sparse: layout.sparse, page_shift: header.page_shift() };
    if header.bitmapsize <= COUNTED_AT_OPEN {
        warnings.extend(memory.compare_with_size());
    }
    Ok(Image {
        format: header.format(),
        shared_with: header.shared_with(),
        version: Some(header.version),
        machine: Some(machine),
        page_shift: header.page_shift(),
        size: source.len(),
        memory: Arc::new(memory),
        facts: Facts::default(),
        regions: header.regions(layout.pmap),
        direct_map: header.direct_map(),
        kerndisp: header.kerndisp(),
        warnings,
        plain: None,
        kept: Some(Kept {
            header: 0..1 << header.page_shift(),
            tables: layout.pmap..layout.pmap + header.pmapsize,
        }),
    })
}

/// What a minidump's header tells of the kernel's address space, with its tables behind it, where both lie elsewhere: in
/// bytes `at` of a source. `image` is what else there is.
pub(super) fn told(source: &Arc<dyn Source>, at: &FileRange<u64>, image: Image) -> Result<Image> {
    let part: Arc<dyn Source> =
        Arc::new(Part::new(source.clone(), at.start, at.end.saturating_sub(at.start)));
    let Some((arch, row)) = row(&*part) else { return Err(corrupt(at.start, "no magic")) };
    let header = Header::read(&*part, arch, row)?;
    header.check()?;
    let tables = at.start.saturating_add(1 << header.page_shift());
    let end = tables.checked_add(header.pmapsize).filter(|end| *end <= at.end);
    let end = end.ok_or_else(|| corrupt(at.start, "the page tables go beyond their place"))?;
    Ok(Image {
        machine: Some(header.machine),
        page_shift: header.page_shift(),
        regions: header.regions(tables),
        direct_map: header.direct_map(),
        kerndisp: header.kerndisp(),
        kept: Some(Kept { header: at.start..tables, tables: tables..end }),
        ..image
    })
}

/// What to say if the bitmap marks pages beyond the last range: they can only come from a header that is wrong.
fn marks_beyond(source: &dyn Source, bitmap: u64, bits: u64, bitmapsize: u64) -> Option<String> {
    let used = bits.next_multiple_of(64) / 8;
    let rest = bitmapsize.saturating_sub(used).min(COUNTED_AT_OPEN);
    let marked = source.bytes(bitmap + used, rest).ok()?.iter().any(|byte| *byte != 0);
    marked.then(|| {
        "the page bitmap marks pages beyond all physical memory: if memory looks wrong, so is the header"
            .into()
    })
}

/// Where the sections lie in the file.
struct Layout {
    /// Offset and size.
    dump_avail: Option<(u64, u64)>,
    bitmap: u64,
    pmap: u64,
    sparse: u64,
}

impl Layout {
    fn of(header: &Header, row: &Minidump) -> Result<Self> {
        let page = 1u64 << header.page_shift();
        let after = |at: u64, size: u64| {
            let next = size.checked_next_multiple_of(page).and_then(|size| at.checked_add(size));
            next.ok_or_else(|| corrupt(u64::from(row.bitmapsize.offset), "the sections overflow"))
        };
        let avail = after(page, header.msgbufsize)?;
        let bitmap = after(avail, header.dumpavailsize.unwrap_or(0))?;
        let pmap = after(bitmap, header.bitmapsize)?;
        let sparse = after(pmap, header.pmapsize)?;
        Ok(Self { dump_avail: header.dumpavailsize.map(|len| (avail, len)), bitmap, pmap, sparse })
    }

    /// Everything before the pages must be there; the pages may be cut off.
    fn check_size(&self, size: u64) -> Result<()> {
        if self.sparse <= size {
            return Ok(());
        }
        let what = format!(
            "the header promises {:#x} bytes before the first page, the file has {size:#x}",
            self.sparse
        );
        Err(corrupt(size, what))
    }
}

/// The physical ranges that the bitmap covers: pairs of addresses, half open, ended by a pair whose end is 0.
fn ranges_of(source: &dyn Source, machine: Machine, at: u64, len: u64, page_shift: u8) -> Result<Vec<Range>> {
    if len > DUMP_AVAIL_LIMIT {
        return Err(corrupt(at, format!("dump_avail of {len:#x} bytes is not plausible")));
    }
    let bytes = source.bytes(at, len).map_err(Error::io(source.path()))?;
    let pairs = bytes.chunks_exact(16).map(|pair| {
        let (start, end) = pair.split_at(8);
        (machine.uint(start), machine.uint(end))
    });
    let page = (1u64 << page_shift) - 1;
    let mut ranges: Vec<Range> = Vec::new();
    for ((start, end), offset) in pairs.zip((at..).step_by(16)) {
        if end == 0 {
            return if ranges.is_empty() { Err(corrupt(at, "dump_avail is empty")) } else { Ok(ranges) };
        }
        let (start, end) = (start >> page_shift, end.saturating_add(page) >> page_shift);
        let previous = ranges.last();
        if start >= end || previous.is_some_and(|previous| start < previous.end) {
            return Err(corrupt(offset, "dump_avail is not a sorted list of disjoint ranges"));
        }
        let bit = previous.map_or(0, |previous| previous.bit + (previous.end - previous.start));
        ranges.push(Range { start, end, bit });
    }
    Err(corrupt(at, "dump_avail has no end"))
}

fn corrupt(offset: u64, what: impl Into<String>) -> Error {
    Error::Corrupt { format: NAME, offset, what: what.into() }
}

/// A minidump's pages.
struct Dumped {
    source: Arc<dyn Source>,
    pages: Pages,
    /// Where the first page lies in the file.
    sparse: u64,
    page_shift: u8,
}

impl Dumped {
    /// Where a physical address lies in the file, and how many bytes of the dump follow it without a break.
    fn find(&self, pa: Pa) -> Result<(u64, u64), Fault> {
        let (page, run) = self.pages.find(pa).ok_or(Fault::NotInImage(pa))?;
        let within = pa.0 & ((1 << self.page_shift) - 1);
        let offset =
            page.checked_shl(self.page_shift.into()).and_then(|bytes| self.sparse.checked_add(bytes));
        Ok((offset.ok_or(Fault::CutOff(pa))? + within, (run << self.page_shift) - within))
    }

    fn compare_with_size(&self) -> Option<String> {
        let expected = self.sparse.saturating_add(self.pages.count() << self.page_shift);
        let size = self.source.len();
        let Census { dumped, cut_off } = self.census();
        match size.cmp(&expected) {
            std::cmp::Ordering::Less => {
                Some(format!("the file is cut off: {cut_off} of {dumped} pages are missing"))
            }
            std::cmp::Ordering::Greater => Some(format!(
                "the file is {:#x} bytes longer than its page bitmap says: if memory looks wrong, so is the header",
                size - expected
            )),
            std::cmp::Ordering::Equal => None,
        }
    }
}

impl Memory for Dumped {
    fn read(&self, at: Addr, buf: &mut [u8]) -> Result<usize, Fault> {
        let (offset, run, pa) = match at {
            Addr::Phys(pa) => {
                let (offset, run) = self.find(pa)?;
                (offset, run, pa)
            }
            Addr::File(offset) => (offset, u64::MAX, Pa(offset)),
            Addr::Virt(_) => return Err(Fault::NoRegion),
        };
        let wanted = buf.len().min(usize::try_from(run).unwrap_or(usize::MAX));
        let buf = buf.get_mut(..wanted).unwrap_or_default();
        match self.source.read_at(offset, buf) {
            Ok(0) if wanted > 0 => Err(Fault::CutOff(pa)),
            Ok(got) => Ok(got),
            Err(error) => {
                log::warn!("{}: byte {offset:#x}: {error}", self.source.path().display());
                Err(Fault::Unreadable(pa))
            }
        }
    }

    fn locate(&self, pa: Pa) -> Result<u64, Fault> {
        let (offset, _) = self.find(pa)?;
        if offset < self.source.len() { Ok(offset) } else { Err(Fault::CutOff(pa)) }
    }

    fn pages(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
        Box::new(self.pages.iter())
    }

    fn census(&self) -> Census {
        let dumped = self.pages.count();
        let whole = self.source.len().saturating_sub(self.sparse) >> self.page_shift;
        Census { dumped, cut_off: dumped.saturating_sub(whole) }
    }
}
