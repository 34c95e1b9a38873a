use super::{Done, KernelTarget, with_problems};
use crate::report;
use crate::stub::console::Console;

pub(super) fn run(target: &KernelTarget, _: &[&str], console: &mut Console<'_>) -> Done {
    let processes = target.kvm.processes()?;
    Ok(console
        .print(&with_problems(&processes, |processes| report::processes(processes, target.threads())))?)
}
