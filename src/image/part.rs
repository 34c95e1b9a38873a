//! A range of another source, and a source read by the block from its end.

use super::Source;
use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::Arc;

/// A range of another source.
pub(super) struct Part {
    whole: Arc<dyn Source>,
    start: u64,
    len: u64,
}

impl Part {
    /// The bytes from `start` on, `len` of them or as many as there are.
    pub(super) fn new(whole: Arc<dyn Source>, start: u64, len: u64) -> Self {
        let len = len.min(whole.len().saturating_sub(start));
        Self { whole, start, len }
    }
}

impl Source for Part {
    fn path(&self) -> &Path {
        self.whole.path()
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn stored(&self) -> u64 {
        self.len.min(self.whole.stored())
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let left = self.len.saturating_sub(offset);
        let wanted = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match buf.get_mut(..wanted) {
            Some(buf) if wanted > 0 => self.whole.read_at(self.start + offset, buf),
            _ => Ok(0),
        }
    }
}

/// Blocks of 512 bytes in reverse order: the kernel does not know the size of a textdump before it has written it, so
/// it writes from the end of the device towards the front.
pub(super) struct Backwards(pub(super) Part);

const BLOCK: u64 = 512;

impl Source for Backwards {
    fn path(&self) -> &Path {
        self.0.path()
    }

    fn len(&self) -> u64 {
        self.0.len() / BLOCK * BLOCK
    }

    fn stored(&self) -> u64 {
        self.0.stored()
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let at = offset.saturating_add(done as u64);
            let (block, within) = (at / BLOCK, at % BLOCK);
            let Some(start) = (block + 1).checked_mul(BLOCK).and_then(|end| self.0.len().checked_sub(end))
            else {
                break;
            };
            let wanted = rest.len().min(usize::try_from(BLOCK - within).unwrap_or(0));
            match self.0.read_at(start + within, rest.get_mut(..wanted).unwrap_or_default())? {
                0 => break,
                got => done += got,
            }
        }
        Ok(done)
    }
}

/// A source read from front to back.
pub(super) struct Stream<'a> {
    source: &'a dyn Source,
    buffer: Vec<u8>,
    /// The unread part of the buffer.
    unread: std::ops::Range<usize>,
    /// Bytes fetched so far, for whoever watches.
    fetched: &'a Cell<u64>,
}

/// Bytes fetched at a time: a multiple of zstd's largest block.
const PIECE: usize = 256 << 10;

impl<'a> Stream<'a> {
    pub(super) fn new(source: &'a dyn Source, fetched: &'a Cell<u64>) -> Self {
        Self { source, buffer: vec![0; PIECE], unread: 0..0, fetched }
    }

    /// How many bytes were read from it.
    pub(super) fn position(&self) -> u64 {
        self.fetched.get() - self.unread.len() as u64
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.fill_buf()?.read(buf)?;
        self.consume(got);
        Ok(got)
    }
}

impl BufRead for Stream<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.unread.is_empty() {
            self.unread = 0..self.source.read_at(self.fetched.get(), &mut self.buffer)?;
            self.fetched.update(|fetched| fetched + self.unread.len() as u64);
        }
        Ok(self.buffer.get(self.unread.clone()).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.unread.start = self.unread.end.min(self.unread.start + amount);
    }
}
