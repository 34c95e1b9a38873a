//! The ring of messages since Linux 5.10 (`struct printk_ringbuffer`): a ring of descriptors, a ring of what is known of
//! each message, and a ring of texts.

use super::log::{Record, Records, SIZE_LIMIT, Source};
use crate::Result;
use crate::kernel::fields::{bad, offset};
use crate::space::Space;
use kgdbserver_arch::Va;

/// A message takes 32 bytes and more.
const COUNT_LIMIT: u64 = SIZE_LIMIT / 32;

/// What a descriptor's state is, in the two highest bits of its state word; the others are its number.
const COMMITTED: u64 = 1;
const FINALIZED: u64 = 2;

/// Where the texts of messages without one begin and end. Other odd places mean that there was no room for the text.
const NO_TEXT: u64 = 3;

struct Ring<'a> {
    mem: &'a Space,
    /// Bytes of an `unsigned long`.
    word: u64,
    descriptors: Array,
    infos: Array,
    texts: Va,
    texts_size: u64,
    at: Offsets,
    /// Texts do not overlap, so no more than this is left to be read.
    left: u64,
}

/// An array whose indices wrap around.
struct Array {
    first: Va,
    size: u64,
    count: u64,
}

/// Where members lie, in bytes.
struct Offsets {
    state: u64,
    begin: u64,
    next: u64,
    sequence: u64,
    time: u64,
    length: u64,
}

/// The messages from the oldest to the newest, but those that are being written.
pub(super) fn records<'a>(source: &Source<'a>, prb: Va) -> Result<Records<'a>> {
    let mem = source.mem;
    let ring = mem.pointer(prb)?;
    let descriptors = offset(ring, source.member("printk_ringbuffer", "desc_ring")?)?;
    let member = |name| offset(descriptors, source.member("prb_desc_ring", name)?);
    let number = |name| mem.pointer(member(name)?).map(|va| va.0);
    let (tail, head) = (number("tail_id")?, number("head_id")?);
    let count = power(ring, mem.uint(member("count_bits")?, 4)?, COUNT_LIMIT)?;
    let array = |name, structure| {
        Ok::<_, crate::Error>(Array {
            first: mem.pointer(member(name)?)?,
            size: source.size(structure)?,
            count,
        })
    };
    let texts = offset(ring, source.member("printk_ringbuffer", "text_data_ring")?)?;
    let texts_size = mem.uint(offset(texts, source.member("prb_data_ring", "size_bits")?)?, 4)?;
    let texts_size = power(ring, texts_size, SIZE_LIMIT)?;
    let place = source.member("prb_desc", "text_blk_lpos")?;
    let at = Offsets {
        state: source.member("prb_desc", "state_var")?,
        begin: place.saturating_add(source.member("prb_data_blk_lpos", "begin")?),
        next: place.saturating_add(source.member("prb_data_blk_lpos", "next")?),
        sequence: source.member("printk_info", "seq")?,
        time: source.member("printk_info", "ts_nsec")?,
        length: source.member("printk_info", "text_len")?,
    };
    let mut ring = Ring {
        mem,
        word: mem.machine.ptr_bytes.into(),
        descriptors: array("descs", "prb_desc")?,
        infos: array("infos", "printk_info")?,
        texts: mem.pointer(offset(texts, source.member("prb_data_ring", "data")?)?)?,
        texts_size,
        at,
        left: texts_size,
    };
    let mask = ring.id_mask();
    let messages = (head.wrapping_sub(tail) & mask).min(count - 1) + 1;
    let ids = (0..messages).map(move |number| tail.wrapping_add(number) & mask);
    Ok(Box::new(ids.filter_map(move |id| ring.record(id).transpose())))
}

fn power(ring: Va, bits: u64, limit: u64) -> Result<u64> {
    let size = 1_u64.checked_shl(u32::try_from(bits).unwrap_or(u32::MAX)).filter(|size| *size <= limit);
    size.ok_or_else(|| bad("printk_ringbuffer", ring, format!("its size is 2 to the {bits}")))
}

impl Array {
    fn element(&self, id: u64) -> Result<Va> {
        offset(self.first, self.size.saturating_mul(id & (self.count - 1)))
    }
}

impl Ring<'_> {
    fn state_shift(&self) -> u64 {
        self.word * 8 - 2
    }

    fn id_mask(&self) -> u64 {
        (1 << self.state_shift()) - 1
    }

    /// The message with a number; none if it is being written, or has been overwritten, or lost its text.
    fn record(&mut self, id: u64) -> Result<Option<Record>> {
        let descriptor = self.descriptors.element(id)?;
        let word = |bytes: u64| self.mem.uint(offset(descriptor, bytes)?, self.word as usize);
        let state = word(self.at.state)?;
        if state & self.id_mask() != id || ![COMMITTED, FINALIZED].contains(&(state >> self.state_shift())) {
            return Ok(None);
        }
        let (begin, next) = (word(self.at.begin)?, word(self.at.next)?);
        let info = self.infos.element(id)?;
        let number = |bytes: u64, size| self.mem.uint(offset(info, bytes)?, size);
        let (sequence, time) = (number(self.at.sequence, 8)?, number(self.at.time, 8)?);
        let length = number(self.at.length, 2)?;
        let text = match (begin & 1, next & 1) {
            (0, 0) => self.text(descriptor, begin, next, length)?,
            _ if begin == NO_TEXT && next == NO_TEXT => Vec::new(),
            _ => return Ok(None),
        };
        // Who wrote it is in every ring, and on the screen only if the kernel was built so, which is told nowhere.
        Ok(Some(Record { sequence: Some(sequence), time, caller: None, text }))
    }

    /// The text that lies between two places, behind a word. A text that would wrap around lies at the ring's start.
    fn text(&mut self, descriptor: Va, begin: u64, next: u64, length: u64) -> Result<Vec<u8>> {
        let (wrap, index) = (|place: u64| place / self.texts_size, |place: u64| place % self.texts_size);
        // Since 6.18 a text may end at the ring's very end.
        let (first, size) = match wrap(next.wrapping_sub(1)) == wrap(begin) {
            true => (index(begin), next.wrapping_sub(begin)),
            false => (0, index(next)),
        };
        let length = length.min(size.saturating_sub(self.word));
        self.left = self
            .left
            .checked_sub(length)
            .ok_or_else(|| bad("prb_desc", descriptor, "its text overlaps others"))?;
        let mut text = vec![0; length as usize];
        self.mem.read_exact(offset(self.texts, first.saturating_add(self.word))?, &mut text)?;
        Ok(text)
    }
}
