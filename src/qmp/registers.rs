//! What QEMU's `info registers -a` prints.

use kgdbserver_arch::{Arch, Machine, Registers};

/// Registers that QEMU calls otherwise: by a name, the first or the second number behind it is ours.
static NAMES: &[(&str, usize, &str)] = &[
    ("rfl", 0, "eflags"),
    ("efl", 0, "eflags"),
    ("pstate", 0, "cpsr"),
    ("fs", 1, "fs_base"),
    ("gs", 1, "gs_base"),
];

/// The registers of each CPU, by its number. What is not understood is unknown.
pub(super) fn parse(text: &str, machine: Machine) -> Vec<(u32, Registers)> {
    let cpus = text.split("CPU#").skip(1);
    cpus.filter_map(|cpu| {
        let (number, rest) = cpu.split_once(['\r', '\n'])?;
        Some((number.trim().parse().ok()?, of_cpu(rest, machine)))
    })
    .collect()
}

fn of_cpu(text: &str, machine: Machine) -> Registers {
    let mut registers = Registers::unknown(machine);
    // `R8 =00..`, `CS =0010 0000..`, `X00=..`, ` PC=..`, `RFL=00000246 [---Z-P-] CPL=0`
    let mut parts = text.split('=').peekable();
    while let (Some(before), Some(after)) = (parts.next(), parts.peek()) {
        let Some(name) = before.split_whitespace().next_back() else { continue };
        let name = name.to_ascii_lowercase();
        let mut numbers = after.split_whitespace();
        let values = [numbers.next(), numbers.next()].map(|digits| u64::from_str_radix(digits?, 16).ok());
        let renamed = NAMES.iter().filter(|(theirs, ..)| *theirs == name).map(|(_, nth, ours)| (*ours, *nth));
        for (name, nth) in renamed.chain([(name.as_str(), 0)]) {
            if let (Some(reg), Some(Some(value))) = (position(machine.arch, name), values.get(nth)) {
                registers.set(reg, *value);
            }
        }
    }
    registers
}

/// A register by its name, whose number may have a zero before it: `x07`.
fn position(arch: &Arch, name: &str) -> Option<usize> {
    let bare = |name: &str| {
        let digits = name.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
        let letters = name.len() - digits.len();
        Some((name.get(..letters)?.to_owned(), digits.parse::<u32>().ok()?))
    };
    let same = |own: &str| own == name || bare(own).is_some() && bare(own) == bare(name);
    arch.regs.iter().position(|reg| same(reg.name))
}
