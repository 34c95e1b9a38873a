//! Arguments and environments.

use super::table;
use crate::kernel::Listing;
use crate::kernel::kinfo::{KinfoProc, Op};
use crate::kvm::Kvm;
use crate::{Error, Result};

/// Which strings of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Its arguments.
    Arguments,
    /// Its environment.
    Environment,
}

/// The strings of a process, or why they cannot be read.
pub struct Strings {
    /// The process's number.
    pub pid: u32,
    /// Its command name.
    pub comm: String,
    /// The strings.
    pub strings: Result<Listing<String>>,
}

impl Which {
    fn read(self, kvm: &Kvm, proc: &KinfoProc) -> Result<Listing<String>> {
        match self {
            Self::Arguments => kvm.getargv(proc, 0),
            Self::Environment => kvm.getenvv(proc, 0),
        }
    }

    /// The strings of all processes, or of one.
    ///
    /// # Errors
    /// No process list, no such process, or, of one process, why it cannot be read.
    pub fn collect(self, kvm: &Kvm, pid: Option<u32>) -> Result<Listing<Strings>> {
        if let Some(pid) = pid {
            let proc = kvm.proc(pid)?;
            let strings = Ok(self.read(kvm, &proc)?);
            let items = vec![Strings { pid, comm: proc.comm, strings }];
            return Ok(items.into());
        }
        let procs = kvm.getprocs(Op::Proc as i32, 0)?;
        Ok(Listing {
            items: procs.items.iter().map(|proc| self.of(kvm, proc)).collect(),
            problems: procs.problems,
        })
    }

    /// The strings of a process.
    pub fn of(self, kvm: &Kvm, proc: &KinfoProc) -> Strings {
        Strings { pid: proc.pid, comm: proc.comm.clone(), strings: self.read(kvm, proc) }
    }

    /// The strings as text: a line for each process's arguments, a paragraph for each environment.
    pub fn text(self, rows: &[Strings]) -> String {
        let text = match self {
            Self::Arguments => arguments(rows),
            Self::Environment => rows.iter().filter_map(environment).collect(),
        };
        text + &unreadable(rows)
    }
}

/// A kernel process has no arguments, and its name stands in brackets, as in ps(1).
fn arguments(rows: &[Strings]) -> String {
    let line = |row: &Strings| {
        let arguments = match &row.strings {
            Ok(strings) if strings.items.is_empty() => format!("[{}]", row.comm),
            Ok(strings) => strings.items.join(" "),
            Err(_) => "-".into(),
        };
        vec![row.pid.to_string(), row.comm.clone(), arguments]
    };
    table(&[" PID", "COMMAND", "ARGUMENTS"], &rows.iter().map(line).collect::<Vec<_>>())
}

fn environment(row: &Strings) -> Option<String> {
    let strings = &row.strings.as_ref().ok().filter(|strings| !strings.items.is_empty())?.items;
    let lines: String = strings.iter().map(|string| format!("  {string}\n")).collect();
    Some(format!("{} {}\n{lines}", row.pid, row.comm))
}

impl Strings {
    /// Why some of them are missing, or all.
    pub fn problem(&self) -> Option<&Error> {
        self.strings.as_ref().map_or_else(Some, |strings| strings.problems.first())
    }
}

/// What could not be read, in one line: it is mostly the same for all.
fn unreadable(rows: &[Strings]) -> String {
    let failed: Vec<_> = rows.iter().filter_map(|row| Some((row.pid, row.problem()?))).collect();
    match failed.first() {
        None => String::new(),
        Some((pid, why)) => format!("{} processes could not be read; process {pid}: {why}\n", failed.len()),
    }
}
