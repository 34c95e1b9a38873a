//! What Linux fixes per processor: the shape of its page tables, and where it saves registers.

mod aarch64;
mod x86_64;

pub(crate) use aarch64::LINUX as AARCH64;
pub(crate) use x86_64::LINUX as X86_64;

use crate::{Facts, Lost, Radix, Region, Slot, Va};

/// What Linux fixes for one processor.
#[derive(Debug)]
pub struct Linux {
    /// Numbers that only this processor's VMCOREINFO has. A raw image tells its machine by them.
    pub marks: &'static [&'static str],
    /// Tells the shape of the page tables and where they lie.
    pub paging: fn(&dyn Facts) -> Result<Paging, Lost>,
    /// The registers of a running task, in the image's notes.
    pub prstatus: Prstatus,
    /// Where the registers of a sleeping task are; newest first. The first whose structure the kernel's types know counts.
    pub switched: &'static [Switched],
    /// Where the registers are that a task had in user space when it entered the kernel.
    pub user: Structure,
    /// Functions that nothing calls, where a kernel stack ends.
    pub outermost: &'static [&'static str],
}

/// The address spaces of a kernel.
#[derive(Debug, Clone)]
pub struct Paging {
    /// The kernel's own.
    pub kernel: Vec<Region>,
    /// Those of processes.
    pub user: UserPaging,
    /// Bits of a kernel's return address that may hold a pointer authentication code; 0 where there are none.
    pub pac_mask: u64,
}

/// The shape of a process's page tables.
#[derive(Debug, Clone, Copy)]
pub struct UserPaging {
    /// The tree's shape. Its top table is `mm_struct.pgd`.
    pub form: Radix,
    /// The highest address of a process.
    pub last: Va,
}

/// `struct elf_prstatus`, as the image's notes of type `NT_PRSTATUS` hold it.
#[derive(Debug)]
pub struct Prstatus {
    /// Bytes to `pr_pid`.
    pub pid: usize,
    /// Registers in `pr_reg`; offsets from the start of the note.
    pub slots: &'static [Slot],
}

/// Where a task that is not running has its registers.
#[derive(Debug)]
pub struct Switched {
    /// The member of `task_struct` that leads there.
    pub member: &'static str,
    /// Whether the member points to the registers, on the task's stack. Otherwise it holds them.
    pub pointer: bool,
    /// The registers.
    pub structure: Structure,
    /// The stack pointer is behind the structure.
    pub sp_behind: bool,
}

/// Registers in a structure that the kernel's types describe.
#[derive(Debug)]
pub struct Structure {
    /// Its tag.
    pub name: &'static str,
    /// What it holds.
    pub members: &'static [Named],
}

/// A register in a named member.
#[derive(Debug, Clone, Copy)]
pub struct Named {
    /// Index into the register table.
    pub reg: usize,
    /// The member.
    pub member: &'static str,
    /// Which element, if the member is an array.
    pub index: u64,
}

/// A register that is a member of its own.
const fn named(reg: usize, member: &'static str) -> Named {
    Named { reg, member, index: 0 }
}
