//! The symbols of modules, from the tables that the kernel keeps of each (`struct mod_kallsyms`).

use crate::Result;
use crate::kernel::fields::{Fields, bad};
use crate::kernel::state::Module;
use crate::symbols::Symbol;
use crate::symbols::kallsyms::{ModuleSymbols, module_symbols};
use kgdbserver_arch::Va;

/// No module has more symbols; xfs has 365,182 on riscv64, most of them the compiler's labels.
const LIMIT: u64 = 1 << 20;
/// The kernel takes no longer names (`KSYM_NAME_LEN` since 6.1).
const NAME_BYTES: u64 = 512;

/// A module's symbols in the table's order, at the addresses where they are.
///
/// # Errors
/// The kernel keeps none (`CONFIG_KALLSYMS`); the tables do not lie in the module's own memory, where the kernel puts them;
/// the symbols themselves cannot be read. A name that cannot be read loses its symbol.
pub(super) fn read(fields: &Fields<'_>, module: &Module) -> Result<Vec<Symbol>> {
    // Since 4.5 the tables have a structure of their own: while a module is initialised there are two of them.
    let (at, structure) = match fields.has("module", "kallsyms") {
        true => (fields.pointer(module.va, "module", "kallsyms")?, "mod_kallsyms"),
        false => (module.va, "module"),
    };
    let count = fields.uint(at, structure, "num_symtab")?;
    if count > LIMIT {
        return Err(bad("module", module.va, format!("it has {count} symbols")));
    }
    let mem = fields.mem;
    let table = |name, wanted| own(module, fields.pointer(at, structure, name)?, wanted);
    let entry = if mem.machine.ptr_bytes == 8 { 24 } else { 16 };
    let (symtab, size) = table("symtab", count * entry)?;
    let mut entries = vec![0; size];
    mem.read_exact(symtab, &mut entries)?;
    let (strtab, size) = table("strtab", count * NAME_BYTES)?;
    let mut names = vec![0; size];
    let (got, _) = mem.read_prefix(strtab, &mut names);
    names.truncate(got);
    let letters = match fields.has(structure, "typetab") {
        true => {
            let (typetab, size) = table("typetab", count)?;
            let mut letters = vec![0; size];
            mem.read_exact(typetab, &mut letters)?;
            Some(letters)
        }
        false => None,
    };
    let tables =
        ModuleSymbols { machine: mem.machine, symtab: &entries, strtab: &names, typetab: letters.as_deref() };
    Ok(module_symbols(&tables, usize::try_from(count).unwrap_or(0)))
}

/// A table in the module's memory, and how many of the wanted bytes there are.
fn own(module: &Module, table: Va, wanted: u64) -> Result<(Va, usize)> {
    let part = module.parts.iter().find(|part| part.range.contains(&table.0));
    let part = part.ok_or_else(|| bad("module", module.va, format!("{table} is not in its memory")))?;
    let size = usize::try_from(wanted.min(part.range.end - table.0)).unwrap_or(0);
    Ok((table, size))
}
