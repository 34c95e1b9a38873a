//! The messages of Linux 3.5 to 5.9 (`struct printk_log`): records of different lengths, one behind the other, in a buffer
//! that wraps around.

use super::log::{Record, Records, SIZE_LIMIT, Source};
use crate::kernel::fields::{bad, offset};
use crate::space::Space;
use crate::{Error, Result};
use kgdbserver_arch::Va;

/// The structure's names: until 3.10 it was just `log`.
const STRUCTURES: [&str; 2] = ["printk_log", "log"];

struct Buffer<'a> {
    mem: &'a Space,
    first: Va,
    size: u64,
    /// Bytes in front of a text.
    header: u64,
    time: u64,
    length: u64,
    text_length: u64,
    /// Only where the kernel prints who wrote a message.
    caller: Option<u64>,
    /// Bytes to the next record; none behind the last.
    here: Option<u64>,
    end: u64,
    sequence: Option<u64>,
    /// Bytes that may still be read: the walk cannot go around twice.
    left: u64,
}

/// The messages from the oldest to the newest.
pub(super) fn records<'a>(source: &Source<'a>) -> Result<Records<'a>> {
    let mem = source.mem;
    let number = |name| mem.uint(source.variable(name)?, 4);
    let first = mem.pointer(source.variable("log_buf")?)?;
    let size = number("log_buf_len")?;
    if size > SIZE_LIMIT {
        return Err(bad("log_buf", first, format!("its size is {size}")));
    }
    let known = STRUCTURES.iter().find(|name| source.member(name, "text_len").is_ok());
    let missing = || Error::Unsupported("the kernel's types know no struct printk_log".into());
    let structure = known.ok_or_else(missing)?;
    let first_sequence = source.symbols.address("log_first_seq");
    let mut buffer = Buffer {
        mem,
        first,
        size,
        header: source.size(structure)?,
        time: source.member(structure, "ts_nsec")?,
        length: source.member(structure, "len")?,
        text_length: source.member(structure, "text_len")?,
        caller: source.member(structure, "caller_id").ok(),
        here: Some(number("log_first_idx")?),
        end: number("log_next_idx")?,
        sequence: first_sequence.and_then(|va| mem.uint(va, 8).ok()),
        left: size,
    };
    Ok(Box::new(std::iter::from_fn(move || buffer.next().transpose())))
}

impl Buffer<'_> {
    /// The next record. Behind one that cannot be read there are no others: its length is not known.
    fn next(&mut self) -> Result<Option<Record>> {
        let Some(here) = self.here.take().filter(|here| *here != self.end) else { return Ok(None) };
        let (at, length) = match self.record(here)? {
            // There was no room for another one before the buffer's end.
            (_, 0) => self.record(0)?,
            found => found,
        };
        let absurd = || bad("printk_log", at, format!("its length is {length}"));
        if length < self.header {
            return Err(absurd());
        }
        self.left = self.left.checked_sub(length).ok_or_else(absurd)?;
        let sequence = self.sequence;
        self.sequence = sequence.map(|number| number.wrapping_add(1));
        self.here = Some(at.0.wrapping_sub(self.first.0) + length);
        self.read(at, length, sequence).map(Some)
    }

    /// Where a record lies, and its length.
    fn record(&self, index: u64) -> Result<(Va, u64)> {
        let at = offset(self.first, index)?;
        if index >= self.size {
            return Err(bad("printk_log", at, "it lies behind the buffer"));
        }
        Ok((at, self.mem.uint(offset(at, self.length)?, 2)?))
    }

    fn read(&self, at: Va, length: u64, sequence: Option<u64>) -> Result<Record> {
        let number = |bytes: u64, size| self.mem.uint(offset(at, bytes)?, size);
        let text_length = number(self.text_length, 2)?.min(length - self.header);
        let mut text = vec![0; text_length as usize];
        self.mem.read_exact(offset(at, self.header)?, &mut text)?;
        Ok(Record {
            sequence,
            time: number(self.time, 8)?,
            caller: self.caller.map(|caller| number(caller, 4)).transpose()?.map(|caller| caller as u32),
            text,
        })
    }
}
