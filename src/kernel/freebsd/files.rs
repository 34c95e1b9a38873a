//! Open files.

use super::FreeBsd;
use crate::Result;
use crate::kernel::fields::Fields;
use crate::kernel::files::{self, Table};
use crate::kernel::state::OpenFile;
use crate::kernel::{Listing, Process};
use crate::space::Space;
use kgdbserver_arch::Va;

/// `DTYPE_*`, by number.
pub(crate) static KINDS: &[&str] = &[
    "none", "vnode", "socket", "pipe", "fifo", "kqueue", "crypto", "mqueue", "shm", "sem", "pts", "dev",
    "procdesc", "eventfd", "timerfd", "inotify", "jaildesc",
];

impl FreeBsd {
    /// The open files of processes.
    pub(super) fn open_files(
        &self,
        mem: &Space,
        owners: &mut dyn Iterator<Item = Process>,
    ) -> Result<Listing<OpenFile>> {
        let fields = self.fields(mem);
        // Asked first: without types there is one error, not one for each process.
        fields.member("proc", "p_fd")?;
        let open = |owner: &Process, fd, file| files::bsd_file(&fields, KINDS, owner, fd, file);
        Ok(files::all(&fields, owners, |proc| table(&fields, proc), open))
    }
}

/// `struct fdescenttbl`.
fn table(fields: &Fields<'_>, proc: Va) -> Result<Option<Table>> {
    let Va(filedesc @ 1..) = fields.pointer(proc, "proc", "p_fd")? else { return Ok(None) };
    let table = fields.pointer(Va(filedesc), "filedesc", "fd_files")?;
    Ok(Some(Table {
        first: fields.at(table, "fdescenttbl", "fdt_ofiles")?,
        count: fields.uint(table, "fdescenttbl", "fdt_nfiles")?,
        entry_size: fields.size_of("filedescent")?,
        file: fields.member("filedescent", "fde_file")?.offset,
    }))
}
