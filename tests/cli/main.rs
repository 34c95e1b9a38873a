//! The command line: what is typed, and what comes out.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod arguments;
mod info;
mod nlist;
mod ps;
mod raw_memory;
mod read;
mod ready;
#[path = "../support/mod.rs"]
mod support;
#[path = "../synth/mod.rs"]
mod synth;
#[path = "../text/mod.rs"]
mod text;

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::{Command, Output};
use support::{Saved, UNKNOWN, known_registers, replace, shown_name, stack_top};
use synth::System;
use text::same_lines;

/// Runs the command in the folder of the files, which are called `kernel` and `vmcore`.
fn run(saved: &Saved, line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
    command.args(line.split_whitespace()).current_dir(saved.folder.path()).env_remove("RUST_LOG");
    command.env("XDG_CACHE_HOME", saved.path(".cache"));
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Standard output, then standard error behind `!`, then the exit status if it is not 0.
#[track_caller]
fn check(saved: &Saved, line: &str, expected: &str) {
    let output = run(saved, line);
    let mut found = text(&output.stdout);
    for line in text(&output.stderr).lines().filter(|line| !line.is_empty()) {
        found += &format!("! {line}\n");
    }
    match output.status.code() {
        Some(0) => {}
        code => found += &format!("status {code:?}\n").replace("Some(", "").replace(")", ""),
    }
    same_lines(&found, expected);
}

/// A command that succeeds; its output as JSON.
#[track_caller]
fn json_of(saved: &Saved, line: &str) -> Value {
    let output = run(saved, line);
    assert!(output.status.success(), "{line}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Wrong use: the reason, and where to look.
fn usage(reason: &str) -> String {
    format!("! error: {reason}\n! For more information, try '--help'.\nstatus 2")
}

#[test]
fn a_symbol_file_is_written_once() {
    let saved = Saved::small();
    let sources = "symbols      the kernel file's\ntypes        none\nunwinding    frame pointers";
    check(&saved, "symbols kernel vmcore -o out", sources);
    let first = std::fs::read(saved.path("out")).unwrap();
    assert_eq!((&first[..4], first[7]), (&b"\x7fELF"[..], 0), "no brand");
    check(
        &saved,
        "symbols kernel vmcore -o out",
        "! kgdbserver: out: is there already; --replace replaces it\nstatus 1",
    );
    std::fs::write(saved.path("out"), "something else").unwrap();
    check(&saved, "symbols kernel vmcore -o out --replace", sources);
    assert_eq!(std::fs::read(saved.path("out")).unwrap(), first);
    let output = run(&saved, "symbols kernel vmcore -o none/out");
    assert!(text(&output.stderr).starts_with("kgdbserver: none/out: "), "{output:?}");
    check(
        &saved,
        "symbols vmcore -o other",
        "! kgdbserver: no symbols: the image has none of its own, so name the kernel file\nstatus 1",
    );
    assert!(!saved.path("other").exists());
    check(
        &saved,
        "symbols kernel vmcore",
        "! error: the following required arguments were not provided:\n!   --output <FILE>\n\
         ! Usage: kgdbserver symbols --output <FILE> <[KERNEL] IMAGE>...\n! For more information, try '--help'.\nstatus 2",
    );
}

/// A system, and files for the wrong arguments.
fn files() -> Saved {
    let saved = Saved::small();
    saved.write("notes", b"Dear diary,\n");
    saved.write("empty", b"");
    let mut other = saved.built.kernel.clone();
    replace(&mut other, b"SYNTHETIC GENERIC", b"SYNTHETIC MINIMAL");
    saved.write("other", &other);
    saved
}

/// The names of all members of a document, but those of registers.
fn members(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| members(item, found)),
        Value::Object(object) => object.iter().for_each(|(name, value)| {
            found.insert(name.clone());
            if name != "registers" {
                members(value, found);
            }
        }),
        _ => {}
    }
}

#[test]
fn the_page_about_json_describes_every_member() {
    const LINES: [&str; 10] = [
        "info",
        "ps",
        "ps --threads",
        "nlist SYMBOL",
        "sym SYMBOL",
        "vtop SYMBOL",
        "modules",
        "files",
        "args",
        "env",
    ];
    let page = include_str!("../../docs/json.md");
    let section = |command: &str| {
        let title = format!("`{command}`");
        let is_it = |part: &&str| part.lines().next().is_some_and(|line| line.contains(&title));
        page.split("\n## ").find(is_it).unwrap_or_else(|| panic!("no section {command}"))
    };
    let saved = Saved::small();
    let mut images = vec![("kernel vmcore".to_owned(), "hz")];
    if let Some(root) = std::env::var_os("KGDBSERVER_LINUX_IMAGES") {
        images.push((format!("{}/amd64l4/elf.dump", root.display()), "linux_banner"));
    }
    let mut described = 0;
    for (line, (image, symbol)) in LINES.iter().flat_map(|line| images.iter().map(move |image| (line, image)))
    {
        let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
        let output = run(&saved, &format!("{command} {image} {} --json", rest.replace("SYMBOL", symbol)));
        // Of a kernel without types not everything can be told, and perhaps the image was not made.
        let Ok(document) = serde_json::from_slice(&output.stdout) else { continue };
        let mut found = BTreeSet::new();
        members(&document, &mut found);
        for member in found.iter().filter(|member| *member != "schema") {
            assert!(section(command).contains(&format!("`{member}`")), "{line}: {member} is not described");
        }
        described += 1;
    }
    assert!(described >= 6, "{described} documents");
}

#[test]
fn output_that_nobody_reads_is_no_failure_to_speak_of() {
    let saved = files();
    let script =
        format!("{} read vmcore 0xffffffff80200000 0x100000 | head -1", env!("CARGO_BIN_EXE_kgdbserver"));
    let output = Command::new("sh").arg("-c").arg(script).current_dir(saved.folder.path()).output().unwrap();
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout).lines().count(), 1);
}
