//! Linux's symbols, from a kernel's memory, from text files and from modules' tables.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

#[path = "../synth/mod.rs"]
mod synth;

mod damaged;
mod kernel;
mod memory;
mod module;
mod table;
mod text;
