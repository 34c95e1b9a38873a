use super::serve::How;
use super::{Failure, Outcome};
use clap::Args;
use flate2::read::GzDecoder;
use kgdbserver::kvm::{Kvm, Options};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// A FreeBSD amd64 kernel that never ran, and the dump it never wrote.
const KERNEL: &[u8] = include_bytes!("demo/kernel.gz");
const IMAGE: &[u8] = include_bytes!("demo/vmcore.gz");

/// Serve an embedded synthetic dump, to try debuggers on.
#[derive(Args)]
pub(super) struct Demo {
    #[command(flatten)]
    how: How,
}

impl Demo {
    pub(super) fn run(self) -> Outcome {
        let folder = tempfile::Builder::new().prefix("kgdbserver-demo-").tempdir();
        let folder = folder.map_err(|error| said("a temporary folder", &error))?;
        let kernel = unpack(KERNEL, folder.path().join("kernel"))?;
        let image = unpack(IMAGE, folder.path().join("vmcore"))?;
        eprintln!("The demo's files, until the server ends: {} {}", kernel.display(), image.display());
        let kvm = Kvm::open_with(&image, Options { kernel: Some(kernel), ..Options::default() })?;
        self.how.serve(kvm)
    }
}

fn unpack(packed: &[u8], path: PathBuf) -> Result<PathBuf, Failure> {
    let unpacked = File::create(&path).and_then(|mut file| io::copy(&mut GzDecoder::new(packed), &mut file));
    unpacked.map_err(|error| said(&path, &error))?;
    Ok(path)
}

fn said(path: impl AsRef<Path>, error: &io::Error) -> Failure {
    eprintln!("kgdbserver: {}: {error}", path.as_ref().display());
    Failure::Said
}
