use super::{Done, KernelTarget};
use crate::report;
use crate::stub::console::Console;

pub(super) fn run(target: &KernelTarget, _: &[&str], console: &mut Console<'_>) -> Done {
    Ok(console.print(&format!("{}\n", report::loadavg(target.kvm.getloadavg()?)))?)
}
