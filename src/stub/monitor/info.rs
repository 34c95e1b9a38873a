use super::KernelTarget;

pub(super) fn run(target: &KernelTarget, _: &[&str]) -> Result<String, String> {
    Ok(crate::report::info_text(&target.kvm))
}
