use super::files::Files;
use super::{Failure, Named, Outcome, evaluate};
use clap::Args;
use kgdbserver::describe;
use kgdbserver::image::Addr;
use kgdbserver::report::translation::{Translation, flags, form, letters};
use kgdbserver_arch::{Entry, Fault, Step};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Translate addresses, and show each step of the way.
#[derive(Args)]
#[command(
    after_help = "Exit status 1 if an address leads nowhere, or the image does not hold what is there."
)]
pub(super) struct Vtop {
    #[command(flatten)]
    named: Named,
    /// The addresses are a process's.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The kernel file and the image, in any order, then addresses or SYMBOL[+OFFSET].
    #[arg(value_name = "[KERNEL] IMAGE ADDRESS", required_unless_present_any = ["core", "dump", "live", "kcore_fd"])]
    arguments: Vec<OsString>,
}

impl Vtop {
    pub(super) fn run(self) -> Outcome {
        let (files, rest) = Files::take(&self.named, &self.arguments, 1)?;
        if rest.is_empty() {
            return Err(Failure::Usage("vtop takes [KERNEL] IMAGE ADDRESS...".into()));
        }
        let kvm = files.open(&self.named)?;
        let own = self.pid.map(|pid| kvm.process_space(pid)).transpose()?;
        let space = own.as_ref().unwrap_or_else(|| kvm.space());
        let addresses = rest.iter().map(|text| evaluate(&kvm, text)).collect::<Result<Vec<_>, _>>()?;
        let all: Vec<_> = addresses.into_iter().map(|va| Translation::of(&kvm, space, va)).collect();
        let mut out = std::io::stdout().lock();
        if self.json {
            let all: Vec<Value> = all.iter().map(json).collect();
            writeln!(out, "{:#}", json!({ "schema": 1, "addresses": all }))?;
        } else {
            let texts: Vec<String> = all.iter().map(Translation::text).collect();
            write!(out, "{}", texts.join("\n"))?;
        }
        let readable = all.iter().all(|translation| translation.fault().is_none());
        Ok(if readable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn json(translation: &Translation<'_>) -> Value {
    let walk = &translation.walk;
    let form = walk.region.and_then(form);
    let step = |step: &Step| {
        let (kind, leads_to, rights) = match step.entry {
            Entry::Absent => ("none", None, None),
            Entry::Table(pa) => ("table", Some(pa), None),
            Entry::Leaf { pa, rights, .. } => ("page", Some(pa), Some(letters(Some(rights)))),
        };
        json!({
            "level": step.level + 1,
            "physical": step.at.map(|pa| pa.to_string()),
            "file_offset": walk.kept_at.filter(|_| step.at.is_none()),
            "value": format!("{:#x}", step.raw),
            "kind": kind,
            "leads_to": leads_to.map(|pa| pa.to_string()),
            "rights": rights,
            "flags": form.map(|form| flags(&form, step.raw)),
        })
    };
    let somewhere = walk.place.ok().filter(|_| translation.fault() != Some(Fault::NoMemory));
    let physical = somewhere.and_then(|place| match place.at {
        Addr::Phys(pa) => Some(pa.to_string()),
        _ => None,
    });
    json!({
        "address": translation.va.to_string(),
        "steps": walk.steps.iter().map(step).collect::<Vec<_>>(),
        "physical": physical,
        "file_offset": translation.offset.ok(),
        "error": translation.fault().map(describe),
    })
}
