//! Arguments and environment as a BSD process keeps them: `struct ps_strings`, near the top of its stack, leads to both.

use super::fields::bad;
use super::pargs::{ARG_MAX, bound};
use super::text;
use crate::space::Space;
use crate::{Error, Result};
use kgdbserver_arch::Va;

/// Read at a time: strings are short, and must not be read past the end of memory.
const CHUNK: usize = 256;

/// One of the two lists.
pub(super) struct List {
    /// Pointers before its own.
    position: u64,
}

pub(super) static ARGUMENTS: List = List { position: 0 };
pub(super) static ENVIRONMENT: List = List { position: 2 };

/// libkvm's words for memory of a process that cannot be read, and the reason.
pub(super) fn unreadable(why: Error) -> Error {
    Error::Unsupported(format!("cannot read user space from dead kernel: {why}"))
}

/// The strings of a list, at most `limit` bytes of them (0: all), by the address of the `struct ps_strings`: a pointer and a
/// count for the arguments, then the same for the environment.
///
/// # Errors
/// "cannot read user space from dead kernel", and what is absent or cannot be believed.
pub(super) fn read(space: &Space, at: Va, list: &List, limit: usize) -> Result<Vec<String>> {
    strings(space, at, list, bound(limit)).map_err(unreadable)
}

fn strings(space: &Space, at: Va, list: &List, limit: usize) -> Result<Vec<String>> {
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
