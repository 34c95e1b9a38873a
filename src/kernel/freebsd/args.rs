//! Arguments and environment of a process.
//!
//! The kernel keeps a copy of short argument lists (`p_args`, 256 bytes by default), so these are in every dump. All else
//! is in the process's own memory, where `struct ps_strings` at the top of the stack leads to it; few minidumps hold that.

use super::user::{self, unreadable};
use crate::Result;
use crate::kernel::fields::{Fields, bad};
use crate::kernel::pargs::{self, ARG_MAX, bound};
use crate::kernel::text;
use crate::space::Space;
use kgdbserver_arch::Va;

/// `p_flag`: a kernel process, which has no memory of its own.
const P_SYSTEM: u64 = 0x200;
/// Read at a time: strings are short, and must not be read past the end of memory.
const CHUNK: usize = 256;

/// One of the two lists of `struct ps_strings`.
struct List {
    /// Pointers before its own.
    position: u64,
}

/// The arguments.
pub(super) fn args(fields: &Fields<'_>, proc: Va, limit: usize) -> Result<Vec<String>> {
    match fields.pointer(proc, "proc", "p_args")? {
        Va(0) => from_process(fields, proc, &List { position: 0 }, limit),
        kept => pargs::read(fields, kept, limit),
    }
}

/// The environment.
pub(super) fn env(fields: &Fields<'_>, proc: Va, limit: usize) -> Result<Vec<String>> {
    from_process(fields, proc, &List { position: 2 }, limit)
}

fn from_process(fields: &Fields<'_>, proc: Va, list: &List, limit: usize) -> Result<Vec<String>> {
    if fields.uint(proc, "proc", "p_flag")? & P_SYSTEM != 0 {
        return Ok(Vec::new());
    }
    let space = user::space(fields, proc)?;
    let at = ps_strings(fields, proc)?;
    read_list(&space, at, list, bound(limit)).map_err(unreadable)
}

/// Where `struct ps_strings` is: below the top of the stack since 14, whose place varies; before, at one place for all
/// processes of an ABI.
fn ps_strings(fields: &Fields<'_>, proc: Va) -> Result<Va> {
    let sysent = fields.pointer(proc, "proc", "p_sysent")?;
    if !fields.has("vmspace", "vm_stacktop") {
        return fields.pointer(sysent, "sysentvec", "sv_psstrings");
    }
    let vmspace = fields.pointer(proc, "proc", "p_vmspace")?;
    let top = fields.uint(vmspace, "vmspace", "vm_stacktop")?;
    let size = fields.uint(sysent, "sysentvec", "sv_psstringssz")?;
    top.checked_sub(size).map(Va).ok_or_else(|| bad("vmspace", vmspace, "its stack has no top"))
}

/// `ps_strings` is a pointer and a count for the arguments, then the same for the environment.
fn read_list(space: &Space, at: Va, list: &List, limit: usize) -> Result<Vec<String>> {
    let pointer = u64::from(space.machine.ptr_bytes);
    let place = |number: u64| Va(at.0.saturating_add(number * pointer));
    let first = space.pointer(place(list.position))?;
    let count = space.uint(place(list.position + 1), 4)?;
    if count > ARG_MAX as u64 {
        return Err(bad("ps_strings", at, format!("it counts {count} strings")));
    }
    let mut strings = Vec::new();
    let mut left = limit;
    for number in 0..count {
        let string = space.pointer(Va(first.0.saturating_add(number * pointer)))?;
        // A program may write over its own arguments; a null pointer is where they end then.
        if string == Va(0) || left == 0 {
            break;
        }
        let bytes = read_string(space, string, left)?;
        left = left.saturating_sub(bytes.len() + 1);
        strings.push(text(&bytes));
    }
    Ok(strings)
}

fn read_string(space: &Space, at: Va, limit: usize) -> Result<Vec<u8>> {
    let mut string = Vec::new();
    while string.len() < limit {
        let wanted = CHUNK.min(limit - string.len());
        let piece = space.string(Va(at.0.saturating_add(string.len() as u64)), wanted)?;
        string.extend_from_slice(&piece);
        if piece.len() < wanted {
            // Where memory ends instead of the string, this is what says so.
            space.uint(Va(at.0.saturating_add(string.len() as u64)), 1)?;
            break;
        }
    }
    Ok(string)
}
