//! Image files, good, odd and broken: what opening and reading them says.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod files;
mod headers;
mod kernels;
mod oracle;
#[path = "../support/mod.rs"]
mod support;
#[path = "../synth/mod.rs"]
mod synth;
#[path = "../text/mod.rs"]
mod text;

use kgdbserver::image::Addr;
use kgdbserver::{Kvm, Result, describe};
use kgdbserver_arch::{Pa, Va};
use std::fmt::Write;
use std::path::Path;
use support::{UNKNOWN, open};
use synth::minidump::{DMAP, Layout, Minidump, PAGE, Rights, SUPERPAGE};
use synth::{System, put};
use text::{hex, lines, same_lines};

const TEXT: u64 = 0xffff_ffff_8020_0000;

/// Physical pages that are dumped; each begins with its own address.
const DUMPED: [u64; 8] = [
    0x1000,
    0x2000,
    0x9_e000, // the last page before the hole of a PC
    0x10_0000,
    0x20_0000, // in the kernel's text
    0x20_1000,
    0x1_0000_0000, // above 4 GiB
    0x1_0000_1000,
];

/// A dump whose pages say where they are. Below the text, three pages of kernel address space:
/// the first leads to 0x2000, the second to a page that was not dumped, the third to 0x1000.
fn dump(version: u32) -> (Vec<u8>, Layout) {
    let mut dump = Minidump::new(version);
    dump.msgbuf = b"<118>hello".to_vec();
    dump.map(TEXT, 0x20_0000, SUPERPAGE, Rights::Execute);
    for (page, pa) in (0..).zip([0x2000, 0x3000, 0x1000]) {
        dump.map(TEXT - SUPERPAGE + page * PAGE, pa, PAGE, Rights::Write);
    }
    for pa in DUMPED {
        dump.write_physical(pa, format!("page {pa:x}").as_bytes());
        dump.write_physical(pa + PAGE - 4, b"end.");
    }
    dump.build()
}

/// Header fields: name, offset, bytes.
const FIELDS: &[(&str, usize, usize)] = &[
    ("version", 24, 4),
    ("msgbufsize", 28, 4),
    ("bitmapsize", 32, 4),
    ("pmapsize", 36, 4),
    ("kernbase", 40, 8),
    ("dmapbase", 48, 8),
    ("dmapend", 56, 8),
    ("dumpavailsize", 64, 4),
];

/// Does what a line says to the file; false if the line is a question instead.
fn edit(file: &mut Vec<u8>, layout: &Layout, line: &str) -> bool {
    let words: Vec<&str> = line.split_whitespace().collect();
    if let Some((_, offset, bytes)) = FIELDS.iter().find(|(name, ..)| *name == words[0]) {
        put(file, *offset, &hex(words[1]).to_le_bytes()[..*bytes]);
        return true;
    }
    match words.as_slice() {
        ["magic", text @ ..] => put(file, 0, text.join(" ").as_bytes()),
        ["byte", offset, value] => file[hex(offset) as usize] = hex(value) as u8,
        // A range of physical memory, by its number in dump_avail.
        ["range", number, start, end] => {
            let at = layout.dump_avail.start + hex(number) as usize * 16;
            put(file, at, &hex(start).to_le_bytes());
            put(file, at + 8, &hex(end).to_le_bytes());
        }
        ["clear", "dump_avail"] => file[layout.dump_avail.clone()].fill(0),
        ["cut", "pages", offset] => file.truncate(layout.sparse.start + hex(offset) as usize),
        ["cut", offset] => file.truncate(hex(offset) as usize),
        ["append", bytes] => file.resize(file.len() + hex(bytes) as usize, 0xee),
        _ => return false,
    }
    true
}

/// The answer to a question: `read`, `physical` or `pages`.
fn ask(kvm: &Kvm, line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words.as_slice() {
        ["read", va, length] => {
            let mut bytes = vec![0xaa; hex(length) as usize];
            match kvm.read2(address(va), &mut bytes) {
                Ok(got) => show(&bytes[..got]),
                Err(error) => error.to_string(),
            }
        }
        ["physical", pa] => {
            let mut bytes = [0xaa; 16];
            match kvm.image().memory.read(Addr::Phys(Pa(hex(pa))), &mut bytes) {
                Ok(got) => show(&bytes[..got]),
                Err(why) => describe(why),
            }
        }
        ["pages"] => {
            let census = kvm.census();
            format!("{} dumped, {} missing", census.dumped, census.cut_off)
        }
        ["walk"] => {
            let (mut all, mut held) = (0, 0);
            kvm.walk_pages(|page| {
                all += 1;
                held += usize::from(page.offset.is_some());
                true
            });
            format!("{all} pages, {held} in the file")
        }
        _ => panic!("{line}: not understood"),
    }
}

/// `dmap+1000`, `low+1000` (the small pages below the text), `text+0`, or a plain number.
fn address(text: &str) -> u64 {
    let bases = [("dmap+", DMAP.start), ("low+", TEXT - SUPERPAGE), ("text+", TEXT)];
    let base = bases.iter().find_map(|(name, base)| Some(base + hex(text.strip_prefix(name)?)));
    base.unwrap_or_else(|| hex(text))
}

/// The text that bytes begin with, and how many bytes there are.
fn show(bytes: &[u8]) -> String {
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    format!("{:?}, {:#x} bytes", String::from_utf8_lossy(text), bytes.len())
}

/// Opens a file; the answers to the questions, below the warnings; or why it cannot be opened.
fn opened(path: &Path, questions: &[&str]) -> String {
    let kvm = match open(None, path, false) {
        Ok(kvm) => kvm,
        Err(error) => return error.to_string().replace(&path.display().to_string(), "FILE"),
    };
    let mut out = String::new();
    for warning in &kvm.image().warnings {
        writeln!(out, "warning: {warning}").unwrap();
    }
    for question in questions {
        writeln!(out, "{question}: {}", ask(&kvm, question)).unwrap();
    }
    out
}

/// Makes a dump of a version, edits it and asks as the script says, and compares what comes out.
#[track_caller]
fn check(version: u32, script: &str, expected: &str) {
    let (mut file, layout) = dump(version);
    let questions: Vec<&str> = lines(script).filter(|line| !edit(&mut file, &layout, line)).collect();
    let saved = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(saved.path(), file).unwrap();
    same_lines(&opened(saved.path(), &questions), expected);
}

/// A rule of the header that is broken, in every version.
#[track_caller]
fn refused(script: &str, expected: &str) {
    for version in 1..=3 {
        check(version, script, expected);
    }
}
