use super::{COMMANDS, Done, KernelTarget};
use crate::stub::console::Console;

pub(super) fn run(_: &KernelTarget, arguments: &[&str], console: &mut Console<'_>) -> Done {
    let [name] = arguments else { return Ok(console.print(&text())?) };
    let command = super::find(name).ok_or_else(|| super::unknown(name))?;
    let alias = command.alias.map(|alias| format!("The same as monitor {alias}.\n")).unwrap_or_default();
    let detail = if command.detail.is_empty() { String::new() } else { format!("{}\n", command.detail) };
    Ok(console.print(&format!("{}\n{}\n{detail}{alias}", command.usage(), command.help))?)
}

/// The commands, a line each.
pub(super) fn text() -> String {
    let line = |command: &super::Command| format!("{:<26} {}\n", command.usage(), command.help);
    COMMANDS.iter().map(line).collect()
}
