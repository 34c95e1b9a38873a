use super::{Done, KernelTarget};
use crate::stub::console::Console;

pub(super) fn run(target: &KernelTarget, _: &[&str], console: &mut Console<'_>) -> Done {
    Ok(console.print(&crate::report::info_text(&target.kvm))?)
}
