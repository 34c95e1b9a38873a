//! What several test programs need: built images as files, and the real ones.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each test program uses a part of this, and a helper that cannot go on should stop the test"
)]

pub mod linux;
pub mod real;

use crate::synth::freebsd::{ThreadFacts, only_of_stopped};
use crate::synth::{Built, System};
use kgdbserver::kvm::{Kvm, Options};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// What is said of a file that no format recognises: names them all.
pub const UNKNOWN: &str = "not a kernel image that this build knows (tried: FreeBSD minidump, FreeBSD textdump, ELF core, LiME, kdump-compressed dump)";

/// A built system as files, which go when it goes.
pub struct Saved {
    pub kernel: PathBuf,
    pub vmcore: PathBuf,
    pub built: Built,
    pub folder: TempDir,
}

impl Saved {
    pub fn new(built: Built) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (kernel, vmcore) = built.save(folder.path());
        Self { kernel, vmcore, built, folder }
    }

    pub fn small() -> Self {
        Self::new(System::small().build())
    }

    pub fn open(&self) -> kgdbserver::Result<Kvm> {
        open(Some(&self.kernel), &self.vmcore, false)
    }

    /// A path in the same folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes another file into the folder.
    pub fn write(&self, name: &str, contents: &[u8]) -> PathBuf {
        std::fs::write(self.path(name), contents).expect("write a file");
        self.path(name)
    }
}

pub fn open(kernel: Option<&Path>, image: &Path, force: bool) -> kgdbserver::Result<Kvm> {
    Kvm::open_with(image, Options { kernel: kernel.map(Path::to_owned), force, ..Options::default() })
}

/// Where the highest kernel stack ends; above it nothing is mapped.
pub fn stack_top(built: &Built) -> u64 {
    let highest = built.facts.threads.iter().filter_map(|thread| thread.register("rsp")).max();
    highest.expect("a stack") / 4096 * 4096 + 4096
}

/// What a thread is called: its process's name, and its own behind it where that is another.
pub fn shown_name(thread: &ThreadFacts) -> String {
    let own: String = thread.name.chars().take(20).collect();
    if own == thread.comm { own } else { format!("{}/{own}", thread.comm) }
}

/// The registers that are known of a thread.
pub fn known_registers(thread: &ThreadFacts) -> Vec<(&'static str, u64)> {
    let stopped = thread.crashed || thread.on_cpu.is_some();
    let known = |(name, _): &&(&str, u64)| stopped || !only_of_stopped(name);
    thread.registers.iter().filter(known).copied().collect()
}

/// Puts other bytes of the same length in the place of all that are found.
pub fn replace(file: &mut [u8], find: &[u8], by: &[u8]) {
    assert_eq!(find.len(), by.len());
    let places: Vec<usize> = (0..file.len()).filter(|at| file[*at..].starts_with(find)).collect();
    assert!(!places.is_empty(), "nothing to replace");
    places.into_iter().for_each(|at| file[at..at + by.len()].copy_from_slice(by));
}
