//! The command line: one file per subcommand.

mod connect;
mod debugger;
mod demo;
mod dmesg;
mod dump;
mod ending;
mod files;
mod info;
mod modules;
mod nlist;
mod open_files;
mod port_file;
mod ps;
mod read;
mod ready;
mod serve;
mod strings;
mod sym;
mod symbols;
mod vtop;
mod wrapping;
mod writing;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use kgdbserver::Kvm;
use kgdbserver::image::{RawMemory, live};
use kgdbserver::kernel::Listing;
use kgdbserver::report::Which;
use kgdbserver_arch::Va;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::ExitCode;

/// The gdbserver for kernel images: opens a kernel crash dump on any host and serves it to gdb and lldb.
#[derive(Parser)]
#[command(version, after_help = AFTER_HELP, override_usage = USAGE)]
#[command(subcommand_negates_reqs = true, subcommand_precedence_over_arg = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Serve,
    /// Say less: errors only.
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Say more; twice for even more (RUST_LOG is honoured too).
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

const USAGE: &str = "kgdbserver [serve] [OPTIONS] [KERNEL] IMAGE\n       kgdbserver COMMAND [OPTIONS] ...";

const AFTER_HELP: &str = "\
KERNEL and IMAGE are told apart by what is in them, so their order does not matter; -k and -c decide what is \
ambiguous. KERNEL may be left out: the image's memory is served all the same, and a debugger's own symbols find the \
threads. An image that was split into several files is named by all of them, or by the folder that holds them.

Exit status:
  0  success
  1  failure; also a name that was not found, or memory that could not be read to its end
  2  usage
  3  the kernel file does not belong to the image
  4  not a kernel image that this build knows

Examples:
  kgdbserver kernel vmcore                     serve it on port 1234 of this machine
  kgdbserver --gdb kernel vmcore               the same, and gdb on it at once
  kgdbserver info kernel vmcore                what it is
  kgdbserver ps kernel vmcore --threads        who was running
  kgdbserver read kernel vmcore hz 4           four bytes of a variable
  kgdbserver --live                            the kernel that runs on this machine
  kgdbserver ps -c /dev/null                   who runs on this BSD, which takes no privileges
  kgdbserver info -n last                      the last dump in /var/crash, with its kernel
  kgdbserver launch-json kernel vmcore         a launch.json for an IDE
  kgdbserver demo                              try it without a dump of your own";

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Info(info::Info),
    Ps(ps::Ps),
    Nlist(nlist::NlistCommand),
    Read(read::Read),
    Sym(sym::Sym),
    Vtop(vtop::Vtop),
    Modules(modules::Modules),
    Symbols(symbols::Symbols),
    Dmesg(dmesg::Dmesg),
    Files(open_files::OpenFiles),
    /// Show the arguments of processes.
    Args(strings::StringsCommand),
    /// Show the environments of processes.
    Env(strings::StringsCommand),
    LaunchJson(ready::LaunchJson),
    Dump(dump::Dump),
    Demo(demo::Demo),
}

/// How files are named when content does not decide.
#[derive(Args)]
struct Named {
    /// The kernel file, whatever its content; of Linux also a System.map, a copy of /proc/kallsyms, or BTF.
    #[arg(short, long, value_name = "KERNEL")]
    kernel: Option<OsString>,
    /// The image, whatever its content.
    #[arg(short, long, value_name = "IMAGE", visible_short_alias = 'M')]
    core: Option<OsString>,
    /// The kernel that runs on this machine, which goes on running (needs root).
    #[arg(long, conflicts_with_all = ["core", "dump", "raw_memory"])]
    live: bool,
    /// The same, by /proc/kcore that a parent process opened and passed on as this descriptor.
    #[arg(long, value_name = "N", conflicts_with_all = ["live", "core", "dump", "raw_memory"])]
    kcore_fd: Option<u32>,
    /// Whom to go on as, once the running kernel is open [who called sudo, or nobody].
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Go on although the kernel file does not belong to the image, or the image contradicts itself.
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    wrapping: wrapping::Wrapping,
    /// The image is raw memory: its offsets are physical addresses, or as RANGE says: BASE[:LENGTH][@OFFSET].
    ///
    /// A range without OFFSET follows in the file on the one before it, one without LENGTH goes on to where the next
    /// begins in the file, or to its end. K, M, G and T multiply. A PC with a hole below 4 GiB: --raw-memory=0:3G,4G.
    /// Not needed for a file that begins at physical address 0, if the kernel file is given.
    #[arg(long, value_name = "RANGE,...", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    raw_memory: Option<RawMemory>,
    /// Take a Linux kernel's types from FILE, a copy of its /sys/kernel/btf/vmlinux.
    #[arg(long, value_name = "FILE")]
    btf: Option<PathBuf>,
    /// The image is the memory of a QEMU guest that runs; its QEMU tells the registers of running threads by this socket.
    #[arg(long, value_name = "SOCKET")]
    qmp: Option<PathBuf>,
    /// Stop the guest for the time of each command or question, so that all of it is of one moment, and let it go on.
    #[arg(long, requires = "qmp")]
    pause: bool,
    /// Believe what FILE tells of a Linux kernel: its VMCOREINFO, as text.
    #[arg(long, value_name = "FILE")]
    vmcoreinfo: Option<PathBuf>,
    /// Believe the VMCOREINFO at this physical address, as where an image holds two kernels' (a crash kernel's beside that
    /// of the kernel that crashed).
    #[arg(long, value_name = "PA", conflicts_with = "vmcoreinfo", value_parser = address)]
    vmcoreinfo_at: Option<u64>,
    /// Show the registers that threads had in user space, not those that the kernel saved when it switched them (Linux).
    #[arg(long)]
    user_regs: bool,
}

impl Named {
    /// The image, where an option names it.
    fn image(&self) -> Option<PathBuf> {
        let passed = || self.kcore_fd.map(|number| format!("fd:{number}").into());
        let live = || self.live.then(|| live::DEFAULT.into());
        self.core.as_ref().map(PathBuf::from).or_else(passed).or_else(live)
    }
}

fn address(text: &str) -> Result<u64, String> {
    kgdbserver::kvm::number(text).ok_or_else(|| format!("{text}: not an address"))
}

/// The command line. What all commands say of the image stands behind a command's own options, under a heading: one that is
/// derived would also be that of what follows in the command.
fn command_line() -> clap::Command {
    let common = Named::augment_args(clap::Command::new("image"));
    let is_common = |arg: &Arg| common.get_arguments().any(|known| known.get_id() == arg.get_id());
    let place = |arg: Arg| if is_common(&arg) { arg.help_heading("Image") } else { arg };
    Cli::command().mut_args(place).mut_subcommands(|command| command.mut_args(place))
}

/// Runs what the command line asks for.
pub(crate) fn run() -> ExitCode {
    let matches = command_line().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    if let (Some(name), Some(stray)) = (matches.subcommand_name(), stray_argument(&matches)) {
        let text = format!("{stray} stands before {name}, which takes its arguments behind its name");
        return Failure::Usage(text).report();
    }
    start_log(cli.quiet, cli.verbose);
    let result = match cli.command {
        None => cli.serve.run(),
        Some(Command::Serve(serve)) => serve.run(),
        Some(Command::Info(info)) => info.run(),
        Some(Command::Ps(ps)) => ps.run(),
        Some(Command::Nlist(nlist)) => nlist.run(),
        Some(Command::Read(read)) => read.run(),
        Some(Command::Sym(sym)) => sym.run(),
        Some(Command::Vtop(vtop)) => vtop.run(),
        Some(Command::Modules(modules)) => modules.run(),
        Some(Command::Symbols(symbols)) => symbols.run(),
        Some(Command::Dmesg(dmesg)) => dmesg.run(),
        Some(Command::Files(files)) => files.run(),
        Some(Command::Args(strings)) => strings.run(Which::Arguments),
        Some(Command::Env(strings)) => strings.run(Which::Environment),
        Some(Command::LaunchJson(launch)) => launch.run(),
        Some(Command::Dump(dump)) => dump.run(),
        Some(Command::Demo(demo)) => demo.run(),
    };
    result.unwrap_or_else(|failure| failure.report())
}

/// An argument before a subcommand, other than those that all commands have.
fn stray_argument(matches: &ArgMatches) -> Option<String> {
    let given = |id: &&clap::Id| matches.value_source(id.as_str()) == Some(ValueSource::CommandLine);
    let groups = ["Serve", "Named", "How", "WritingArgs"];
    let common = |id: &str| ["quiet", "verbose"].contains(&id) || groups.contains(&id);
    matches.ids().filter(given).map(|id| id.to_string()).find(|id| !common(id))
}

fn start_log(quiet: bool, verbose: u8) {
    let level = match (quiet, verbose) {
        (true, _) => "error",
        (_, 0) => "warn",
        (_, 1) => "info",
        (_, 2) => "debug",
        _ => "trace",
    };
    let env = env_logger::Env::default().default_filter_or(level);
    env_logger::Builder::from_env(env).format_timestamp(None).format_target(false).init();
}

/// Why a command ended without doing its work.
enum Failure {
    /// Something went wrong.
    Error(kgdbserver::Error),
    /// The command line asks for something that cannot be; clap's wording and status 2.
    Usage(String),
    /// All was said already.
    Said,
}

impl From<kgdbserver::Error> for Failure {
    fn from(error: kgdbserver::Error) -> Self {
        Self::Error(error)
    }
}

impl From<std::io::Error> for Failure {
    /// Standard output was closed, as `head` does: nothing more to say.
    fn from(_: std::io::Error) -> Self {
        Self::Said
    }
}

impl Failure {
    fn report(self) -> ExitCode {
        use kgdbserver::Error;
        match self {
            Self::Said => ExitCode::from(1),
            Self::Usage(text) => {
                eprintln!("error: {text}\n\nFor more information, try '--help'.");
                ExitCode::from(2)
            }
            Self::Error(error) => {
                eprintln!("kgdbserver: {error}");
                ExitCode::from(match error {
                    Error::Mismatch { .. } => 3,
                    Error::UnknownFormat { .. } => 4,
                    _ => 1,
                })
            }
        }
    }
}

/// Says what a listing lost, and gives the rest.
fn report<T>(list: Listing<T>) -> Vec<T> {
    list.problems.iter().for_each(|problem| log::warn!("{problem}"));
    list.items
}

/// An address, or a symbol with or without an offset.
fn evaluate(kvm: &Kvm, text: &OsStr) -> Result<Va, Failure> {
    kvm.evaluate(&text.to_string_lossy()).map_err(|error| match error {
        kgdbserver::Error::Usage(text) => Failure::Usage(text),
        other => Failure::Error(other),
    })
}

/// The only argument behind the files, a process's number, if there is one.
fn pid(arguments: &[OsString]) -> Result<Option<u32>, Failure> {
    match arguments {
        [] => Ok(None),
        [pid] => {
            let bad =
                || Failure::Usage(format!("{}: no such file, and not a process's number", pid.display()));
            pid.to_str().and_then(|pid| pid.parse().ok()).map(Some).ok_or_else(bad)
        }
        [_, extra, ..] => Err(Failure::Usage(format!("{}: one process is enough", extra.display()))),
    }
}

type Outcome = Result<ExitCode, Failure>;
