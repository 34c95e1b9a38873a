//! Finding a Linux kernel's file: on the disk, and from a debuginfod.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

#[path = "../synth/mod.rs"]
mod synth;

mod disk;
mod server;

use kgdbserver::symbols::vmlinux::Search;
use synth::Elf;
use synth::elf::{Contents, SHF_ALLOC, SHT_PROGBITS, STT_OBJECT, Section, Symbol};

const ID: &[u8] = &[0xab, 0xcd, 0xef, 1, 2, 3, 4, 5];
const HEX: &str = "abcdef0102030405";
const RELEASE: &str = "6.1.0-56-amd64";

/// A kernel file with a build id, if it has one, and a banner.
fn kernel(id: Option<&[u8]>, release: &str) -> Vec<u8> {
    let banner = format!("Linux version {release} (who@where) #1 SMP\n\0").into_bytes();
    let mut elf = Elf::amd64();
    elf.symbols.push(Symbol {
        name: "linux_banner".into(),
        address: 0xffff_ffff_8200_0000,
        size: banner.len() as u64,
        kind: STT_OBJECT,
        section: Some(".rodata".into()),
    });
    elf.sections.push(Section {
        name: ".rodata".into(),
        kind: SHT_PROGBITS,
        flags: SHF_ALLOC,
        address: 0xffff_ffff_8200_0000,
        contents: Contents::Bytes(banner),
    });
    match id {
        Some(id) => elf.with_build_id(0xffff_ffff_8300_0000, id).build(),
        None => elf.build(),
    }
}

/// What was looked at, one a line, without the places' common beginning; the last line is what was found.
fn show(search: &Search, root: &str) -> Vec<String> {
    let short = |place: &str| place.strip_prefix(root).unwrap_or(place).trim_start_matches('/').to_owned();
    let looked =
        search.looked.iter().map(|(place, outcome)| format!("{}: {outcome}", short(place)).replace(root, ""));
    let found = search.found.as_ref().map(|file| short(&file.source().path().display().to_string()));
    looked.chain([found.unwrap_or("nothing".into())]).collect()
}
