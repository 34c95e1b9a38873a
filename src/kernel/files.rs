//! Open files: what tables of descriptors lead to.

use super::fields::{Fields, bad, offset};
use super::state::OpenFile;
use super::{Listing, Process};
use crate::Result;
use kgdbserver_arch::Va;

/// No system has more files open, nor a process a larger table.
const FILE_LIMIT: u64 = 1 << 22;

/// A process's table of descriptors.
pub(super) struct Table {
    pub(super) first: Va,
    pub(super) count: u64,
    pub(super) entry_size: u64,
    /// Where an entry has its pointer to the file.
    pub(super) file: u64,
}

/// The open files of processes. `find` gives a process's table; none of one that has given up its files: a zombie. `open`
/// describes a file, by its descriptor and its address.
pub(super) fn all(
    fields: &Fields<'_>,
    owners: &mut dyn Iterator<Item = Process>,
    find: impl Fn(Va) -> Result<Option<Table>>,
    open: impl Fn(&Process, u32, Va) -> OpenFile,
) -> Listing<OpenFile> {
    let mut files = Listing { items: Vec::new(), problems: Vec::new() };
    for owner in owners {
        match find(owner.va) {
            Ok(Some(table)) => table.read(fields, |fd, file| open(&owner, fd, file), &mut files),
            Ok(None) => {}
            Err(error) => files.problems.push(error),
        }
    }
    files
}

impl Table {
    fn read(&self, fields: &Fields<'_>, open: impl Fn(u32, Va) -> OpenFile, files: &mut Listing<OpenFile>) {
        if self.count > FILE_LIMIT.saturating_sub(files.items.len() as u64) {
            return files.problems.push(bad(
                "file table",
                self.first,
                format!("it has {} files", self.count),
            ));
        }
        for fd in 0..self.count {
            let slot = offset(self.first, fd.saturating_mul(self.entry_size).saturating_add(self.file));
            match slot.and_then(|at| fields.mem.pointer(at)) {
                Ok(Va(0)) => {}
                Ok(va) => files.items.push(open(fd as u32, va)),
                // What cannot be read here is not readable further on: the table is one piece of memory.
                Err(error) => return files.problems.push(error),
            }
        }
    }
}

/// The word for a kind, or its number.
pub(crate) fn kind(kinds: &[&str], number: u64) -> String {
    match usize::try_from(number).ok().and_then(|number| kinds.get(number)) {
        Some(kind) => (*kind).to_owned(),
        None => number.to_string(),
    }
}

/// A file of a BSD, whose kinds have numbers.
pub(super) fn bsd_file(fields: &Fields<'_>, kinds: &[&str], owner: &Process, fd: u32, va: Va) -> OpenFile {
    let number = |name| fields.uint(va, "file", name).ok();
    OpenFile {
        pid: owner.pid,
        comm: owner.comm.clone(),
        fd,
        va,
        kind: number("f_type").map(|number| kind(kinds, number)),
        flag: number("f_flag").map(|flag| flag as u32),
        count: number("f_count").map(|count| count as u32),
        offset: number("f_offset").map(u64::cast_signed),
        data: number("f_data").filter(|data| *data != 0).map(Va),
        path: None,
    }
}
