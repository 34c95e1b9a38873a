use super::{KernelTarget, with_problems};
use crate::report;

pub(super) fn run(target: &KernelTarget, _: &[&str]) -> Result<String, String> {
    let modules = target.kvm.modules().map_err(|error| error.to_string())?;
    Ok(with_problems(&modules, report::modules))
}
