//! `qXfer:osdata:read`: gdb's `info os`, tables of what the kernel keeps. Names and columns are those that gdb itself has of
//! a Linux host (gdb/nat/linux-osdata.c), as far as an image can fill them.

use super::encode;
use super::front::{Reply, Session};
use crate::kernel::kinfo::{KinfoProc, Op};
use crate::kernel::state::{Module, OpenFile};
use crate::kernel::{Listing, Thread};
use crate::{Kvm, Result};
use std::collections::{BTreeSet, HashMap};
use std::fmt::Write;

/// More problems of one table are only counted.
const PROBLEMS: usize = 20;

/// A table of `info os`.
struct Table {
    name: &'static str,
    help: &'static str,
    columns: &'static [&'static str],
    rows: fn(&Kvm) -> Result<Listing<Vec<String>>>,
}

static TABLES: &[Table] = &[
    Table {
        name: "processes",
        help: "Listing of all processes",
        columns: &["pid", "user", "command", "cores"],
        rows: processes,
    },
    Table {
        name: "threads",
        help: "Listing of all threads",
        columns: &["pid", "command", "tid", "core"],
        rows: threads,
    },
    Table {
        name: "files",
        help: "Listing of all file descriptors",
        columns: &["pid", "command", "file descriptor", "name"],
        rows: files,
    },
    Table {
        name: "modules",
        help: "Listing of all loaded kernel modules",
        columns: &["name", "size", "address", "path"],
        rows: modules,
    },
];

/// `TABLE:OFFSET,LENGTH`; without a name it is the table of tables. A piece that does not begin at 0 is of the table as it was
/// when it was begun.
pub(super) fn read(session: &mut Session, arguments: &[u8]) -> Reply {
    let Some(colon) = memchr::memchr(b':', arguments) else { return Reply::malformed("TABLE:OFFSET,LENGTH") };
    let (name, piece) = arguments.split_at_checked(colon).unwrap_or_default();
    let piece = piece.get(1..).unwrap_or_default();
    let begun = session.osdata.take().filter(|(known, _)| known == name && !piece.starts_with(b"0,"));
    let (name, xml) = begun.unwrap_or_else(|| (name.to_vec(), document(&session.target.kvm, name)));
    let reply = Reply::xfer(xml.as_bytes(), piece);
    session.osdata = Some((name, xml));
    reply
}

/// A table. Of one that is refused gdb says only that it cannot be had, so that what is wrong is a table too.
fn document(kvm: &Kvm, name: &[u8]) -> String {
    let error = |text: String| xml("error", &["error"], &[vec![text]]);
    if matches!(name, b"" | b"types") {
        return types();
    }
    let Some(table) = TABLES.iter().find(|table| table.name.as_bytes() == name) else {
        let names: Vec<&str> = TABLES.iter().map(|table| table.name).collect();
        return error(format!("there is no such table, only {}", names.join(", ")));
    };
    match (table.rows)(kvm) {
        Ok(list) => xml(table.name, table.columns, &with_problems(list, table.columns.len())),
        Err(why) => error(why.to_string()),
    }
}

/// gdb hides the last column of this table, and only of this one.
fn types() -> String {
    let row = |table: &Table| [table.name, table.help, table.name].map(str::to_owned).to_vec();
    xml("types", &["Type", "Description", "Title"], &TABLES.iter().map(row).collect::<Vec<_>>())
}

/// The rows, and behind them what could not be read, in the last column.
fn with_problems(list: Listing<Vec<String>>, columns: usize) -> Vec<Vec<String>> {
    let Listing { items: mut rows, problems } = list;
    let row = |text: String| {
        let mut row = vec![String::new(); columns.saturating_sub(1)];
        row.push(text);
        row
    };
    rows.extend(problems.iter().take(PROBLEMS).map(|problem| row(problem.to_string())));
    rows.extend(problems.len().checked_sub(PROBLEMS + 1).map(|more| row(format!("and {} more", more + 1))));
    rows
}

fn xml(name: &str, columns: &[&str], rows: &[Vec<String>]) -> String {
    let mut xml = format!(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE target SYSTEM \"osdata.dtd\">\n<osdata type=\"{name}\">\n"
    );
    for row in rows {
        xml += "<item>";
        for (column, value) in columns.iter().zip(row) {
            let _ = write!(xml, "<column name=\"{column}\">{}</column>", encode::xml(value)); // a String takes all
        }
        xml += "</item>\n";
    }
    xml + "</osdata>\n"
}

fn mapped<T>(list: Listing<T>, row: impl Fn(&T) -> Vec<String>) -> Listing<Vec<String>> {
    Listing { items: list.items.iter().map(row).collect(), problems: list.problems }
}

fn processes(kvm: &Kvm) -> Result<Listing<Vec<String>>> {
    let mut cores: HashMap<u32, BTreeSet<u32>> = HashMap::new();
    for thread in kvm.threads().map(|list| list.items).unwrap_or_default() {
        cores.entry(thread.pid).or_default().extend(thread.on_cpu);
    }
    // Who they belong to is not known of every kernel.
    let rows = kvm.getprocs(Op::Proc as i32, 0).map(|list| list.items).unwrap_or_default();
    let users: HashMap<u32, u32> =
        rows.iter().filter_map(|row: &KinfoProc| Some((row.pid, row.uid?))).collect();
    Ok(mapped(kvm.processes()?, |process| {
        let cores = cores.get(&process.pid).into_iter().flatten().map(u32::to_string);
        vec![
            process.pid.to_string(),
            optional(users.get(&process.pid)),
            process.comm.clone(),
            cores.collect::<Vec<_>>().join(","),
        ]
    }))
}

fn threads(kvm: &Kvm) -> Result<Listing<Vec<String>>> {
    let row = |thread: &Thread| {
        vec![
            thread.pid.to_string(),
            thread.name.clone(),
            thread.tid.to_string(),
            optional(thread.on_cpu.as_ref()),
        ]
    };
    Ok(mapped(kvm.threads()?, row))
}

fn files(kvm: &Kvm) -> Result<Listing<Vec<String>>> {
    let row = |file: &OpenFile| {
        let name = file.path.as_ref().or(file.kind.as_ref());
        vec![file.pid.to_string(), file.comm.clone(), file.fd.to_string(), optional(name)]
    };
    Ok(mapped(kvm.getfiles(None)?, row))
}

fn modules(kvm: &Kvm) -> Result<Listing<Vec<String>>> {
    let row = |module: &Module| {
        vec![
            module.name.clone(),
            optional(module.size.as_ref()),
            module.address.to_string(),
            optional(module.path.as_ref()),
        ]
    };
    Ok(mapped(kvm.modules()?, row))
}

fn optional(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}
