//! Kernel modules.

use super::tasks::list;
use super::{Told, scan};
use crate::Result;
use crate::kernel::fields::{Fields, bad, offset};
use crate::kernel::state::{Module, Part};
use crate::kernel::{Listing, text};
use kgdbserver_arch::Va;
use std::fmt::Write;
use std::ops::Range;

/// No module has more sections, be there one for each of its functions.
const SECTION_LIMIT: u64 = 1 << 16;
/// Kinds of parts: 7 in 6.4.
const PART_LIMIT: u64 = 64;
/// No part is larger: modules share 1.5 GiB on x86-64, and 2 GiB on arm64.
const PART_BYTES: u64 = 1 << 30;
/// Module and section names are shorter.
const NAME_BYTES: usize = 512;
/// A SHA-1 has 20 bytes; no digest has more than 64.
const BUILD_ID_LIMIT: u64 = 64;

/// The modules of the list `modules`, the one that was loaded last first. Where no symbol leads to it, it is looked for in the
/// kernel's image.
pub(super) fn all(fields: &Fields<'_>, told: &Told) -> Result<Listing<Module>> {
    let member = fields.member("module", "list")?.offset;
    let unformed = fields.symbols.types().enumerator("MODULE_STATE_UNFORMED");
    let formed = |va: Va| match fields.int(va, "module", "state") {
        Ok(state) => Some(state) != unformed,
        Err(_) => true,
    };
    let search = || search(fields, told.start()?, member);
    let head = fields.variable("modules").or_else(|missing| told.modules.or_find(search).ok_or(missing))?;
    let modules = list(fields.mem, "module", head, member);
    let modules = modules.filter(|va| va.as_ref().map_or(true, |va| formed(*va)));
    Ok(Listing::from_results(modules.map(|va| module(fields, va?))))
}

/// Looks for two pointers that lead to the first and to the last of a list of nothing but modules.
fn search(fields: &Fields<'_>, text: u64, member: u64) -> Option<Va> {
    let mem = fields.mem;
    let word = usize::from(mem.machine.ptr_bytes);
    let leads = |link: u64, skip: u64, to: Va| {
        let mapped = mem.regions().iter().any(|region| region.contains(Va(link)));
        mapped && link != to.0 && mem.pointer(Va(link.wrapping_add(skip))).is_ok_and(|back| back == to)
    };
    let is_head = |at: Va, pair: &[u8]| {
        let (next, previous) = pair.split_at_checked(word).unwrap_or_default();
        let [next, previous] = [next, previous].map(|bytes| mem.machine.uint(bytes));
        leads(next, word as u64, at)
            && leads(previous, 0, at)
            && list(mem, "module", at, member)
                .all(|module| module.is_ok_and(|module| is_module(fields, module)))
    };
    scan::find(mem, text, |at, piece| {
        let pairs = piece.windows(2 * word).enumerate().step_by(word);
        let mut places = pairs.map(|(place, pair)| (Va(at.0 + place as u64), pair));
        places.find(|(at, pair)| is_head(*at, pair)).map(|(at, _)| at)
    })
}

/// Whether what lies there has a module's name, and code.
fn is_module(fields: &Fields<'_>, va: Va) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let named =
        fields.text(va, "module", "name").is_ok_and(|name| !name.is_empty() && name.bytes().all(letter));
    named && parts(fields, va).is_ok_and(|parts| parts.first().is_some_and(|part| part.range.start != 0))
}

fn module(fields: &Fields<'_>, va: Va) -> Result<Module> {
    let parts = parts(fields, va)?;
    let sections = sections(fields, va).unwrap_or_else(|error| {
        log::debug!("the sections of the module at {va}: {error}");
        Vec::new()
    });
    let note = sections.iter().find(|(name, _)| name == ".note.gnu.build-id");
    Ok(Module {
        va,
        name: fields.text(va, "module", "name")?,
        path: None,
        address: parts.first().map_or(Va(0), |part| Va(part.range.start)),
        size: Some(parts.iter().map(|part| part.range.end - part.range.start).sum()),
        build_id: note.and_then(|(_, note)| build_id(fields, *note).ok()),
        sections,
        parts,
    })
}

/// The memory of a module, its code first. The parts for initialising are empty once that is done.
fn parts(fields: &Fields<'_>, va: Va) -> Result<Vec<Part>> {
    // Since 6.4 there is an array of parts, by their kind.
    if let Ok(all) = fields.member("module", "mem") {
        let types = fields.symbols.types();
        let code = ["MOD_TEXT", "MOD_INIT_TEXT"].map(|kind| types.enumerator(kind).map(i64::cast_unsigned));
        let part = |number| {
            let at = fields.element(va, "module", "mem", number)?;
            let base = fields.pointer(at, "module_memory", "base")?;
            part(base, 0..fields.uint(at, "module_memory", "size")?, code.contains(&Some(number)))
        };
        let parts = (0..all.elements.unwrap_or(0).min(PART_LIMIT)).map(part);
        let mut parts: Vec<Part> = parts.filter_map(Result::transpose).collect::<Result<_>>()?;
        parts.sort_by_key(|part| !part.code);
        return Ok(parts);
    }
    // Since 4.5 there are two, each with its code at its beginning. Before, they were no structures.
    let layouts = match fields.has("module", "core_layout") {
        true => [
            ["core_layout.base", "core_layout.text_size", "core_layout.size"],
            ["init_layout.base", "init_layout.text_size", "init_layout.size"],
        ],
        false => {
            [["module_core", "core_text_size", "core_size"], ["module_init", "init_text_size", "init_size"]]
        }
    };
    let mut parts = Vec::new();
    for [base, text, size] in layouts {
        let base = fields.pointer(va, "module", base)?;
        let (text, size) = (fields.uint(va, "module", text)?, fields.uint(va, "module", size)?);
        let text = text.min(size);
        parts.extend([part(base, 0..text, true)?, part(base, text..size, false)?].into_iter().flatten());
    }
    Ok(parts)
}

/// A part, unless it is empty.
fn part(base: Va, bytes: Range<u64>, code: bool) -> Result<Option<Part>> {
    if bytes.end > PART_BYTES {
        return Err(bad("module", base, format!("it has {:#x} bytes", bytes.end)));
    }
    let range = offset(base, bytes.start)?.0..offset(base, bytes.end)?.0;
    Ok((!range.is_empty()).then_some(Part { range, code }))
}

/// Where its sections were loaded, as `/sys/module/NAME/sections` tells.
fn sections(fields: &Fields<'_>, va: Va) -> Result<Vec<(String, Va)>> {
    let Va(attributes @ 1..) = fields.pointer(va, "module", "sect_attrs")? else { return Ok(Vec::new()) };
    let attributes = Va(attributes);
    if !fields.has("module_sect_attrs", "nsections") {
        return listed(fields, attributes);
    }
    let count = fields.uint(attributes, "module_sect_attrs", "nsections")?;
    if count > SECTION_LIMIT {
        return Err(bad("module_sect_attrs", attributes, format!("it has {count} sections")));
    }
    // Until 5.8 these were no binary attributes.
    let binary = fields.has("module_sect_attr", "battr");
    let name = if binary { "battr.attr.name" } else { "name" };
    let section = |number: u64| {
        let at = fields.element(attributes, "module_sect_attrs", "attrs", number)?;
        section(fields, at, "module_sect_attr", [name, "address"])
    };
    (0..count).map(section).collect()
}

/// Since 6.14 the sections are not counted: pointers to them end with null.
fn listed(fields: &Fields<'_>, attributes: Va) -> Result<Vec<(String, Va)>> {
    let first = fields.pointer(attributes, "module_sect_attrs", "grp.bin_attrs")?;
    let word = u64::from(fields.mem.machine.ptr_bytes);
    let mut sections = Vec::new();
    for number in 0..SECTION_LIMIT {
        match fields.mem.pointer(offset(first, number * word)?)? {
            Va(0) => return Ok(sections),
            at => sections.push(section(fields, at, "bin_attribute", ["attr.name", "private"])?),
        }
    }
    Err(bad("module_sect_attrs", attributes, "its sections have no end"))
}

fn section(fields: &Fields<'_>, at: Va, structure: &str, [name, address]: [&str; 2]) -> Result<(String, Va)> {
    let name = fields.mem.string(fields.pointer(at, structure, name)?, NAME_BYTES)?;
    Ok((text(&name), fields.pointer(at, structure, address)?))
}

/// What identifies the module's file: the contents of an ELF note, in digits.
fn build_id(fields: &Fields<'_>, note: Va) -> Result<String> {
    let word = |number: u64| fields.mem.uint(offset(note, 4 * number)?, 4);
    let (name, length) = (word(0)?, word(1)?);
    if name != 4 || length > BUILD_ID_LIMIT {
        return Err(bad("note", note, "it is no build id"));
    }
    let mut bytes = vec![0; length as usize];
    fields.mem.read_exact(offset(note, 16)?, &mut bytes)?;
    Ok(bytes.iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}"); // writing to a String cannot fail
        digits
    }))
}
