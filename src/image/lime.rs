//! LiME: the memory of a running Linux machine, as the module of that name and AVML fetch it.
//!
//! ```text
//! header: 32 bytes | memory | header | memory | ...
//! ```
//!
//! A header, in the byte order of the machine (lime.h, `lime_mem_range_header`): magic, version 1, both of 32 bits; first and
//! last physical address, of 64 bits; 8 bytes of zeros. AVML leaves out blocks of 16 MiB that are all zeros and does not
//! say so: what is not in the image may have been zeros, or no memory.

use super::extents::{Extent, Stretches};
use super::{Format, Image, Plain, Source};
use crate::{Error, Result};
use std::io;
use std::sync::Arc;

pub(super) const FORMAT: Format = Format { name: NAME, probe, open, set: None };

const NAME: &str = "LiME";

const MAGIC: u64 = 0x4c69_4d45;

/// Magic and version.
pub(super) const LITTLE: [u8; 8] = (MAGIC | 1 << 32).to_le_bytes();
const BIG: [u8; 8] = (MAGIC << 32 | 1).to_be_bytes();

/// Bytes of a header.
const HEADER: u64 = 32;

/// No machine has more ranges of memory, and AVML's blocks of 16 MiB are as many in 16 TiB.
const LIMIT: usize = 1 << 20;

/// What stands at a place in the file.
enum Next {
    Range(Extent),
    End,
    /// No header, for this reason.
    Bad(&'static str),
}

fn probe(source: &dyn Source) -> bool {
    let mut magic = [0; 4];
    let read = source.read_exact_at(0, &mut magic);
    read.is_ok() && [LITTLE, BIG].iter().any(|kind| kind.starts_with(&magic))
}

fn open(source: Arc<dyn Source>) -> Result<Image> {
    let (ranges, warning) = ranges(&*source)?;
    let plain = Plain { segments: ranges.len(), ..Plain::default() };
    let mut image = Stretches::new(source, &ranges).image(NAME, plain);
    image.warnings.extend(warning);
    Ok(Image { version: Some(1), ..image })
}

/// The ranges, and a warning if there might be more of them. The last one may go beyond the end of the file.
fn ranges(source: &dyn Source) -> Result<(Vec<Extent>, Option<String>)> {
    let mut ranges = Vec::new();
    let mut at = 0;
    loop {
        match next(source, at).map_err(Error::io(source.path()))? {
            Next::Range(range) if ranges.len() < LIMIT => {
                at = range.offset + range.len;
                ranges.push(range);
            }
            Next::Range(_) => return Ok((ranges, Some(format!("only the first {LIMIT} ranges are used")))),
            Next::End => return Ok((ranges, None)),
            Next::Bad(why) if ranges.is_empty() => {
                return Err(Error::Corrupt { format: NAME, offset: at, what: why.into() });
            }
            Next::Bad(why) => {
                let text = format!("the file is damaged at byte {at:#x}, it can be used up to there: {why}");
                return Ok((ranges, Some(text)));
            }
        }
    }
}

fn next(source: &dyn Source, at: u64) -> io::Result<Next> {
    let mut words = [[0; 8]; 4];
    let got = source.read_lone_at(at, words.as_flattened_mut())?;
    let [kind, first, last, _] = words;
    let value = match kind {
        _ if got == 0 => return Ok(Next::End),
        _ if (got as u64) < HEADER => return Ok(Next::Bad("the header is cut off")),
        LITTLE => u64::from_le_bytes,
        BIG => u64::from_be_bytes,
        _ => return Ok(Next::Bad("no header of version 1")),
    };
    let (first, last, offset) = (value(first), value(last), at + HEADER);
    let len = last.checked_sub(first).and_then(|len| len.checked_add(1));
    // No file is larger than its offsets, which are signed.
    let fits = |len: &u64| offset.checked_add(*len).is_some_and(|end| i64::try_from(end).is_ok());
    Ok(match len.filter(fits) {
        Some(len) if last < u64::MAX => Next::Range(Extent { start: first, len, offset }),
        _ => Next::Bad("the range ends before it begins, or where no memory reaches"),
    })
}
