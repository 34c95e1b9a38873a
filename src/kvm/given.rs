//! The names and types of the kernel: those that the user gave, and those that the image has.

use super::{Options, locate};
use crate::image::{Settings, Store};
use crate::kernel::Hints;
use crate::kernel::linux::Told;
use crate::space::Space;
use crate::symbols::Symbols;
use crate::symbols::given::Given;
use crate::symbols::kallsyms::Table;
use crate::verify::{self, Verdict, Witness};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the user gave.
pub(super) struct Names {
    /// The kernel file and the types, as far as they were given.
    pub(super) symbols: Symbols,
    /// A file with names only.
    table: Option<(PathBuf, Table)>,
    /// A file with types only.
    types: Option<PathBuf>,
}

/// An image, as far as it tells what the kernel's names and types must fit.
pub(super) struct Imaged<'a> {
    pub(super) path: &'a Path,
    pub(super) space: &'a Arc<Space>,
    /// A version string beside the memory.
    pub(super) version: Option<&'a str>,
    pub(super) linux: Option<&'a Arc<Told>>,
    pub(super) hints: &'a Hints,
}

impl Names {
    /// Reads the files that were named, each by its content.
    pub(super) fn read(options: &Options) -> Result<Self> {
        let mut read =
            Self { symbols: Symbols::new(None, options.resolver.clone()), table: None, types: None };
        let open = |path: &Path| Given::open(Arc::new(Store::open(path)?));
        if let Some(path) = &options.kernel {
            read.add(path, open(path)?)?;
        }
        if let Some(path) = &options.btf {
            match open(path)? {
                types @ Given::Types(_) => read.add(path, types)?,
                _ => return Err(Error::Usage(format!("{}: not BTF", path.display()))),
            }
        }
        Ok(read)
    }

    fn add(&mut self, path: &Path, given: Given) -> Result<()> {
        match given {
            Given::File(file) => self.symbols = std::mem::take(&mut self.symbols).with_file(Arc::new(file)),
            Given::Names(table) => self.table = Some((path.to_owned(), table)),
            Given::Types(btf) => {
                self.symbols = std::mem::take(&mut self.symbols).with_given_btf(btf)?;
                self.types = Some(path.to_owned());
            }
        }
        Ok(())
    }

    /// All names and types, and how far those can be trusted that were given.
    ///
    /// # Errors
    /// They belong to another kernel, and nobody insists on them.
    pub(super) fn complete(self, image: &Imaged<'_>, settings: &Settings) -> Result<(Symbols, Verdict)> {
        let Self { symbols, table, types } = self;
        let given = symbols.file().is_some() || table.is_some();
        let Some(told) = image.linux else {
            return match table.map(|(path, _)| path).or(types) {
                Some(path) => Err(Error::Unsupported(format!(
                    "{} tells of a Linux kernel, and there is none to be found in the image",
                    path.display()
                ))),
                None => file_verdict(&symbols, image, settings).map(|verdict| (symbols, verdict)),
            };
        };
        let symbols = if given { symbols } else { locate::with_vmlinux(symbols, told, image.path, settings) };
        let mut symbols = told.complete(symbols, image.space, image.hints);
        let mut verdict = file_verdict(&symbols, image, settings)?;
        if let Some((path, table)) = table {
            let (table, fits) = told.placed(table, &symbols, settings.force)?;
            symbols = symbols.with_map(table, path);
            verdict = verdict.and(fits);
        }
        if types.is_some() {
            verdict = verdict.and(insisted(told.fits_types(&symbols, image.space), settings.force)?);
        }
        Ok((symbols, verdict))
    }
}

fn file_verdict(symbols: &Symbols, image: &Imaged<'_>, settings: &Settings) -> Result<Verdict> {
    let Some(file) = symbols.file() else { return Ok(Verdict::Unverified) };
    let witness = Witness {
        mem: image.space,
        slide: symbols.slide(),
        version: image.version,
        build_id: image.linux.and_then(|linux| linux.info.build_id()),
    };
    insisted(verify::compare(file, &witness), settings.force)
}

/// What does not belong together counts all the same, if the user says so.
fn insisted(verdict: Result<Verdict>, force: bool) -> Result<Verdict> {
    match verdict {
        Err(error @ Error::Mismatch { .. }) if force => Ok(Verdict::Forced(error.to_string())),
        other => other,
    }
}
