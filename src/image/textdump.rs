//! FreeBSD textdumps: a ustar archive of what the kernel debugger printed and of the kernel's messages, no memory.

use super::no_memory::NoMemory;
use super::part::Stream;
use super::{Facts, Format, Image, Source};
use crate::{Error, Result};
use std::cell::Cell;
use std::io::{self, Read};
use std::sync::Arc;

pub(super) const FORMAT: Format = Format { name: NAME, probe, open, set: None };

const NAME: &str = "FreeBSD textdump";

/// Of any text: the kernel's buffers are smaller by far.
const TEXT_LIMIT: u64 = 16 << 20;

/// A textdump has five files.
const FILES_LIMIT: usize = 64;

type Tell = fn(&mut Facts, String);

/// The files that textdump(4) lists, some of which can be switched off.
static FILES: &[(&str, Tell)] = &[
    ("version.txt", |facts, text| facts.version = Some(text)),
    ("panic.txt", |facts, text| facts.panic = Some(text)),
    ("msgbuf.txt", |facts, text| facts.log = Some(text)),
    ("config.txt", |facts, text| facts.architecture = machine(&text)),
];

/// The kernel's configuration names its machine: `machine amd64`, or `machine arm64 aarch64`, the processor last.
fn machine(config: &str) -> Option<String> {
    let mut words = config.lines().map(str::split_whitespace);
    words.find_map(|mut words| (words.next() == Some("machine")).then(|| words.last())?).map(str::to_owned)
}

/// Any ustar archive looks like this; which files are in it is only known by reading it.
pub(super) fn probe(source: &dyn Source) -> bool {
    let mut magic = [0; 5];
    source.read_exact_at(257, &mut magic).is_ok() && &magic == b"ustar"
}

fn open(source: Arc<dyn Source>) -> Result<Image> {
    let (facts, cut) = read_files(&*source)?;
    let mut warnings = vec!["a textdump: it holds the kernel's messages and no memory".to_owned()];
    warnings.extend(cut.map(|why| format!("the archive is damaged or cut off: {why}")));
    Ok(Image {
        format: NAME,
        shared_with: None,
        version: None,
        machine: None,
        page_shift: 12,
        size: source.len(),
        memory: Arc::new(NoMemory),
        regions: vec![NoMemory::REGION],
        direct_map: None,
        kerndisp: 0,
        facts,
        warnings,
        plain: None,
        kept: None,
    })
}

/// The texts, and why there are no more of them.
fn read_files(source: &dyn Source) -> Result<(Facts, Option<String>)> {
    let (mut facts, mut known, mut cut) = (Facts::default(), 0, None);
    let fetched = Cell::new(0);
    let mut archive = tar::Archive::new(Stream::new(source, &fetched));
    for entry in archive.entries().map_err(Error::io(source.path()))?.take(FILES_LIMIT) {
        let text = entry.and_then(|entry| {
            let name = entry.path()?.into_owned();
            let mut bytes = Vec::new();
            let size = entry.size().min(TEXT_LIMIT);
            if entry.take(size).read_to_end(&mut bytes)? as u64 != size {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok((name, crate::kernel::text(&bytes).trim_end_matches(['\0', '\n']).to_owned()))
        });
        match text {
            Ok((name, text)) => {
                let file = FILES.iter().find(|(file, _)| name.as_os_str() == *file);
                known += usize::from(file.is_some() || name.as_os_str() == "ddb.txt");
                file.into_iter().for_each(|(_, tell)| tell(&mut facts, text.clone()));
            }
            Err(why) => {
                cut = Some(why.to_string());
                break;
            }
        }
    }
    if known == 0 {
        let what = cut.unwrap_or_else(|| "an archive with none of a textdump's files".into());
        return Err(Error::Corrupt { format: NAME, offset: 0, what });
    }
    Ok((facts, cut))
}
