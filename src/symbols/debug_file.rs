//! The file with a kernel's debugging information, where it lies beside the kernel.
//!
//! FreeBSD installs `/boot/kernel/kernel` without and `/usr/lib/debug/boot/kernel/kernel.debug` with it. People copy both
//! into one folder, or whole trees.

use super::KernelFile;
use crate::image::{Source, Store};
use flate2::Crc;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Read at a time for a checksum.
const CHUNK: u64 = 1 << 20;
const BUILD_ID: &str = ".note.gnu.build-id";
const DEBUG_LINK: &str = ".gnu_debuglink";

/// The first file at one of the usual places that belongs to the kernel.
pub(super) fn find(kernel: &KernelFile) -> Option<Arc<KernelFile>> {
    let path = std::path::absolute(kernel.source().path()).ok()?;
    let linked = linked_name(kernel);
    // A crash directory has a link to the kernel rather than the kernel.
    let target = path.canonicalize().ok().filter(|target| *target != path);
    let places = target.iter().chain([&path]).flat_map(|path| candidates(path, linked.as_deref()));
    places.filter(|place| *place != path && Some(place) != target.as_ref()).find_map(|place| {
        let file = open(&place)?;
        let belongs = belongs(kernel, &file);
        if !belongs {
            log::warn!("{}: not used, it does not belong to {}", place.display(), path.display());
        }
        belongs.then_some(file)
    })
}

/// Beside the kernel, and where the system puts it; also in a copy of a system's tree, at whatever depth the kernel is.
fn candidates(kernel: &Path, linked: Option<&Path>) -> Vec<PathBuf> {
    let Some((folder, name)) = kernel.parent().zip(kernel.file_name()) else { return Vec::new() };
    let mut plain = OsString::from(name);
    plain.push(".debug");
    let mut names = vec![PathBuf::from(&plain)];
    names.extend(linked.filter(|linked| *linked != Path::new(&plain)).map(Path::to_owned));
    let mut found = Vec::new();
    for name in names {
        found.push(folder.join(&name));
        found.push(folder.join(".debug").join(&name));
        // ROOT/boot/kernel/kernel: ROOT/usr/lib/debug/boot/kernel/kernel.debug
        found.extend(folder.ancestors().filter_map(|root| {
            Some(root.join("usr/lib/debug").join(folder.strip_prefix(root).ok()?).join(&name))
        }));
    }
    found
}

fn open(path: &Path) -> Option<Arc<KernelFile>> {
    if !path.is_file() {
        return None;
    }
    let store = Store::open(path).ok()?;
    KernelFile::open(Arc::new(store)).ok().map(Arc::new)
}

/// Whether a file is of the same build: by the build id or, where one has none, by the checksum that the kernel carries.
fn belongs(kernel: &KernelFile, file: &KernelFile) -> bool {
    match (kernel.section(BUILD_ID), file.section(BUILD_ID)) {
        (Some(ours), Some(theirs)) => ours == theirs,
        _ => linked_checksum(kernel).is_some_and(|crc| checksum(&**file.source()) == Some(crc)),
    }
}

/// The name in `.gnu_debuglink`; only its last part counts.
fn linked_name(kernel: &KernelFile) -> Option<PathBuf> {
    let link = kernel.section(DEBUG_LINK)?;
    let name = link.split(|byte| *byte == 0).next()?;
    let name = String::from_utf8(name.to_vec()).ok()?;
    Path::new(&name).file_name().map(PathBuf::from)
}

/// The CRC-32 in `.gnu_debuglink`: behind the name, at the next multiple of four.
fn linked_checksum(kernel: &KernelFile) -> Option<u32> {
    let link = kernel.section(DEBUG_LINK)?;
    let end = link.iter().position(|byte| *byte == 0)?;
    let at = (end + 1).next_multiple_of(4);
    let bytes: [u8; 4] = link.get(at..at + 4)?.try_into().ok()?;
    Some(if kernel.is_big_endian() { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
}

fn checksum(source: &dyn Source) -> Option<u32> {
    let mut crc = Crc::new();
    for at in (0..source.len()).step_by(CHUNK as usize) {
        crc.update(&source.bytes(at, CHUNK.min(source.len() - at)).ok()?);
    }
    Some(crc.sum())
}
