use super::{Done, KernelTarget};
use crate::stub::console::Console;

/// Every command looks at a running kernel anew, so there is nothing left to do.
pub(super) fn run(target: &KernelTarget, _: &[&str], console: &mut Console<'_>) -> Done {
    Ok(console.print(&match target.kvm.is_live() {
        true => format!("{} threads\n", target.threads().len()),
        false => "an image does not change\n".into(),
    })?)
}
