use super::KernelTarget;
use crate::report::translation::Translation;

pub(super) fn run(target: &KernelTarget, arguments: &[&str]) -> Result<String, String> {
    let [address] = arguments else { return Err("monitor vtop ADDRESS".into()) };
    let va = target.kvm.evaluate(address).map_err(|error| error.to_string())?;
    Ok(match target.own_space(va) {
        Some((thread, space)) => {
            let whose = format!("memory of {} (pid {})\n", thread.comm, thread.pid);
            whose + &Translation::of(&target.kvm, &space, va).text()
        }
        None => Translation::of(&target.kvm, target.kvm.space(), va).text(),
    })
}
