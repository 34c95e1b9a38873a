//! Kdump-compressed dumps, as makedumpfile writes them on machines of every kind.

use super::bytes::{Endian, put};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::Range;

/// Whose C compiler laid the structures out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// A machine of 64 bits.
    Lp64,
    /// i386; and QEMU, for any machine of 32 bits.
    I386,
    /// Another machine of 32 bits.
    Arm,
}

/// How a page is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Stored,
    Zlib,
    Lzo,
    Snappy,
    Zstd,
}

pub const PACKINGS: [Packing; 5] =
    [Packing::Stored, Packing::Zlib, Packing::Lzo, Packing::Snappy, Packing::Zstd];

impl Packing {
    pub fn flag(self) -> u32 {
        match self {
            Self::Stored => 0,
            Self::Zlib => 0x1,
            Self::Lzo => 0x2,
            Self::Snappy => 0x4,
            Self::Zstd => 0x20,
        }
    }

    pub fn pack(self, page: &[u8]) -> Vec<u8> {
        match self {
            Self::Stored => page.to_vec(),
            Self::Zlib => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(page).expect("memory");
                encoder.finish().expect("memory")
            }
            Self::Lzo => lzokay_native::compress(page).expect("memory"),
            Self::Snappy => snap::raw::Encoder::new().compress_vec(page).expect("memory"),
            Self::Zstd => zstd::bulk::compress(page, 1).expect("memory"),
        }
    }
}

/// What the file is to hold.
#[derive(Clone, Debug)]
pub struct Kdump {
    pub signature: &'static [u8; 8],
    pub version: u32,
    pub writer: Writer,
    pub endian: Endian,
    /// sysname, nodename, release, version, machine, domainname.
    pub utsname: [&'static str; 6],
    pub seconds: u32,
    pub status: u32,
    /// Bytes of a page.
    pub block: usize,
    pub max_mapnr: u64,
    pub phys_base: u64,
    pub dump_level: u32,
    pub notes: Vec<u8>,
    pub vmcoreinfo: Vec<u8>,
    pub eraseinfo: Vec<u8>,
    /// By page number.
    pub pages: BTreeMap<u64, (Vec<u8>, Packing)>,
    /// Pages that there were, but were not dumped.
    pub excluded: BTreeSet<u64>,
    /// One bitmap only, as a diskdump that left nothing out.
    pub one_bitmap: bool,
    /// The pages of this file, of a dump that is split.
    pub split: Option<Range<u64>>,
}

/// Where the sections lie in the file.
#[derive(Clone, Debug)]
pub struct Layout {
    pub bitmaps: usize,
    pub descriptors: usize,
    pub data: usize,
    /// Where the notes, the VMCOREINFO and the text of what was erased lie.
    pub notes: Range<u64>,
    pub vmcoreinfo: Range<u64>,
    pub eraseinfo: Range<u64>,
}

pub const DESCRIPTOR: usize = 24;

impl Kdump {
    /// A 64-bit little-endian x86 of version 6 without pages.
    pub fn new(max_mapnr: u64) -> Self {
        Self {
            signature: b"KDUMP   ",
            version: 6,
            writer: Writer::Lp64,
            endian: Endian::Little,
            utsname: ["Linux", "rig", "6.1.0", "#1 SMP", "x86_64", "(none)"],
            seconds: 1_700_000_000,
            status: 1,
            block: 4096,
            max_mapnr,
            phys_base: 0,
            dump_level: 31,
            notes: b"notes of CPUs...".to_vec(),
            vmcoreinfo: b"OSRELEASE=6.1.0\n".to_vec(),
            eraseinfo: Vec::new(),
            pages: BTreeMap::new(),
            excluded: BTreeSet::new(),
            one_bitmap: false,
            split: None,
        }
    }

    /// A page that begins with `text`, and holds something everywhere.
    pub fn page(&mut self, number: u64, text: &str, packing: Packing) {
        let mut page: Vec<u8> = (0..self.block).map(|at| (at / 7 + at % 5) as u8).collect();
        page[..text.len()].copy_from_slice(text.as_bytes());
        page[text.len()] = 0;
        self.pages.insert(number, (page, packing));
    }

    pub fn build(&self) -> (Vec<u8>, Layout) {
        let header = self.sub_header_size();
        let texts = [&self.notes[..], &self.vmcoreinfo].concat();
        let sub_blocks = (header + texts.len()).div_ceil(self.block);
        let one = (self.max_mapnr.div_ceil(8) as usize).div_ceil(self.block);
        let bitmap_blocks = if self.one_bitmap { one } else { 2 * one };
        let (bitmaps, descriptors) =
            ((1 + sub_blocks) * self.block, (1 + sub_blocks + bitmap_blocks) * self.block);
        let mut file = vec![0; descriptors];
        put(&mut file, self.block + header, &texts);
        for (at, number) in
            self.pages.keys().map(|page| (1, page)).chain(self.excluded.iter().map(|page| (0, page)))
        {
            // Of the second bitmap only the bits of dumped pages; of a single one these and no others.
            let second = bitmaps + (bitmap_blocks - one) * self.block;
            let maps = [(!self.one_bitmap).then_some(bitmaps), (at == 1).then_some(second)];
            for map in maps.into_iter().flatten() {
                file[map + (number / 8) as usize] |= 1 << (number % 8);
            }
        }
        let data = descriptors + self.pages.len() * DESCRIPTOR;
        file.resize(data, 0);
        let own = self
            .pages
            .iter()
            .filter(|(number, _)| self.split.as_ref().is_none_or(|part| part.contains(number)));
        for (index, (_, (page, packing))) in own.enumerate() {
            let packed = packing.pack(page);
            let descriptor = self.descriptor(file.len() as u64, packed.len() as u32, packing.flag());
            put(&mut file, descriptors + index * DESCRIPTOR, &descriptor);
            file.extend(packed);
        }
        let notes = (self.block + header) as u64..(self.block + header + self.notes.len()) as u64;
        let vmcoreinfo = notes.end..notes.end + self.vmcoreinfo.len() as u64;
        let eraseinfo = file.len() as u64..(file.len() + self.eraseinfo.len()) as u64;
        file.extend(&self.eraseinfo);
        let layout = Layout { bitmaps, descriptors, data, notes, vmcoreinfo, eraseinfo };
        self.put_header(&mut file, sub_blocks, bitmap_blocks);
        if self.signature == b"KDUMP   " {
            let sub = self.sub_header(&layout);
            put(&mut file, self.block, &sub);
        }
        (file, layout)
    }

    /// The files of the dump, split before each of these pages.
    pub fn split(&self, before: &[u64]) -> Vec<Vec<u8>> {
        let starts = [0].into_iter().chain(before.iter().copied());
        let ends = before.iter().copied().chain([self.max_mapnr]);
        let part = |(start, end)| Self { split: Some(start..end), ..self.clone() }.build().0;
        starts.zip(ends).map(part).collect()
    }

    /// A descriptor, for a test that wants another one.
    pub fn descriptor(&self, offset: u64, size: u32, flags: u32) -> Vec<u8> {
        let e = self.endian;
        [&e.u64(offset)[..], &e.u32(size), &e.u32(flags), &[0; 8]].concat()
    }

    fn put_header(&self, file: &mut [u8], sub_blocks: usize, bitmap_blocks: usize) {
        put(file, 0, self.signature);
        put(file, 8, &self.endian.u32(self.version));
        for (index, text) in self.utsname.iter().enumerate() {
            put(file, 12 + 65 * index, text.as_bytes());
        }
        // struct timeval: two longs, aligned as such. 402 bytes stand before it.
        let (seconds_at, behind) = match self.writer {
            Writer::Lp64 => (408, 424),
            Writer::I386 | Writer::Arm => (404, 412),
        };
        let seconds = self.long(self.seconds.into());
        put(file, seconds_at, &seconds);
        put(file, seconds_at + seconds.len(), &self.long(999_999));
        let max_mapnr = self.max_mapnr.min(u32::MAX.into()) as u32;
        let words = [self.status, self.block as u32, sub_blocks as u32, bitmap_blocks as u32, max_mapnr];
        // total_ram_blocks, device_blocks, written_blocks, current_cpu, nr_cpus
        for (index, word) in words.into_iter().chain([0, 0, 0, 1, 2]).enumerate() {
            put(file, behind + 4 * index, &self.endian.u32(word));
        }
    }

    fn sub_header_size(&self) -> usize {
        match self.writer {
            Writer::Lp64 => 104,
            Writer::I386 => 80,
            Writer::Arm => 96,
        }
    }

    /// The members in their order, each aligned as the compiler aligns it. Members that this version did not have yet hold
    /// what may be there: something else.
    fn sub_header(&self, layout: &Layout) -> Vec<u8> {
        let split = self.split.clone().unwrap_or(0..0);
        let range = |range: &Range<u64>| match range.is_empty() {
            true => (0, 0),
            false => (range.start, range.end - range.start),
        };
        let [(note, note_size), (info, info_size), (erase, erase_size)] =
            [&layout.notes, &layout.vmcoreinfo, &layout.eraseinfo].map(range);
        let mut sub = Struct { bytes: Vec::new(), dump: self };
        sub.long(self.phys_base, 0);
        sub.int(self.dump_level, 1);
        sub.int(self.split.is_some().into(), 2);
        // Too small for large machines, so they are not to be believed where there are 64-bit ones.
        let narrow = |pfn: u64| if self.version < 6 { pfn } else { 0x7777 };
        sub.long(narrow(split.start), 2);
        sub.long(narrow(split.end), 2);
        for (offset, size, since) in [(info, info_size, 3), (note, note_size, 4), (erase, erase_size, 5)] {
            sub.wide(offset, since);
            sub.long(size, since);
        }
        for number in [split.start, split.end, self.max_mapnr] {
            sub.wide(number, 6);
        }
        sub.bytes
    }

    fn long(&self, value: u64) -> Vec<u8> {
        match self.writer {
            Writer::Lp64 => self.endian.u64(value).to_vec(),
            Writer::I386 | Writer::Arm => self.endian.u32(value as u32).to_vec(),
        }
    }
}

/// A structure that grows member by member.
struct Struct<'a> {
    bytes: Vec<u8>,
    dump: &'a Kdump,
}

impl Struct<'_> {
    fn int(&mut self, value: u32, since: u32) {
        let bytes = self.dump.endian.u32(value);
        self.member(&bytes, 4, since);
    }

    fn long(&mut self, value: u64, since: u32) {
        let bytes = self.dump.long(value);
        self.member(&bytes, bytes.len(), since);
    }

    /// 64 bits on every machine.
    fn wide(&mut self, value: u64, since: u32) {
        let align = if self.dump.writer == Writer::I386 { 4 } else { 8 };
        let bytes = self.dump.endian.u64(value);
        self.member(&bytes, align, since);
    }

    fn member(&mut self, bytes: &[u8], align: usize, since: u32) {
        self.bytes.resize(self.bytes.len().next_multiple_of(align), 0);
        match self.dump.version >= since {
            true => self.bytes.extend(bytes),
            false => self.bytes.resize(self.bytes.len() + bytes.len(), 0x5a),
        }
    }
}
