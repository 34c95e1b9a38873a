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
mod proc;
mod ps;
mod refresh;
mod regions;
mod stats;
mod strings;
mod swap;
mod sym;
mod threads;
mod vtop;
mod write;

use super::console::{Console, Stopped};
use super::target::KernelTarget;
use crate::Error;

/// A command.
struct Command {
    name: &'static str,
    /// Another name.
    alias: Option<&'static str>,
    /// What may follow the name.
    arguments: &'static str,
    help: &'static str,
    /// What else `help COMMAND` tells.
    detail: &'static str,
    run: Run,
}

/// Runs a command. What takes long asks the console between any two things whether to go on.
type Run = fn(&KernelTarget, &[&str], &mut Console<'_>) -> Done;

type Done = Result<(), Failed>;

/// Why a command ended early.
enum Failed {
    /// This is to be said.
    Said(String),
    /// Its user wants no more.
    Stopped,
}

impl From<String> for Failed {
    fn from(text: String) -> Self {
        Self::Said(text)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Said(error.to_string())
    }
}

impl From<Stopped> for Failed {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl Command {
    const fn new(name: &'static str, arguments: &'static str, help: &'static str, run: Run) -> Self {
        Self { name, alias: None, arguments, help, detail: "", run }
    }

    fn usage(&self) -> String {
        format!("monitor {} {}", self.name, self.arguments).trim_end().to_owned()
    }
}

static COMMANDS: &[Command] = &[
    Command::new("help", "[COMMAND]", "this list, or more about a command", help::run),
    Command::new("info", "[mem]", "what the image is; with mem: all that is mapped", info::run),
    Command::new("ps", "", "processes", ps::run),
    Command::new("threads", "", "threads, the crashed one marked", threads::run),
    Command {
        detail: "By the kernel's own unwind table or else by frame pointers; the module stands in brackets.\n\
                 Without TID: gdb's selected thread, in lldb the first one, as it does not tell.",
        ..Command::new("bt", "[TID|all]", "a thread's backtrace", bt::run)
    },
    Command {
        detail: "Variables of modules are found too, and of per-CPU variables the copy of CPU 0.",
        ..Command::new("nlist", "NAME...", "addresses of symbols", nlist::run)
    },
    Command {
        detail: ADDRESS,
        ..Command::new("sym", "ADDRESS...", "the nearest symbol, its module and section", sym::run)
    },
    Command {
        detail: ADDRESS,
        ..Command::new(
            "vtop",
            "ADDRESS",
            "where an address leads, by each page-table entry on the way",
            vtop::run,
        )
    },
    Command {
        detail: "Without an argument: what the kernel uses which addresses for. With one, what is mapped from there on, and\n\
                 with all everything, as monitor info mem does; ? is what the image does not tell.",
        ..Command::new("regions", "[ADDRESS|all]", "what addresses are for, and what is mapped", regions::run)
    },
    Command::new("modules", "", "kernel modules", modules::run),
    Command::new("dmesg", "", "the message buffer", dmesg::run),
    Command::new("args", "[PID]", "arguments of processes", strings::args),
    Command::new("env", "[PID]", "environments of processes", strings::env),
    Command::new("files", "[PID]", "open files", files::run),
    Command {
        alias: Some("user"),
        detail: "Without a number: of gdb's selected thread, in lldb of the first one, as it does not tell.\n\
                 lldb remembers what it has read: settings set target.process.disable-memory-cache true",
        ..Command::new("proc", "[PID|TID]", "whose memory user addresses mean, from now on", proc::run)
    },
    Command {
        detail: "revert [ADDRESS|SYMBOL], save FILE, load FILE: files in the folder that the server was started in.",
        ..Command::new("overlay", "[...]", "what this debugger wrote (--overlay)", overlay::run)
    },
    Command::new(
        "write",
        "[on|off]",
        "whether the machine's own memory may be written (--write)",
        write::run,
    ),
    Command::new("refresh", "", "look at a running kernel anew, as every command here does", refresh::run),
    Command::new("loadavg", "", "load average", loadavg::run),
    Command::new("swap", "", "swap devices", swap::run),
    Command::new("stats", "", "what this session has read", stats::run),
];

/// What an address may be.
const ADDRESS: &str = "ADDRESS is a number (0x...) or SYMBOL[+OFFSET].";

/// Runs what was typed. An unknown command gets the list.
pub(super) fn run(target: &KernelTarget, line: &str, console: &mut Console<'_>) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (name, arguments) = words.split_first().unwrap_or((&"help", &[]));
    let done = match find(name) {
        Some(command) => match target.kvm.still() {
            Ok(_still) => (command.run)(target, arguments, console),
            Err(error) => Err(Failed::Said(error.to_string())),
        },
        None => Err(Failed::Said(unknown(name))),
    };
    if let Err(Failed::Said(text)) = done {
        let _ = console.print(&format!("{}\n", text.trim_end())); // whoever stopped it knows
    }
}

fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name || command.alias == Some(name))
}

fn unknown(name: &str) -> String {
    format!("{name}: no such command\n{}", help::text())
}

/// How the command is to be typed.
fn usage(name: &str) -> Done {
    Err(Failed::Said(find(name).map(Command::usage).unwrap_or_default()))
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
