//! Sessions of the real gdb and lldb with the built server: what they print is what is tested.
//!
//! The sessions on synthetic dumps are never skipped; a machine without a debugger fails them.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

mod commands;
mod cores;
mod dap;
mod docs;
mod driver;
mod expected;
mod files;
mod gdb;
mod ide;
mod linux;
mod lldb;
mod machines;
mod mi;
mod offers;
mod page;
mod qsymbol;
mod ready;
#[allow(dead_code, unreachable_pub, reason = "other test programs use it too")]
#[path = "../support/real.rs"]
mod real;
mod scene;
mod started;
#[path = "../synth/mod.rs"]
mod synth;
mod writing;
