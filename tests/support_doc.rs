//! `docs/support.md` is made from the tables in the code; `KGDBSERVER_BLESS=1` writes it anew.
#![allow(clippy::expect_used)]

use kgdbserver::image;
use kgdbserver_arch::{ALL, Arch, Bsd, Minidump};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

const HEAD: &str = "\
# What is supported

Made from the tables in the code (`KGDBSERVER_BLESS=1 cargo test --test support_doc`). What each row was tested on stands
in the [README](../README.md#what-it-opens).
";

/// What no table holds.
const TAIL: &str = "
## The memory of processes

Arguments and environments that the kernel keeps no copy of, and user addresses in a debugger, where the image holds the
pages. Seen on real dumps of x86_64 (FreeBSD); on synthetic ones of aarch64, i386 (with and without PAE), riscv64, arm (v6 and
later) and powerpc64le (radix tree), and of DragonFly. A hashed page table of PowerPC is not searched for them.

All of DragonFly was seen on synthetic dumps only: processes, threads, arguments, environments, files, modules, messages, swap,
load, CPU times, per-CPU data.
";

#[test]
fn the_page_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/support.md");
    let expected = page();
    if std::env::var_os("KGDBSERVER_BLESS").is_some() {
        std::fs::write(&path, &expected).expect("docs can be written");
    }
    let found = std::fs::read_to_string(&path).expect("docs/support.md exists");
    assert_eq!(found, expected, "docs/support.md is stale: KGDBSERVER_BLESS=1 cargo test --test support_doc");
}

fn page() -> String {
    let formats: Vec<&str> = image::FORMATS.iter().map(|format| format.name).collect();
    let wrappings: BTreeSet<&str> = image::wrappings().collect();
    let mut page = format!(
        "{HEAD}\n## Images\n\n- Formats: {}; raw memory.\n- Wrapped in: {}.\n\n## Processors\n\n",
        formats.join(", "),
        wrappings.into_iter().collect::<Vec<_>>().join(", "),
    );
    page += "| processor | system | minidump versions | page tables found by symbols (full dumps, raw memory) | pcb layouts since `__FreeBSD_version` | trap frames since | registers |\n";
    page += "|---|---|---|---|---|---|---|\n";
    for arch in ALL {
        for (system, row) in [("FreeBSD", arch.freebsd), ("DragonFly", arch.dragonfly)] {
            if let Some(row) = row {
                let _ = writeln!(page, "| {} |", processor(arch, system, row).join(" | "));
            }
        }
    }
    page + TAIL
}

fn processor(arch: &Arch, system: &str, row: &Bsd) -> Vec<String> {
    let minidumps: Vec<String> = row.minidumps.iter().map(versions).collect();
    let list = |releases: Vec<String>| if releases.is_empty() { "–".into() } else { releases.join(", ") };
    let releases = row.pcb.iter().map(|pcb| pcb.since.to_string()).collect();
    let traps = row.traps.iter().map(|trap| trap.since.to_string()).collect();
    vec![
        arch.name.into(),
        system.into(),
        list(minidumps),
        if row.full.is_some() { "yes" } else { "–" }.into(),
        list(releases),
        list(traps),
        arch.regs.len().to_string(),
    ]
}

fn versions(minidump: &Minidump) -> String {
    let (first, last) = (minidump.versions.start(), minidump.versions.end());
    let range = if first == last { first.to_string() } else { format!("{first} to {last}") };
    format!("{range} (`{}`)", minidump.magic)
}
