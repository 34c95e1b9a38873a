use super::{Done, KernelTarget};
use crate::stub::console::Console;

/// The second step of `--write`.
pub(super) fn run(target: &KernelTarget, arguments: &[&str], console: &mut Console<'_>) -> Done {
    Ok(console.print(&answer(target, arguments)?)?)
}

fn answer(target: &KernelTarget, arguments: &[&str]) -> Result<String, String> {
    let confirmed = &target.writes.confirmed;
    match arguments {
        [] => {}
        ["on" | "off"] if target.kvm.overlay().is_some() => {
            return Err(
                "there is an overlay: writes change this debugger's view, and need no further step".into()
            );
        }
        ["on"] if !target.kvm.is_writable() => {
            return Err(target.writes.refusal(&target.kvm).unwrap_or_default().into());
        }
        ["on"] => confirmed.set(true),
        ["off"] => confirmed.set(false),
        _ => return Err("monitor write [on|off]".into()),
    }
    Ok(match target.writes.refusal(&target.kvm) {
        Some(why) => format!("writing is off: {why}\n"),
        None if target.kvm.overlay().is_some() => "writes change this debugger's view\n".into(),
        None => "writing is on: the machine's own memory changes, and the server logs it\n".into(),
    })
}
