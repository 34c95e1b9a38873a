//! makedumpfile's flattened format: how a dump is written where nothing can be written again or further on, into a pipe.
//! QEMU's kdump is always so, whatever it is written to.
//!
//! ```text
//! header: 4096 bytes | record: offset, size, bytes | record | ... | end: -1, -1
//! ```
//!
//! All integers are signed, of 64 bits and big endian, whatever the machine (makedumpfile.h, `makedumpfile_header` and
//! `makedumpfile_data_header`). Records lie in no order, and a later one overwrites what earlier ones wrote: the headers are
//! written once more at the end. What no record covers reads as zeros, as in the sparse file that `makedumpfile -R` makes
//! of it: writers leave out what pads a header to a block (the arm64 dumps of QEMU have 64,000 bytes of that).

use super::Source;
use super::extents::{Extent, Extents};
use super::wrapped::{Layers, Wrapper};
use crate::{Error, Result};
use std::io;
use std::path::Path;
use std::sync::Arc;

pub(super) const WRAPPER: Wrapper = Wrapper { name: "flattened", probe: |source, _| has_magic(source), open };

const NAME: &str = "flattened dump";

const MAGIC: &[u8; 16] = b"makedumpfile\0\0\0\0";

/// The only type and the only version there are.
const KIND: [i64; 2] = [1, 1];

/// Bytes of the header, of which only the first 32 mean anything.
const HEADER: u64 = 4096;

/// Bytes of a record before its data.
const RECORD: u64 = 16;

/// The data of a record from which on the next record is far: half of what Linux maps around a page that is touched. And
/// what is not in memory yet it reads with much more around it: all of the file, where records are as large as usual.
const FAR: u64 = 32 << 10;

/// A record is a buffer of its writer: 16 pages at least, but for a few at the end of something. An index of far smaller
/// ones would take more memory than the file has bytes.
const SMALLEST_ON_AVERAGE: u64 = 4096;

/// How many records may be smaller.
const SMALL_RECORDS: u64 = 2 << 20;

/// How many records are indexed between two reports of progress; what is smaller is done before anybody could read one.
const TELL: usize = 1 << 16;

fn has_magic(source: &dyn Source) -> bool {
    let mut magic = [0; MAGIC.len()];
    source.read_exact_at(0, &mut magic).is_ok() && magic == *MAGIC
}

fn open(source: Arc<dyn Source>, layers: &mut Layers<'_>) -> Result<Arc<dyn Source>> {
    let kind = pair(&*source, MAGIC.len() as u64, false).map_err(Error::io(source.path()))?;
    if kind != Some(KIND) {
        let [kind, version] = kind.unwrap_or_default();
        let what = format!("a {NAME} of type {kind}, version {version}; this build knows type 1, version 1");
        return Err(Error::Unsupported(what));
    }
    let tell = layers.settings.progress.as_deref();
    let progress = |at| tell.into_iter().for_each(|tell| tell(at, source.len()));
    let (mut records, cut) = index(&*source, progress)?;
    layers.warnings.extend(cut);
    records.reverse();
    Ok(Arc::new(Flattened { records: Extents::new(&records), source }))
}

/// Where each record's data goes, in the order of the file; and why there are no more of them, if they have no end.
fn index(source: &dyn Source, mut progress: impl FnMut(u64)) -> Result<(Vec<Extent>, Option<String>)> {
    let mut records = Vec::new();
    let limit = SMALL_RECORDS + source.len() / SMALLEST_ON_AVERAGE;
    let (mut at, mut far) = (HEADER, false);
    let cut = loop {
        let Some([offset, size]) = pair(source, at, far).map_err(Error::io(source.path()))? else {
            break Some(format!("the {NAME} is cut off, it can be used up to there"));
        };
        if [offset, size] == [-1, -1] {
            break None;
        }
        let Some(record) = record(at + RECORD, offset, size) else {
            break Some(format!(
                "the {NAME} is damaged at byte {at:#x}, it can be used up to there: {size} bytes for offset {offset}"
            ));
        };
        (at, far) = (record.offset + record.len, record.len >= FAR);
        let there = record.len.min(source.len().saturating_sub(record.offset));
        records.extend((there > 0).then_some(Extent { len: there, ..record }));
        if records.len().is_multiple_of(TELL) && !records.is_empty() {
            progress(at);
        }
        if records.len() as u64 > limit {
            let what = format!("more than {limit} records: they are too small to be those of a dump");
            return Err(Error::Corrupt { format: NAME, offset: at, what });
        }
    };
    if records.len() >= TELL {
        progress(source.len());
    }
    Ok((records, cut))
}

/// A record whose data lies at byte `at` of the file. Neither there nor where they go are offsets that no file has.
fn record(at: u64, offset: i64, size: i64) -> Option<Extent> {
    let end = offset.checked_add(size).filter(|_| size > 0);
    end.and_then(|_| i64::try_from(at).ok()?.checked_add(size))?;
    Some(Extent { start: u64::try_from(offset).ok()?, len: u64::try_from(size).ok()?, offset: at })
}

/// Two integers; none if the file ends before.
fn pair(source: &dyn Source, at: u64, far: bool) -> io::Result<Option<[i64; 2]>> {
    let mut bytes = [[0; 8]; 2];
    let buf = bytes.as_flattened_mut();
    let got = if far { source.read_lone_at(at, buf)? } else { source.read_at(at, buf)? };
    Ok((got == 16).then_some(bytes.map(i64::from_be_bytes)))
}

/// The file that was flattened.
struct Flattened {
    source: Arc<dyn Source>,
    /// By offset in that file.
    records: Extents,
}

impl Source for Flattened {
    fn path(&self) -> &Path {
        self.source.path()
    }

    fn len(&self) -> u64 {
        self.records.end()
    }

    fn stored(&self) -> u64 {
        self.source.stored()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let (mut at, mut rest) = (offset, buf);
        for record in self.records.from(offset) {
            let (hole, behind) = split(rest, record.start.saturating_sub(at));
            hole.fill(0);
            at += hole.len() as u64;
            let (part, behind) = split(behind, record.end() - at);
            if part.is_empty() {
                break;
            }
            let got = self.source.read_at(record.offset + (at - record.start), part)?;
            at += got as u64;
            if got < part.len() {
                break;
            }
            rest = behind;
        }
        Ok((at - offset) as usize)
    }
}

/// The first `len` bytes of a buffer, or all of them, and the rest.
fn split(buf: &mut [u8], len: u64) -> (&mut [u8], &mut [u8]) {
    buf.split_at_mut(usize::try_from(len).unwrap_or(usize::MAX).min(buf.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Settings;

    /// A file of bytes; what is behind them up to `len` repeats the last 17 of them.
    struct File {
        bytes: Vec<u8>,
        len: u64,
    }

    impl Source for File {
        fn path(&self) -> &Path {
            Path::new("flat")
        }

        fn len(&self) -> u64 {
            self.len
        }

        fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
            let wanted = buf.len().min(usize::try_from(self.len.saturating_sub(offset)).unwrap());
            for (byte, at) in buf[..wanted].iter_mut().zip(usize::try_from(offset).unwrap()..) {
                let beyond = at.saturating_sub(self.bytes.len() - 1).div_ceil(17) * 17;
                *byte = self.bytes[at - beyond];
            }
            Ok(wanted)
        }
    }

    fn file(records: &[(i64, &[u8])]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([1_i64.to_be_bytes(), 1_i64.to_be_bytes()].as_flattened());
        bytes.resize(4096, 0);
        for (offset, data) in records {
            bytes.extend(offset.to_be_bytes());
            bytes.extend((data.len() as u64).to_be_bytes());
            bytes.extend(*data);
        }
        bytes
    }

    fn ended(mut file: Vec<u8>) -> Vec<u8> {
        file.extend([0xff; 16]);
        file
    }

    /// What comes out, and the warnings or the error.
    fn unflattened(bytes: Vec<u8>) -> (Result<Arc<dyn Source>>, Vec<String>) {
        let len = bytes.len() as u64;
        let settings = Settings::default();
        let mut layers = Layers::new(&settings);
        let opened = open(Arc::new(File { bytes, len }), &mut layers);
        (opened, layers.warnings)
    }

    /// Every range of it is what the records make in a file that can be written anywhere.
    fn check(bytes: Vec<u8>, records: &[(i64, &[u8])], warnings: &[&str]) {
        let mut expected = Vec::new();
        for (offset, data) in records {
            let at = usize::try_from(*offset).unwrap();
            expected.resize(expected.len().max(at + data.len()), 0);
            expected[at..at + data.len()].copy_from_slice(data);
        }
        let (opened, warned) = unflattened(bytes);
        let source = opened.unwrap();
        assert_eq!(
            (source.len(), warned),
            (expected.len() as u64, warnings.iter().map(|w| (*w).into()).collect())
        );
        for offset in 0..=expected.len() {
            let mut buf = vec![0xee; expected.len() + 2];
            for len in 0..buf.len() {
                let got = source.read_at(offset as u64, &mut buf[..len]).unwrap();
                let until = expected.len().min(offset + len);
                assert_eq!(buf[..got], expected[offset..until], "{len} bytes at {offset}");
            }
        }
        assert_eq!(source.read_at(u64::MAX, &mut [0; 8]).unwrap(), 0);
    }

    const RECORDS: &[(i64, &[u8])] = &[
        (0, b"first"),
        (40, b"far on"),
        (20, b"overwritten"),
        (22, b"bytes"),
        (3, b"rewritten"),
        (31, b"!"),
    ];

    const CUT: &str = "the flattened dump is cut off, it can be used up to there";

    #[test]
    fn a_later_record_counts_and_a_hole_is_zeros() {
        check(ended(file(RECORDS)), RECORDS, &[]);
        check([ended(file(RECORDS)), vec![1; 100]].concat(), RECORDS, &[]);
    }

    #[test]
    fn a_file_cut_off_anywhere_is_used_up_to_there() {
        let whole = ended(file(RECORDS));
        for len in 4096..whole.len() {
            let mut left = len - 4096;
            let mut records = Vec::new();
            for (offset, data) in RECORDS {
                let there = left.saturating_sub(16).min(data.len());
                records.extend((there > 0).then_some((*offset, &data[..there])));
                left = left.saturating_sub(16 + data.len());
            }
            check(whole[..len].to_vec(), &records, &[CUT]);
        }
    }

    #[test]
    fn what_is_no_record_ends_the_index() {
        for (offset, size) in [
            (0, 0),
            (0, -1),
            (-1, 1),
            (-1, 0),
            (i64::MIN, 1),
            (0, i64::MIN),
            (0, i64::MAX),
            (1, i64::MAX),
            (i64::MAX, 1),
            (i64::MAX - 8, 9),
        ] {
            let good: &[(i64, &[u8])] = &[(2, b"good")];
            let mut bytes = file(good);
            let at = bytes.len();
            bytes.extend([offset.to_be_bytes(), size.to_be_bytes()].as_flattened());
            bytes.extend(ended(file(RECORDS)));
            let what = format!(
                "the flattened dump is damaged at byte {at:#x}, it can be used up to there: {size} bytes for offset \
                 {offset}"
            );
            check(bytes, good, &[&what]);
        }
    }

    #[test]
    fn the_last_offset_of_all_can_be_written() {
        let (opened, warnings) = unflattened(ended(file(&[(i64::MAX - 4, b"last")])));
        let source = opened.unwrap();
        assert_eq!((source.len(), warnings.len()), (i64::MAX as u64, 0));
        let mut buf = [1; 8];
        assert_eq!(source.read_at(source.len() - 6, &mut buf).unwrap(), 6);
        assert_eq!(&buf, b"\0\0last\x01\x01");
        // A hole is not worth memory.
        assert!(source.bytes(0, 1 << 40).is_err());
        assert!(source.bytes(source.len() - 6, 6).is_ok());
    }

    #[test]
    fn a_file_of_another_kind_is_refused() {
        for (at, kind) in
            [(23, "type 2, version 1"), (31, "type 1, version 2"), (16, "type 144115188075855873,")]
        {
            let mut bytes = ended(file(RECORDS));
            bytes[at] = 2;
            let error = unflattened(bytes).0.err().unwrap().to_string();
            assert!(error.contains(kind), "{error}");
        }
        let error = unflattened(MAGIC.to_vec()).0.err().unwrap().to_string();
        assert!(error.contains("type 0, version 0"), "{error}");
    }

    #[test]
    fn records_too_small_to_be_a_dump_are_refused() {
        // Each of its records is one byte for offset 0.
        let bytes = file(&[(0, b"x"), (0, b"y")]);
        let error = index(&File { bytes: bytes.clone(), len: 1 << 26 }, |_| ()).err().unwrap().to_string();
        assert!(error.contains("more than 2113536 records"), "{error}");
        let mut told = Vec::new();
        let len = 4096 + 100_000 * 17;
        let (records, cut) = index(&File { bytes, len }, |at| told.push(at)).unwrap();
        assert_eq!((records.len(), cut.as_deref()), (100_000, Some(CUT)));
        assert_eq!(told, [4096 + 65536 * 17, len]);
        assert_eq!(Extents::new(&records).from(0).len(), 1);
    }
}
