use super::{KernelTarget, with_problems};
use crate::kvm::SWIF_DEV_PREFIX;
use crate::report;

pub(super) fn run(target: &KernelTarget, _: &[&str]) -> Result<String, String> {
    let devices = target.kvm.getswapinfo(SWIF_DEV_PREFIX).map_err(|error| error.to_string())?;
    Ok(with_problems(&devices, report::swap))
}
