//! Finds kallsyms in a kernel's memory.

use super::addresses::Stored;
use super::names::{Lengths, Names};
use super::search::{Found, Search};
use super::tokens::Tokens;
use super::{bad, read};
use crate::space::Space;
use crate::symbols::kallsyms::Table;
use crate::{Error, Result};
use kgdbserver_arch::{Machine, Va};
use std::ops::Range;

/// No kernel has more symbols: with everything built in and every option for debugging it is about a million.
pub(super) const SYMBOL_LIMIT: u64 = 4_000_000;
/// From the names to the tokens it is no further, in bytes.
pub(super) const NAMES_LIMIT: u64 = 32 << 20;
/// The offset of a token has 16 bits, and so the table is no larger.
pub(super) const TOKENS_LIMIT: u64 = 1 << 16;
pub(super) const INDEX_BYTES: usize = 512;
/// Parts of the table begin at a multiple of 4 or 8. Before `.balign` was used it was `.align`, which some assemblers
/// take as a power of two: 16 and 256.
pub(super) const ALIGNMENTS: [u64; 4] = [8, 4, 16, 256];
/// `markers` holds the beginning of one name out of so many.
const MARKED: usize = 256;

/// Where the names lie. `kallsyms_names` is the first of them in memory, `kallsyms_token_index` the last, in all releases.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts {
    pub(super) count: u64,
    pub(super) names: Va,
    pub(super) token_table: Va,
    pub(super) token_index: Va,
}

/// The kernel's symbols, from its own memory: where `told` says (VMCOREINFO names the parts of the table since 6.0) or
/// else searched for in `range`, the addresses of the kernel's image; an empty range is not searched. `anchors` are
/// symbols whose addresses are known; what the table says of them must agree.
///
/// # Errors
/// The table is not there, or pages of it are not in the image, or it disagrees with the anchors.
pub fn find(
    space: &Space,
    range: Range<u64>,
    anchors: &[(&str, u64)],
    told: &dyn Fn(&str) -> Option<u64>,
) -> Result<Table> {
    let untold = match tell(space, told) {
        Some(told) => match told.and_then(|(parts, stored)| load(space, &parts, stored, anchors)) {
            Ok(table) => return Ok(table),
            Err(error) if range.is_empty() => return Err(error),
            Err(error) => error.to_string(),
        },
        None => "the image does not say where it is".into(),
    };
    let mut search = Search::new(space, range);
    let table = search.find(&|found| try_all(space, &found, anchors));
    table.ok_or_else(|| Error::Unsupported(format!("no kallsyms: {untold}; {}", search.failure())))
}

/// The parts of the table as VMCOREINFO tells them; none if it does not.
fn tell(space: &Space, told: &dyn Fn(&str) -> Option<u64>) -> Option<Result<(Parts, Stored)>> {
    let va = |name: &str| told(&format!("kallsyms_{name}")).map(Va);
    let (names, token_table, token_index) = (va("names")?, va("token_table")?, va("token_index")?);
    let count = va("num_syms")?;
    let stored = match (va("offsets"), va("relative_base")) {
        (Some(offsets), Some(base)) => {
            let base = read(space, "its base", base, space.machine.ptr_bytes.into());
            base.map(|base| Stored::Offsets(offsets, space.machine.uint(&base)))
        }
        (Some(offsets), None) => Ok(Stored::Places(offsets)),
        (None, _) => Ok(Stored::Pointers(va("addresses")?)),
    };
    let parts = |count| Ok((Parts { count, names, token_table, token_index }, stored?));
    Some(read_count(space, count).and_then(parts))
}

/// The number of symbols: 32 bits, and those of a pointer until 4.19. Names begin with no zero, so that zeros in front of
/// the number can only be its upper half.
fn read_count(space: &Space, at: Va) -> Result<u64> {
    let bytes = read(space, "its number of symbols", at, 8)?;
    let mut halves = bytes.chunks_exact(4).map(|half| space.machine.uint(half));
    Ok(halves.find(|count| *count != 0).unwrap_or(0))
}

/// Reads the whole table, and checks it.
fn load(space: &Space, parts: &Parts, stored: Stored, anchors: &[(&str, u64)]) -> Result<Table> {
    let names = read_names(space, parts)?;
    let table = assemble(space, parts, names, stored)?;
    check(&table, anchors)?;
    Ok(table)
}

fn assemble(space: &Space, parts: &Parts, names: Names, stored: Stored) -> Result<Table> {
    let addresses = stored.read(space, names.len())?;
    Table::new(addresses, names).map_err(|why| bad(parts.names, why))
}

/// The first of the ways in which the addresses may be kept that gives a sound table.
fn try_all(space: &Space, found: &Found, anchors: &[(&str, u64)]) -> Option<Table> {
    found.stored.iter().find_map(|stored| {
        let table = assemble(space, &found.parts, found.names.clone(), *stored).ok()?;
        (check(&table, anchors).is_ok() && is_mapped(space, &table)).then_some(table)
    })
}

/// Whether there is memory where the table says that the kernel is. Some of it may be gone: what is only needed at boot.
fn is_mapped(space: &Space, table: &Table) -> bool {
    let eighth = |part: usize| table.addresses().get(table.len() / 8 * part).copied();
    (2..8).filter_map(eighth).any(|address| space.translate(Va(address)).is_ok())
}

/// Whether the table has an anchor where it should be. One is enough, and others may differ: what VMCOREINFO calls
/// SYMBOL(mem_section) is the value of that pointer.
fn check(table: &Table, anchors: &[(&str, u64)]) -> Result<()> {
    let mut wrong = None;
    for (name, address) in anchors {
        match table.has(name, *address) {
            Some(true) => return Ok(()),
            Some(false) => wrong = Some((name, *address)),
            None => {}
        }
    }
    wrong.map_or(Ok(()), |(name, address)| {
        let ours = table.by_name(name).map_or(Va(0), |symbol| symbol.va);
        Err(bad(ours, format!("{name} is here, and should be at {address:#x}")))
    })
}

fn read_names(space: &Space, parts: &Parts) -> Result<Names> {
    let distance = |from: Va, to: Va, limit: u64| {
        let distance = to.0.checked_sub(from.0).filter(|distance| (1..=limit).contains(distance));
        distance.and_then(|distance| usize::try_from(distance).ok())
    };
    let implausible = |what| bad(parts.names, format!("{what}: {parts:x?}"));
    if !(1..=SYMBOL_LIMIT).contains(&parts.count) {
        return Err(implausible("an implausible number of symbols"));
    }
    let between = distance(parts.names, parts.token_table, NAMES_LIMIT);
    let between = between.ok_or_else(|| implausible("the names do not lie in front of the tokens"))?;
    let tokens = distance(parts.token_table, parts.token_index, TOKENS_LIMIT + 256);
    let tokens = tokens.ok_or_else(|| implausible("the tokens do not lie in front of their index"))?;
    let tokens = read(space, "its tokens", parts.token_table, tokens)?;
    let index = read(space, "its index of tokens", parts.token_index, INDEX_BYTES)?;
    let tokens = tokens_of(space.machine, &tokens, &index).map_err(|why| bad(parts.token_table, why))?;
    let names = read(space, "its names", parts.names, between)?;
    names_of(space.machine, parts, &names, tokens).map_err(|why| bad(parts.names, why))
}

/// The tokens in a table that is followed by anything.
pub(super) fn tokens_of(machine: Machine, table: &[u8], index: &[u8]) -> Result<Tokens, String> {
    let index: Vec<u16> = index.chunks_exact(2).map(|bytes| machine.uint(bytes) as u16).collect();
    Tokens::new(table, &index)
}

/// The names, from all that lies between their beginning and the table of tokens. The markers among it must agree.
pub(super) fn names_of(
    machine: Machine,
    parts: &Parts,
    bytes: &[u8],
    tokens: Tokens,
) -> Result<Names, String> {
    let count = usize::try_from(parts.count).map_err(|error| error.to_string())?;
    for lengths in [Lengths::SevenBits, Lengths::Byte] {
        let Some((starts, end)) = lengths.walk(bytes, count) else { continue };
        if are_marked(machine, parts, bytes, &starts, end) {
            let packed = bytes.get(..end).unwrap_or_default().to_vec();
            return Names::new(packed, starts, lengths, tokens);
        }
    }
    Err(format!("there are no {count} names"))
}

/// Whether markers for names that begin at `starts` lie behind them, and little else before the tokens: from 6.2 to 6.3
/// an order by name, of three bytes for each symbol. Markers were of the size of a pointer until 4.19.
fn are_marked(machine: Machine, parts: &Parts, bytes: &[u8], starts: &[u32], end: usize) -> bool {
    let marks = || starts.iter().step_by(MARKED);
    let fits = |width: usize, alignment: u64| {
        let padding = padding(parts.names.0.wrapping_add(end as u64), alignment);
        let (padding, behind) =
            bytes.get(end..).and_then(|rest| rest.split_at_checked(padding)).unwrap_or_default();
        let markers = behind.chunks_exact(width).take(marks().len()).map(|bytes| machine.uint(bytes));
        let rest = behind.len().checked_sub(marks().len() * width);
        rest.is_some_and(|rest| rest <= 4 * starts.len() + 512)
            && padding.iter().all(|byte| *byte == 0)
            && markers.eq(marks().map(|start| u64::from(*start)))
    };
    let widths = [4, usize::from(machine.ptr_bytes)];
    widths.into_iter().any(|width| ALIGNMENTS.iter().any(|alignment| fits(width, *alignment)))
}

/// Bytes from an address to the next multiple of a power of two.
pub(super) fn padding(at: u64, alignment: u64) -> usize {
    (at.wrapping_neg() % alignment) as usize
}
