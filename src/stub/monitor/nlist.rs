use super::KernelTarget;

pub(super) fn run(target: &KernelTarget, names: &[&str]) -> Result<String, String> {
    if names.is_empty() {
        return Err("monitor nlist NAME...".into());
    }
    let line = |name: &&str| match target.kvm.symbol(name) {
        Some(symbol) => format!("{:016x} {} {name}\n", symbol.va.0, symbol.letter()),
        None => format!("{name}: no such symbol\n"),
    };
    Ok(names.iter().map(line).collect())
}
