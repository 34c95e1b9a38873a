use super::{Done, KernelTarget, usage};
use crate::report::translation::Translation;
use crate::stub::console::Console;

pub(super) fn run(target: &KernelTarget, arguments: &[&str], console: &mut Console<'_>) -> Done {
    let [address] = arguments else { return usage("vtop") };
    let va = target.kvm.evaluate(address)?;
    Ok(console.print(&match target.own_space(va) {
        Some((thread, space)) => {
            let whose = format!("memory of {} (pid {})\n", thread.comm, thread.pid);
            whose + &Translation::of(&target.kvm, &space, va).text()
        }
        None => Translation::of(&target.kvm, target.kvm.space(), va).text(),
    })?)
}
