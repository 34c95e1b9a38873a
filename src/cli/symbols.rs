use super::files::Files;
use super::{Named, Outcome};
use clap::Args;
use kgdbserver::symbols::served;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Write the symbol file that debuggers are told of.
///
/// It has the kernel's symbols, its types as DWARF, and how its stacks are unwound: for gdb or lldb on another machine, or
/// without a server. A FreeBSD kernel file with debug information is copied without its brand, which gdb on Linux
/// cannot read.
#[derive(Args)]
pub(super) struct Symbols {
    #[command(flatten)]
    named: Named,
    /// The file to write.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace a FILE that is there.
    #[arg(long)]
    replace: bool,
    /// The kernel file and the image, in any order.
    #[arg(value_name = "[KERNEL] IMAGE", required_unless_present_any = ["core", "dump", "live", "kcore_fd"])]
    arguments: Vec<OsString>,
}

impl Symbols {
    pub(super) fn run(self) -> Outcome {
        let kvm = Files::only(&self.named, &self.arguments)?.open(&self.named)?;
        let served::Sources { symbols, types, unwinding } = served::save(&kvm, &self.output, self.replace)?;
        let mut out = std::io::stdout().lock();
        writeln!(out, "symbols      {symbols}\ntypes        {types}\nunwinding    {unwinding}")?;
        Ok(ExitCode::SUCCESS)
    }
}
