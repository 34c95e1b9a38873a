use crate::{Locate, Prstatus, Radix, Slot};
use std::ops::RangeInclusive;

/// What one BSD fixes for one processor.
#[derive(Debug)]
pub struct Bsd {
    /// The layouts of its minidumps.
    pub minidumps: &'static [Minidump],
    /// Finds the kernel's page tables in a dump of all physical memory; none where such dumps are not walked.
    pub full: Option<Locate>,
    /// Layouts of `struct pcb`, where a thread's registers are saved; newest first. The first that fits counts.
    pub pcb: &'static [Pcb],
    /// Functions that nothing calls, where a kernel stack ends.
    pub outermost: &'static [&'static str],
    /// How the code that traps and interrupts enter by leaves the interrupted registers on the stack, newest first; none
    /// where that is not known.
    pub traps: &'static [TrapFrame],
    /// How its cores note a thread's registers: behind a head of a few words there is `struct reg` (`machine/reg.h`).
    /// None where that is not known.
    pub prstatus: Option<&'static Prstatus>,
}

/// The registers that a trap or an interrupt found, saved on the stack by the code it entered by. That code has no frame
/// of its own: where it calls a handler, one of its registers leads to what it saved.
#[derive(Debug)]
pub struct TrapFrame {
    /// The first `__FreeBSD_version` of this layout.
    pub since: u32,
    /// Whether code belongs to such an entry, by the name of its symbol.
    pub entry: fn(name: &str) -> bool,
    /// Bytes from the address that a handler returns to, to code that has this name: -1 where the entry calls the handler.
    /// Others jump to it, or have a label of that name right behind the call.
    pub name_at: i64,
    /// Where the saved registers begin.
    pub base: TrapBase,
    /// Bytes from there to the saved program counter.
    pub pc: u64,
    /// To the saved stack pointer.
    pub sp: u64,
    /// To the saved frame pointer.
    pub fp: u64,
    /// Where to see that the trap came from user space: bytes to a word, bits of it, and their value then.
    pub user: (u64, u64, u64),
    /// DWARF's number of the program counter. Where it has none, that of the register for return addresses.
    pub dwarf_pc: u16,
    /// The other registers: DWARF's numbers of some that lie side by side, and bytes from the base to the first.
    pub others: &'static [(RangeInclusive<u16>, u64)],
}

/// A place on the stack, in bytes from a register of the code that calls the handler.
#[derive(Debug, Clone, Copy)]
pub enum TrapBase {
    /// From its stack pointer.
    StackPointer(i64),
    /// From its frame pointer.
    FramePointer(i64),
}

/// Where `struct pcb` keeps registers, from one release on.
#[derive(Debug)]
pub struct Pcb {
    /// The first `__FreeBSD_version` of this layout. An image that does not tell its release counts as 0.
    pub since: u32,
    /// Sizes of `struct pcb` that have this layout, where the release alone does not tell.
    pub bytes: RangeInclusive<u64>,
    /// Registers that every pcb holds.
    pub switched: &'static [Slot],
    /// Registers that only a pcb filled by `savectx` holds (`dumppcb`, `stoppcbs`): a context switch leaves them stale.
    pub savectx: &'static [Slot],
}

/// The release alone tells the layout.
pub(crate) const ANY_SIZE: RangeInclusive<u64> = 0..=u64::MAX;

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

/// The layout of a minidump's header page, and what it keeps of the kernel's page tables.
#[derive(Debug)]
pub struct Minidump {
    /// What the format is called.
    pub name: &'static str,
    /// A version that another system wrote just alike, and that system's name.
    pub shared: Option<(u32, &'static str)>,
    /// The file's first bytes, up to a NUL.
    pub magic: &'static str,
    /// Bytes that the magic occupies, NULs included.
    pub magic_bytes: u8,
    /// Header versions that this layout covers.
    pub versions: RangeInclusive<u32>,
    /// The byte order of the header, and of all that the kernel wrote.
    pub order: ByteOrder,
    /// Bytes of a pointer: 4 or 8.
    pub ptr_bytes: u8,
    /// The header's version.
    pub version: Field,
    /// Bytes of the message buffer section.
    pub msgbufsize: Field,
    /// Bytes of the page bitmap.
    pub bitmapsize: Field,
    /// Bytes of the page-table section.
    pub pmapsize: Field,
    /// The lowest virtual address of the kernel's map.
    pub kernbase: Field,
    /// Where the kernel's map ends; without it, behind what the page-table section maps.
    pub kernend: Option<Field>,
    /// The direct map, where there is one.
    pub direct_map: Option<DirectMap>,
    /// Bytes of the section of physical ranges, and the version that brought it.
    pub dumpavailsize: Option<(u32, Field)>,
    /// What tells apart kernels of one processor whose page tables differ.
    pub mode: Option<Mode>,
    /// How kernels that run at other addresses than they were linked for say so.
    pub relocated: Option<Relocated>,
    /// What the page-table section holds, by header version and mode; an error is what is not supported.
    pub kept: fn(version: u32, mode: u64) -> Result<Kept, &'static str>,
}

/// The byte order of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteOrder {
    /// Least significant byte first.
    Little,
    /// The one in which the header's version is one that is known.
    OfVersion,
}

/// A range of addresses that is physically contiguous.
#[derive(Debug, Clone, Copy)]
pub struct DirectMap {
    /// Its first address.
    pub base: Field,
    /// Where it ends.
    pub end: Field,
    /// The physical address that it begins with, if not 0.
    pub phys: Option<Field>,
}

/// A header field that says how page tables are kept.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// The header version that brought it; before, the mode is 0.
    pub since: u32,
    /// Where it stands.
    pub field: ModeField,
}

/// How a mode is written.
#[derive(Debug, Clone, Copy)]
pub enum ModeField {
    /// As a number.
    Number(Field),
    /// As one of these names, padded with NULs to 32 bytes; the mode is its position in the list.
    Name(u16, &'static [&'static str]),
}

/// A kernel that runs at other addresses than it was linked for.
#[derive(Debug, Clone, Copy)]
pub struct Relocated {
    /// The address that the kernel was linked for.
    pub linked_at: u64,
    /// Where it runs.
    pub start: Field,
    /// Where it ends.
    pub end: Field,
}

/// What a minidump keeps of the kernel's page tables.
#[derive(Debug, Clone, Copy)]
pub enum Kept {
    /// The entries of one level (0: lowest), the first one for the lowest address of the kernel's map.
    Entries {
        /// The tree's shape.
        form: Radix,
        /// The level.
        level: usize,
    },
    /// The top table of the tree, which begins with the entry for address 0.
    Top(Radix),
    /// A hashed page table.
    Hash {
        /// Entries are stored in the kernel's byte order; otherwise in the processor's own, which is big.
        kernels_order: bool,
    },
}

impl Kept {
    /// log2 of the page size in bytes.
    pub fn page_shift(&self) -> u8 {
        match self {
            Self::Entries { form, .. } | Self::Top(form) => form.page_shift,
            Self::Hash { .. } => 12,
        }
    }

    /// Bytes of one entry.
    pub fn entry_bytes(&self) -> u8 {
        match self {
            Self::Entries { form, .. } | Self::Top(form) => form.entry_bytes,
            Self::Hash { .. } => 16,
        }
    }
}
