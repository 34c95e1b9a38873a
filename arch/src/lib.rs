//! Facts of processors: registers, where kernels save them, and the forms of page tables.
//!
//! Data before code: every architecture is one table ([`Arch`]) in a file of its own, with one function that decodes a
//! page-table entry. No I/O, no operating system code.
#![forbid(unsafe_code)]

pub mod aarch64;
mod addr;
pub mod arm;
mod bsd;
mod full;
pub mod i386;
mod linux;
mod pauth;
pub mod ppc;
pub mod ppc64;
mod ppc64_hash;
mod radix;
mod region;
mod regs;
pub mod riscv64;
pub mod s390x;
pub mod x86_64;

pub use addr::{Pa, Va};
pub use bsd::{
    Bsd, ByteOrder, DirectMap, Field, Kept, Minidump, Mode, ModeField, Pcb, Relocated, TrapBase, TrapFrame,
};
pub use full::{By, Delta, Facts, Locate, Located, Lost};
pub use linux::{
    At, Goes, Linux, Named, Noted, Paging, Prstatus, Structure, Switched, User, UserAt, UserMode, UserPaging,
};
pub use pauth::PacMask;
pub use ppc64_hash::HashTable;
pub use radix::{Entry, Flags, Mapped, Radix, ReadPhys, Rights, Step};
pub use region::{Region, Via};
pub use regs::{Reg, Registers, Slot};

/// Every architecture this build knows. To add one: a file with its [`Arch`], a line here, walks in `tests/walks.rs`.
pub static ALL: &[&Arch] = &[
    &x86_64::ARCH,
    &aarch64::ARCH,
    &i386::ARCH,
    &riscv64::ARCH,
    &arm::ARCH,
    &ppc64::ARCH,
    &ppc::ARCH,
    &s390x::ARCH,
];

/// What distinguishes one architecture from another.
#[derive(Debug)]
pub struct Arch {
    /// Our name for it, as `info` prints it.
    pub name: &'static str,
    /// ELF `e_machine`.
    pub elf_machine: u16,
    /// gdb's name, for the target description.
    pub gdb_name: &'static str,
    /// The first part of an LLVM target triple: of the little-endian and the big-endian machine.
    pub lldb_names: [&'static str; 2],
    /// Registers in the order of the `g` packet.
    pub regs: &'static [Reg],
    /// Index of the program counter.
    pub pc: usize,
    /// Index of the stack pointer.
    pub sp: usize,
    /// The processor may be told to ignore the top byte of an address, in which software then keeps a tag. Bit 55 tells
    /// what that byte stands for.
    pub tagged: bool,
    /// How a chain of frame pointers is followed.
    pub frames: FramePointer,
    /// FreeBSD's sub-table, where FreeBSD runs on it.
    pub freebsd: Option<&'static Bsd>,
    /// DragonFly's sub-table, where DragonFly runs on it.
    pub dragonfly: Option<&'static Bsd>,
    /// Linux's sub-table, where this build knows Linux on it.
    pub linux: Option<&'static Linux>,
}

impl Arch {
    /// Bytes of a pointer: 4 or 8.
    pub fn ptr_bytes(&self) -> u8 {
        self.regs.get(self.pc).map_or(8, |pc| pc.bytes)
    }
}

impl PartialEq for Arch {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// The frame layout of code that keeps a frame pointer. Offsets are in bytes, from where the register points.
#[derive(Debug)]
pub struct FramePointer {
    /// Index of the frame-pointer register.
    pub register: usize,
    /// Where the caller's frame pointer was saved.
    pub caller_fp: i32,
    /// Where the return address was saved.
    pub return_address: i32,
    /// The register is the stack pointer, and the return address lies in the caller's frame: `return_address` and `cfa`
    /// count from there. PowerPC's ABI has it so.
    pub back_chain: bool,
    /// The canonical frame address: the caller's stack pointer.
    pub cfa: i32,
    /// The frame pointer's number in DWARF.
    pub dwarf_fp: u16,
    /// The stack pointer's number in DWARF.
    pub dwarf_sp: u16,
    /// The number of DWARF's return-address column.
    pub dwarf_return_address: u16,
}

/// An architecture as one image uses it: chosen once, at run time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// The architecture.
    pub arch: &'static Arch,
    /// Most significant byte first.
    pub big_endian: bool,
    /// Bytes of a pointer: 4 or 8.
    pub ptr_bytes: u8,
}

impl Machine {
    /// The first part of an LLVM target triple.
    pub fn lldb_name(&self) -> &'static str {
        let [little, big] = self.arch.lldb_names;
        if self.big_endian { big } else { little }
    }

    /// The value of an unsigned integer of at most 8 bytes, as the machine stores it.
    pub fn uint(&self, bytes: &[u8]) -> u64 {
        uint(bytes, self.big_endian)
    }
}

/// The value of at most 8 stored bytes.
pub fn uint(bytes: &[u8], big_endian: bool) -> u64 {
    let shift_in = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
    if big_endian { bytes.iter().fold(0, shift_in) } else { bytes.iter().rev().fold(0, shift_in) }
}

/// Why an address could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The kernel maps nothing in this part of the address space, as far as the image tells.
    NoRegion,
    /// The page tables map nothing here.
    NotMapped,
    /// Mapped, but the image does not hold that physical page.
    NotInImage(Pa),
    /// The page was left out of the image on purpose (makedumpfile's dump level).
    Excluded(Pa),
    /// The image once held the page, but the file ends before it.
    CutOff(Pa),
    /// The image holds no memory at all: a textdump.
    NoMemory,
    /// The image holds the page, but reading the file failed.
    Unreadable(Pa),
    /// The image holds the page, but what it holds cannot be: a place outside the file, or bytes that do not unpack.
    Damaged(Pa),
    /// The page is in a file of a split set that was not given.
    PartMissing(Pa),
}
