use super::{KernelTarget, pid, with_problems};
use crate::report::Which;

pub(super) fn args(target: &KernelTarget, arguments: &[&str]) -> Result<String, String> {
    run(target, arguments, Which::Arguments)
}

pub(super) fn env(target: &KernelTarget, arguments: &[&str]) -> Result<String, String> {
    run(target, arguments, Which::Environment)
}

fn run(target: &KernelTarget, arguments: &[&str], which: Which) -> Result<String, String> {
    let rows = which.collect(&target.kvm, pid(arguments)?).map_err(|error| error.to_string())?;
    Ok(with_problems(&rows, |rows| which.text(rows)))
}
