//! Open files.

use super::{Fields, Listing};
use crate::Result;
use crate::kernel::Process;
use crate::kernel::files::{self, Table};
use crate::kernel::state::OpenFile;
use kgdbserver_arch::Va;

/// `DTYPE_*`, by number.
pub(crate) static KINDS: &[&str] =
    &["none", "vnode", "socket", "pipe", "fifo", "kqueue", "crypto", "syslink", "mqueue"];

/// The open files of processes.
pub(super) fn open(
    fields: &Fields<'_>,
    owners: &mut dyn Iterator<Item = Process>,
) -> Result<Listing<OpenFile>> {
    // Asked first: without types there is one error, not one for each process.
    fields.member("proc", "p_fd")?;
    let open = |owner: &Process, fd, file| files::bsd_file(fields, KINDS, owner, fd, file);
    Ok(files::all(fields, owners, |proc| table(fields, proc), open))
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
