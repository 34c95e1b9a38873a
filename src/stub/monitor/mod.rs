//! `monitor`: commands of our own, typed in the debugger. One file each.

mod bt;
mod dmesg;
mod files;
mod help;
mod info;
mod loadavg;
mod modules;
mod nlist;
mod overlay;
mod ps;
mod refresh;
mod strings;
mod swap;
mod sym;
mod threads;
mod user;
mod vtop;
mod write;

use super::target::KernelTarget;

/// A command.
struct Command {
    name: &'static str,
    /// What may follow the name.
    arguments: &'static str,
    help: &'static str,
    run: fn(&KernelTarget, &[&str]) -> Result<String, String>,
}

static COMMANDS: &[Command] = &[
    Command { name: "help", arguments: "", help: "this list", run: help::run },
    Command { name: "info", arguments: "", help: "what the image is", run: info::run },
    Command { name: "ps", arguments: "", help: "processes", run: ps::run },
    Command { name: "threads", arguments: "", help: "threads, the crashed one marked", run: threads::run },
    Command {
        name: "bt",
        arguments: "[TID|all]",
        help: "a thread's backtrace by frame pointers; of the current thread without TID",
        run: bt::run,
    },
    Command { name: "nlist", arguments: "NAME...", help: "addresses of symbols", run: nlist::run },
    Command {
        name: "sym",
        arguments: "ADDRESS...",
        help: "the nearest symbol, its module and section",
        run: sym::run,
    },
    Command {
        name: "vtop",
        arguments: "ADDRESS",
        help: "where an address leads, by each page-table entry on the way",
        run: vtop::run,
    },
    Command { name: "modules", arguments: "", help: "kernel modules", run: modules::run },
    Command { name: "dmesg", arguments: "", help: "the message buffer", run: dmesg::run },
    Command { name: "args", arguments: "[PID]", help: "arguments of processes", run: strings::args },
    Command { name: "env", arguments: "[PID]", help: "environments of processes", run: strings::env },
    Command { name: "files", arguments: "[PID]", help: "open files", run: files::run },
    Command {
        name: "user",
        arguments: "[TID]",
        help: "whose memory user addresses mean; without TID: gdb's selected thread's, in lldb the first one's",
        run: user::run,
    },
    Command {
        name: "overlay",
        arguments: "[...]",
        help: "what this debugger wrote (--overlay); revert [ADDRESS|SYMBOL], save FILE, load FILE",
        run: overlay::run,
    },
    Command {
        name: "write",
        arguments: "[on|off]",
        help: "whether the machine's own memory may be written (--write)",
        run: write::run,
    },
    Command {
        name: "refresh",
        arguments: "",
        help: "look at a running kernel anew, as every command here does",
        run: refresh::run,
    },
    Command { name: "loadavg", arguments: "", help: "load average", run: loadavg::run },
    Command { name: "swap", arguments: "", help: "swap devices", run: swap::run },
];

/// What a command prints. An unknown one gets the list.
pub(super) fn run(target: &KernelTarget, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (name, arguments) = words.split_first().unwrap_or((&"help", &[]));
    match COMMANDS.iter().find(|command| command.name == *name) {
        Some(command) => (command.run)(target, arguments).unwrap_or_else(|error| format!("{error}\n")),
        None => format!("{name}: no such command\n{}", help::text()),
    }
}

/// The only argument, a process's number, if there is one.
fn pid(arguments: &[&str]) -> Result<Option<u32>, String> {
    match arguments {
        [] => Ok(None),
        [pid] => pid.parse().map(Some).map_err(|_| format!("{pid}: not a process's number")),
        _ => Err("at most one process's number".into()),
    }
}

/// A table, and behind it what could not be read.
fn with_problems<T>(list: &crate::kernel::Listing<T>, table: impl Fn(&[T]) -> String) -> String {
    let problems: String = list.problems.iter().map(|problem| format!("{problem}\n")).collect();
    table(&list.items) + &problems
}
