//! Names and types that come from beside an image, compared with what it holds itself.

use super::told::Told;
use crate::space::Space;
use crate::symbols::kallsyms::Table;
use crate::symbols::{Kind, Symbols};
use crate::verify::Verdict;
use crate::{Error, Result};

/// So many of the image's own symbols are compared, from all over the kernel.
const COMPARED: usize = 1000;

impl Told {
    /// A table that may not know by how much KASLR moved the kernel (System.map), or was made after another boot (a copy
    /// of /proc/kallsyms), with addresses where the kernel runs.
    ///
    /// # Errors
    /// It is another kernel's. If the user insists (`force`), just its beginning counts.
    pub(crate) fn placed(&self, table: Table, names: &Symbols, force: bool) -> Result<(Table, Verdict)> {
        let own = names.table().map(global_symbols).filter(|own| !own.is_empty());
        let known = own.clone().unwrap_or_else(|| self.info.symbols().collect());
        let known: Vec<(&str, u64)> = known.iter().map(|(name, va)| (&**name, *va)).collect();
        let moved = table.displacement(&known).and_then(|by| match own {
            Some(_) => all_agree(&table, &known, by).map(|()| by),
            None => Ok(by),
        });
        match moved {
            Ok(by) => Ok((table.displaced(by), Verdict::Verified(vec![format!("{} symbols", known.len())]))),
            Err(error) if force => {
                let start = table.by_name("_stext").map(|symbol| symbol.va.0);
                let by = self.start().zip(start).map_or(0, |(truth, start)| truth.wrapping_sub(start));
                Ok((table.displaced(by), Verdict::Forced(error.to_string())))
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the kernel's types are right: those of the image are the same, or else its first task has its name where
    /// they say that it is.
    ///
    /// # Errors
    /// They are another kernel's.
    pub(crate) fn fits_types(&self, names: &Symbols, mem: &Space) -> Result<Verdict> {
        let mismatch = |what: &str, kernel: String, image: String| {
            Err(Error::Mismatch { what: what.into(), kernel, image })
        };
        if let Some((own, given)) = self.btf(mem, names).zip(names.given_btf()) {
            return match own == *given {
                true => Ok(Verdict::Verified(vec!["the image's own BTF".into()])),
                false => mismatch("BTF", format!("{} bytes", given.len()), format!("{} others", own.len())),
            };
        }
        let comm = names.types().require("task_struct", "comm")?;
        let task = names.address("init_task");
        let name = task.and_then(|task| mem.string(task.checked_add(comm.offset)?, comm.size as usize).ok());
        match name.map(|name| super::text(&name)) {
            None => Ok(Verdict::Unverified),
            Some(name) if name.starts_with("swapper") => {
                Ok(Verdict::Verified(vec!["the name of init_task".into()]))
            }
            Some(name) => mismatch("the name of init_task", "swapper".into(), format!("{name:?}")),
        }
    }
}

/// Some of a table's symbols that no other has the name of.
fn global_symbols(table: &Table) -> Vec<(String, u64)> {
    let step = (table.len() / COMPARED).max(1);
    let spread = table.symbols().step_by(step);
    let unique = spread.filter(|symbol| symbol.global && symbol.kind != Kind::Absolute);
    unique.map(|symbol| (symbol.name, symbol.va.0)).collect()
}

/// Of two builds of one release, most symbols may be at the same place.
fn all_agree(table: &Table, known: &[(&str, u64)], by: u64) -> Result<()> {
    for (name, truth) in known {
        let ours = table.by_name(name).map(|symbol| symbol.va.0.wrapping_add(by));
        if ours.is_some_and(|ours| ours != *truth) {
            let show = |va: u64| format!("{va:#x}");
            let kernel = ours.map_or_else(|| "missing".into(), show);
            return Err(Error::Mismatch {
                what: format!("the place of {name}"),
                kernel,
                image: show(*truth),
            });
        }
    }
    Ok(())
}
