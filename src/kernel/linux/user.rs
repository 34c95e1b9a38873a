//! A task's own address space.

use super::Linux;
use crate::image::Addr;
use crate::kernel::fields::{Fields, bad};
use crate::space::{Phys, Place, Space};
use crate::{Error, Result};
use kgdbserver_arch::{Pa, Va};

/// `task_struct.flags`: a thread of the kernel's, which has no memory of its own.
const PF_KTHREAD: u64 = 0x0020_0000;

/// The first address that no 32-bit program can have.
const END_OF_32_BIT: u64 = 1 << 32;

impl Linux {
    /// What a task, or another thread of its process, has for its memory (`struct mm_struct`); none of a kernel thread.
    ///
    /// # Errors
    /// The process is exiting, and has given its memory up; what cannot be read.
    pub(super) fn memory_of(&self, mem: &Space, task: Va) -> Result<Option<Va>> {
        let fields = self.fields(mem);
        if fields.uint(task, "task_struct", "flags")? & PF_KTHREAD != 0 {
            return Ok(None);
        }
        let own = |task: Va| fields.pointer(task, "task_struct", "mm").ok().filter(|mm| mm.0 != 0);
        // The first thread of a process may have ended before the others.
        let threads = || self.threads_of(mem, task).into_iter().flatten().find_map(own);
        match own(task).or_else(threads) {
            Some(mm) => Ok(Some(mm)),
            None => Err(Error::Unsupported("the process has no memory: it is exiting".into())),
        }
    }

    /// The address space of a task. A kernel thread has that of the process on whose time it runs, if there is one.
    pub(super) fn space_of(&self, mem: &Space, task: Va) -> Result<Space> {
        let fields = self.fields(mem);
        let borrowed = || match fields.pointer(task, "task_struct", "active_mm")? {
            Va(0) => Err(Error::Unsupported("a kernel thread has no memory of its own".into())),
            mm => Ok(mm),
        };
        let mm = self.memory_of(mem, task)?.map_or_else(borrowed, Ok)?;
        let unknown = || Error::Unsupported("the shape of processes' page tables is not known".into());
        let user = self.told.paging.as_ref().ok_or_else(unknown)?.user;
        let region = user.region(&Phys(mem.memory()), root(&fields, mm)?);
        let region = region.map_err(|why| Error::Fault { va: mm, why })?;
        let mut space = mem.over(vec![region]);
        // Where a 64-bit kernel runs a 32-bit program, it says so by where the program's addresses end.
        if fields.uint(mm, "mm_struct", "task_size").is_ok_and(|end| end <= END_OF_32_BIT) {
            space.machine.ptr_bytes = 4;
        }
        Ok(space)
    }
}

/// The top page table. `pgd` is its address in the kernel's space.
fn root(fields: &Fields<'_>, mm: Va) -> Result<Pa> {
    let pgd = fields.pointer(mm, "mm_struct", "pgd")?;
    match fields.mem.translate(pgd).map_err(|why| Error::Fault { va: pgd, why })? {
        Place { at: Addr::Phys(pa), .. } => Ok(pa),
        _ => Err(bad("mm_struct", mm, "its page tables are not in physical memory")),
    }
}
