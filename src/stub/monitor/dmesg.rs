use super::{Done, KernelTarget};
use crate::stub::console::Console;

pub(super) fn run(target: &KernelTarget, _: &[&str], console: &mut Console<'_>) -> Done {
    let text = target.kvm.log()?.text;
    console.print(&text)?;
    if !text.ends_with('\n') {
        console.print("\n")?;
    }
    Ok(())
}
