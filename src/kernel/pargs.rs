//! The kernel's own copy of a process's arguments, `struct pargs`.

use super::fields::{Fields, bad};
use super::text;
use crate::Result;
use kgdbserver_arch::Va;

/// `ARG_MAX`: all arguments and the environment together.
pub(super) const ARG_MAX: usize = 512 << 10;

/// Strings that each end in a NUL; at most `limit` bytes of them.
pub(super) fn read(fields: &Fields<'_>, pargs: Va, limit: usize) -> Result<Vec<String>> {
    let length = fields.uint(pargs, "pargs", "ar_length")? as usize;
    if length > ARG_MAX {
        return Err(bad("pargs", pargs, format!("its length is {length}")));
    }
    let mut bytes = vec![0; length.min(bound(limit))];
    fields.mem.read_exact(fields.at(pargs, "pargs", "ar_args")?, &mut bytes)?;
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(&bytes);
    Ok(if bytes.is_empty() { Vec::new() } else { bytes.split(|byte| *byte == 0).map(text).collect() })
}

/// As in libkvm: 0 means as many as there are.
pub(super) fn bound(limit: usize) -> usize {
    if limit == 0 { ARG_MAX } else { limit.min(ARG_MAX) }
}
