//! Addresses on the command line: what lies there, and where they lead.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod support;
mod synth;
mod text;

use serde_json::json;
use std::process::Command;
use support::Saved;

use synth::elfcore::{EM_X86_64, ElfCore};
use synth::freebsd::{Full, Kernphys};
use synth::{Endian, System};
use text::same_lines;

/// What a command prints, standard error behind `!`, and its exit status if that is not 0.
#[track_caller]
fn check(saved: &Saved, line: &str, expected: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
    command.args(line.split_whitespace()).current_dir(saved.folder.path()).env_remove("RUST_LOG");
    let output = command.output().unwrap();
    let mut found = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    errors.lines().for_each(|line| found += &format!("! {line}\n"));
    if let Some(status @ 1..) = output.status.code() {
        found += &format!("status {status}\n");
    }
    same_lines(&found, expected);
}

#[test]
fn symbols_near_addresses() {
    let saved = Saved::small();
    check(
        &saved,
        "sym kernel vmcore hz hz+0x2 panic+5",
        "
        0xffffffff80410000  hz  .bss
        0xffffffff80410002  hz+0x2  .bss
        0xffffffff80201c25  panic+0x5  .text",
    );
    // Digits that can only be hexadecimal, and an address that has no symbol.
    check(
        &saved,
        "sym kernel vmcore ffffffff80201c25 0x10",
        "
        0xffffffff80201c25  panic+0x5  .text
        0x0000000000000010  no symbol
        status 1",
    );
    check(
        &saved,
        "sym kernel vmcore nonsense",
        "! kgdbserver: nonsense: no such symbol
        status 1",
    );
}

#[test]
fn the_way_of_an_address_through_a_minidump() {
    let saved = Saved::small();
    check(
        &saved,
        "vtop kernel vmcore hz 0xfffff80000001000 0xffffffffbfffffff 0x10",
        "
        address   0xffffffff80410000  hz
        region    0xfffffe0000000000-0xffffffffbfffffff: page-table entries in the file, from byte 0x7000 on
        level 2  byte 0x805010 = 0x80000000004001e3  page of 2 MiB at physical 0x400000, rw-  P RW A D G NX
        physical  0x0000000000410000
        file      byte 0x80d000

        address   0xfffff80000001000
        region    0xfffff80000000000-0xfffffbffffffffff: mapped as a whole, from physical 0x0 on
        physical  0x0000000000001000
        file      physical address 0x1000 is not in the image

        address   0xffffffffbfffffff
        region    0xfffffe0000000000-0xffffffffbfffffff: page-table entries in the file, from byte 0x7000 on
        level 2  byte 0x805ff8 = 0x0000000000000000  maps nothing
        fault     the kernel's page tables map nothing here

        address   0x0000000000000010
        fault     the image knows no mapping for this part of the address space
        status 1",
    );
}

#[test]
fn the_way_of_an_address_through_page_tables_in_memory() {
    let full =
        Full { loaded_at: 0x260_0000, kernphys: Kernphys::Variable, five_levels: false, high_memory: false };
    let saved = Saved::new(System { full: Some(full), ..System::small() }.build());
    let pages = &saved.built.memory.as_ref().unwrap().pages;
    saved.write("core", &ElfCore::of_pages(EM_X86_64, Endian::Little, true, pages).build());
    check(&saved, "vtop kernel core hz 0xffffffffa0000000", "
        address   0xffffffff80410000  hz
        region    0xffff800000000000-0xffffffffffffffff: 4 levels of page tables, the top one at physical 0x3000000
        level 4  physical 0x3000ff8 = 0x0000000003002063  table at physical 0x3002000  P RW A D
        level 3  physical 0x3002ff0 = 0x0000000003003063  table at physical 0x3003000  P RW A D
        level 2  physical 0x3003010 = 0x00000000028000e3  page of 2 MiB at physical 0x2800000, rwx  P RW A D
        physical  0x0000000002810000
        file      byte 0x15000

        address   0xffffffffa0000000
        region    0xffff800000000000-0xffffffffffffffff: 4 levels of page tables, the top one at physical 0x3000000
        level 4  physical 0x3000ff8 = 0x0000000003002063  table at physical 0x3002000  P RW A D
        level 3  physical 0x3002ff0 = 0x0000000003003063  table at physical 0x3003000  P RW A D
        level 2  physical 0x3003800 = 0x0000000000000000  maps nothing
        fault     the kernel's page tables map nothing here
        status 1");
}

#[test]
fn both_as_json() {
    let saved = Saved::small();
    let place = json!({
        "address": "0xffffffff80201c25", "symbol": "panic", "offset": 5, "module": null, "section": ".text",
    });
    let expected = json!({ "schema": 1, "places": [place] });
    check(&saved, "sym --json kernel vmcore panic+5", &format!("{expected:#}"));
    let expected = json!({ "schema": 1, "addresses": [{
        "address": "0xffffffff80410000",
        "steps": [{
            "level": 2, "physical": null, "file_offset": 0x80_5010, "value": "0x80000000004001e3", "kind": "page",
            "leads_to": "0x400000", "rights": "rw-", "flags": ["P", "RW", "A", "D", "G", "NX"],
        }],
        "physical": "0x410000",
        "file_offset": 0x80_d000,
        "error": null,
    }]});
    check(&saved, "vtop --json kernel vmcore hz", &format!("{expected:#}"));
}
