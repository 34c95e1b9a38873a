use super::files::Files;
use super::{Named, Outcome};
use clap::Args;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Print the kernel's message buffer, the oldest message first.
#[derive(Args)]
pub(super) struct Dmesg {
    #[command(flatten)]
    named: Named,
    /// Only what no log daemon had read when the system went down.
    #[arg(long)]
    unread: bool,
    /// The kernel file and the image, in any order.
    #[arg(value_name = "[KERNEL] IMAGE", required_unless_present_any = ["core", "dump", "live", "kcore_fd"])]
    arguments: Vec<OsString>,
}

impl Dmesg {
    pub(super) fn run(self) -> Outcome {
        let log = Files::only(&self.named, &self.arguments)?.open(&self.named)?.log()?;
        let text = if self.unread { log.unread } else { log.text };
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.is_empty() && !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
