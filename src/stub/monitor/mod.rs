//! `monitor`: commands of our own, typed in the debugger. One file each; all only read.

mod bt;
mod help;
mod info;
mod nlist;
mod ps;
mod threads;

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
