//! What the server offers beside threads, registers and memory: tables, searches, physical memory, files; and what it bears.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

#[path = "../conversation/mod.rs"]
mod conversation;
#[path = "../rsp/mod.rs"]
mod rsp;
#[path = "../support/mod.rs"]
mod support;
#[path = "../synth/mod.rs"]
mod synth;
#[path = "../text/mod.rs"]
mod text;

mod connections;
mod files;
mod memory;
mod mutated;
mod osdata;
mod quiet;
mod regions;
mod rude;
mod transcripts;
mod vmcoreinfo;
