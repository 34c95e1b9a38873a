//! Why the system went down: what the kernel said before it did.

use super::Linux;
use super::log::{self, Record};
use crate::kernel::text;
use crate::space::Space;

/// What panic() begins with.
const PANIC: &str = "Kernel panic - not syncing: ";

/// How messages begin that tell of an error, the most telling first. With kdump an error ends the system without panic().
static ERRORS: &[&str] = &[
    "BUG: ",
    "kernel BUG at ",
    "Unable to handle kernel ",
    "Internal error: ",
    "general protection fault",
    "Oops: ",
];

impl Linux {
    /// The text of the panic or, if the system went down without one, of the last error.
    pub(super) fn last_words(&self, mem: &Space) -> Option<String> {
        let records: Vec<Record> =
            log::records(&self.told.messages(mem, &self.symbols)).ok()?.flatten().collect();
        let first_line =
            |record: &Record| text(record.text.split(|byte| *byte == b'\n').next().unwrap_or_default());
        let lines: Vec<String> = records.iter().map(first_line).collect();
        let panic = lines.iter().find_map(|line| line.strip_prefix(PANIC).map(str::to_owned));
        let last = |sign: &&str| lines.iter().rev().find(|line| line.starts_with(sign)).cloned();
        panic.or_else(|| self.panicking_cpu(mem).and_then(|_| ERRORS.iter().find_map(last)))
    }
}
