//! The demonstration that the binary carries is what the builders make of it.
//!
//! `KGDBSERVER_BLESS=1 cargo test --test demo_data` writes it anew.

mod synth;

use flate2::{Compression, bufread::GzDecoder, write::GzEncoder};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

const MOST_BYTES: u64 = 60 << 10;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cli/demo").join(name)
}

fn write(path: &Path, contents: &[u8]) -> std::io::Result<()> {
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    let mut encoder = GzEncoder::new(std::fs::File::create(path)?, Compression::best());
    encoder.write_all(contents)?;
    encoder.finish().map(drop)
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut contents = Vec::new();
    GzDecoder::new(&*std::fs::read(path)?).read_to_end(&mut contents)?;
    Ok(contents)
}

#[test]
fn the_demo_is_what_the_builders_make() -> std::io::Result<()> {
    let demo = synth::System::demo().build();
    let mut size = 0;
    for (name, contents) in [("kernel.gz", &demo.kernel), ("vmcore.gz", &demo.vmcore)] {
        let path = path(name);
        if std::env::var_os("KGDBSERVER_BLESS").is_some() {
            write(&path, contents)?;
        }
        assert!(read(&path)? == *contents, "{name} is out of date: run with KGDBSERVER_BLESS=1");
        size += path.metadata()?.len();
    }
    assert!(size <= MOST_BYTES, "{size} bytes are too many to carry");
    Ok(())
}
