//! ELF notes: what a dump tells beside its memory.

use super::{Addr, Image};
use std::ops::Range;

/// No real note is longer: QEMU writes 440 bytes for a CPU, Linux 4 KiB of VMCOREINFO.
const LIMIT: u64 = 1 << 20;
/// A machine has at most 8192 CPUs, and a few notes for each.
const COUNT: usize = 1 << 16;
const HEADER: u64 = 12;

/// `NT_PRSTATUS`: a CPU's registers, in notes named `CORE`.
pub const PRSTATUS: u32 = 1;

/// A note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Who defined it: `CORE`, `VMCOREINFO`, `QEMU`.
    pub name: String,
    /// Its type, whose meaning depends on the name.
    pub kind: u32,
    /// Where its contents lie: bytes of the image file.
    pub contents: Range<u64>,
}

impl Image {
    /// The notes of an ELF core or of a kdump file, in file order. They end at the first one that cannot be read.
    pub fn notes(&self) -> Vec<Note> {
        self.each_note().collect()
    }

    /// The same, read one by one.
    pub(super) fn each_note(&self) -> impl Iterator<Item = Note> + '_ {
        let areas = self.plain.iter().flat_map(|plain| plain.notes.iter().cloned());
        areas.flat_map(|area| self.notes_in(area)).take(COUNT)
    }

    /// The contents of a note; none if the file lacks them, or they are too long to be believed.
    pub fn contents(&self, contents: &Range<u64>) -> Option<Vec<u8>> {
        let len = contents.end.checked_sub(contents.start).filter(|len| *len <= LIMIT)?;
        let mut bytes = vec![0; usize::try_from(len).ok()?];
        self.file(contents.start, &mut bytes).map(|()| bytes)
    }

    fn notes_in(&self, area: Range<u64>) -> impl Iterator<Item = Note> + '_ {
        let mut at = area.start;
        std::iter::from_fn(move || {
            let note = self.note(at, area.end)?;
            at = padded(note.contents.end - area.start)? + area.start;
            Some(note)
        })
    }

    fn note(&self, at: u64, end: u64) -> Option<Note> {
        let mut header = [0; HEADER as usize];
        self.file(at, &mut header)?;
        let big_endian = self.machine.is_some_and(|machine| machine.big_endian);
        let word =
            |bytes: [u8; 4]| if big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        let [a, b, c, d, e, f, g, h, i, j, k, l] = header;
        let (name_len, len, kind) = (word([a, b, c, d]), word([e, f, g, h]), word([i, j, k, l]));
        let name_at = at + HEADER;
        let name = self.contents(&(name_at..name_at + u64::from(name_len)))?;
        let start = name_at + padded(name_len.into())?;
        let contents = start..start + u64::from(len);
        // Between areas there may be zeros.
        let empty = name_len == 0 && len == 0 && kind == 0;
        (contents.end <= end && !empty).then(|| Note {
            name: crate::kernel::text(name.split(|byte| *byte == 0).next().unwrap_or_default()),
            kind,
            contents,
        })
    }

    fn file(&self, at: u64, buf: &mut [u8]) -> Option<()> {
        self.memory.read(Addr::File(at), buf).ok().filter(|got| *got == buf.len()).map(|_| ())
    }
}

/// Names and contents are padded to 4 bytes, whatever the ELF specification says of 64-bit files.
fn padded(len: u64) -> Option<u64> {
    len.checked_next_multiple_of(4)
}
