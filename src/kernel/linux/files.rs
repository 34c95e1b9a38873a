//! Open files.

use super::{Linux, paths};
use crate::Result;
use crate::kernel::fields::Fields;
use crate::kernel::files::{self, Table};
use crate::kernel::state::OpenFile;
use crate::kernel::{Listing, Process};
use crate::space::Space;
use kgdbserver_arch::Va;

/// `S_IFMT`, the bits of a mode that tell what the file is.
const FORMAT: u64 = 0o170_000;
static FORMATS: &[(u64, &str)] = &[
    (0o010_000, "fifo"),
    (0o020_000, "chr"),
    (0o040_000, "directory"),
    (0o060_000, "blk"),
    (0o100_000, "regular"),
    (0o120_000, "symlink"),
    (0o140_000, "socket"),
];

/// `FMODE_READ` and `FMODE_WRITE`, which are BSD's `FREAD` and `FWRITE`. In `f_flags` these bits are a number.
const ACCESS: u64 = 3;

impl Linux {
    /// The open files of processes.
    pub(super) fn open_files(
        &self,
        mem: &Space,
        owners: &mut dyn Iterator<Item = Process>,
    ) -> Result<Listing<OpenFile>> {
        let fields = self.fields(mem);
        // Asked first: without types there is one error, not one for each process.
        fields.member("fdtable", "fd")?;
        let open = |owner: &Process, fd, file| open_file(&fields, owner, fd, file);
        Ok(files::all(&fields, owners, |task| self.table(&fields, task), open))
    }

    /// A process's descriptors. Its first thread may have ended before the others, and have given up its own.
    fn table(&self, fields: &Fields<'_>, task: Va) -> Result<Option<Table>> {
        let Some(descriptors) = self.descriptors(fields, task)? else { return Ok(None) };
        let table = fields.pointer(descriptors, "files_struct", "fdt")?;
        Ok(Some(Table {
            first: fields.pointer(table, "fdtable", "fd")?,
            count: fields.uint(table, "fdtable", "max_fds")?,
            entry_size: fields.mem.machine.ptr_bytes.into(),
            file: 0,
        }))
    }

    /// Where a process has its files (`struct files_struct`); none of a zombie.
    pub(super) fn descriptors(&self, fields: &Fields<'_>, task: Va) -> Result<Option<Va>> {
        let of = |task: Va| fields.pointer(task, "task_struct", "files");
        match of(task)? {
            Va(0) => {
                let others = self.threads_of(fields.mem, task).into_iter().flatten();
                Ok(others.filter_map(|thread| of(thread).ok()).find(|files| files.0 != 0))
            }
            files => Ok(Some(files)),
        }
    }
}

fn open_file(fields: &Fields<'_>, owner: &Process, fd: u32, va: Va) -> OpenFile {
    let number = |name| fields.uint(va, "file", name);
    // Since 6.13 the first reference counts as 0.
    let count = number("f_count").or_else(|_| number("f_ref").map(|more| more.wrapping_add(1)));
    let flag = || Ok::<_, crate::Error>(number("f_flags")? & !ACCESS | number("f_mode")? & ACCESS);
    OpenFile {
        pid: owner.pid,
        comm: owner.comm.clone(),
        fd,
        va,
        kind: kind(fields, va).ok(),
        flag: flag().ok().map(|flag| flag as u32),
        count: count.ok().map(|count| count as u32),
        offset: number("f_pos").ok().map(u64::cast_signed),
        data: number("f_inode").ok().filter(|inode| *inode != 0).map(Va),
        path: paths::of_file(fields, va).ok(),
    }
}

/// What a file is. A pipe is a fifo in a file system of its own; what has no name in any file system is mostly no file of
/// any format.
fn kind(fields: &Fields<'_>, file: Va) -> Result<String> {
    let mode = fields.uint(fields.pointer(file, "file", "f_inode")?, "inode", "i_mode")? & FORMAT;
    let entry = fields.pointer(file, "file", "f_path.dentry")?;
    let known = FORMATS.iter().find(|(format, _)| *format == mode).map(|(_, name)| (*name).to_owned());
    Ok(match (mode, paths::file_system(fields, entry)?.as_str()) {
        (0, _) | (_, "anon_inodefs") => "anonymous".into(),
        (_, "pipefs") => "pipe".into(),
        _ => known.unwrap_or_else(|| format!("{mode:#o}")),
    })
}
