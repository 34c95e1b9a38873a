//! Dumps that makedumpfile(8) split into several files.

use super::File;
use crate::{Error, Result};
use std::fmt;
use std::ops::Range;

/// Notes are compared up to here: they hold the registers of all CPUs and the time of the crash.
const COMPARED: u64 = 256 << 10;

/// The files in the order of their pages; a single one need not be part of a set.
///
/// # Errors
/// Several files that are not parts of one dump, or that hold the same pages.
pub(super) fn in_order(mut files: Vec<File>) -> Result<Vec<File>> {
    if files.len() > 1 {
        files.iter().try_for_each(|file| belongs(file, &files))?;
    }
    files.sort_by_key(|file| file.sub.split.as_ref().map(|part| part.start));
    for (one, next) in files.iter().zip(files.iter().skip(1)) {
        let (Some(part), Some(following)) = (&one.sub.split, &next.sub.split) else { continue };
        if following.start < part.end {
            let [one, next] = [one, next].map(|file| file.source.path().display());
            return Err(Error::Usage(format!("{one} and {next} hold the same part of the dump")));
        }
    }
    Ok(files)
}

/// Whether a file is part of the same dump as the first one.
fn belongs(file: &File, files: &[File]) -> Result<()> {
    let Some(first) = files.first() else { return Ok(()) };
    let path = file.source.path().display();
    if file.sub.split.is_none() {
        return Err(Error::Usage(format!("{path}: a dump of its own, and no part of a split one")));
    }
    if file.header != first.header || notes(file) != notes(first) {
        let other = first.source.path().display();
        return Err(Error::Usage(format!("{path}: part of another dump than {other}")));
    }
    Ok(())
}

fn notes(file: &File) -> Option<Vec<u8>> {
    let range = file.sub.notes.clone()?;
    file.source.bytes(range.start, (range.end - range.start).min(COMPARED)).ok()
}

/// How complete a split dump is. Its files do not tell how many they are, only which pages each holds.
pub(super) struct Parts {
    files: usize,
    /// Physical addresses.
    missing: Vec<Range<u64>>,
}

/// None for a dump that was not split.
pub(super) fn parts(files: &[File], first_page: u64) -> Option<Parts> {
    let File { header, sub, .. } = files.first()?;
    let held: Vec<&Range<u64>> = files.iter().filter_map(|file| file.sub.split.as_ref()).collect();
    let starts = held.iter().map(|part| part.start).chain([sub.pages]);
    let ends = [0].into_iter().chain(held.iter().map(|part| part.end));
    let address = |page: u64| first_page.saturating_add(page) << header.page_shift;
    let gaps = ends.zip(starts).filter(|(end, start)| end < start);
    let missing = gaps.map(|(end, start)| address(end)..address(start)).collect();
    (!held.is_empty()).then_some(Parts { files: files.len(), missing })
}

impl Parts {
    pub(super) fn warning(&self) -> Option<String> {
        (!self.missing.is_empty())
            .then(|| format!("the dump was split, and not all of its files were given: {self}"))
    }
}

impl fmt::Display for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = self.files;
        if self.missing.is_empty() {
            return write!(f, "{files} of {files} files");
        }
        let missing = self.missing.iter().map(|Range { start, end }| format!("{start:#x} to {end:#x}"));
        let missing: Vec<String> = missing.collect();
        let plural = if files == 1 { "" } else { "s" };
        write!(f, "{files} file{plural}, none for physical addresses {}", missing.join(", "))
    }
}
