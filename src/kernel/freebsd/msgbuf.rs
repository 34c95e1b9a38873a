//! The message buffer: a ring of text that the kernel prints into, and that a log daemon reads.

use crate::Result;
use crate::kernel::fields::{Fields, bad, offset};
use crate::kernel::state::Log;
use crate::kernel::text;
use kgdbserver_arch::Va;

/// `MSG_MAGIC`.
const MAGIC: u64 = 0x06_3062;

/// No message buffer is larger; `kern.msgbufsize` is 96 KiB by default.
const SIZE_LIMIT: u64 = 1 << 28;

/// `struct msgbuf`: a pointer to the text, then 32-bit words. The same since 4.
struct Ring {
    text: Va,
    size: u64,
    /// Where the next byte will be written, and read. They count on beyond the size, up to `modulus`.
    written: u64,
    read: u64,
    modulus: u64,
}

impl Ring {
    fn find(fields: &Fields<'_>) -> Result<Self> {
        let at = fields.head("msgbufp")?;
        let word = |number: u64| {
            let at = offset(at, u64::from(fields.mem.machine.ptr_bytes) + 4 * number)?;
            fields.mem.uint(at, 4)
        };
        let (magic, size) = (word(0)?, word(1)?);
        if magic != MAGIC {
            return Err(bad("msgbuf", at, format!("its magic number is {magic:#x}")));
        }
        if !(1..=SIZE_LIMIT).contains(&size) {
            return Err(bad("msgbuf", at, format!("its size is {size}")));
        }
        let (written, read, modulus) = (word(2)?, word(3)?, word(5)?);
        Ok(Self { text: fields.mem.pointer(at)?, size, written, read, modulus: modulus.max(size) })
    }

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
pub(super) fn read(fields: &Fields<'_>) -> Result<Log> {
    let ring = Ring::find(fields)?;
    let mut bytes = Vec::new();
    let mut lost = None;
    while (bytes.len() as u64) < ring.size {
        let at = offset(ring.text, bytes.len() as u64)?;
        let mut page = [0; 4096];
        let wanted = (ring.size - bytes.len() as u64).min(4096 - at.0 % 4096) as usize;
        let page = page.get_mut(..wanted).unwrap_or_default();
        if let Err(error) = fields.mem.read_exact(at, page) {
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
