//! The figures that are wanted of the product, in one table, beside those of others in the same run.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark that cannot measure should stop"
)]

mod debuggers;
mod drgn;
#[path = "../files/mod.rs"]
mod files;
#[allow(dead_code, reason = "the tests use it too")]
#[path = "../../tests/live/guest.rs"]
mod guest;
mod images;
mod library;
mod linux;
mod linux_reads;
mod live;
mod measure;
mod replay;
mod server;
mod table;

/// A part of the table: its name, and what measures it.
type Part = (&'static str, fn() -> Vec<table::Row>);

const PARTS: [Part; 6] = [
    ("library", library::rows),
    ("images", images::rows),
    ("linux", linux::rows),
    ("live", live::rows),
    ("server", server::rows),
    ("debuggers", debuggers::rows),
];

fn main() {
    // Some of the peers are this program, in a process of its own.
    match std::env::args().nth(1).as_deref() {
        Some("echo") => server::echo(),
        Some("hold") => server::hold(),
        Some("memory") => library::use_memory(),
        Some("linux-memory") => linux::use_memory(std::env::args().skip(2)),
        part => {
            // Cargo adds arguments of its own.
            let one = PARTS.iter().position(|(name, _)| Some(*name) == part);
            let parts = one.map_or(&PARTS[..], |part| &PARTS[part..=part]);
            figures(parts.iter().flat_map(|(_, rows)| rows()).collect());
        }
    }
}

fn figures(rows: Vec<table::Row>) {
    println!("The best of several rounds; ratios are medians, of rounds in which each took its turn.\n");
    let missed = table::print(&rows);
    println!("\n{missed} figures missed");
}
