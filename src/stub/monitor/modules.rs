use super::{Done, KernelTarget, with_problems};
use crate::report;
use crate::stub::console::Console;

pub(super) fn run(target: &KernelTarget, _: &[&str], console: &mut Console<'_>) -> Done {
    Ok(console.print(&with_problems(&target.kvm.modules()?, report::modules))?)
}
