use super::KernelTarget;
use crate::report;

pub(super) fn run(target: &KernelTarget, _: &[&str]) -> Result<String, String> {
    let loads = target.kvm.getloadavg().map_err(|error| error.to_string())?;
    Ok(report::loadavg(loads) + "\n")
}
