//! The facade: kvm(3)'s functions, on synthetic images and on a real one.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod matching;
mod names;
mod opening;
mod pages;
mod processes;
mod reading;
mod real;
#[path = "../support/mod.rs"]
mod support;
#[path = "../synth/mod.rs"]
mod synth;
mod threads;

use kgdbserver::kernel::Thread;
use kgdbserver::kvm::{Nlist, Options};
use kgdbserver::pages::Page;
use kgdbserver::verify::Verdict;
use kgdbserver::{Error, Kvm, Result};
use kgdbserver_arch::Va;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use support::{Saved, known_registers, open, replace, shown_name, stack_top};
use synth::freebsd::{ListEnd, StopPcbs, ThreadFacts};
use synth::{System, put};

/// The text of the error; the good case must not be.
#[track_caller]
fn error<T>(result: Result<T>) -> String {
    result.err().expect("an error was to be expected").to_string()
}
