//! Sessions of real debuggers, beside the same sessions with gdbserver, and with a stub that only looks its answers up.

use super::files::{self, FILLED, MIB, PHYSICAL};
use super::library::DIRECT_MAP;
use super::linux::Images;
use super::measure::Times;
use super::replay::Table;
use super::server::{DUMPED, Gdbserver, Server};
use super::table::{Row, time};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Sessions of each kind that take turns.
const ROUNDS: usize = 3;
const MODULES: usize = 100;

/// A debugger that runs commands, and how it is told to.
pub(super) struct Debugger {
    name: &'static str,
    program: &'static str,
    arguments: &'static [&'static str],
    /// What goes in front of a command.
    each: &'static str,
    /// What goes in front of a line of Python.
    python: &'static str,
    connect: &'static str,
    threads: &'static str,
    disconnect: &'static str,
}

pub(super) static GDB: Debugger = Debugger {
    name: "gdb",
    program: "gdb",
    arguments: &["-nx", "-batch", "-ex", "set pagination off", "-ex", "set sysroot"],
    each: "-ex",
    python: "python ",
    connect: "target remote :",
    threads: "info threads",
    // At its end gdb would kill what it debugs.
    disconnect: "disconnect",
};

static LLDB: Debugger = Debugger {
    name: "lldb",
    program: "lldb-19",
    arguments: &["--no-lldbinit", "--batch"],
    each: "-o",
    python: "script ",
    connect: "gdb-remote ",
    threads: "thread list",
    disconnect: "process detach",
};

impl Debugger {
    fn is_there(&self) -> bool {
        Command::new(self.program).arg("--version").stdout(Stdio::null()).status().is_ok()
    }

    /// Runs commands; returns the CPU time that debugger and server together took for each, in seconds. On one processor
    /// that nobody else wants it is the time on the clock. None where there is no such debugger.
    fn run(&self, server: &Peer, commands: &[String]) -> Option<Vec<f64>> {
        let python = |line: &str| format!("{}{line}", self.python);
        let mut lines = vec![
            python("import glob, time"),
            // A connection has a thread of its own, which is not there yet.
            python(&format!("threads = lambda: glob.glob('{}')", server.schedstat)),
            python("of_server = lambda: sum(int(open(name).read().split()[0]) for name in threads()) / 1e9"),
        ];
        for command in commands {
            lines.push(python("start = time.process_time() + of_server()"));
            lines.push(command.clone());
            lines.push(python("print('taken', time.process_time() + of_server() - start)"));
        }
        lines.push(self.disconnect.into());
        let mut debugger = Command::new(self.program);
        debugger.args(self.arguments).stdin(Stdio::null()).env_remove("DEBUGINFOD_URLS");
        debugger.args(lines.iter().flat_map(|line| [self.each, line]));
        let output = debugger.output().ok()?;
        let text =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        let failed = ["Cannot access", "error", "timed out"].iter().any(|word| text.contains(word));
        assert!(!failed, "{}: {text}", self.name);
        let taken = text.lines().filter_map(|line| line.strip_prefix("taken ")?.parse().ok());
        Some(taken.collect()).filter(|taken: &Vec<f64>| taken.len() == commands.len())
    }

    /// Seconds for connecting, and for listing all threads.
    pub(super) fn list_threads(&self, server: &Peer) -> Option<[f64; 2]> {
        let taken =
            self.run(server, &[format!("{}{}", self.connect, server.port), self.threads.to_owned()])?;
        taken.try_into().ok()
    }
}

/// Whom a debugger connects to.
pub(super) struct Peer {
    pub(super) port: u16,
    /// The files, as a pattern, that tell the CPU time of its threads.
    pub(super) schedstat: String,
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows: Vec<Row> = dump_by_gdb().into_iter().collect();
    let crowd = Server::of(&files::crowded());
    rows.extend(beside_table(&GDB, &crowd, &["gdb: connect, 10,000 threads", "gdb: info threads, 10,000"]));
    rows.extend(beside_table(&LLDB, &crowd, &["lldb: connect, 10,000 threads", "lldb: thread list, 10,000"]));
    if let Some(images) = Images::find() {
        let elf = images.file("elf.dump");
        rows.extend(first_connection(&elf));
        let cache = tempfile::tempdir().unwrap();
        let server = Server::alone(&files::linux::modules(&elf, MODULES), cache.path());
        rows.extend(beside_table(&GDB, &server, &["gdb: connect, 100 modules"]));
        rows.extend(beside_table(&LLDB, &server, &["lldb: connect, 100 modules"]));
    }
    rows
}

/// gdb without any file, of an image of which no symbol files were made yet, and again.
fn first_connection(elf: &Path) -> Option<Row> {
    let connect = || {
        let cache = tempfile::tempdir().unwrap();
        let server = Server::alone(elf, cache.path());
        let [first, again] = [GDB.list_threads(&server.peer())?, GDB.list_threads(&server.peer())?];
        Some((first[0], again[0]))
    };
    let (first, again): (Vec<f64>, Vec<f64>) = (0..ROUNDS).filter_map(|_| connect()).unzip();
    if first.is_empty() {
        return None;
    }
    let (first, again) = (Times::of(first), Times::of(again));
    let row = Row::new("gdb: first connect, no files", time(first.best()));
    Some(row.beside("connecting again", time(again.best()), first.ratio(&again)))
}

/// Connecting, and listing threads: as many of the two as there are figures.
fn beside_table(debugger: &Debugger, server: &Server, figures: &[&'static str]) -> Vec<Row> {
    if !debugger.is_there() {
        eprintln!("no {}: its figures are left out", debugger.name);
        return Vec::new();
    }
    let server = server.peer();
    let table = Arc::new(Table::record(server.port, |recorder| {
        debugger.list_threads(recorder);
    }));
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let (ours, theirs) = (debugger.list_threads(&server), table.play(|stub| debugger.list_threads(stub)));
        rounds.extend(ours.zip(theirs));
    }
    let row = |(index, figure): (usize, &&'static str)| {
        let ours = Times::of(rounds.iter().map(|(ours, _): &([f64; 2], [f64; 2])| ours[index]).collect());
        let theirs = Times::of(rounds.iter().map(|(_, theirs)| theirs[index]).collect());
        let ratio = ours.ratio(&theirs);
        let row = Row::new(figure, time(ours.best())).wanted("1.2 x bare stub", ratio <= 1.2);
        row.beside("bare stub", time(theirs.best()), ratio)
    };
    figures.iter().enumerate().map(row).collect()
}

fn dump_by_gdb() -> Option<Row> {
    const { assert!(DUMPED <= FILLED) };
    let server = Server::of(&files::sized("4GiB"));
    let gdbserver = Gdbserver::start();
    let dump = |server: &Server, address: u64| {
        let server = server.peer();
        let connect = format!("{}{}", GDB.connect, server.port);
        let dump = format!("dump binary memory /dev/null {address:#x} {:#x}", address + DUMPED);
        GDB.run(&server, &[connect, dump]).map(|taken| taken[1])
    };
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        ours.push(dump(&server, DIRECT_MAP + PHYSICAL)?);
        theirs.extend(gdbserver.as_ref().and_then(|peer| dump(&peer.server, peer.address)));
    }
    let rate = |times: &Times| (DUMPED / MIB) as f64 / times.best();
    let (ours, theirs) = (Times::of(ours), Times::of(theirs));
    let row = Row::new("gdb dumps 64 MiB", format!("{:.0} MiB/s", rate(&ours)));
    Some(match gdbserver {
        // Where gdb and gdbserver do not reach the figure here, it is gdb's own limit that counts.
        Some(_) => {
            let ratio = 1.0 / ours.ratio(&theirs);
            let reached = rate(&ours) >= 25.0 || ratio >= 0.95;
            row.wanted("25 MiB/s or gdb's", reached).beside(
                "gdbserver",
                format!("{:.0} MiB/s", rate(&theirs)),
                ratio,
            )
        }
        None => row.wanted("25 MiB/s", rate(&ours) >= 25.0),
    })
}
