//! Open files.

use super::FreeBsd;
use crate::Result;
use crate::kernel::Listing;
use crate::kernel::fields::Fields;
use crate::kernel::files::{self, Owner, Table};
use crate::kernel::state::OpenFile;
use crate::space::Space;
use kgdbserver_arch::Va;

/// `DTYPE_*`, by number.
static KINDS: &[&str] = &[
    "none", "vnode", "socket", "pipe", "fifo", "kqueue", "crypto", "mqueue", "shm", "sem", "pts", "dev",
    "procdesc", "eventfd", "timerfd", "inotify", "jaildesc",
];

impl FreeBsd {
    /// The open files of all processes, or of one.
    pub(super) fn open_files(&self, mem: &Space, pid: Option<u32>) -> Result<Listing<OpenFile>> {
        let fields = self.fields(mem);
        // Asked first: without types there is one error, not one for each process.
        fields.member("proc", "p_fd")?;
        let procs = self.procs(mem)?;
        let owners = procs.items.iter().map(|proc| Owner { va: proc.va, pid: proc.pid, comm: &proc.comm });
        let open = |owner: &Owner<'_>, fd, file| files::bsd_file(&fields, KINDS, owner, fd, file);
        let mut files = files::all(&fields, owners, pid, |proc| table(&fields, proc), open)?;
        files.problems.extend(procs.problems);
        Ok(files)
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
