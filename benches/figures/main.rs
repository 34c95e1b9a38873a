//! The figures that are wanted of the product, in one table, beside those of others in the same run.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark that cannot measure should stop"
)]

#[path = "../files/mod.rs"]
mod files;
mod images;
mod library;
mod measure;
mod server;
mod table;

fn main() {
    // Some of the peers are this program, in a process of its own.
    match std::env::args().nth(1).as_deref() {
        Some("echo") => server::echo(),
        Some("hold") => server::hold(),
        Some("memory") => library::use_memory(),
        Some("library") => figures(library::rows()),
        Some("images") => figures(images::rows()),
        Some("server") => figures(server::rows()),
        _ => figures([library::rows(), images::rows(), server::rows()].into_iter().flatten().collect()),
    }
}

fn figures(rows: Vec<table::Row>) {
    println!("The best of several rounds; ratios are medians, of rounds in which each took its turn.\n");
    let missed = table::print(&rows);
    println!("\n{missed} figures missed");
}
