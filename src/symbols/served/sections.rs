//! The sections of the file that is made.

use crate::kernel::state::{Module, Part};
use crate::symbols::{KernelFile, Kind, Section, Symbol, kallsyms};
use goblin::elf::section_header::{SHF_EXECINSTR, SHT_NOTE};
use kgdbserver_arch::Va;
use std::ops::Range;

/// A loaded section.
pub(super) struct Loaded<'a> {
    pub(super) name: &'a str,
    pub(super) range: Range<u64>,
    pub(super) execute: bool,
    /// The bytes of a note: gdb compares build ids.
    pub(super) note: Option<Vec<u8>>,
}

/// The kernel's loaded sections. A file with symbols only may have none for its code, which then lies between the
/// kernel's base and its first section.
pub(super) fn of_file(file: &KernelFile) -> Vec<Loaded<'_>> {
    let mut all: Vec<Loaded<'_>> =
        file.sections().iter().filter_map(|section| loaded(file, section)).collect();
    if !all.iter().any(|section| section.execute) {
        let base = file.by_name("kernbase").map(|symbol| symbol.va.0);
        let end = all.iter().map(|section| section.range.start).min();
        if let Some((base, end)) = base.zip(end).filter(|(base, end)| base < end) {
            all.push(Loaded { name: ".text", range: base..end, execute: true, note: None });
        }
    }
    all
}

fn loaded<'a>(file: &KernelFile, section: &'a Section) -> Option<Loaded<'a>> {
    let header = &section.header;
    if !section.is_alloc() || header.sh_size == 0 || section.name.starts_with(".eh_frame") {
        return None;
    }
    let note = || file.contents(Va(header.sh_addr), header.sh_size);
    Some(Loaded {
        name: &section.name,
        range: header.sh_addr..header.sh_addr.checked_add(header.sh_size)?,
        execute: header.sh_flags & u64::from(SHF_EXECINSTR) != 0,
        note: if header.sh_type == SHT_NOTE { note() } else { None },
    })
}

/// Sections of a Linux kernel by the symbols that mark their ends.
///
/// Per-CPU variables of x86-64 are offsets from 0 until 6.14, which a debugger would move with the kernel. In a section that
/// lies as far below 0 as the kernel is moved up, they come out right.
const MARKS: &[(&str, &str, &str)] = &[
    (".data..percpu", "__per_cpu_start", "__per_cpu_end"),
    (".text", "_stext", "_etext"),
    (".rodata", "__start_rodata", "__end_rodata"),
    (".data", "_sdata", "_edata"),
    (".init.text", "_sinittext", "_einittext"),
    (".bss", "__bss_start", "__bss_stop"),
];
/// How much further than its last symbol the code may go on.
const LAST_FUNCTION: u64 = 4096;

/// The sections of a Linux kernel of which only the table of symbols is known, `slide` below where they are. A table of
/// functions only has no symbols of data, which then lie in no section.
pub(super) fn of_table(table: &kallsyms::Table, slide: u64) -> Vec<Loaded<'static>> {
    let address = |name: &str| Some(table.by_name(name)?.va.0);
    let section = |(name, first, last): &(&'static str, &str, &str)| {
        let start = address(first)?;
        let end = address(last).or_else(|| (*name == ".text").then(|| end_of_code(table)))?;
        let range = start.wrapping_sub(slide)..end.wrapping_sub(slide);
        (range.start < range.end).then(|| Loaded { name, range, execute: name.ends_with("text"), note: None })
    };
    MARKS.iter().filter_map(section).collect()
}

fn end_of_code(table: &kallsyms::Table) -> u64 {
    let code = table.symbols().filter(|symbol: &Symbol| symbol.kind == Kind::Text).last();
    code.map_or(0, |symbol| symbol.va.0.saturating_add(LAST_FUNCTION))
}

/// Adds sections for variables that lie in none: lldb takes the address of such a one for that of memory, however the
/// kernel was moved. One section reaches from the first variable to the last of those that no other section divides.
pub(super) fn add_data(sections: &mut Vec<Loaded<'_>>, variables: impl Iterator<Item = Range<u64>>) {
    let inside = |va: &u64| sections.iter().any(|section| section.range.contains(va));
    let mut stray: Vec<Range<u64>> = variables.filter(|variable| !inside(&variable.start)).collect();
    stray.sort_unstable_by_key(|variable| variable.start);
    let mut starts: Vec<u64> = sections.iter().map(|section| section.range.start).collect();
    starts.sort_unstable();
    let next =
        |va: u64| starts.get(starts.partition_point(|start| *start <= va)).copied().unwrap_or(u64::MAX);
    let mut added: Vec<Range<u64>> = Vec::new();
    for variable in stray {
        let end = variable.end.min(next(variable.start));
        match added.last_mut() {
            Some(last) if next(last.start) == next(variable.start) => last.end = last.end.max(end),
            _ => added.push(variable.start..end),
        }
    }
    sections.extend(added.into_iter().map(|range| Loaded {
        name: ".data",
        range,
        execute: false,
        note: None,
    }));
}

/// The sections of a module. What the kernel tells are names and beginnings; a section reaches up to the next one.
pub(super) fn of_module(module: &Module) -> Vec<Loaded<'_>> {
    module.parts.iter().flat_map(|part| of_part(module, part)).collect()
}

fn of_part<'a>(module: &'a Module, part: &Part) -> impl Iterator<Item = Loaded<'a>> {
    let mut starts = vec![(part.range.start, if part.code { ".text" } else { ".data" })];
    let inside = |va: Va| part.range.contains(&va.0);
    starts.extend(module.sections.iter().filter(|s| inside(s.1)).map(|(name, va)| (va.0, name.as_str())));
    starts.sort_by_key(|(start, _)| *start);
    let ends: Vec<u64> = starts.iter().skip(1).map(|(start, _)| *start).chain([part.range.end]).collect();
    let execute = part.code;
    let sections = starts.into_iter().zip(ends);
    sections
        .map(move |((start, name), end)| Loaded { name, range: start..end, execute, note: None })
        .filter(|section| !section.range.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_outside_of_all_sections_get_sections_between_them() {
        let section = |range: Range<u64>| Loaded { name: ".text", range, execute: true, note: None };
        let mut sections = vec![section(0x1000..0x2000), section(0x5000..0x6000)];
        let variables = [0x7000..0x7008, 0x3000..0x3004, 0x1800..0x1808, 0x3100..0x3200, 0x4fff..0x5003];
        add_data(&mut sections, variables.into_iter());
        let found: Vec<_> = sections.iter().map(|section| (section.name, section.range.clone())).collect();
        let expected = [
            (".text", 0x1000..0x2000),
            (".text", 0x5000..0x6000),
            (".data", 0x3000..0x5000),
            (".data", 0x7000..0x7008),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_modules_sections_reach_up_to_the_next_one() {
        let section = |(name, va): &(&str, u64)| ((*name).to_owned(), Va(*va));
        let sections = [
            (".text", 0x1000),
            (".init.text", 0x9000), // freed
            (".data", 0x3010),      // behind what has no name
            (".exit.text", 0x1f00),
            (".data..percpu", 0x8_0000), // in another place
            (".smp_locks", 0x3100),      // empty
            (".bss", 0x3100),
        ];
        let module = Module {
            va: Va(0x3050),
            name: "fuse".into(),
            path: None,
            address: Va(0x1000),
            size: None,
            build_id: None,
            sections: sections.iter().map(section).collect(),
            parts: vec![
                Part { range: 0x1000..0x2000, code: true },
                Part { range: 0x3000..0x4000, code: false },
                Part { range: 0x5000..0x6000, code: false },
            ],
        };
        let found: Vec<_> = of_module(&module).iter().map(|s| (s.name, s.range.clone(), s.execute)).collect();
        let expected = [
            (".text", 0x1000..0x1f00, true),
            (".exit.text", 0x1f00..0x2000, true),
            (".data", 0x3000..0x3010, false),
            (".data", 0x3010..0x3100, false),
            (".bss", 0x3100..0x4000, false),
            (".data", 0x5000..0x6000, false),
        ];
        assert_eq!(found, expected);
    }
}
