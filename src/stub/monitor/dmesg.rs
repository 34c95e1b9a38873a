use super::KernelTarget;

pub(super) fn run(target: &KernelTarget, _: &[&str]) -> Result<String, String> {
    let text = target.kvm.log().map_err(|error| error.to_string())?.text;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}
