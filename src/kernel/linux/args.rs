//! Arguments and environment of a process. Both lie in its own memory, which dumps often leave out.

use super::Linux;
use crate::kernel::fields::bad;
use crate::kernel::{Listing, text};
use crate::space::Space;
use crate::{Error, Result};
use kgdbserver_arch::Va;

/// Arguments and environment together: three quarters of a stack of 8 MiB (`bprm_set_stack_limit`).
const LIMIT: u64 = 6 << 20;
/// A program that writes a title over its arguments gets a page of it shown.
const TITLE_LIMIT: u64 = 4096;

/// Which of the two.
pub(super) struct List {
    start: &'static str,
    end: &'static str,
    /// Whether programs write a title of theirs over it.
    titled: bool,
}

pub(super) static ARGUMENTS: List = List { start: "arg_start", end: "arg_end", titled: true };
pub(super) static ENVIRONMENT: List = List { start: "env_start", end: "env_end", titled: false };

impl Linux {
    /// The strings of a task's process, at most `limit` bytes of them (0: all). A kernel thread has none.
    pub(super) fn strings(
        &self,
        mem: &Space,
        task: Va,
        list: &List,
        limit: usize,
    ) -> Result<Listing<String>> {
        let Some(mm) = self.memory_of(mem, task)? else {
            return Ok(Vec::new().into());
        };
        let fields = self.fields(mem);
        let start = fields.pointer(mm, "mm_struct", list.start)?;
        let end = fields.pointer(mm, "mm_struct", list.end)?;
        let length = end.0.checked_sub(start.0).filter(|length| *length <= LIMIT);
        let length = length.ok_or_else(|| bad("mm_struct", mm, format!("{} is {end}", list.end)))?;
        let space = self.space_of(mem, task)?;
        // setproctitle(3) of old wrote on into the environment: then the last argument does not end where all should.
        let title = list.titled && length != 0 && space.uint(Va(end.0 - 1), 1).is_ok_and(|last| last != 0);
        let wanted = if title { TITLE_LIMIT } else { length };
        let wanted = if limit == 0 { wanted } else { wanted.min(limit as u64) };
        read(&space, start, wanted, title)
    }
}

/// Strings that each end in a NUL; of a title only the first. Those before a page that is missing are kept.
fn read(space: &Space, start: Va, length: u64, title: bool) -> Result<Listing<String>> {
    let mut bytes = vec![0; usize::try_from(length).unwrap_or_default()];
    let (got, why) = space.read_prefix(start, &mut bytes);
    bytes.truncate(got);
    let error = why.map(|why| Error::Fault { va: Va(start.0.wrapping_add(got as u64)), why });
    if let Some(end) = bytes.iter().position(|byte| *byte == 0).filter(|_| title) {
        return Ok(vec![text(bytes.get(..end).unwrap_or_default())].into());
    }
    match error {
        Some(error) if got == 0 => Err(error),
        error => Ok(Listing { items: split(&bytes), problems: error.into_iter().collect() }),
    }
}

fn split(bytes: &[u8]) -> Vec<String> {
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.strip_suffix(&[0]).unwrap_or(bytes).split(|byte| *byte == 0).map(text).collect()
}
