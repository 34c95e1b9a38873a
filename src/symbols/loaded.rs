//! What the kernel has loaded beside itself: modules, each with its memory and its names.

use super::{Kind, Symbol};
use crate::kernel::state::{Module, Part};
use kgdbserver_arch::Va;
use std::sync::OnceLock;

/// A module, and its symbols when they are asked for.
#[derive(Debug)]
pub struct Loaded {
    /// What the kernel tells of it.
    pub module: Module,
    symbols: OnceLock<Vec<Symbol>>,
}

impl Loaded {
    /// A module; its symbols are not read yet.
    pub fn new(module: Module) -> Self {
        Self { module, symbols: OnceLock::new() }
    }

    /// The part of its memory that an address lies in.
    pub fn part(&self, va: Va) -> Option<&Part> {
        self.module.parts.iter().find(|part| part.range.contains(&va.0))
    }

    /// Its symbols in ascending order; those that `read` gives, the first time. What is not in its memory is left out: the
    /// kernel keeps the names of what it freed, and numbers that are no addresses.
    pub fn symbols(&self, read: impl FnOnce(&Module) -> Vec<Symbol>) -> &[Symbol] {
        self.symbols.get_or_init(|| {
            let mut symbols = read(&self.module);
            symbols.retain(|symbol| symbol.kind != Kind::Absolute && self.part(symbol.va).is_some());
            symbols.sort_by_key(|symbol| symbol.va);
            symbols
        })
    }
}

/// The nearest of a module's symbols at or below an address, in the same part of its memory, and the distance to it in
/// bytes. Of several at one address the first one, as the kernel itself does.
pub fn nearest<'a>(symbols: &'a [Symbol], part: &Part, va: Va) -> Option<(&'a Symbol, u64)> {
    let after = symbols.partition_point(|symbol| symbol.va <= va);
    let last = symbols.get(after.checked_sub(1)?)?;
    let first = symbols.partition_point(|symbol| symbol.va < last.va);
    let symbol = symbols.get(first).filter(|symbol| part.range.contains(&symbol.va.0))?;
    Some((symbol, va.0.checked_sub(symbol.va.0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &str, va: u64, kind: Kind) -> Symbol {
        Symbol { name: name.into(), va: Va(va), size: 0, kind, function: kind == Kind::Text, global: false }
    }

    /// Code at 0x1000, data at 0x3000, nothing between them.
    fn loaded() -> Loaded {
        let parts =
            vec![Part { range: 0x1000..0x2000, code: true }, Part { range: 0x3000..0x4000, code: false }];
        let (va, name) = (Va(0x3100), "fuse".to_owned());
        Loaded::new(Module {
            va,
            name,
            path: None,
            address: Va(0x1000),
            size: None,
            build_id: None,
            sections: Vec::new(),
            parts,
        })
    }

    fn symbols(loaded: &Loaded) -> &[Symbol] {
        loaded.symbols(|_| {
            vec![
                symbol("fuse_conn_list", 0x3010, Kind::Data),
                symbol("fuse_open", 0x1010, Kind::Text),
                symbol("init_module", 0x5000, Kind::Text),
                symbol("__crc", 0x1234, Kind::Absolute),
                symbol("fuse_release", 0x1020, Kind::Text),
                symbol("cleanup_module", 0x1020, Kind::Text),
            ]
        })
    }

    #[test]
    fn freed_and_absolute_symbols_are_left_out() {
        let names: Vec<_> = symbols(&loaded()).iter().map(|symbol| symbol.name.clone()).collect();
        assert_eq!(names, ["fuse_open", "fuse_release", "cleanup_module", "fuse_conn_list"]);
    }

    #[test]
    fn the_nearest_symbol_is_in_the_same_part() {
        let loaded = loaded();
        let found = |va: u64| {
            let (symbol, distance) = nearest(symbols(&loaded), loaded.part(Va(va))?, Va(va))?;
            Some((symbol.name.clone(), distance))
        };
        for (va, expected) in [
            (0xfff, None),
            (0x1000, None),
            (0x1010, Some(("fuse_open", 0))),
            (0x101f, Some(("fuse_open", 0xf))),
            (0x1fff, Some(("fuse_release", 0xfdf))),
            (0x2000, None),
            (0x3000, None),
            (0x3fff, Some(("fuse_conn_list", 0xfef))),
            (0x4000, None),
            (0x5000, None),
        ] {
            assert_eq!(found(va), expected.map(|(name, distance)| (name.to_owned(), distance)), "{va:#x}");
        }
    }
}
