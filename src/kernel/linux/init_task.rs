//! Finds the first task.

use super::members::Task;
use super::{Told, scan};
use crate::Result;
use crate::kernel::fields::Fields;
use kgdbserver_arch::Va;
use memchr::memmem;

/// Its command name, on a kernel for several processors and on one for a single one.
const NAMES: [&[u8]; 2] = [b"swapper/0\0", b"swapper\0"];

/// The address of `init_task`: by its symbol, or by its name, which no other place in the kernel's data has in front of a
/// task that is its own parent.
pub(super) fn find(fields: &Fields<'_>, task: &Task, told: &Told) -> Result<Va> {
    let search = || search(fields, task, told.start()?);
    fields.variable("init_task").or_else(|missing| told.init_task.or_find(search).ok_or(missing))
}

fn search(fields: &Fields<'_>, task: &Task, text: u64) -> Option<Va> {
    scan::find(fields.mem, text, |at, piece| {
        NAMES.iter().find_map(|name| {
            let places = memmem::find_iter(piece, name);
            let mut starts =
                places.filter_map(|place| Some(Va((at.0 + place as u64).checked_sub(task.comm)?)));
            starts.find(|va| is_first(fields, task, *va))
        })
    })
}

/// Whether a task lies there that is its own parent and leads its own group, and has number 0.
fn is_first(fields: &Fields<'_>, task: &Task, va: Va) -> bool {
    let itself = |name| fields.pointer(va, "task_struct", name).is_ok_and(|pointer| pointer == va);
    let zero =
        |offset: u64| fields.mem.uint(Va(va.0.wrapping_add(offset)), 4).is_ok_and(|number| number == 0);
    itself("real_parent") && itself("group_leader") && zero(task.pid) && zero(task.tgid)
}
