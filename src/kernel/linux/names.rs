//! A kernel's names and types, from its file and from its own memory.

use super::told::Told;
use crate::kernel::Hints;
use crate::space::Space;
use crate::symbols::{LazyTable, Symbols, btf, kallsyms};
use kgdbserver_arch::Va;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// Behind the kernel's text lie its data; no kernel is larger.
const IMAGE_LIMIT: u64 = 256 << 20;

/// Names whose addresses VMCOREINFO tells: a table that says otherwise is not this kernel's.
const ANCHORS: &[&str] = &["_stext", "init_uts_ns", "swapper_pg_dir", "init_top_pgt"];

/// Where BTF starts and where it ends.
const BTF: &[[&str; 2]] = &[
    ["__start_BTF", "__stop_BTF"],                                      // since 5.7
    ["_binary__btf_vmlinux_bin_start", "_binary__btf_vmlinux_bin_end"], // since 5.4
];

impl Told {
    /// The kernel's names at the addresses where it runs, and its types: those of its file, if one is given; what that
    /// lacks comes from the image, and is read when first asked for.
    pub(crate) fn complete(self: &Arc<Self>, symbols: Symbols, mem: &Arc<Space>, hints: &Hints) -> Symbols {
        let table = self.symbol_table(mem, hints.kallsyms.clone());
        let slide =
            self.slide(&symbols).or_else(|| self.distance(&symbols, LazyLock::force(&table).as_ref()));
        let told = self.clone();
        let symbols = symbols
            .moved_by(slide.unwrap_or(0))
            .with_table(table)
            .or_told(Arc::new(move |name| told.info.symbol(name)));
        let (told, mem, names, file) = (self.clone(), mem.clone(), symbols.clone(), hints.btf.clone());
        let in_file = move || std::fs::read(file.as_ref()?).ok();
        symbols.with_btf(Arc::new(move || in_file().or_else(|| told.btf(&mem, &names))))
    }

    /// By how much the kernel's addresses are higher than those in its file, where it does not tell: by its own table, or
    /// by where it begins.
    fn distance(&self, symbols: &Symbols, table: Option<&kallsyms::Table>) -> Option<u64> {
        let linked = symbols.file()?.by_name("_text")?.va.0;
        let runs_at = table.and_then(|table| Some(table.by_name("_text")?.va.0)).or(self.start)?;
        Some(runs_at.wrapping_sub(linked))
    }

    /// The image's own table of symbols.
    fn symbol_table(self: &Arc<Self>, mem: &Arc<Space>, file: Option<PathBuf>) -> LazyTable {
        let (told, mem) = (self.clone(), mem.clone());
        LazyLock::new(Box::new(move || {
            let anchors: Vec<(&str, u64)> =
                ANCHORS.iter().filter_map(|name| Some((*name, told.info.symbol(name)?))).collect();
            let table = kallsyms::find(&mem, told.range(), &anchors, &|name| told.info.symbol(name));
            let table = table.inspect_err(|error| log::warn!("the image's own symbols: {error}"));
            table.ok().or_else(|| in_file(&file?))
        }))
    }

    /// The image's own BTF.
    pub(super) fn btf(&self, mem: &Space, names: &Symbols) -> Option<Vec<u8>> {
        let named = |[start, stop]: &[&str; 2]| {
            let (start, stop) = (names.address(start)?, names.address(stop)?);
            Some((start, stop.0.checked_sub(start.0)?))
        };
        let Range { start, end } = self.range();
        // It lies behind the text: what is read only is not code.
        let starts = [names.address("_etext"), Some(Va(start))];
        let search = || starts.into_iter().flatten().find_map(|start| btf::find(mem, start, Va(end)));
        let (at, len) = BTF.iter().find_map(named).or_else(search)?;
        btf::read(mem, at, len).inspect_err(|error| log::warn!("the image's own types: {error}")).ok()
    }

    /// Where the kernel's own image lies.
    fn range(&self) -> Range<u64> {
        let start = self.start().unwrap_or_default();
        start..start.saturating_add(IMAGE_LIMIT)
    }
}

/// The symbols in a file.
fn in_file(path: &Path) -> Option<kallsyms::Table> {
    let failed = |error: &dyn std::fmt::Display| log::warn!("{}: {error}", path.display());
    let text = std::fs::read(path).inspect_err(|error| failed(error)).ok()?;
    kallsyms::parse(&text).inspect_err(|error| failed(error)).ok()
}
