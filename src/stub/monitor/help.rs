use super::{COMMANDS, KernelTarget};

pub(super) fn run(_: &KernelTarget, _: &[&str]) -> Result<String, String> {
    Ok(text())
}

/// The commands, a line each.
pub(super) fn text() -> String {
    let line = |command: &super::Command| {
        let usage = format!("{} {}", command.name, command.arguments);
        format!("monitor {usage:<18} {}\n", command.help)
    };
    COMMANDS.iter().map(line).collect()
}
