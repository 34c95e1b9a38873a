use super::KernelTarget;
use crate::report;

pub(super) fn run(target: &KernelTarget, _: &[&str]) -> Result<String, String> {
    let processes = target.kvm.processes().map_err(|error| error.to_string())?;
    let problems: String = processes.problems.iter().map(|problem| format!("{problem}\n")).collect();
    Ok(report::processes(&processes.items, target.threads()) + &problems)
}
