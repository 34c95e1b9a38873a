use super::files::Files;
use super::{Named, Outcome, pid, report};
use clap::Args;
use kgdbserver::kernel::state::OpenFile;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// List the files that processes have open.
#[derive(Args)]
pub(super) struct OpenFiles {
    #[command(flatten)]
    named: Named,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The kernel file and the image, in any order, then a process's number.
    #[arg(value_name = "[KERNEL] IMAGE [PID]", required_unless_present_any = ["core", "dump", "live", "kcore_fd"])]
    arguments: Vec<OsString>,
}

impl OpenFiles {
    pub(super) fn run(self) -> Outcome {
        let (files, rest) = Files::take(&self.named, &self.arguments, 0)?;
        let pid = pid(&rest)?;
        let files = report(files.open(&self.named)?.getfiles(pid)?);
        let mut out = std::io::stdout().lock();
        if self.json {
            let files: Vec<Value> = files.iter().map(json).collect();
            writeln!(out, "{:#}", json!({ "schema": 1, "files": files }))?
        } else {
            write!(out, "{}", kgdbserver::report::files(&files))?
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn json(file: &OpenFile) -> Value {
    json!({
        "pid": file.pid,
        "comm": file.comm,
        "fd": file.fd,
        "file": file.va.to_string(),
        "type": file.kind,
        "flag": file.flag,
        "count": file.count,
        "offset": file.offset,
        "data": file.data.map(|data| data.to_string()),
        "path": file.path,
    })
}
