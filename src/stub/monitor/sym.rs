use super::{Done, KernelTarget, usage};
use crate::report::symbol::Place;
use crate::stub::console::Console;

pub(super) fn run(target: &KernelTarget, addresses: &[&str], console: &mut Console<'_>) -> Done {
    if addresses.is_empty() {
        return usage("sym");
    }
    for text in addresses {
        console.print(&match target.kvm.evaluate(text) {
            Ok(va) => Place::of(&target.kvm, va).text(),
            Err(error) => format!("{error}\n"),
        })?;
    }
    Ok(())
}
