//! The kernel's messages.
//!
//! VMCOREINFO tells where they are, for the sake of tools that want nothing else, so this needs neither types nor names.

use super::vmcoreinfo::Vmcoreinfo;
use super::{printk, printk_log};
use crate::kernel::state::Log;
use crate::kernel::text;
use crate::space::Space;
use crate::symbols::Symbols;
use crate::{Error, Result};
use kgdbserver_arch::Va;
use std::fmt::Write;

/// The longest buffer that is believed; `log_buf_len` is 256 KiB by default, and some set 64 MiB.
pub(super) const SIZE_LIMIT: u64 = 1 << 28;

/// What the messages are found by.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) info: &'a Vmcoreinfo,
    pub(super) symbols: &'a Symbols,
    pub(super) mem: &'a Space,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Its number, where it is told.
    pub(super) sequence: Option<u64>,
    /// When it was written, in nanoseconds since the start.
    pub(super) time: u64,
    /// Who wrote it: a task's number or, with the highest bit, a CPU's; where the kernel prints that.
    pub(super) caller: Option<u32>,
    /// What it says: one or several lines.
    pub(super) text: Vec<u8>,
}

/// The messages, the oldest first. One that cannot be read does not end the list.
pub(super) type Records<'a> = Box<dyn Iterator<Item = Result<Record>> + 'a>;

impl Source<'_> {
    pub(super) fn variable(&self, name: &str) -> Result<Va> {
        let told = self.info.symbol(name).map(Va);
        told.or_else(|| self.symbols.address(name)).ok_or_else(|| Error::NoSymbol(name.into()))
    }

    /// Bytes to a member.
    pub(super) fn member(&self, structure: &str, name: &str) -> Result<u64> {
        match self.info.offset(&format!("{structure}.{name}")) {
            Some(offset) => Ok(offset),
            None => Ok(self.symbols.types().require(structure, name)?.offset),
        }
    }

    /// Bytes of a structure.
    pub(super) fn size(&self, structure: &str) -> Result<u64> {
        let size = self.info.size(structure).or_else(|| self.symbols.types().size_of(structure));
        size.filter(|size| *size != 0)
            .ok_or_else(|| Error::Unsupported(format!("the size of struct {structure} is not known")))
    }
}

/// All messages.
pub(super) fn records<'a>(source: &Source<'a>) -> Result<Records<'a>> {
    match source.variable("prb") {
        Ok(ring) => printk::records(source, ring),
        Err(_) => printk_log::records(source),
    }
}

/// All messages as dmesg(1) prints them, and those of them that no log daemon had read. Most daemons read `/dev/kmsg`
/// nowadays, and what they have read is not told: then none count as unread.
pub(super) fn read(source: &Source<'_>) -> Result<Log> {
    let reader = source.symbols.address("syslog_seq").and_then(|va| source.mem.uint(va, 8).ok());
    let first_unread = reader.filter(|first| *first != 0);
    let mut log = Log::default();
    let mut lost = Lost::default();
    for record in records(source)? {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                lost.add(error);
                continue;
            }
        };
        let start = log.text.len();
        lost.print(&mut log.text);
        record.print(&mut log.text);
        if first_unread.is_some() && record.sequence >= first_unread {
            log.unread.push_str(log.text.get(start..).unwrap_or_default());
        }
    }
    lost.print(&mut log.text);
    Ok(log)
}

impl Record {
    /// Every line with the time in front, as the kernel itself prints it.
    fn print(&self, to: &mut String) {
        let (seconds, micros) = (self.time / 1_000_000_000, self.time % 1_000_000_000 / 1000);
        for line in self.text.split(|byte| *byte == b'\n') {
            let _ = write!(to, "[{seconds:5}.{micros:06}]"); // writing to a String cannot fail
            if let Some(caller) = self.caller {
                let kind = if caller >> 31 == 1 { 'C' } else { 'T' };
                let _ = write!(to, "[{:>6}]", format!("{kind}{}", caller & !(1 << 31)));
            }
            let _ = writeln!(to, " {}", text(line));
        }
    }
}

/// Messages in a row that could not be read.
#[derive(Default)]
struct Lost {
    count: u64,
    why: Option<Error>,
}

impl Lost {
    fn add(&mut self, why: Error) {
        self.count += 1;
        self.why.get_or_insert(why);
    }

    /// Says so in their place.
    fn print(&mut self, to: &mut String) {
        if let Some(why) = self.why.take() {
            let _ = writeln!(to, "({} messages cannot be read: {why})", std::mem::take(&mut self.count));
        }
    }
}

#[cfg(test)]
mod tests;
