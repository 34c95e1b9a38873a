use super::{KernelTarget, pid, with_problems};
use crate::report;

pub(super) fn run(target: &KernelTarget, arguments: &[&str]) -> Result<String, String> {
    let files = target.kvm.getfiles(pid(arguments)?).map_err(|error| error.to_string())?;
    Ok(with_problems(&files, report::files))
}
