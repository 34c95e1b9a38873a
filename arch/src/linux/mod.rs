//! What Linux fixes per processor: the shape of its page tables, and where it saves registers.

mod aarch64;
mod arm;
mod i386;
mod ppc64;
mod ppc64_hashed;
mod riscv64;
mod root;
mod s390x;
mod switched;
mod x86_64;
mod x86_control;

pub(crate) use aarch64::LINUX as AARCH64;
pub(crate) use arm::LINUX as ARM;
pub(crate) use i386::LINUX as I386;
pub(crate) use ppc64::LINUX as PPC64;
pub(crate) use riscv64::LINUX as RISCV64;
pub(crate) use s390x::LINUX as S390X;
pub(crate) use x86_64::LINUX as X86_64;

pub use switched::{At, Goes, Named, Structure, Switched, User, UserAt, UserMode};

use crate::full::tables;
use crate::{Facts, Fault, Lost, Pa, Radix, ReadPhys, Region, Registers, Slot, Va};

/// What Linux fixes for one processor.
#[derive(Debug)]
pub struct Linux {
    /// Numbers and symbols that only this processor's VMCOREINFO has. A raw image tells its machine by them, if it has all;
    /// by none where there are none (32-bit x86 and ARM tell nothing of their own).
    pub marks: &'static [&'static str],
    /// Tells the shape of the page tables and where they lie.
    pub paging: fn(&dyn Facts) -> Result<Paging, Lost>,
    /// The same, and where the kernel is, by registers that control a CPU: for kernels that tell nothing. None where no
    /// dump has such registers.
    pub bare: Option<ByRegisters>,
    /// Registers that control a CPU, in notes of it that are all of one kind. Those functions may ask for them.
    pub noted: &'static [Noted],
    /// The registers of a running task, in the image's notes.
    pub prstatus: Prstatus,
    /// Where the registers of a sleeping task are; newest first. The first whose structure the kernel's types know counts.
    pub switched: &'static [Switched],
    /// Where the registers are that a task had in user space when it entered the kernel.
    pub user: User,
    /// Functions that nothing calls, where a kernel stack ends.
    pub outermost: &'static [&'static str],
    /// Of these, names that in later kernels something calls, and what is outermost there instead.
    pub superseded: &'static [(&'static str, &'static str)],
}

/// Finds page tables by a CPU's registers, and an address in the kernel's code.
type ByRegisters = fn(&dyn Facts) -> Result<(Paging, Va), Lost>;

/// A number of 8 bytes in one of the notes that an image has of each CPU.
#[derive(Debug)]
pub struct Noted {
    /// What it is asked for by. The register of this name in lower case has this value.
    pub name: &'static str,
    /// The note's name.
    pub note: &'static str,
    /// The note's type.
    pub kind: u32,
    /// Bytes from the start of the note's contents.
    pub offset: usize,
}

/// The address spaces of a kernel.
#[derive(Debug, Clone)]
pub struct Paging {
    /// The kernel's own.
    pub kernel: Vec<Region>,
    /// Those of processes.
    pub user: UserPaging,
    /// The kernel's byte order, where memory tells it. QEMU's dumps may be of another than the machine (POWER under TCG).
    pub big_endian: Option<bool>,
}

/// The shape of a process's page tables. The top one is `mm_struct.pgd`.
#[derive(Debug, Clone, Copy)]
pub struct UserPaging {
    form: Radix,
    last: Va,
    /// The number of levels by any entry of the top table, where processes differ.
    levels: Option<fn(top: u64) -> usize>,
}

impl UserPaging {
    /// The addresses of a process whose top table lies at `root`.
    ///
    /// They begin at 0. On s390x so do the kernel's: there an address alone does not tell whose it is.
    pub fn region(&self, mem: &dyn ReadPhys, root: Pa) -> Result<Region, Fault> {
        let Some(levels) = self.levels else { return Ok(tables(0, self.last.0, self.form, root)) };
        let mut top = [0; 8];
        mem.read_phys(root, &mut top)?;
        let index_bits = self.form.index_bits.get(..levels(self.form.value(&top))).ok_or(Fault::NotMapped)?;
        let form = Radix { index_bits, ..self.form };
        Ok(tables(0, form.last().min(self.last.0), form, root))
    }

    /// The highest address of any process.
    pub fn last(&self) -> Va {
        self.last
    }
}

/// What a note of type `NT_PRSTATUS` holds: Linux's `struct elf_prstatus`, FreeBSD's `struct prstatus`.
#[derive(Debug)]
pub struct Prstatus {
    /// Bytes in all.
    pub bytes: usize,
    /// Bytes to `pr_pid`, which has 4.
    pub pid: usize,
    /// Registers in `pr_reg`; offsets from the start of the note.
    pub slots: &'static [Slot],
    /// Registers of 4 bytes in fields of 8, at whose end they lie if the machine is big-endian.
    pub narrow: &'static [Slot],
}

impl Prstatus {
    /// Takes the registers that a note holds.
    pub fn load(&self, note: &[u8], registers: &mut Registers) {
        registers.load(self.slots, note);
        let behind = if registers.big_endian() { 4 } else { 0 };
        for slot in self.narrow {
            registers.load(&[Slot { reg: slot.reg, offset: slot.offset + behind }], note);
        }
    }
}
