//! Real images, which are not part of this project: `KGDBSERVER_IMAGES` says where they are.

use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A minidump that the LLVM project publishes, and what is known of it.
pub struct Real {
    pub kernel: PathBuf,
    pub vmcore: PathBuf,
    pub expected: Value,
}

/// What was found of an image, looked for once.
type Found = OnceLock<Result<Real, String>>;

/// None, with a printed reason, where it is absent or cannot be unpacked.
pub fn amd64() -> Option<&'static Real> {
    static FOUND: Found = OnceLock::new();
    once(&FOUND, "amd64")
}

/// The same for arm64.
pub fn arm64() -> Option<&'static Real> {
    static FOUND: Found = OnceLock::new();
    once(&FOUND, "arm64")
}

fn once(found: &'static Found, machine: &str) -> Option<&'static Real> {
    let found = found.get_or_init(|| find(&folder().join("freebsd"), machine));
    found.as_ref().inspect_err(|why| eprintln!("skipped: {why}")).ok()
}

fn folder() -> PathBuf {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/images");
    std::env::var_os("KGDBSERVER_IMAGES").map_or_else(beside, PathBuf::from)
}

fn find(folder: &Path, machine: &str) -> Result<Real, String> {
    let text = std::fs::read_to_string(folder.join("expected.json"));
    let text = text.map_err(|error| format!("no real images in {}: {error}", folder.display()))?;
    let mut expected: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let mut expected = expected[format!("{machine}-minidump")].take();
    leave_out_unsaved(&mut expected, machine);
    Ok(Real {
        kernel: unpacked("xz", &folder.join(format!("kernel-{machine}.xz")))?,
        vmcore: unpacked("bzip2", &folder.join(format!("vmcore-{machine}-minidump.bz2")))?,
        expected,
    })
}

/// Takes out registers that nothing saved. In the arm64 kernel's release (13) neither a context switch nor `savectx`
/// writes x0 to x7: what kgdb and lldb show, and the expectations after them, are the zeros that each pcb began with.
fn leave_out_unsaved(expected: &mut Value, machine: &str) {
    const UNSAVED: [&str; 8] = ["x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7"];
    let threads = expected["threads"].as_array_mut().filter(|_| machine == "arm64");
    for thread in threads.into_iter().flatten() {
        let registers = thread["regs"].as_object_mut().expect("registers");
        for name in UNSAVED {
            let value = registers.remove(name).expect("a register");
            assert_eq!(value, "0x0000000000000000", "{name}");
        }
    }
}

/// The unpacked file; made once, and kept for the next run.
fn unpacked(tool: &str, packed: &Path) -> Result<PathBuf, String> {
    let name = packed.file_stem().ok_or("a file without a name")?;
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if path.exists() {
        return Ok(path);
    }
    let said = |error: std::io::Error| format!("{tool} {}: {error}", packed.display());
    let mut part = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).map_err(said)?;
    let mut child = Command::new(tool).arg("-dc").arg(packed).stdout(Stdio::piped()).spawn().map_err(said)?;
    copy_sparse(child.stdout.as_mut().ok_or("no pipe")?, part.as_file_mut()).map_err(said)?;
    if !child.wait().map_err(said)?.success() {
        return Err(format!("{tool} {} failed", packed.display()));
    }
    part.persist(&path).map_err(|error| said(error.error))?;
    Ok(path)
}

/// Copies all bytes; pages of zeros become holes.
pub fn copy_sparse(from: &mut impl Read, to: &mut File) -> std::io::Result<()> {
    let mut length = 0;
    loop {
        let mut page = Vec::new();
        let got = from.by_ref().take(4096).read_to_end(&mut page)? as u64;
        if got == 0 {
            return to.set_len(length);
        }
        if page.iter().any(|byte| *byte != 0) {
            to.seek(SeekFrom::Start(length))?;
            to.write_all(&page)?;
        }
        length += got;
    }
}
