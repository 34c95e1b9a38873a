//! Kdump-compressed dumps, which makedumpfile(8) writes of a Linux kernel that crashed, and QEMU of one that runs.
//!
//! ```text
//! header block | sub-header and notes | bitmap: pages that were | bitmap: pages dumped | a descriptor per dumped page | pages
//! ```
//!
//! The format is diskdump's; makedumpfile's IMPLEMENTATION describes it. A block is a page of the machine. A dump may be
//! split into several files, which have the same headers and bitmaps, and descriptors of their own pages.

mod ahead;
mod codec;
mod header;
mod lzo;
mod memory;
mod part;
mod split;

use super::pages::{Pages, Range as BitRange};
use super::{Facts, Format, Image, Plain, Source};
use crate::{Error, Result};
use codec::CODECS;
use header::{Header, INCOMPLETE, SubHeader, Utsname};
use kgdbserver_arch::Machine;
use memory::{Dumped, Packed};
use part::Part;
use std::sync::Arc;

pub(super) const FORMAT: Format =
    Format { name: NAME, probe: header::probe, open: |source| open(vec![source]), set: Some(open) };

const NAME: &str = "kdump-compressed dump";

/// Bitmaps of at most this size (both of 16 GiB in 4 KiB pages) are counted when the file is opened, to say whether it is whole;
/// opening a larger dump must not take longer.
const COUNTED_AT_OPEN: u64 = 1 << 20;

/// Of texts, this much is read.
const TEXT_LIMIT: u64 = 64 << 10;

/// A bit of `status`: the array of page structures has holes where they would tell of pages that were left out.
const EXCLUDED_VMEMMAP: u32 = 0x10;

/// One file, and what its headers say.
struct File {
    source: Arc<dyn Source>,
    header: Header,
    sub: SubHeader,
}

/// Opens a dump, or the files of one that was split.
fn open(sources: Vec<Arc<dyn Source>>) -> Result<Image> {
    let read = |source: Arc<dyn Source>| {
        let (header, sub) = header::read(&*source)?;
        Ok(File { source, header, sub })
    };
    let files = split::in_order(sources.into_iter().map(read).collect::<Result<_>>()?)?;
    let first = files.first().ok_or_else(|| Error::Usage(format!("a {NAME} without a file")))?;
    let File { source, header, sub } = first;
    let machine = machine(header);
    let first_page = first_page(header, sub, machine);
    let parts = split::parts(&files, first_page);
    let pages = |at: u64| {
        let range = BitRange { start: first_page, end: first_page + sub.pages, bit: 0 };
        // Both bitmaps are bytes, whatever the writer's byte order.
        Pages::new(source.clone(), false, at, vec![range], header.page_shift)
    };
    let packed = Packed::new(
        files.iter().map(|file| part(file, sub.pages)).collect(),
        pages(header.bitmaps.start),
        pages(header.dumped(sub.pages)),
        first_page,
        header.page_shift,
    );
    let page_shift = page_shift(first);
    let memory = Dumped::new(packed, page_shift);
    let mut warnings = warnings(&files);
    warnings.extend(parts.as_ref().and_then(|parts| parts.warning()));
    if header.bitmaps.end - header.bitmaps.start <= COUNTED_AT_OPEN {
        warnings.extend(memory.cut_off());
    }
    Ok(Image {
        format: NAME,
        shared_with: None,
        version: Some(header.version),
        machine,
        page_shift,
        size: files.iter().map(|file| file.source.len()).sum(),
        memory: Arc::new(memory),
        regions: Vec::new(),
        direct_map: None,
        facts: Facts { parts: parts.map(|parts| parts.to_string()), ..facts(first) },
        kerndisp: 0,
        warnings,
        plain: Some(Plain {
            segments: files.len(),
            notes: sub.notes.clone().into_iter().collect(),
            delta: None,
            vmcoreinfo: sub.vmcoreinfo.clone(),
        }),
    })
}

fn part(File { source, header, sub }: &File, pages: u64) -> Part {
    let bits = sub.split.clone().unwrap_or(0..pages);
    Part::new(source.clone(), bits, header.bitmaps.end, header.big_endian)
}

/// The page of the bitmaps' first bit: on 32-bit ARM makedumpfile counts from where memory begins, and QEMU, which does
/// not know the kernel's name, from 0 as everywhere else.
fn first_page(header: &Header, sub: &SubHeader, machine: Option<Machine>) -> u64 {
    const ARM: u16 = 40;
    let counts_from_memory = machine.is_some_and(|machine| machine.arch.elf_machine == ARM);
    match counts_from_memory && !header.uts.sysname.is_empty() {
        true => sub.phys_base >> header.page_shift,
        false => 0,
    }
}

/// log2 of the machine's page size. QEMU dumps arm64 in blocks of 64 KiB, its largest page, whatever the kernel uses: that
/// tells its own in VMCOREINFO.
fn page_shift(File { source, header, sub }: &File) -> u8 {
    let told = || {
        let range = sub.vmcoreinfo.clone()?;
        let text = source.bytes(range.start, (range.end - range.start).min(TEXT_LIMIT)).ok()?;
        let text = crate::kernel::text(&text);
        let size: u64 = text.lines().find_map(|line| line.strip_prefix("PAGESIZE="))?.trim().parse().ok()?;
        let block = 1 << header.page_shift;
        (size.is_power_of_two() && (4096..=block).contains(&size)).then_some(size.trailing_zeros() as u8)
    };
    told().unwrap_or(header.page_shift)
}

/// What uname(2) calls a machine, up to the digits and letters that vary, and the ELF machines of 64 and of 32 bits.
/// QEMU names the emulator: its x86_64 also runs kernels of 32 bits, whose headers then are of 32 bits too.
static MACHINES: &[(&str, u16, u16)] = &[
    ("x86_64", 62, 3),
    ("i386", 62, 3),
    ("i486", 62, 3),
    ("i586", 62, 3),
    ("i686", 62, 3),
    ("aarch64", 183, 40),
    ("arm", 183, 40),
    ("ppc", 21, 20),
    ("riscv", 243, 243),
    ("s390", 22, 22),
    ("loongarch", 258, 258),
    ("mips", 8, 8),
];

fn machine(header: &Header) -> Option<Machine> {
    // QEMU writes S390X.
    let name = header.uts.machine.to_ascii_lowercase();
    let (_, wide, narrow) = MACHINES.iter().find(|(prefix, ..)| name.starts_with(prefix))?;
    let number = if header.long == 8 { wide } else { narrow };
    let arch = kgdbserver_arch::ALL.iter().find(|arch| arch.elf_machine == *number)?;
    Some(Machine { arch, big_endian: header.big_endian, ptr_bytes: header.long })
}

/// What the headers tell of the dump.
fn facts(File { source, header, sub }: &File) -> Facts {
    let Utsname { sysname, nodename, release, version, .. } = &header.uts;
    let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let erased = sub.eraseinfo.clone().and_then(|range| {
        let len = (range.end - range.start).min(TEXT_LIMIT);
        source.bytes(range.start, len).ok()
    });
    Facts {
        hostname: some(nodename),
        dump_time: Some(header.timestamp).filter(|seconds| *seconds != 0),
        version: some(format!("{sysname} {release} {version}").trim()),
        dump_level: sub.dump_level,
        erased: erased.and_then(|bytes| some(crate::kernel::text(&bytes).trim_matches(['\0', '\n', ' ']))),
        ..Facts::default()
    }
}

/// What is odd about the files, by their status.
fn warnings(files: &[File]) -> Vec<String> {
    let status = files.iter().fold(0, |status, file| status | file.sub.status);
    let known = CODECS.iter().fold(INCOMPLETE | EXCLUDED_VMEMMAP, |known, codec| known | codec.flag);
    let texts = [
        (
            INCOMPLETE,
            "the dump is incomplete: not all pages could be written, most likely for lack of disk space",
        ),
        (EXCLUDED_VMEMMAP, "the structures of unused pages were left out as well"),
        (
            !known,
            "the status has bits that this build does not know: pages may be packed in a way that it does not know",
        ),
    ];
    texts.iter().filter(|(bits, _)| status & bits != 0).map(|(_, text)| (*text).to_owned()).collect()
}

fn corrupt(offset: u64, what: impl Into<String>) -> Error {
    Error::Corrupt { format: NAME, offset, what: what.into() }
}
