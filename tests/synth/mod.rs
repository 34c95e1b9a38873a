//! Builders of synthetic kernels and dumps.
//!
//! Nothing here imports the crates under test: every offset and constant is written down a second time, by hand,
//! from the format's description. What a builder and a parser agree on is therefore said twice, not shared.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test binary uses a part of the builders, and a builder that is misused should stop the test"
)]

mod bytes;
pub mod compiled;
pub mod dumpdev;
pub mod elf;
pub mod elfcore;
pub mod flattened;
pub mod freebsd;
pub mod kallsyms;
pub mod kdump;
pub mod lime;
pub mod linux;
pub mod lone;
pub mod machine;
pub mod minidump;
pub mod tables;

pub use bytes::{Endian, put, round_up};
pub use compiled::Compiled;
pub use dumpdev::{Device, DumpHeader};
pub use elf::Elf;
pub use elfcore::ElfCore;
pub use flattened::Flattened;
pub use freebsd::{Built, System};
pub use kdump::Kdump;
pub use lime::Lime;
pub use machine::Machine;
pub use minidump::Minidump;
