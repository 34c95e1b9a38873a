use crate::{Radix, Slot};
use std::ops::RangeInclusive;

/// What FreeBSD fixes for one processor.
#[derive(Debug)]
pub struct Bsd {
    /// The layout of its minidumps.
    pub minidump: &'static Minidump,
    /// Layouts of `struct pcb`, where a thread's registers are saved; newest first.
    pub pcb: &'static [Pcb],
    /// Functions that nothing calls, where a kernel stack ends.
    pub outermost: &'static [&'static str],
}

/// Where `struct pcb` keeps registers, from one release on.
#[derive(Debug)]
pub struct Pcb {
    /// The first `__FreeBSD_version` of this layout.
    pub since: u32,
    /// Registers that every pcb holds.
    pub switched: &'static [Slot],
    /// Registers that only a pcb filled by `savectx` holds (`dumppcb`, `stoppcbs`): a context switch leaves them stale.
    pub savectx: &'static [Slot],
}

/// An unsigned integer in a dump header, in the target's byte order.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Bytes from the start of the file.
    pub offset: u16,
    /// Width: 4 or 8.
    pub bytes: u8,
}

/// A 32-bit header field.
pub(crate) const fn u32_at(offset: u16) -> Field {
    Field { offset, bytes: 4 }
}

/// A 64-bit header field.
pub(crate) const fn u64_at(offset: u16) -> Field {
    Field { offset, bytes: 8 }
}

/// The layout of a minidump's header page, and the form of the page-table entries it keeps.
#[derive(Debug)]
pub struct Minidump {
    /// The file's first bytes, up to a NUL.
    pub magic: &'static str,
    /// Bytes that the magic occupies, NULs included.
    pub magic_bytes: u8,
    /// Header versions that this layout covers.
    pub versions: RangeInclusive<u32>,
    /// The header's version.
    pub version: Field,
    /// Bytes of the message buffer section.
    pub msgbufsize: Field,
    /// Bytes of the page bitmap.
    pub bitmapsize: Field,
    /// Bytes of the page-table entries.
    pub pmapsize: Field,
    /// The virtual address that the first page-table entry maps.
    pub kernbase: Field,
    /// The direct map's first address.
    pub dmapbase: Field,
    /// The address after the direct map's last.
    pub dmapend: Field,
    /// Bytes of the section of physical ranges, and the version that brought it.
    pub dumpavailsize: (u32, Field),
    /// The form of the kept entries, and their level, by header version.
    pub entries: fn(version: u32) -> (Radix, usize),
}
