use super::{Done, KernelTarget, regions, usage};
use crate::stub::console::Console;

pub(super) fn run(target: &KernelTarget, arguments: &[&str], console: &mut Console<'_>) -> Done {
    match arguments {
        [] => Ok(console.print(&crate::report::info_text(&target.kvm))?),
        ["mem"] => regions::all(target, console),
        _ => usage("info"),
    }
}
