//! The headers of a dump: C structures of the machine that wrote it, with its byte order, the width of its `long` and its
//! alignment. Their members are told in makedumpfile's IMPLEMENTATION and diskdump_mod.h.

use super::{NAME, corrupt};
use crate::image::Source;
use crate::{Error, Result};
use std::ops::Range;

/// Of files that makedumpfile or QEMU wrote.
const KDUMP: &[u8; 8] = b"KDUMP   ";
/// Of the older diskdump, which had the same header and other things in the second block.
const DISKDUMP: &[u8; 8] = b"DISKDUMP";

/// Bytes of the first block that are read: more than the header has.
const LEN: usize = 512;

/// More pages than any machine has: 256 TiB of 4 KiB. Their bitmap alone has 8 GiB, and can be counted in seconds.
const PAGES_LIMIT: u64 = 1 << 36;

/// A bit of `status`: makedumpfile could not write all pages.
pub(super) const INCOMPLETE: u32 = 8;

/// How a compiler laid out the header and what may stand behind it.
struct Abi {
    /// Bytes of a `long`.
    long: usize,
    /// Offset of the seconds.
    timestamp: usize,
    /// Offset of `status`, which five more words of 4 bytes follow.
    status: usize,
    sub: &'static [SubAbi],
}

/// Offsets in the second block. `phys_base`, `dump_level` and `split` stand at its beginning, one behind the other; a size
/// stands 8 bytes behind the offset that it belongs to.
struct SubAbi {
    start_pfn: usize,
    vmcoreinfo: usize,
    notes: usize,
    eraseinfo: usize,
    /// Three numbers of 8 bytes.
    pfns_64: usize,
}

static ABIS: [Abi; 2] = [
    Abi { long: 4, timestamp: 404, status: 412, sub: &[PACKED, ALIGNED] },
    Abi { long: 8, timestamp: 408, status: 424, sub: &[WIDE] },
];

/// i386 puts numbers of 8 bytes at multiples of 4, and QEMU packs its structures.
const PACKED: SubAbi = SubAbi { start_pfn: 12, vmcoreinfo: 20, notes: 32, eraseinfo: 44, pfns_64: 56 };

/// Other machines of 32 bits.
const ALIGNED: SubAbi = SubAbi { start_pfn: 12, vmcoreinfo: 24, notes: 40, eraseinfo: 56, pfns_64: 72 };

const WIDE: SubAbi = SubAbi { start_pfn: 16, vmcoreinfo: 32, notes: 48, eraseinfo: 64, pfns_64: 80 };

/// What the kernel said of itself, `struct new_utsname`. QEMU fills in the machine only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Utsname {
    pub(super) sysname: String,
    pub(super) nodename: String,
    pub(super) release: String,
    pub(super) version: String,
    pub(super) machine: String,
}

/// What the first block tells. All files of a split set have the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u32,
    pub(super) big_endian: bool,
    /// Bytes of a `long`: 4 or 8.
    pub(super) long: u8,
    pub(super) uts: Utsname,
    /// Seconds since 1970.
    pub(super) timestamp: u64,
    /// log2 of the bytes of a block, which is a page.
    pub(super) page_shift: u8,
    /// Where both bitmaps lie in the file.
    pub(super) bitmaps: Range<u64>,
    max_mapnr: u32,
}

/// What the second block tells, and the one member of the first that a file of a split set has for itself.
#[derive(Debug, Clone, Default)]
pub(super) struct SubHeader {
    pub(super) status: u32,
    pub(super) phys_base: u64,
    pub(super) dump_level: Option<u32>,
    /// The pages of a file of a split set.
    pub(super) split: Option<Range<u64>>,
    /// Pages that the bitmaps cover.
    pub(super) pages: u64,
    /// Where the text lies in the file; perhaps beyond its end, as the two below.
    pub(super) vmcoreinfo: Option<Range<u64>>,
    pub(super) notes: Option<Range<u64>>,
    pub(super) eraseinfo: Option<Range<u64>>,
}

/// Whether a file begins with one of the signatures.
pub(super) fn probe(source: &dyn Source) -> bool {
    let mut magic = [0; 8];
    source.read_exact_at(0, &mut magic).is_ok() && [KDUMP, DISKDUMP].contains(&&magic)
}

/// Reads both.
///
/// # Errors
/// Neither byte order nor width makes sense of the file, or it ends before its first page.
pub(super) fn read(source: &dyn Source) -> Result<(Header, SubHeader)> {
    let bytes = source.bytes(0, LEN as u64).map_err(|_| corrupt(0, "the file is cut off in its header"))?;
    let layouts = ABIS.iter().flat_map(|abi| [(abi, false), (abi, true)]);
    let mut read = layouts.filter_map(|(abi, big)| Some((abi, Header::of(&Fields::new(&bytes, big), abi)?)));
    let (abi, (header, status)) = read
        .next()
        .ok_or_else(|| corrupt(8, "no byte order and width of the writer make sense of the header"))?;
    let bitmaps = header.bitmaps.end - header.bitmaps.start;
    if header.bitmaps.end > source.len() || bitmaps > source.stored() {
        let what = format!(
            "the file is cut off before its first page, which comes behind {:#x}",
            header.bitmaps.end
        );
        return Err(corrupt(source.len(), what));
    }
    let mut sub = SubHeader { status, pages: header.max_mapnr.into(), ..SubHeader::default() };
    if bytes.starts_with(KDUMP) {
        sub.read(source, &header, abi)?;
    } else {
        // Of diskdump's status bit 0 says that it was not finished, and bit 3 that pages are packed.
        sub.status = if status & 1 == 0 { 0 } else { INCOMPLETE };
    }
    header.check(&sub)?;
    Ok((header, sub))
}

/// The members of a structure, in its writer's byte order.
struct Fields<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8], big_endian: bool) -> Self {
        Self { bytes, big_endian }
    }

    /// An unsigned number of `len` bytes; 0 where there are none.
    fn uint(&self, at: usize, len: usize) -> u64 {
        let bytes = self.bytes.get(at..).and_then(|rest| rest.get(..len)).unwrap_or_default();
        kgdbserver_arch::uint(bytes, self.big_endian)
    }

    fn u32(&self, at: usize) -> u32 {
        self.uint(at, 4) as u32
    }

    /// A text that ends with NUL, at most 65 bytes.
    fn text(&self, at: usize) -> String {
        let text = self.bytes.get(at..).and_then(|rest| rest.get(..65)).unwrap_or_default();
        let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
        crate::kernel::text(text).trim().to_owned()
    }

    /// A range of the file: an offset of 8 bytes, and a size as wide as a `long`.
    fn range(&self, at: usize, long: usize) -> Option<Range<u64>> {
        let (offset, size) = (self.uint(at, 8), self.uint(at + 8, long));
        (offset != 0 && size != 0).then(|| offset..offset.saturating_add(size))
    }
}

impl Header {
    /// The header and its status, if this layout makes sense of it.
    fn of(fields: &Fields<'_>, abi: &Abi) -> Option<(Self, u32)> {
        let [version, status, block_size, sub_blocks, bitmap_blocks, max_mapnr] =
            [8, abi.status, abi.status + 4, abi.status + 8, abi.status + 12, abi.status + 16]
                .map(|at| fields.u32(at));
        let block = u64::from(block_size);
        let sensible = block.is_power_of_two()
            && (4096..=65536).contains(&block)
            && version < 256
            && sub_blocks > 0
            && bitmap_blocks > 0;
        if !sensible {
            return None;
        }
        let first = (1 + u64::from(sub_blocks)) * block;
        let bitmaps = first..first + u64::from(bitmap_blocks) * block;
        // Of more than 2^32 pages this number is only the lower half, or all ones.
        let covered = max_mapnr == u32::MAX || u64::from(max_mapnr) <= (bitmaps.end - bitmaps.start) * 8;
        let [sysname, nodename, release, os_version, machine] =
            [0, 1, 2, 3, 4].map(|nth| fields.text(12 + nth * 65));
        let header = Self {
            version,
            big_endian: fields.big_endian,
            long: abi.long as u8,
            uts: Utsname { sysname, nodename, release, version: os_version, machine },
            timestamp: fields.uint(abi.timestamp, abi.long),
            page_shift: block.trailing_zeros() as u8,
            bitmaps,
            max_mapnr,
        };
        covered.then_some((header, status))
    }

    /// Bytes of a block.
    fn block(&self) -> u64 {
        1 << self.page_shift
    }

    /// Where the second bitmap lies: which pages were dumped. The first one tells which there were; an old diskdump that
    /// left nothing out has only that.
    pub(super) fn dumped(&self, pages: u64) -> u64 {
        let Range { start, end } = self.bitmaps;
        let two = pages.div_ceil(8).div_ceil(self.block()) * 2 * self.block();
        if end - start >= two { start + (end - start) / 2 } else { start }
    }

    fn check(&self, sub: &SubHeader) -> Result<()> {
        let bits = (self.bitmaps.end - self.dumped(sub.pages)).saturating_mul(8);
        let refuse = |what: String| Err(corrupt(self.block(), what));
        match &sub.split {
            _ if sub.pages == 0 => refuse("it says that it has no pages".into()),
            _ if sub.pages > bits => refuse(format!("{} pages, and a bitmap of {bits}", sub.pages)),
            _ if sub.pages > PAGES_LIMIT => {
                Err(Error::Unsupported(format!("a {NAME} of {} pages: no machine is that large", sub.pages)))
            }
            Some(split) if split.is_empty() => {
                refuse(format!("a part from page {:#x} to {:#x}", split.start, split.end))
            }
            _ => Ok(()),
        }
    }
}

impl SubHeader {
    fn read(&mut self, source: &dyn Source, header: &Header, abi: &Abi) -> Result<()> {
        let bytes = source.bytes(header.block(), LEN as u64).map_err(Error::io(source.path()))?;
        let fields = Fields::new(&bytes, header.big_endian);
        let layouts = abi.sub.iter().filter(|sub| is_sensible(&fields, sub, header));
        let sub = layouts.chain(abi.sub).next();
        sub.into_iter().for_each(|sub| self.fill(&fields, sub, header));
        Ok(())
    }

    /// Takes what this version of the header has; behind that there may be anything.
    fn fill(&mut self, fields: &Fields<'_>, sub: &SubAbi, header: &Header) {
        let long = usize::from(header.long);
        let since = |version: u32| header.version >= version;
        let wide = since(6);
        let pfn = |nth: usize| match wide {
            true => fields.uint(sub.pfns_64 + 8 * nth, 8),
            false => fields.uint(sub.start_pfn + long * nth, long),
        };
        self.phys_base = fields.uint(0, long);
        self.dump_level = since(1).then(|| fields.u32(long));
        self.split = (since(2) && fields.u32(long + 4) != 0).then(|| pfn(0)..pfn(1));
        self.vmcoreinfo = fields.range(sub.vmcoreinfo, long).filter(|_| since(3));
        self.notes = fields.range(sub.notes, long).filter(|_| since(4));
        self.eraseinfo = fields.range(sub.eraseinfo, long).filter(|_| since(5));
        self.pages = if wide { pfn(2) } else { self.pages };
    }
}

/// Whether a layout of the second block fits it. Texts and notes follow it, before the bitmaps; and what is said in 64
/// bits must be what is said in 32.
fn is_sensible(fields: &Fields<'_>, sub: &SubAbi, header: &Header) -> bool {
    let long = usize::from(header.long);
    let is_inside = |(at, since): (usize, u32)| {
        let (offset, size) = (fields.uint(at, 8), fields.uint(at + 8, long));
        let inside = offset > header.block()
            && offset.checked_add(size).is_some_and(|end| end <= header.bitmaps.start);
        header.version < since || (offset, size) == (0, 0) || inside
    };
    let max_mapnr = fields.uint(sub.pfns_64 + 16, 8);
    let same = header.max_mapnr == u32::MAX || max_mapnr as u32 == header.max_mapnr;
    [(sub.vmcoreinfo, 3), (sub.notes, 4)].into_iter().all(is_inside) && (header.version < 6 || same)
}
