use super::files::Files;
use super::{Failure, Named, Outcome};
use clap::Args;
use serde_json::json;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Look up the addresses of symbols.
#[derive(Args)]
#[command(after_help = "The first argument that names no file begins the NAMEs, as -- does.\n\
                        Exit status 1 if a name was not found.")]
pub(super) struct NlistCommand {
    #[command(flatten)]
    named: Named,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The kernel file and the image, in any order, then the names.
    #[arg(value_name = "[KERNEL] IMAGE NAME", required_unless_present_any = ["core", "dump", "live", "kcore_fd"])]
    arguments: Vec<OsString>,
    /// Names, whatever files there are.
    #[arg(last = true, value_name = "NAME")]
    names: Vec<String>,
}

impl NlistCommand {
    pub(super) fn run(self) -> Outcome {
        let (files, rest) = Files::take(&self.named, &self.arguments, 0)?;
        let names = rest.iter().map(|name| name.to_string_lossy().into_owned()).chain(self.names);
        let names: Vec<_> = names.collect();
        if names.is_empty() {
            return Err(Failure::Usage("nlist takes [KERNEL] IMAGE NAME...".into()));
        }
        let kvm = files.open(&self.named)?;
        let found: Vec<_> = names.into_iter().map(|name| (kvm.symbol(&name), name)).collect();
        let unresolved: Vec<_> =
            found.iter().filter(|(symbol, _)| symbol.is_none()).map(|(_, name)| name).collect();
        let mut out = std::io::stdout().lock();
        if self.json {
            let symbols: Vec<_> =
                found.iter().filter_map(|(symbol, name)| Some((symbol.as_ref()?, name))).collect();
            let symbol = |(symbol, name): &(&kgdbserver::symbols::Symbol, &String)| {
                let address = format!("{:#x}", symbol.va.0);
                json!({ "name": name, "address": address, "type": symbol.letter().to_string(), "size": symbol.size })
            };
            let symbols: Vec<_> = symbols.iter().map(symbol).collect();
            writeln!(out, "{:#}", json!({ "schema": 1, "symbols": symbols, "unresolved": unresolved }))?;
        } else {
            for (symbol, name) in found.iter().filter_map(|(symbol, name)| Some((symbol.as_ref()?, name))) {
                writeln!(out, "{:016x} {} {name}", symbol.va.0, symbol.letter())?;
            }
            unresolved.iter().for_each(|name| eprintln!("kgdbserver: {name}: no such symbol"));
        }
        Ok(if unresolved.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
