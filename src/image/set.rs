//! Images that are several files, and folders that hold them.

use super::wrapped::Layers;
use super::{Format, Image, Source, Store, is_image, unwrap};
use crate::{Error, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A folder with more files than this is none that a dump was put into.
const FILES_LIMIT: usize = 4096;

/// Opens the first file and others as one image.
pub(super) fn open(
    format: &'static Format,
    first: Arc<dyn Source>,
    others: &[PathBuf],
    layers: &mut Layers<'_>,
) -> Result<Image> {
    let mut sources = vec![first];
    for path in others {
        let mut own = Layers::new(layers.settings);
        let (other, source) = unwrap(Arc::new(Store::open(path)?), &mut own)?;
        layers
            .warnings
            .extend(own.warnings.into_iter().map(|warning| format!("{}: {warning}", path.display())));
        if other.name != format.name {
            return Err(second(path, other));
        }
        sources.push(source);
    }
    let open = format.set.ok_or_else(|| second(others.first().map_or(Path::new(""), |path| path), format))?;
    open(sources)
}

fn second(path: &Path, format: &Format) -> Error {
    Error::Usage(format!(
        "{}: a second image ({}); only the files of one split dump go together",
        path.display(),
        format.name
    ))
}

/// The files of an image: the path itself, or what a folder holds, which must be one image or the files of one.
///
/// # Errors
/// A folder that cannot be read, or that holds no image.
pub fn files_of(path: &Path) -> Result<(PathBuf, Vec<PathBuf>)> {
    if !path.is_dir() {
        return Ok((path.to_owned(), Vec::new()));
    }
    let entries = fs::read_dir(path).map_err(Error::io(path))?.take(FILES_LIMIT);
    let is_file = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
    let files = entries.filter_map(|entry| entry.ok().filter(is_file)).map(|entry| entry.path());
    let mut images: Vec<PathBuf> =
        files.filter(|file| Store::open(file).is_ok_and(|store| is_image(&store))).collect();
    images.sort();
    let mut images = images.into_iter();
    let none = || Error::Usage(format!("{}: a folder without an image in it", path.display()));
    Ok((images.next().ok_or_else(none)?, images.collect()))
}
