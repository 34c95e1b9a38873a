use super::{Done, KernelTarget, usage};
use crate::stub::console::Console;

/// lldb names no thread when it reads memory, so whose memory it reads must be said.
pub(super) fn run(target: &KernelTarget, arguments: &[&str], console: &mut Console<'_>) -> Done {
    let number = match arguments {
        [] => None,
        [number] => {
            Some(number.parse().map_err(|_| format!("{number}: not the number of a process or a thread"))?)
        }
        _ => return usage("proc"),
    };
    let thread = target.choose(number)?;
    let text = format!("user addresses mean memory of {} (pid {})\n", thread.comm, thread.pid);
    Ok(console.print(&text)?)
}
