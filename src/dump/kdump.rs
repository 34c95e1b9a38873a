//! A kdump-compressed dump, version 6, as makedumpfile writes it (its IMPLEMENTATION tells the format):
//!
//! ```text
//! header | sub-header, notes | bitmap: pages that were | bitmap: pages dumped | a descriptor per dumped page | pages
//! ```

use super::linux::{self, UTSNAME};
use super::notes::Notes;
use super::plan::Plan;
use super::words::Words;
use super::{Job, Packing, Written};
use crate::image::zeros::is_zero;
use crate::{Error, Result};
use flate2::{Compress, Compression, FlushCompress, Status};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of a page's descriptor.
const DESCRIPTOR: u64 = 24;
/// Bytes of the sub-header; the notes follow at once.
const SUB_HEADER: usize = 104;
/// Bytes that are read at a time, and packed on all processors; a multiple of every page size.
const BATCH: usize = 8 << 20;

impl Packing {
    /// The bit of a page's flags, and of the file's status.
    fn flag(self) -> u32 {
        match self {
            Self::Zlib => 1,
            Self::Zstd => 0x20,
        }
    }
}

/// What is kept from page to page.
enum Packer {
    Zstd(zstd::bulk::Compressor<'static>),
    Zlib(Compress),
    /// What cannot be had: pages are stored as they are.
    Nothing,
}

impl Packer {
    fn new(packing: Packing) -> Self {
        match packing {
            Packing::Zstd => zstd::bulk::Compressor::new(1).map_or(Self::Nothing, Self::Zstd),
            Packing::Zlib => Self::Zlib(Compress::new(Compression::fast(), true)),
        }
    }

    /// The packed page; none if it would not be smaller.
    fn pack(&mut self, page: &[u8]) -> Option<Vec<u8>> {
        let mut packed = vec![0; page.len() - 1];
        let len = match self {
            Self::Zstd(zstd) => zstd.compress_to_buffer(page, packed.as_mut_slice()).ok()?,
            Self::Zlib(zlib) => {
                zlib.reset();
                let status = zlib.compress(page, &mut packed, FlushCompress::Finish).ok()?;
                Some(zlib.total_out() as usize).filter(|_| status == Status::StreamEnd)?
            }
            Self::Nothing => return None,
        };
        packed.truncate(len);
        Some(packed)
    }
}

/// Where everything lies in the file.
struct Layout {
    block: u64,
    /// Pages that the bitmaps cover.
    pages: u64,
    sub_blocks: u64,
    /// Blocks of one bitmap.
    bitmap_blocks: u64,
}

impl Layout {
    fn bitmaps(&self) -> u64 {
        (1 + self.sub_blocks) * self.block
    }

    fn descriptors(&self) -> u64 {
        self.bitmaps() + 2 * self.bitmap_blocks * self.block
    }
}

pub(super) fn write(job: &Job<'_>, packing: Packing) -> Result<Written> {
    let machine = job.kvm.space().machine;
    if machine.ptr_bytes != 8 {
        let what =
            format!("kdump-compressed dumps of {} are not written: use --format elf", machine.arch.name);
        return Err(Error::Unsupported(what));
    }
    let told = job.kvm.linux().and_then(|linux| linux.info.number("PAGESIZE"));
    let block = told.filter(|size| size.is_power_of_two() && (4096..=65536).contains(size));
    let block = block.unwrap_or(1 << job.image.page_shift);
    let plan = Plan::of(job, block.trailing_zeros() as u8, &[]);
    let notes = Notes::of(job.kvm, machine.big_endian);
    let pages = plan.end().div_ceil(block);
    let layout = Layout {
        block,
        pages,
        sub_blocks: ((SUB_HEADER + notes.bytes.len()) as u64).div_ceil(block),
        bitmap_blocks: pages.div_ceil(8).div_ceil(block),
    };
    let mut dumped = Bitmap::of(&layout, &plan.written)?;
    let mut existing = dumped.clone();
    plan.left_out.iter().for_each(|range| existing.set(range));
    let (end, lost) = fill(job, packing, &layout, &plan, &mut dumped)?;
    let header = header(job, packing, &layout, &notes, dumped.count());
    let io = |error| job.io(error);
    job.file.write_all_at(&header, 0).map_err(io)?;
    job.file.write_all_at(&sub_header(job, &layout, &notes), block).map_err(io)?;
    job.file.write_all_at(&existing.bytes, layout.bitmaps()).map_err(io)?;
    job.file.write_all_at(&dumped.bytes, layout.bitmaps() + layout.bitmap_blocks * block).map_err(io)?;
    job.file.set_len(end).map_err(io)?;
    Ok(Written { memory: plan.bytes() - lost, lost: plan.lost + lost, file: end })
}

/// A bit for each page.
#[derive(Clone)]
struct Bitmap {
    bytes: Vec<u8>,
    block: u64,
}

impl Bitmap {
    fn of(layout: &Layout, ranges: &[Range<u64>]) -> Result<Self> {
        let len = usize::try_from(layout.bitmap_blocks * layout.block).ok();
        // Memory at the end of the address space needs a bitmap of all that is below.
        let len = len.filter(|len| *len <= 1 << 32).ok_or_else(|| {
            Error::Unsupported(
                "memory lies too far apart for a kdump-compressed dump: use --format elf".into(),
            )
        })?;
        let mut bitmap = Self { bytes: vec![0; len], block: layout.block };
        ranges.iter().for_each(|range| bitmap.set(range));
        Ok(bitmap)
    }

    fn set(&mut self, range: &Range<u64>) {
        for page in range.start / self.block..range.end / self.block {
            self.put(page, true);
        }
    }

    fn put(&mut self, page: u64, on: bool) {
        let bit = 1 << (page % 8);
        if let Some(byte) = self.bytes.get_mut((page / 8) as usize) {
            *byte = if on { *byte | bit } else { *byte & !bit };
        }
    }

    fn count(&self) -> u64 {
        self.bytes.iter().map(|byte| u64::from(byte.count_ones())).sum()
    }
}

/// A page, ready to be written.
enum Page {
    Unreadable,
    Zero,
    Stored,
    Packed(Vec<u8>),
}

/// Writes pages and descriptors; takes out of the bitmap what cannot be read. Returns where the file ends, and how many bytes
/// of memory are lost.
fn fill(
    job: &Job<'_>,
    packing: Packing,
    layout: &Layout,
    plan: &Plan,
    dumped: &mut Bitmap,
) -> Result<(u64, u64)> {
    let block = layout.block as usize;
    let total = plan.bytes();
    let mut out = Output::new(job, packing, layout, dumped.count());
    let (mut done, mut lost) = (0, 0);
    let mut buf = vec![0; BATCH];
    for range in &plan.written {
        for pa in range.clone().step_by(buf.len()) {
            job.tell(done, total)?;
            let len = (range.end - pa).min(buf.len() as u64);
            let memory = buf.get_mut(..len as usize).unwrap_or_default();
            let pages = prepare(job, packing, pa, memory, block);
            for ((page, bytes), number) in pages.iter().zip(memory.chunks(block)).zip(pa / layout.block..) {
                if matches!(page, Page::Unreadable) {
                    dumped.put(number, false);
                    lost += layout.block;
                } else {
                    out.put(page, bytes)?;
                }
            }
            out.flush()?;
            done += len;
        }
    }
    job.tell(total, total)?;
    Ok((out.data_at, lost))
}

/// Reads and packs pages, on all processors.
fn prepare(job: &Job<'_>, packing: Packing, pa: u64, memory: &mut [u8], block: usize) -> Vec<Page> {
    let whole = job.read(pa, memory) == memory.len();
    let threads = thread::available_parallelism().map_or(1, Into::into);
    let share = memory.len().div_ceil(block).div_ceil(threads) * block;
    let prepare = |packer: &mut Packer, bytes: &mut [u8], pa| match () {
        () if !whole && job.read(pa, bytes) < bytes.len() => Page::Unreadable,
        () if is_zero(bytes) => Page::Zero,
        () => packer.pack(bytes).map_or(Page::Stored, Page::Packed),
    };
    thread::scope(|scope| {
        let parts = memory.chunks_mut(share).zip((pa..).step_by(share));
        let workers: Vec<_> = parts
            .map(|(part, pa)| {
                let pages = part.chunks_mut(block).zip((pa..).step_by(block));
                let mut packer = Packer::new(packing);
                let page = move |(bytes, pa)| prepare(&mut packer, bytes, pa);
                scope.spawn(move || pages.map(page).collect::<Vec<Page>>())
            })
            .collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap_or_default()).collect()
    })
}

/// Descriptors and pages, which grow side by side.
struct Output<'a> {
    job: &'a Job<'a>,
    packing: Packing,
    big_endian: bool,
    descriptors: Vec<u8>,
    descriptors_at: u64,
    data: Vec<u8>,
    data_at: u64,
    /// Where the page of zeros lies that all such pages share.
    zero: Option<(u64, u32, u32)>,
}

impl<'a> Output<'a> {
    fn new(job: &'a Job<'a>, packing: Packing, layout: &Layout, pages: u64) -> Self {
        Self {
            job,
            packing,
            big_endian: job.kvm.space().machine.big_endian,
            descriptors: Vec::new(),
            descriptors_at: layout.descriptors(),
            data: Vec::new(),
            data_at: layout.descriptors() + pages * DESCRIPTOR,
            zero: None,
        }
    }

    fn put(&mut self, page: &Page, bytes: &[u8]) -> Result<()> {
        let place = match (page, self.zero) {
            (Page::Zero, Some(zero)) => zero,
            (Page::Zero, None) => {
                let packed = Packer::new(self.packing).pack(bytes);
                let place = self.append(packed.as_deref(), bytes);
                *self.zero.insert(place)
            }
            (Page::Packed(packed), _) => self.append(Some(packed), bytes),
            (Page::Stored | Page::Unreadable, _) => self.append(None, bytes),
        };
        let (offset, size, flags) = place;
        let mut words = Words::new(self.big_endian);
        words.u64(offset).u32(size).u32(flags).u64(0);
        self.descriptors.extend(words.bytes);
        Ok(())
    }

    /// Offset, size and flags of a page that is appended.
    fn append(&mut self, packed: Option<&[u8]>, bytes: &[u8]) -> (u64, u32, u32) {
        let at = self.data_at + self.data.len() as u64;
        let (stored, flags) = packed.map_or((bytes, 0), |packed| (packed, self.packing.flag()));
        self.data.extend_from_slice(stored);
        (at, stored.len() as u32, flags)
    }

    fn flush(&mut self) -> Result<()> {
        let io = |error| self.job.io(error);
        self.job.file.write_all_at(&self.descriptors, self.descriptors_at).map_err(io)?;
        self.job.file.write_all_at(&self.data, self.data_at).map_err(io)?;
        self.descriptors_at += self.descriptors.len() as u64;
        self.data_at += self.data.len() as u64;
        self.descriptors.clear();
        self.data.clear();
        Ok(())
    }
}

/// `struct disk_dump_header`.
fn header(job: &Job<'_>, packing: Packing, layout: &Layout, notes: &Notes, dumped: u64) -> Vec<u8> {
    let mut words = Words::new(job.kvm.space().machine.big_endian);
    words.bytes.extend(b"KDUMP   ");
    words.u32(6);
    words.bytes.extend(linux::utsname(job.kvm).unwrap_or([0; UTSNAME]));
    words.bytes.resize(408, 0);
    let count = |count: u64| count.min(u32::MAX.into()) as u32;
    words.u64(time(job)).u64(0);
    words.u32(packing.flag()).u32(layout.block as u32).u32(layout.sub_blocks as u32);
    words.u32(count(2 * layout.bitmap_blocks)).u32(count(layout.pages));
    words.u32(count(dumped)).u32(0).u32(0).u32(0).u32(notes.cpus as u32);
    words.bytes
}

/// When the machine was dumped, in seconds since 1970; of one that tells nothing, now.
fn time(job: &Job<'_>) -> u64 {
    let crashed = || job.kvm.linux()?.info.get("CRASHTIME")?.parse().ok();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    job.image.facts.dump_time.or_else(crashed).unwrap_or_else(now)
}

/// `struct kdump_sub_header`, and the notes.
fn sub_header(job: &Job<'_>, layout: &Layout, notes: &Notes) -> Vec<u8> {
    let number = |name: &str| job.kvm.linux()?.info.number(name);
    let phys_base = number("phys_base").or_else(|| number("PHYS_OFFSET")).unwrap_or(0);
    let notes_at = layout.block + SUB_HEADER as u64;
    let (info_at, info_size) =
        notes.vmcoreinfo.map_or((0, 0), |(at, len)| (notes_at + at as u64, len as u64));
    let mut words = Words::new(job.kvm.space().machine.big_endian);
    words.u64(phys_base).u32(job.image.facts.dump_level.unwrap_or(0)).u32(0).u64(0).u64(0);
    words.u64(info_at).u64(info_size).u64(notes_at).u64(notes.bytes.len() as u64);
    words.u64(0).u64(0).u64(0).u64(0).u64(layout.pages);
    words.bytes.extend(&notes.bytes);
    words.bytes
}
