use super::files::Files;
use super::{Failure, Named, Outcome, report};
use clap::Args;
use kgdbserver::Kvm;
use kgdbserver::kernel::{Process, Thread};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// List processes, or threads with their registers.
#[derive(Args)]
pub(super) struct Ps {
    #[command(flatten)]
    named: Named,
    /// List threads.
    #[arg(short = 'H', long)]
    threads: bool,
    /// Print JSON; with --threads that includes the registers that were saved.
    #[arg(long)]
    json: bool,
    /// The kernel file and the image, in any order.
    #[arg(value_name = "[KERNEL] IMAGE", required_unless_present_any = ["core", "dump", "live", "kcore_fd"])]
    arguments: Vec<OsString>,
}

impl Ps {
    pub(super) fn run(self) -> Outcome {
        let kvm = Files::only(&self.named, &self.arguments)?.open(&self.named)?;
        let mut out = std::io::stdout().lock();
        match (self.threads, self.json) {
            (true, true) => writeln!(out, "{:#}", threads_json(&kvm)?)?,
            (true, false) => write!(out, "{}", kgdbserver::report::threads(&report(kvm.threads()?)))?,
            (false, true) => writeln!(out, "{:#}", processes_json(&kvm)?)?,
            (false, false) => {
                let (processes, threads) = processes(&kvm)?;
                write!(out, "{}", kgdbserver::report::processes(&processes, &threads))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The processes, and the threads that they have. What both lists lack for one reason is said once.
fn processes(kvm: &Kvm) -> Result<(Vec<Process>, Vec<Thread>), Failure> {
    let (mut processes, threads) = (kvm.processes()?, kvm.threads()?);
    let said: HashSet<String> = threads.problems.iter().map(ToString::to_string).collect();
    processes.problems.retain(|problem| !said.contains(&problem.to_string()));
    Ok((report(processes), report(threads)))
}

fn threads_json(kvm: &Kvm) -> Result<Value, Failure> {
    let threads: Vec<Value> = report(kvm.threads()?).iter().map(|thread| thread_json(kvm, thread)).collect();
    Ok(json!({ "schema": 1, "threads": threads }))
}

fn thread_json(kvm: &Kvm, thread: &Thread) -> Value {
    let warn = |error: &kgdbserver::Error| log::warn!("registers of thread {}: {error}", thread.tid);
    let registers = kvm.registers(thread).inspect_err(warn).ok();
    let known = registers.iter().flat_map(|registers| registers.known());
    let registers: serde_json::Map<_, _> =
        known.map(|(name, value)| (name.to_owned(), Value::from(format!("{value:#x}")))).collect();
    json!({
        "tid": thread.tid,
        "pid": thread.pid,
        "comm": thread.comm,
        "name": thread.name,
        "cpu": thread.on_cpu,
        "state": thread.state.map(|state| state.to_string()),
        "wait": thread.wait,
        "crashed": thread.crashed,
        "pcb": thread.saved.va().map(|va| va.to_string()),
        "registers": registers,
    })
}

fn processes_json(kvm: &Kvm) -> Result<Value, Failure> {
    let (processes, threads) = processes(kvm)?;
    let process = |process: &Process| {
        json!({
            "pid": process.pid,
            "ppid": process.ppid,
            "comm": process.comm,
            "state": process.state.map(|state| state.to_string()),
            "threads": threads.iter().filter(|thread| thread.pid == process.pid).count(),
        })
    };
    let processes: Vec<Value> = processes.iter().map(process).collect();
    Ok(json!({ "schema": 1, "processes": processes }))
}
