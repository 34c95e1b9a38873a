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

pub mod real;

use crate::synth::{Built, System};
use kgdbserver::kvm::{Kvm, Options};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

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
    Kvm::open_with(image, Options { kernel: kernel.map(Path::to_owned), resolver: None, force })
}
