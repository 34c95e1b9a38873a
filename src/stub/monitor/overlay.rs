use super::{Done, KernelTarget};
use crate::image::Overlay;
use crate::image::overlay::Change;
use crate::kvm::{digits, show};
use crate::patch::Patch;
use crate::stub::console::Console;
use kgdbserver_arch::Va;
use std::fmt::Write;
use std::path::Path;

/// Bytes of a change that are shown.
const SHOWN: usize = 8;

/// Shows, takes back, saves and loads what this debugger wrote.
pub(super) fn run(target: &KernelTarget, arguments: &[&str], console: &mut Console<'_>) -> Done {
    Ok(console.print(&answer(target, arguments)?)?)
}

fn answer(target: &KernelTarget, arguments: &[&str]) -> Result<String, String> {
    let overlay = target.kvm.overlay().ok_or("there is no overlay: start the server with --overlay")?;
    match arguments {
        [] => Ok(list(target, overlay)),
        ["revert"] => {
            target.writes.changed.set(true);
            Ok(format!("{} bytes are as in the image again\n", overlay.revert_all()))
        }
        ["revert", address] => revert(target, overlay, address),
        ["save", file] => {
            let patch = target.kvm.patch().map_err(|error| error.to_string())?;
            patch.save(here(file)?).map_err(|error| error.to_string())?;
            Ok(format!("saved to {file}\n"))
        }
        ["load", file] => {
            let patch = Patch::load(here(file)?).map_err(|error| error.to_string())?;
            target.writes.changed.set(true);
            let bytes = target.kvm.apply(&patch).map_err(|error| error.to_string())?;
            Ok(format!("{bytes} bytes changed\n"))
        }
        _ => Err("monitor overlay [revert [ADDRESS|SYMBOL] | save FILE | load FILE]".into()),
    }
}

/// A debugger may not be who started the server: it names files in the server's own folder only.
fn here(file: &str) -> Result<&Path, String> {
    let path = Path::new(file);
    let plain = path.file_name() == Some(path.as_os_str());
    plain.then_some(path).ok_or_else(|| {
        format!("{file}: a name without a folder, of a file where the server was started (--overlay=FILE takes any)")
    })
}

fn list(target: &KernelTarget, overlay: &Overlay) -> String {
    let changes = overlay.changes();
    if changes.is_empty() {
        return "nothing is changed\n".into();
    }
    changes.iter().fold(String::new(), |mut text, change| {
        let _ = writeln!(text, "{}", line(target, change));
        text
    })
}

/// `ffffffff81e05780 jiffies_64+4  2 bytes at physical 0x1e05780: 0200 -> 0300`.
fn line(target: &KernelTarget, Change { at, va, was, now }: &Change) -> String {
    let name = match target.kvm.symbol_at(*va) {
        Some((symbol, 0)) => format!(" {}", symbol.name),
        Some((symbol, distance)) if distance < symbol.size => format!(" {}+{distance:#x}", symbol.name),
        _ => String::new(),
    };
    let some = |bytes: &[u8]| match bytes.get(..SHOWN) {
        Some(first) if bytes.len() > SHOWN => format!("{}..", digits(first)),
        _ => digits(bytes),
    };
    let bytes = if now.len() == 1 { "byte" } else { "bytes" };
    format!("{:016x}{name}  {} {bytes} at {}: {} -> {}", va.0, now.len(), show(*at), some(was), some(now))
}

fn revert(target: &KernelTarget, overlay: &Overlay, text: &str) -> Result<String, String> {
    let number = text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let symbol = || target.kvm.symbol(text).map(|symbol| symbol.va.0);
    let va =
        number.or_else(symbol).ok_or_else(|| format!("{text}: neither an address (0x..) nor a symbol"))?;
    let place = target.place(va).ok_or_else(|| format!("{}: not mapped", Va(va)))?;
    let change = overlay.revert(place).ok_or_else(|| format!("{}: not changed", Va(va)))?;
    target.writes.changed.set(true);
    Ok(format!("reverted: {}\n", line(target, &change)))
}
