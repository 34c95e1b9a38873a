//! The files that are measured on: made once, kept in a cache folder outside the repository.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "each benchmark uses a part of this, and what goes wrong should stop it"
)]

mod large;
pub mod linux;
pub mod spread;
#[path = "../../tests/synth/mod.rs"]
mod synth;

pub use large::{Noise, PHYSICAL};

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use synth::{Built, System};

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;
pub const GIB: u64 = 1 << 30;
pub const TIB: u64 = 1 << 40;

/// Functions of a FreeBSD GENERIC kernel, about.
const FUNCTIONS: u64 = 60_000;

/// Bytes that hold data in the dumps of 4 and 8 GiB: what is read. The rest, and the other sizes, are holes of a sparse
/// file.
pub const FILLED: u64 = 512 * MIB;

/// Bytes of memory that the compressed dump adds, all of them made up.
pub const PACKED: u64 = 128 * MIB;

/// Threads of the crowded dump.
pub const THREADS: u32 = 10_000;

/// Changes with what the files hold, so that older ones are made anew.
const EDITION: &str = "2";

/// A kernel file and the dump that goes with it. There is no kernel file where the dump needs none.
#[derive(Clone)]
pub struct Files {
    pub kernel: PathBuf,
    pub vmcore: PathBuf,
}

/// The dumps by size, smallest first.
pub const SIZES: [(&str, u64); 3] = [("1GiB", GIB), ("4GiB", 4 * GIB), ("1TiB", TIB)];

/// A dump of so many bytes, with some twenty threads.
pub fn sized(name: &str) -> Files {
    let (_, bytes) = SIZES.into_iter().find(|(known, _)| *known == name).unwrap();
    made(name, |files| {
        let written = large::write(&files.vmcore, &kernel(files), bytes).unwrap();
        if bytes == 4 * GIB {
            let mut noise = Noise::new();
            large::fill(&written.file, written.added, FILLED, |count| noise.bytes(count)).unwrap();
        }
    })
}

/// The dump of 8 GiB whose pages lie everywhere.
pub fn spread() -> Files {
    made("8GiB", |files| spread::write(&files.vmcore, &kernel(files)).unwrap())
}

/// A dump compressed by zstd into one frame, as the kernel does it.
pub fn packed() -> Files {
    made("zstd", |files| {
        let plain = files.vmcore.with_extension("plain");
        let written = large::write(&plain, &kernel(files), PACKED).unwrap();
        let mut noise = Noise::new();
        large::fill(&written.file, written.added, PACKED, |count| noise.structures(count)).unwrap();
        let packed = File::create(&files.vmcore).unwrap();
        zstd::stream::copy_encode(File::open(&plain).unwrap(), packed, 6).unwrap();
        fs::remove_file(plain).unwrap();
    })
}

/// Writes the kernel file; returns what the dump is made of.
fn kernel(files: &Files) -> Built {
    let built = System { more_functions: FUNCTIONS, hashed: true, ..System::demo() }.build();
    fs::write(&files.kernel, &built.kernel).unwrap();
    built
}

/// A dump with many threads.
pub fn crowded() -> Files {
    made("threads", |files| {
        let built: Built =
            System { more_functions: FUNCTIONS, hashed: true, ..System::crowded(THREADS) }.build();
        fs::write(&files.kernel, &built.kernel).unwrap();
        large::write(&files.vmcore, &built, 0).unwrap();
    })
}

/// The folder `name` of the cache, filled by `make` if it is not there.
fn made(name: &str, make: impl FnOnce(&Files)) -> Files {
    let folder = cache().join(name);
    let files = |folder: &Path| Files { kernel: folder.join("kernel"), vmcore: folder.join("vmcore") };
    if !folder.exists() {
        let unfinished = cache().join(format!("{name}.unfinished"));
        let _ = fs::remove_dir_all(&unfinished); // of a run that was interrupted
        fs::create_dir_all(&unfinished).unwrap();
        make(&files(&unfinished));
        fs::rename(&unfinished, &folder).unwrap();
        let made = files(&folder);
        let size = |path: &Path| path.metadata().map_or((0, 0), |meta| (meta.len(), meta.blocks() * 512));
        let ((length, on_disk), (kernel, _)) = (size(&made.vmcore), size(&made.kernel));
        eprintln!(
            "made {}: vmcore of {} MiB, {} MiB on disk; kernel of {} MiB",
            folder.display(),
            length / MIB,
            on_disk / MIB,
            kernel / MIB
        );
    }
    files(&folder)
}

/// `$XDG_CACHE_HOME/kgdbserver/bench-EDITION`.
pub fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache");
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    base.unwrap_or_else(home).join("kgdbserver").join(format!("bench-{EDITION}"))
}
