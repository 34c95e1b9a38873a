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
mod machine;
mod memory;
mod part;
mod split;

use super::pages::{Pages, Range as BitRange};
use super::{Facts, Format, Image, Plain, Source};
use crate::{Error, Result};
use codec::CODECS;
use header::{Header, INCOMPLETE, SubHeader, Utsname};
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
    let machine = machine::machine(first);
    let first_page = machine::first_page(header, sub, machine);
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
    let page_shift = machine::page_shift(first);
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
        kept: None,
    })
}

fn part(File { source, header, sub }: &File, pages: u64) -> Part {
    let bits = sub.split.clone().unwrap_or(0..pages);
    Part::new(source.clone(), bits, header.bitmaps.end, header.big_endian)
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
