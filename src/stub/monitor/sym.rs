use super::KernelTarget;
use crate::report::symbol::Place;

pub(super) fn run(target: &KernelTarget, addresses: &[&str]) -> Result<String, String> {
    if addresses.is_empty() {
        return Err("monitor sym ADDRESS...".into());
    }
    let line = |text: &&str| match target.kvm.evaluate(text) {
        Ok(va) => Place::of(&target.kvm, va).text(),
        Err(error) => format!("{error}\n"),
    };
    Ok(addresses.iter().map(line).collect())
}
