//! Dumps as they lie about: compressed, encrypted, between their headers, on a dump device, in a crash directory.
//!
//! What is wrapped is a synthetic minidump, and what wraps it is the real tool: gzip, zstd, openssl, tar. Each is read
//! page by page and compared with the plain dump.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod device;
mod encrypted;
mod packed;
mod savecore;
#[path = "../synth/mod.rs"]
mod synth;
mod textdump;

use kgdbserver::Kvm;
use kgdbserver::crashdir::{self, Found, Which};
use kgdbserver::image::{Addr, Settings};
use kgdbserver::kvm::Options;
use kgdbserver::report::translation::Translation;
use kgdbserver::verify::Verdict;
use kgdbserver_arch::Va;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use synth::dumpdev::{backwards, key_block};
use synth::{Built, Device, DumpHeader, System};
use tempfile::TempDir;

static SYSTEM: LazyLock<Built> = LazyLock::new(|| System::small().build());

/// A folder of the test's own, with the plain dump, its kernel, and a cache.
struct Bench {
    folder: TempDir,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        SYSTEM.save(folder.path());
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn settings(&self) -> Settings {
        Settings { cache: Some(self.path("cache")), ..Settings::default() }
    }

    /// Runs a tool in the folder; stdout. `None`, and a line that says so, if the tool is not installed.
    fn run(&self, line: &str) -> Option<Vec<u8>> {
        let mut words = line.split(' ');
        let tool = words.next().unwrap();
        let output = Command::new(tool).args(words).current_dir(&self.folder).output();
        let Ok(output) = output else {
            eprintln!("skipped: {tool} is not installed");
            return None;
        };
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        Some(output.stdout)
    }

    fn open(&self, name: &str, settings: Settings) -> kgdbserver::Result<Kvm> {
        let options = Options { image: settings, ..Options::default() };
        Kvm::open_with(&self.path(name), options)
    }

    /// The file is the plain dump, wrapped in these layers.
    fn check(&self, name: &str, layers: &str) -> Kvm {
        self.check_with(name, layers, self.settings())
    }

    fn check_with(&self, name: &str, layers: &str, settings: Settings) -> Kvm {
        let kvm = self.open(name, settings).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(kvm.image().facts.layers.join(" "), layers, "{name}");
        assert!(
            pages(&kvm) == pages(&self.open("vmcore", self.settings()).unwrap()),
            "{name} has other contents"
        );
        kvm
    }

    /// The file cannot be opened, and the reason has these words in it.
    fn refused(&self, name: &str, words: &str) {
        self.refused_with(name, words, self.settings());
    }

    fn refused_with(&self, name: &str, words: &str, settings: Settings) {
        let error = self.open(name, settings).err().unwrap_or_else(|| panic!("{name} was opened"));
        assert!(error.to_string().contains(words), "{name}: {error}");
    }

    fn cached(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("cache")).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Every page that can be read, and its contents.
fn pages(kvm: &Kvm) -> Vec<(u64, Vec<u8>)> {
    let memory = &kvm.image().memory;
    let read = |pa| {
        let mut page = vec![0; 4096];
        let got = memory.read(Addr::Phys(pa), &mut page).ok()?;
        page.truncate(got);
        Some((pa.0, page))
    };
    memory.pages().filter_map(read).collect()
}

fn kernel_dump() -> Device {
    Device::with(&SYSTEM.vmcore)
}

#[test]
fn wrapped_for_ever() {
    let bench = Bench::new();
    let mut bytes = SYSTEM.vmcore[..4096].to_vec();
    for _ in 0..8 {
        bench.write("layers", &bytes);
        let Some(packed) = bench.run("gzip -c layers") else { return };
        bytes = packed;
    }
    bench.write("layers", &bytes);
    bench.refused("layers", "wrapped more than 6 times");
}

#[test]
fn what_is_wrapped_is_no_dump() {
    let bench = Bench::new();
    bench.write("text", b"Dear diary");
    if bench.run("gzip text").is_some() {
        bench.refused("text.gz", "what is wrapped in it (gzip) is not a kernel image");
    }
    bench.write("empty", b"\x1f\x8b\x08");
    bench.refused("empty", "");
}
