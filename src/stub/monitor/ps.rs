use super::{KernelTarget, with_problems};
use crate::report;

pub(super) fn run(target: &KernelTarget, _: &[&str]) -> Result<String, String> {
    let processes = target.kvm.processes().map_err(|error| error.to_string())?;
    Ok(with_problems(&processes, |processes| report::processes(processes, target.threads())))
}
