use super::files::Files;
use super::{Named, Outcome};
use clap::Args;
use kgdbserver::kernel::linux::Told;
use kgdbserver::kernel::state::{CpuTime, Swap};
use kgdbserver::report;
use kgdbserver::verify::Verdict;
use kgdbserver::{Kvm, kernel::Thread};
use kgdbserver_arch::By;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Show what an image is: format, machine, pages, panic message, crashed thread.
#[derive(Args)]
pub(super) struct Info {
    #[command(flatten)]
    named: Named,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// The kernel file and the image, in any order.
    #[arg(value_name = "[KERNEL] IMAGE", required_unless_present_any = ["core", "dump", "live", "kcore_fd"])]
    arguments: Vec<OsString>,
}

impl Info {
    pub(super) fn run(self) -> Outcome {
        let kvm = Files::only(&self.named, &self.arguments)?.open(&self.named)?;
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{:#}", json(&kvm))?
        } else {
            write!(out, "{}", report::info_text(&kvm))?
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn json(kvm: &Kvm) -> Value {
    let image = kvm.image();
    let census = kvm.census();
    let kernel = kvm.kernel().ok();
    let threads = kvm.threads().ok();
    let crashed = threads.as_ref().and_then(|list| list.items.iter().find(|thread| thread.crashed));
    let thread = |thread: &Thread| json!({ "tid": thread.tid, "pid": thread.pid, "name": thread.name, "cpu": thread.on_cpu });
    let file = kvm.symbols().file().map(|file| file.source().path());
    json!({
        "schema": 1,
        "format": image.format,
        "version": image.version,
        "machine": kvm.space().machine.arch.name,
        "big_endian": kvm.space().machine.big_endian,
        "native": kvm.native(),
        "size": image.size,
        "page_size": 1u64 << image.page_shift,
        "pages": { "dumped": census.dumped, "present": census.dumped - census.cut_off, "missing": census.cut_off },
        "segments": image.plain.as_ref().map(|plain| plain.segments),
        "kernel_at": kvm.located().and_then(Result::ok).map(|located| json!({
            "physical": located.at.0,
            "by": match located.by {
                By::Dump => "dump",
                By::Fixed => "fixed",
                By::Search(_) => "search",
            },
        })),
        "linux": kvm.linux().map(|told| linux(kvm, told)),
        "kernel_file": file.or(kvm.symbols().map()).map(|path| path.display().to_string()),
        "kernel_match": match kvm.verdict() {
            Verdict::Verified(_) => "verified",
            Verdict::Unverified => "unverified",
            Verdict::Forced(_) => "mismatch",
        },
        "kernel": kernel.map(|kernel| kernel.name()),
        "kernel_version": kernel.and_then(|kernel| kernel.version(kvm.space())),
        "panic": kernel.and_then(|kernel| kernel.panic_message(kvm.space())),
        "layers": image.facts.layers,
        "told": {
            "hostname": image.facts.hostname,
            "dump_time": image.facts.dump_time,
            "version": image.facts.version,
            "panic": image.facts.panic,
            "architecture": image.facts.architecture,
            "log": image.facts.log.is_some(),
            "dump_level": image.facts.dump_level,
            "parts": image.facts.parts,
            "erased": image.facts.erased,
        },
        "threads": threads.as_ref().map(|list| list.items.len()),
        "unreadable": threads.as_ref().map(|list| list.problems.len()),
        "crashed": crashed.map(thread),
        "cpus": kvm.getncpus().ok(),
        "loadavg": kvm.getloadavg().ok(),
        "cptime": kvm.getcptime().ok().map(|time| cptime(&time)),
        "swap": kvm.getswapinfo(0).ok().map(|list| list.items.iter().map(swap).collect::<Vec<_>>()),
        "warnings": image.warnings,
    })
}

fn linux(kvm: &Kvm, told: &Told) -> Value {
    let tables = report::linux::tables(kvm);
    json!({
        "release": told.info.release(),
        "build_id": told.info.get("BUILD-ID"),
        "vmcoreinfo": report::linux::origin(told),
        "slide": kvm.symbols().slide(),
        "page_tables": tables.map(|tables| json!({
            "root": tables.root.0, "levels": tables.levels, "page_size": tables.page_size,
        })),
        "pac_mask": kvm.pac_mask().map(|mask| mask.high()),
        "symbols": kvm.symbols().table().filter(|_| kvm.symbols().file().is_none()).map(|table| table.len()),
        "types": kvm.symbols().types().source(),
    })
}

fn cptime(time: &CpuTime) -> Value {
    let CpuTime { user, nice, system, interrupt, idle } = time;
    json!({ "user": user, "nice": nice, "system": system, "interrupt": interrupt, "idle": idle })
}

fn swap(device: &Swap) -> Value {
    json!({ "device": device.name, "total": device.total, "used": device.used, "flags": device.flags })
}
