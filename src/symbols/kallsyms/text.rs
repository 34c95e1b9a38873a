//! Symbols as text: `/proc/kallsyms` and `System.map`, an address, a letter and a name on each line.

use super::names::{Lengths, Names};
use super::tokens::{Tokens, is_visible};
use super::{Table, kind};
use crate::symbols::Kind;
use crate::{Error, Result};

const FORMAT: &str = "kallsyms text";
/// A length has 14 bits in a packed name.
const NAME_LIMIT: usize = (1 << 14) - 2;
/// In names of labels that the assembler made up (GNU as, `$1` and `1:`): arm64's System.map has some.
const LABELS: [u8; 2] = [1, 2];
/// How many lines are looked at to recognise a file.
const LINES: usize = 4;

struct Line<'a> {
    address: u64,
    letter: u8,
    name: &'a [u8],
    /// Whether it is of the kernel itself, and not of a module.
    built_in: bool,
}

impl<'a> Line<'a> {
    /// `ffffffff81000000 T _text`; in `/proc/kallsyms` a module's name may follow, in brackets.
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let (address, letter, name) = (words.next()?, words.next()?, words.next()?);
        let module = words.next();
        let named = module.is_none_or(|word| word.starts_with(b"[") && word.ends_with(b"]"));
        let digits = matches!(address.len(), 8 | 16) && address.iter().all(u8::is_ascii_hexdigit);
        let address = std::str::from_utf8(address).ok().filter(|_| digits)?;
        let address = u64::from_str_radix(address, 16).ok()?;
        let [letter] = *letter else { return None };
        let sound = named && words.next().is_none() && (1..=NAME_LIMIT).contains(&name.len());
        let visible =
            is_visible(letter) && name.iter().all(|byte| is_visible(*byte) || LABELS.contains(byte));
        (sound && visible).then_some(Self { address, letter, name, built_in: module.is_none() })
    }

    fn is_label(&self) -> bool {
        self.name.iter().any(|byte| LABELS.contains(byte))
    }
}

/// Whether a file that begins so is such a text. A line that is cut off at the end of `head` does not count.
pub fn is_text(head: &[u8]) -> bool {
    let mut lines = whole_lines(head).take(LINES).peekable();
    lines.peek().is_some() && lines.all(|line| Line::parse(line).is_some())
}

/// Reads a text. Modules' symbols are left out: an image has them itself, where it has the modules. So are the assembler's
/// labels.
///
/// # Errors
/// A line that is none, or a file in which all addresses are hidden. A last line without an end is left out: it may be
/// half a name.
pub fn parse(text: &[u8]) -> Result<Table> {
    let mut lines = Vec::new();
    let mut offset = 0;
    for line in whole_lines(text) {
        let what = "not an address, a letter and a name";
        let line_of = Line::parse(line).ok_or_else(|| corrupt(offset, what))?;
        lines.extend(Some(line_of).filter(|line| line.built_in && !line.is_label()));
        offset += line.len() as u64 + 1;
    }
    if lines.is_empty() {
        return Err(corrupt(0, "no symbols"));
    }
    if lines.iter().all(|line| line.address == 0) {
        let why = "all addresses are 0: Linux hides them from who may not see them \
            (copy /proc/kallsyms as root, with kernel.kptr_restrict below 2)";
        return Err(Error::Unsupported(why.into()));
    }
    mark_percpu(&mut lines);
    lines.sort_by_key(|line| line.address);
    pack(&lines).map_err(|why| corrupt(0, why))
}

/// On x86_64 until 6.14 per-CPU variables begin at address 0. They are no places in memory: where the kernel lies is
/// not added to them. kallsyms says so by the letter A, System.map does not.
fn mark_percpu(lines: &mut [Line<'_>]) {
    let address = |name: &[u8]| lines.iter().find(|line| line.name == name).map(|line| line.address);
    if let (Some(0), Some(end)) = (address(b"__per_cpu_start"), address(b"__per_cpu_end")) {
        let percpu =
            lines.iter_mut().filter(|line| line.address <= end && kind(line.letter) != Kind::Absolute);
        percpu.for_each(|line| line.letter = b'A');
    }
}

fn whole_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = memchr::memrchr(b'\n', text).unwrap_or(0);
    text.get(..end)
        .into_iter()
        .filter(|text| !text.is_empty())
        .flat_map(|text| text.split(|byte| *byte == b'\n'))
}

fn pack(lines: &[Line<'_>]) -> Result<Table, String> {
    let mut packed = Vec::new();
    let mut starts = Vec::with_capacity(lines.len());
    for line in lines {
        starts.push(u32::try_from(packed.len()).map_err(|_| "more than 4 GiB of names")?);
        let len = line.name.len() + 1;
        match len {
            0x80.. => packed.extend([(len & 0x7f | 0x80) as u8, (len >> 7) as u8]),
            _ => packed.push(len as u8),
        }
        packed.push(line.letter);
        packed.extend(line.name);
    }
    let names = Names::new(packed, starts, Lengths::SevenBits, Tokens::plain())?;
    Table::new(lines.iter().map(|line| line.address).collect(), names)
}

fn corrupt(offset: u64, what: impl Into<String>) -> Error {
    Error::Corrupt { format: FORMAT, offset, what: what.into() }
}
