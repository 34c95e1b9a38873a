//! Why a running BSD says no, and what to do.

use super::system::{self, System};
use crate::Error;
use std::io;

const WITHOUT: &str = "what sysctl(3) tells alone needs no memory (-c /dev/null)";

/// Why a device of memory cannot be opened.
pub(super) fn of_device(system: &dyn System, path: &str, write: bool, error: &io::Error) -> Error {
    let number = |name| system::number(system, name);
    let jailed = number("security.jail.jailed") == Some(1) || number("jail.jailed") == Some(1);
    // It is an int, and -1 in a system that has none.
    let secure =
        number("kern.securelevel").map(|level| (level as u32).cast_signed()).filter(|level| *level > 0);
    let why = match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENXIO) if jailed => {
            format!("there is none in a jail: run this on the host; {WITHOUT}")
        }
        Some(libc::ENOENT | libc::ENXIO) => {
            format!("there is none: load the module (kldload mem), or build the kernel with it; {WITHOUT}")
        }
        Some(libc::EPERM | libc::EACCES) => match (secure, system.is_root()) {
            _ if jailed => format!("a jail may not read it: run this on the host; {WITHOUT}"),
            (Some(level), true) if write => format!(
                "kern.securelevel is {level}, and above 0 nobody writes memory (security(7)): leave --write out, or boot \
                 with kern_securelevel_enable=\"NO\""
            ),
            (_, false) => format!(
                "only root and the group kmem may open it: run this as root (su, doas, sudo); {WITHOUT}"
            ),
            _ => format!("denied to root: by a security module (mac(4)); {WITHOUT}"),
        },
        _ => error.to_string(),
    };
    Error::Denied { path: path.into(), why }
}

/// Why a process's arguments or environment are not told.
pub(super) fn of_process(system: &dyn System, pid: u32, error: &io::Error) -> Error {
    const DEBUG: &str = "security.bsd.unprivileged_proc_debug";
    let why = match error.raw_os_error() {
        Some(libc::ESRCH) => {
            return Error::Usage(format!("no process has the number {pid}, or it is not shown"));
        }
        Some(libc::EPERM | libc::EACCES) if !system.is_root() && system::number(system, DEBUG) == Some(0) => {
            format!("{DEBUG} is 0: run this as root")
        }
        Some(libc::EPERM | libc::EACCES) if !system.is_root() => {
            "the process is another user's, or was: run this as root (with --live also --user root)".into()
        }
        _ => error.to_string(),
    };
    Error::Unsupported(why)
}
