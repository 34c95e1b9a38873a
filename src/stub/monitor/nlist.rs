use super::{Done, KernelTarget, usage};
use crate::stub::console::Console;

pub(super) fn run(target: &KernelTarget, names: &[&str], console: &mut Console<'_>) -> Done {
    if names.is_empty() {
        return usage("nlist");
    }
    for name in names {
        console.print(&match target.kvm.symbol(name) {
            Some(symbol) => format!("{:016x} {} {name}\n", symbol.va.0, symbol.letter()),
            None => format!("{name}: no such symbol\n"),
        })?;
    }
    Ok(())
}
