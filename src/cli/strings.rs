use super::files::Files;
use super::{Named, Outcome, pid, report};
use clap::Args;
use kgdbserver::report::{Strings, Which};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// `args` and `env`.
#[derive(Args)]
pub(super) struct StringsCommand {
    #[command(flatten)]
    named: Named,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The kernel file and the image, in any order, then a process's number.
    #[arg(value_name = "[KERNEL] IMAGE [PID]", required_unless_present_any = ["core", "dump", "live", "kcore_fd"])]
    arguments: Vec<OsString>,
}

impl StringsCommand {
    pub(super) fn run(self, which: Which) -> Outcome {
        let (files, rest) = Files::take(&self.named, &self.arguments, 0)?;
        let pid = pid(&rest)?;
        let rows = report(which.collect(&files.open(&self.named)?, pid)?);
        let mut out = std::io::stdout().lock();
        if self.json {
            let rows: Vec<Value> = rows.iter().map(|row| json(row, which)).collect();
            writeln!(out, "{:#}", json!({ "schema": 1, "processes": rows }))?
        } else {
            write!(out, "{}", which.text(&rows))?
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn json(row: &Strings, which: Which) -> Value {
    let name = match which {
        Which::Arguments => "args",
        Which::Environment => "env",
    };
    let strings = row.strings.as_ref().ok().map(|strings| &strings.items);
    json!({ "pid": row.pid, "comm": row.comm, name: strings, "error": row.problem().map(ToString::to_string) })
}
