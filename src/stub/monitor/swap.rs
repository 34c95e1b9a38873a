use super::{Done, KernelTarget, with_problems};
use crate::kvm::SWIF_DEV_PREFIX;
use crate::report;
use crate::stub::console::Console;

pub(super) fn run(target: &KernelTarget, _: &[&str], console: &mut Console<'_>) -> Done {
    Ok(console.print(&with_problems(&target.kvm.getswapinfo(SWIF_DEV_PREFIX)?, report::swap))?)
}
