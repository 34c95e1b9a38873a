//! Finds the first task where no symbol leads to it, as in a kernel whose table of symbols has functions only (without
//! `KALLSYMS_ALL`).

use super::members::Task;
use crate::kernel::fields::Fields;
use crate::{Error, Result};
use kgdbserver_arch::Va;
use memchr::memmem;

/// What is looked through from the kernel's text on: no kernel's data begin further away.
const RANGE: u64 = 256 << 20;
const PIECE: usize = 1 << 20;
/// Its command name, on a kernel for several processors and on one for a single one.
const NAMES: [&[u8]; 2] = [b"swapper/0\0", b"swapper\0"];

/// The address of `init_task`: by its symbol, or by its name, which no other place in the kernel's data has in front of a
/// task that is its own parent.
pub(super) fn find(fields: &Fields<'_>, task: &Task, text: Option<u64>) -> Result<Va> {
    let missing = || Error::NoSymbol("init_task".into());
    fields
        .variable("init_task")
        .or_else(|_| search(fields, task, text.ok_or_else(missing)?).ok_or_else(missing))
}

fn search(fields: &Fields<'_>, task: &Task, text: u64) -> Option<Va> {
    let end = text.checked_add(RANGE)?;
    let mut piece = vec![0; PIECE];
    let mut at = text;
    while at < end {
        let (got, fault) = fields.mem.read_prefix(Va(at), &mut piece);
        let found = NAMES.iter().find_map(|name| {
            let places = memmem::find_iter(piece.get(..got)?, name);
            let starts = places.filter_map(|place| Some(Va((at + place as u64).checked_sub(task.comm)?)));
            starts.into_iter().find(|va| is_first(fields, task, *va))
        });
        if found.is_some() {
            return found;
        }
        // A name may lie across the end of a piece.
        at += match fault {
            None => (PIECE - 64) as u64,
            Some(_) => got as u64 + fields.mem.hole(Va(at + got as u64)),
        };
    }
    None
}

/// Whether a task lies there that is its own parent and leads its own group, and has number 0.
fn is_first(fields: &Fields<'_>, task: &Task, va: Va) -> bool {
    let itself = |name| fields.pointer(va, "task_struct", name).is_ok_and(|pointer| pointer == va);
    let zero =
        |offset: u64| fields.mem.uint(Va(va.0.wrapping_add(offset)), 4).is_ok_and(|number| number == 0);
    itself("real_parent") && itself("group_leader") && zero(task.pid) && zero(task.tgid)
}
