//! What an address names.

use crate::kvm::Kvm;
use crate::symbols::Symbol;
use kgdbserver_arch::Va;

/// What an address names.
pub struct Place {
    /// The address.
    pub va: Va,
    /// The nearest symbol at or below it, and the distance in bytes.
    pub symbol: Option<(Symbol, u64)>,
    /// The module that it lies in.
    pub module: Option<String>,
    /// The section of the kernel's file or of the module.
    pub section: Option<String>,
}

impl Place {
    /// Looks an address up.
    pub fn of(kvm: &Kvm, va: Va) -> Self {
        let loaded = kvm.loaded_at(va);
        let of_module = || {
            let sections = loaded?.module.sections.iter().filter(|(_, start)| *start <= va);
            sections.max_by_key(|(_, start)| *start).map(|(name, _)| name.clone())
        };
        let of_kernel = || {
            let linked = Va(va.0.wrapping_sub(kvm.image().kerndisp).wrapping_sub(kvm.symbols().slide()));
            kvm.symbols().file()?.section_at(linked).map(|section| section.name.clone())
        };
        Self {
            va,
            symbol: kvm.symbol_at(va),
            module: loaded.map(|loaded| loaded.module.name.clone()),
            section: if loaded.is_some() { of_module() } else { of_kernel() },
        }
    }

    /// `svc_recv+0x7 [sunrpc]`.
    pub fn name(&self) -> Option<String> {
        let module = self.module.as_ref().map(|module| format!(" [{module}]")).unwrap_or_default();
        let distance = |distance: u64| if distance == 0 { String::new() } else { format!("+{distance:#x}") };
        let named = |(symbol, bytes): &(Symbol, u64)| format!("{}{}{module}", symbol.name, distance(*bytes));
        self.symbol
            .as_ref()
            .map(named)
            .or_else(|| Some(module.trim_start().to_owned()).filter(|name| !name.is_empty()))
    }

    /// One line.
    pub fn text(&self) -> String {
        let name = self.name().unwrap_or_else(|| "no symbol".into());
        let section = self.section.as_ref().map(|section| format!("  {section}")).unwrap_or_default();
        format!("{:#018x}  {name}{section}\n", self.va.0)
    }
}
