//! The message buffer: a ring of text that the kernel prints into, and that a log daemon reads.

use super::fields::{bad, offset};
use super::state::Log;
use super::text;
use crate::Result;
use crate::space::Space;
use kgdbserver_arch::Va;

/// No message buffer is larger; `kern.msgbufsize` is 96 KiB by default.
const SIZE_LIMIT: u64 = 1 << 28;

/// What `struct msgbuf` says of the ring.
pub(super) struct Ring {
    pub(super) text: Va,
    pub(super) size: u64,
    /// Where the next byte will be written, and read. They count on beyond the size, up to `modulus`.
    pub(super) written: u64,
    pub(super) read: u64,
    /// At least the size.
    pub(super) modulus: u64,
}

/// A size that a message buffer, which lies at `at`, can have.
pub(super) fn checked_size(at: Va, size: u64) -> Result<u64> {
    let absurd = || bad("msgbuf", at, format!("its size is {size}"));
    (1..=SIZE_LIMIT).contains(&size).then_some(size).ok_or_else(absurd)
}

impl Ring {
    /// The last `count` bytes that were written, without those that never were.
    fn last(&self, ring: &[u8], count: u64) -> String {
        let end = self.written % self.size;
        let first = (end + self.size - count.min(self.size)) % self.size;
        let place = |number: u64| ring.get(usize::try_from((first + number) % self.size).ok()?).copied();
        let bytes = (0..count.min(self.size)).filter_map(place).filter(|byte| *byte != 0);
        text(&bytes.collect::<Vec<u8>>())
    }

    /// How many bytes were written since the log daemon last read; the difference of two numbers that wrap around.
    fn unread(&self) -> u64 {
        (self.written % self.modulus + self.modulus - self.read % self.modulus) % self.modulus
    }
}

/// Reads the ring from memory. What of it is not in the image is left out, unless it is all.
pub(super) fn read(mem: &Space, ring: &Ring) -> Result<Log> {
    let mut bytes = Vec::new();
    let mut lost = None;
    while (bytes.len() as u64) < ring.size {
        let at = offset(ring.text, bytes.len() as u64)?;
        let mut page = [0; 4096];
        let wanted = (ring.size - bytes.len() as u64).min(4096 - at.0 % 4096) as usize;
        let page = page.get_mut(..wanted).unwrap_or_default();
        if let Err(error) = mem.read_exact(at, page) {
            lost = Some(error);
            page.fill(0);
        }
        bytes.extend_from_slice(page);
    }
    match lost {
        Some(error) if bytes.iter().all(|byte| *byte == 0) => Err(error),
        _ => Ok(Log { text: ring.last(&bytes, ring.size), unread: ring.last(&bytes, ring.unread()) }),
    }
}
