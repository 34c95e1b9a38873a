//! A symbol file for each module: debuggers list modules by their files' names.

use super::debug_info::Declared;
use super::frames::Frames;
use super::{EH_FRAME, Named, Names, table, write};
use crate::kernel::state::Module;
use crate::symbols::loaded::Loaded;
use crate::{Error, Kvm, Result, cache};
use goblin::elf::header::ET_DYN;
use kgdbserver_arch::Va;
use std::collections::HashSet;
use std::ops::Range;
use std::path::PathBuf;

/// A module's symbol file. All addresses in it are those of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFile {
    /// Where it is.
    pub path: PathBuf,
    /// Where its only segment begins: its code.
    pub start: Va,
}

/// Makes the files of all modules. One that cannot be made is left out.
pub(super) fn make(kvm: &Kvm) -> Result<Vec<ModuleFile>> {
    let mut names = HashSet::new();
    let file = |loaded: &Loaded| {
        let name = format!("{}.ko", plain(&loaded.module.name));
        let failed = |error| log::warn!("no symbol file for the module {}: {error}", loaded.module.name);
        let (start, bytes) = elf(kvm, loaded)?.map_err(failed).ok()?;
        names.insert(name.clone()).then_some((name, start, bytes))
    };
    let files: Vec<_> = kvm.loaded().iter().filter_map(file).collect();
    if files.is_empty() {
        return Ok(Vec::new());
    }
    let contents: Vec<(&str, &[u8])> =
        files.iter().map(|(name, _, bytes)| (name.as_str(), bytes.as_slice())).collect();
    let folder = cache::keep_all("modules", &contents)?;
    Ok(files.iter().map(|(name, start, _)| ModuleFile { path: folder.join(name), start: *start }).collect())
}

/// A name without what has a meaning in paths: it comes from the image.
fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-".contains(c) { c } else { '_' };
    name.chars().take(64).map(plain).collect()
}

/// Where a module's code begins, and its file. gdb and lldb both take a shared object at the addresses that it has. gdb says
/// of a library that it reaches from its first segment to its last: since 6.4 that would be through other modules, so only
/// the code is a segment, the part that comes first.
fn elf(kvm: &Kvm, loaded: &Loaded) -> Option<Result<(Va, Vec<u8>)>> {
    let module = &loaded.module;
    let segment = module.parts.first()?.range.clone();
    let start = Va(segment.start);
    let names = Names::Module(module, kvm.symbols_of(loaded));
    let sections = names.sections();
    let code: Vec<Range<u64>> =
        module.parts.iter().filter(|part| part.code).map(|part| part.range.clone()).collect();
    let named = Named { names, entry: None };
    let head = write::Head { kind: ET_DYN, entry: 0, flags: 0, segment: Some(segment) };
    let file = tables(kvm, module, &code, &named)
        .and_then(|tables| write::elf(&sections, &named, &head, tables, kvm.space().machine));
    Some(file.map(|file| (start, file)))
}

/// How its code is unwound, and its types.
fn tables(
    kvm: &Kvm,
    module: &Module,
    code: &[Range<u64>],
    named: &Named<'_>,
) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let (space, kernel) = (kvm.space(), kvm.kernel()?);
    let frames = match kernel.unwind_table() {
        Some(table) => {
            let rows = code.iter().map(|code| table.module_rows(space, module.va, code));
            table::eh_frame(space.machine, table, rows, &named.functions())
        }
        None => Frames::of(kvm).eh_frame(code, &[]),
    };
    let mut tables = vec![(EH_FRAME, frames?)];
    let failed = |error: &Error| log::debug!("no types of the module {}: {error}", module.name);
    let types = kvm.module_types(module);
    let types = types.and_then(|btf| btf.map(|btf| kvm.symbols().types().of_module(btf)).transpose());
    let types = types.inspect_err(failed).unwrap_or_default();
    if let Some(declared) = types.as_ref().and_then(|types| Declared::of_module(types, named)) {
        tables.extend(declared.sections(space.machine)?);
    }
    Ok(tables)
}
