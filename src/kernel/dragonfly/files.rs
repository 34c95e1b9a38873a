//! Open files.

use super::procs;
use super::{Fields, Listing};
use crate::Result;
use crate::kernel::files::{self, Owner, Table};
use crate::kernel::state::OpenFile;
use kgdbserver_arch::Va;

/// `DTYPE_*`, by number.
static KINDS: &[&str] = &["none", "vnode", "socket", "pipe", "fifo", "kqueue", "crypto", "syslink", "mqueue"];

/// The open files of all processes, or of one.
pub(super) fn open(fields: &Fields<'_>, pid: Option<u32>) -> Result<Listing<OpenFile>> {
    let procs = procs::all(fields)?;
    let owners = procs.items.iter().map(|proc| Owner { va: proc.va, pid: proc.pid, comm: &proc.comm });
    let open = |owner: &Owner<'_>, fd, file| files::bsd_file(fields, KINDS, owner, fd, file);
    let mut files = files::all(fields, owners, pid, |proc| table(fields, proc), open)?;
    files.problems.extend(procs.problems);
    Ok(files)
}

/// `fd_files`, an array of `struct fdnode`.
fn table(fields: &Fields<'_>, proc: Va) -> Result<Option<Table>> {
    let Va(filedesc @ 1..) = fields.pointer(proc, "proc", "p_fd")? else { return Ok(None) };
    Ok(Some(Table {
        first: fields.pointer(Va(filedesc), "filedesc", "fd_files")?,
        count: fields.uint(Va(filedesc), "filedesc", "fd_nfiles")?,
        entry_size: fields.size_of("fdnode")?,
        file: fields.member("fdnode", "fp")?.offset,
    }))
}
