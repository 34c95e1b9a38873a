use super::files::Files;
use super::{Failure, Named, Outcome, evaluate};
use clap::Args;
use kgdbserver::report::symbol::Place;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Tell what lies at addresses: the nearest symbol, its module, its section.
#[derive(Args)]
#[command(after_help = "Exit status 1 if there is no symbol for an address.")]
pub(super) struct Sym {
    #[command(flatten)]
    named: Named,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The kernel file and the image, in any order, then addresses.
    #[arg(value_name = "[KERNEL] IMAGE ADDRESS", required_unless_present_any = ["core", "dump", "live", "kcore_fd"])]
    arguments: Vec<OsString>,
}

impl Sym {
    pub(super) fn run(self) -> Outcome {
        let (files, rest) = Files::take(&self.named, &self.arguments, 1)?;
        if rest.is_empty() {
            return Err(Failure::Usage("sym takes [KERNEL] IMAGE ADDRESS...".into()));
        }
        let kvm = files.open(&self.named)?;
        let places = rest.iter().map(|text| Ok(Place::of(&kvm, evaluate(&kvm, text)?)));
        let places = places.collect::<Result<Vec<_>, Failure>>()?;
        let mut out = std::io::stdout().lock();
        if self.json {
            let places: Vec<Value> = places.iter().map(json).collect();
            writeln!(out, "{:#}", json!({ "schema": 1, "places": places }))?;
        } else {
            places.iter().try_for_each(|place| write!(out, "{}", place.text()))?;
        }
        let known = places.iter().all(|place| place.symbol.is_some());
        Ok(if known { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn json(place: &Place) -> Value {
    let (symbol, distance) = place.symbol.as_ref().map(|(symbol, distance)| (&symbol.name, distance)).unzip();
    json!({
        "address": place.va.to_string(),
        "symbol": symbol,
        "offset": distance,
        "module": place.module,
        "section": place.section,
    })
}
