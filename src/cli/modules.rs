use super::files::Files;
use super::{Named, Outcome, report};
use clap::Args;
use kgdbserver::kernel::state::Module;
use kgdbserver_arch::Va;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// List kernel modules.
#[derive(Args)]
pub(super) struct Modules {
    #[command(flatten)]
    named: Named,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The kernel file and the image, in any order.
    #[arg(value_name = "[KERNEL] IMAGE", required_unless_present_any = ["core", "dump", "live", "kcore_fd"])]
    arguments: Vec<OsString>,
}

impl Modules {
    pub(super) fn run(self) -> Outcome {
        let kvm = Files::only(&self.named, &self.arguments)?.open(&self.named)?;
        let modules = report(kvm.modules()?);
        let mut out = std::io::stdout().lock();
        if self.json {
            let modules: Vec<Value> = modules.iter().map(json).collect();
            writeln!(out, "{:#}", json!({ "schema": 1, "modules": modules }))?
        } else {
            write!(out, "{}", kgdbserver::report::modules(&modules))?
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn json(module: &Module) -> Value {
    let section = |(name, address): &(String, Va)| json!({ "name": name, "address": address.to_string() });
    json!({
        "name": module.name,
        "path": module.path,
        "address": module.address.to_string(),
        "size": module.size,
        "build_id": module.build_id,
        "sections": module.sections.iter().map(section).collect::<Vec<_>>(),
    })
}
