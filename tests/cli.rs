//! The command line: what is typed, and what comes out.
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

mod arguments {
    use super::*;

    /// Every way to name the files gives the same.
    #[test]
    fn the_files_are_told_apart_by_content() {
        let saved = files();
        let hz = format!("{:016x} B hz", saved.built.facts.symbol("hz"));
        for line in [
            "nlist kernel vmcore hz",
            "nlist vmcore kernel hz",
            "nlist -k kernel vmcore hz",
            "nlist -k kernel -c vmcore hz",
            "nlist -c vmcore kernel hz",
            "nlist --core vmcore --kernel kernel hz",
            "nlist -M vmcore kernel hz",
            "nlist kernel vmcore -- hz",
            "nlist -k kernel -c vmcore -- hz",
            "nlist ./vmcore ./kernel hz",
            "nlist kernel . hz", // the folder holds one image
        ] {
            let found = run(&saved, line);
            assert_eq!(
                (text(&found.stdout).trim(), text(&found.stderr).as_str()),
                (hz.as_str(), ""),
                "{line}"
            );
        }
    }

    #[test]
    fn the_first_argument_that_is_no_file_begins_the_names() {
        let saved = files();
        let at = |name: &str| saved.built.facts.symbol(name);
        check(
            &saved,
            "nlist kernel vmcore hz panic kernbase osreldate",
            &format!(
                "{:016x} B hz\n{:016x} T panic\n{:016x} A kernbase\n{:016x} D osreldate",
                at("hz"),
                at("panic"),
                at("kernbase"),
                at("osreldate")
            ),
        );
        // Both files are there, so a third that exists is a name; so is what follows --.
        saved.write("hz", b"a file of that name");
        check(&saved, "nlist kernel vmcore hz", &format!("{:016x} B hz", at("hz")));
        check(
            &saved,
            "nlist vmcore -- hz",
            "! kgdbserver: hz: no such symbol
            status 1",
        );
    }

    #[test]
    fn a_kernel_may_be_missing_and_an_image_may_not() {
        let saved = files();
        check(
            &saved,
            "ps vmcore",
            "! kgdbserver: no kernel file was given, so processes and threads cannot be found\nstatus 1",
        );
        for command in ["info", "ps", "nlist", "serve"] {
            let text = usage("kernel is a kernel; name the image too");
            check(&saved, &format!("{command} kernel"), &text);
        }
    }

    #[test]
    fn too_many_files_of_a_kind() {
        let saved = files();
        std::fs::copy(&saved.vmcore, saved.path("vmcore2")).unwrap();
        check(&saved, "info kernel other", &usage("other: a second kernel file"));
        check(&saved, "info vmcore vmcore2", &usage("vmcore2: a second image"));
        check(&saved, "info kernel vmcore vmcore2", &usage("vmcore2: one kernel and one image are enough"));
    }

    #[test]
    fn files_that_are_not_there_or_not_what_they_should_be() {
        let saved = files();
        check(&saved, "info nowhere", &usage("nowhere: no such file"));
        check(&saved, "info kernel nowhere", &usage("nowhere: no such file"));
        check(&saved, "ps nowhere vmcore", &usage("nowhere: no such file"));
        check(&saved, "nowhere", &usage("nowhere: no such file"));
        check(&saved, "info notes", &format!("! kgdbserver: notes: {UNKNOWN}\nstatus 4"));
        check(&saved, "info notes vmcore", "! kgdbserver: notes: kernel is not an ELF file\nstatus 1");
        // With a kernel any file could be raw memory.
        let raw = "raw memory: the kernel's page tables cannot be found without its symbol KPML4phys";
        let unknown = UNKNOWN.replace(')', &format!("; {raw})"));
        check(&saved, "info kernel notes", &format!("! kgdbserver: notes: {unknown}\nstatus 4"));
        check(&saved, "info empty", "! kgdbserver: empty: empty file\nstatus 1");
        std::fs::create_dir(saved.path("folder")).unwrap();
        check(&saved, "info folder", "! kgdbserver: folder: a folder without an image in it\nstatus 1");
        check(
            &saved,
            "info -c nowhere",
            "! kgdbserver: nowhere: No such file or directory (os error 2)\nstatus 1",
        );
        check(&saved, "info -k notes vmcore", "! kgdbserver: notes: kernel is not an ELF file\nstatus 1");
    }

    #[test]
    fn a_kernel_that_does_not_belong_to_the_image_is_refused_unless_forced() {
        let saved = files();
        let text = "the kernel file does not belong to this image: version is \
                    \"FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC MINIMAL\" in the kernel file and \
                    \"FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC\" in the image \
                    (find the kernel that wrote the image, or override with --force)";
        check(&saved, "nlist other vmcore hz", &format!("! kgdbserver: {text}\nstatus 3"));
        let hz = format!("{:016x} B hz", saved.built.facts.symbol("hz"));
        check(&saved, "nlist --force other vmcore hz", &format!("{hz}\n! [WARN ] forced: {text}"));
        check(&saved, "nlist --quiet -f other vmcore hz", &hz);
    }

    #[test]
    fn a_kernel_that_cannot_be_compared_is_a_warning() {
        let mut built = System::small().build();
        let page = built.layout.offset(built.facts.symbol("version")).unwrap() / 4096 * 4096;
        let note = built.layout.offset(0xffff_ffff_803f_f000).unwrap() / 4096 * 4096;
        built.vmcore[page..page + 4096].fill(0);
        built.vmcore[note..note + 4096].fill(0);
        let hz = built.facts.symbol("hz");
        check(
            &Saved::new(built),
            "nlist kernel vmcore hz",
            &format!(
                "{hz:016x} B hz
                ! [WARN ] the kernel file could not be compared with the image (one of them lacks the bytes): if names \
                lead to nonsense, it is the wrong kernel"
            ),
        );
    }

    #[test]
    fn clap_says_the_rest() {
        let saved = files();
        for (line, status) in [
            ("--help", 0),
            ("read --help", 0),
            ("--version", 0),
            ("", 2),
            ("info", 2),
            ("info -k kernel", 2),
            ("read", 2),
            ("info --nonsense vmcore", 2),
            ("--listen nonsense kernel vmcore", 2),
            ("--stdio --listen :0 kernel vmcore", 2),
        ] {
            let output = run(&saved, line);
            assert_eq!(output.status.code(), Some(status), "{line}: {}", text(&output.stderr));
        }
        let help = text(&run(&saved, "--help").stdout);
        for word in ["serve", "info", "ps", "nlist", "read", "demo", "--listen", "Exit status"] {
            assert!(help.contains(word), "{word}");
        }
    }
}

mod info {
    use super::*;

    #[test]
    fn as_text() {
        let saved = files();
        let (size, pages) = (saved.built.vmcore.len(), saved.built.layout.pages.len());
        check(
            &saved,
            "info kernel vmcore",
            &format!(
                "format       FreeBSD minidump version 3
                machine      x86_64, little endian{}
                size         {size} bytes
                pages        {pages} of 4096 bytes
                kernel file  kernel (verified by {})
                kernel       FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC
                panic        kdb_sysctl_panic
                threads      {}
                crashed      100670 (pid 800) sysctl on CPU 2",
                if cfg!(target_arch = "x86_64") { ", native here" } else { "" },
                "the build id, version and 7 more",
                saved.built.facts.threads.len()
            ),
        );
    }

    #[test]
    fn as_json() {
        let saved = files();
        let pages = saved.built.layout.pages.len();
        let expected = json!({
            "schema": 1,
            "format": "FreeBSD minidump",
            "version": 3,
            "machine": "x86_64",
            "big_endian": false,
            "native": cfg!(target_arch = "x86_64"),
            "size": saved.built.vmcore.len(),
            "page_size": 4096,
            "pages": { "dumped": pages, "present": pages, "missing": 0 },
            "segments": null,
            "kernel_at": null,
            "kernel_file": "kernel",
            "kernel_match": "verified",
            "kernel": "FreeBSD",
            "kernel_version": "FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC",
            "panic": "kdb_sysctl_panic",
            "linux": null,
            "layers": [],
            "told": {
                "hostname": null,
                "dump_time": null,
                "version": null,
                "panic": null,
                "architecture": null,
                "log": false,
                "dump_level": null,
                "parts": null,
                "erased": null,
            },
            "threads": saved.built.facts.threads.len(),
            "unreadable": 0,
            "crashed": { "tid": 100_670, "pid": 800, "name": "sysctl", "cpu": 2 },
            "cpus": null,
            "loadavg": null,
            "cptime": null,
            "swap": null,
            "warnings": [],
        });
        assert_eq!(json_of(&saved, "info --json kernel vmcore"), expected);
    }

    #[test]
    fn a_truncated_image_without_its_kernel() {
        let mut built = System::small().build();
        built.vmcore.truncate(built.layout.sparse.start + 10 * 4096);
        let (dumped, saved) = (built.layout.pages.len(), Saved::new(built));
        let info = json_of(&saved, "info vmcore --json");
        assert_eq!(info["pages"], json!({ "dumped": dumped, "present": 10, "missing": dumped - 10 }));
        let warning = format!("the file is cut off: {} of {dumped} pages are missing", dumped - 10);
        assert_eq!(info["warnings"], json!([warning]));
        for absent in ["kernel_file", "kernel", "panic", "threads", "crashed", "kernel_version"] {
            assert_eq!(info[absent], Value::Null, "{absent}");
        }
        assert_eq!(info["kernel_match"], "unverified");
    }
}

mod ps {
    use super::*;

    #[test]
    fn processes_and_threads_as_text() {
        let saved = files();
        check(
            &saved,
            "ps kernel vmcore",
            "PID  PPID  S  THREADS  COMMAND
            800     -  R        1  sysctl
            28     -  -        3  pagedaemon
            11     -  R        4  idle
            1     -  -        1  init
            0     -  -        2  kernel",
        );
        check(
            &saved,
            "ps --threads kernel vmcore",
            "TID  PID  CPU  S  WAIT  NAME
            *  100670  800    2  R  -     sysctl
            100089   28    -  -  -     pagedaemon/dom0
            100094   28    -  -  -     pagedaemon/laundry: dom0
            100095   28    -  -  -     pagedaemon/uma
            100003   11    0  R  -     idle/idle: cpu0
            100004   11    1  R  -     idle/idle: cpu1
            100005   11    -  -  -     idle/idle: cpu2
            100006   11    3  R  -     idle/idle: cpu3
            100002    1    -  -  -     init
            100000    0    -  -  -     kernel/swapper
            100011    0    -  -  -     kernel/softirq_0",
        );
    }

    #[test]
    fn processes_as_json() {
        let saved = files();
        let facts = &saved.built.facts;
        let row = |pid: &u32| {
            let own: Vec<_> = facts.threads.iter().filter(|thread| thread.pid == *pid).collect();
            let state = own.iter().any(|thread| thread.on_cpu.is_some()).then_some("R");
            json!({ "pid": pid, "ppid": null, "comm": own[0].comm, "state": state, "threads": own.len() })
        };
        let rows: Vec<Value> = facts.pids.iter().map(row).collect();
        assert_eq!(json_of(&saved, "ps kernel vmcore --json"), json!({ "schema": 1, "processes": rows }));
    }

    #[test]
    fn threads_as_json_with_the_registers_that_were_saved() {
        let saved = Saved::new(System { stopped_cpus: vec![0, 3], ..System::small() }.build());
        let found = json_of(&saved, "ps --json --threads kernel vmcore");
        let found = found["threads"].as_array().unwrap();
        assert_eq!(found.len(), saved.built.facts.threads.len());
        for (thread, facts) in found.iter().zip(&saved.built.facts.threads) {
            let registers: serde_json::Map<_, _> = known_registers(facts)
                .into_iter()
                .map(|(name, value)| (name.into(), format!("{value:#x}").into()))
                .collect();
            let expected = json!({
                "tid": facts.tid,
                "pid": facts.pid,
                "comm": facts.name,
                "name": shown_name(facts),
                "cpu": facts.on_cpu,
                "state": facts.on_cpu.map(|_| "R"),
                "wait": null,
                "crashed": facts.crashed,
                "pcb": facts.pcb.map(|va| format!("{va:#x}")),
                "registers": registers,
            });
            assert_eq!(*thread, expected);
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_and_the_rest_is_printed() {
        let mut system = System::small();
        system.process(1).thread_list_end = synth::freebsd::ListEnd::Hole;
        system.thread(100_011).pcb_unreadable = true;
        let saved = Saved::new(system.build());
        let output = run(&saved, "ps --json --threads kernel vmcore");
        let errors = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0));
        assert!(errors.lines().any(|line| line.starts_with("[WARN ] thread at 0x")), "{errors}");
        assert!(
            errors.lines().any(|line| line.starts_with("[WARN ] registers of thread 100011: ")),
            "{errors}"
        );
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let threads = found["threads"].as_array().unwrap();
        assert_eq!(threads.len(), saved.built.facts.threads.len());
        let lost = threads.iter().find(|thread| thread["tid"] == 100_011).unwrap();
        assert_eq!(lost["registers"], json!({}));
    }
}

mod nlist {
    use super::*;

    #[test]
    fn as_json_with_what_was_not_found() {
        let saved = files();
        let row = |name: &str, real: &str, kind: &str, size: u64| {
            let address = format!("{:#x}", saved.built.facts.symbol(real));
            json!({ "name": name, "address": address, "type": kind, "size": size })
        };
        let expected = json!({ "schema": 1, "symbols": [row("hz", "hz", "B", 4), row("_panic", "panic", "T", 0x50)], "unresolved": [] });
        assert_eq!(json_of(&saved, "nlist kernel vmcore hz _panic --json"), expected);
        let output = run(&saved, "nlist --json kernel vmcore nonsense hz _absent");
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), ""));
        let expected = json!({ "schema": 1, "symbols": [row("hz", "hz", "B", 4)], "unresolved": ["nonsense", "_absent"] });
        assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), expected);
    }

    #[test]
    fn as_text_with_what_was_not_found() {
        let saved = files();
        check(&saved, "nlist kernel vmcore", &usage("nlist takes [KERNEL] IMAGE NAME..."));
        check(
            &saved,
            "nlist kernel vmcore nonsense hz",
            &format!(
                "{:016x} B hz\n! kgdbserver: nonsense: no such symbol\nstatus 1",
                saved.built.facts.symbol("hz")
            ),
        );
    }
}

mod read {
    use super::*;

    #[test]
    fn a_hex_dump() {
        let saved = files();
        let version = saved.built.facts.symbol("version");
        let lines = format!(
            "{version:016x}  46 72 65 65 42 53 44 20 31 35 2e 30 2d 52 45 4c  |FreeBSD 15.0-REL|
            {:016x}  45 41 53 45                                      |EASE|",
            version + 16
        );
        for address in ["version".into(), "_version".into(), format!("{version:#x}"), version.to_string()] {
            check(&saved, &format!("read kernel vmcore {address} 20"), &lines);
        }
        check(
            &saved,
            "read vmcore kernel version+0x8 0x4",
            &format!("{:016x}  31 35 2e 30                                      |15.0|", version + 8),
        );
        check(
            &saved,
            "read kernel vmcore version+8 1",
            &format!("{:016x}  31                                               |1|", version + 8),
        );
        check(&saved, "read kernel vmcore version 0", "");
    }

    #[test]
    fn just_the_bytes() {
        let saved = files();
        let output = run(&saved, "read --raw kernel vmcore version 20");
        assert_eq!(
            (output.stdout.as_slice(), output.status.code()),
            (b"FreeBSD 15.0-RELEASE".as_slice(), Some(0))
        );
    }

    #[test]
    fn physical_addresses() {
        let saved = files();
        let version = saved.built.facts.symbol("version");
        let pa = saved.built.layout.physical(version).unwrap();
        check(
            &saved,
            &format!("read --physical vmcore {pa:#x} 8"),
            &format!("{pa:016x}  46 72 65 65 42 53 44 20                          |FreeBSD |"),
        );
        check(
            &saved,
            "read --physical vmcore 0xa0000 8",
            "! kgdbserver: 0xa0000: physical address 0xa0000 is not in the image
            status 1",
        );
    }

    #[test]
    fn a_hole_prints_what_comes_before_it_and_fails() {
        let saved = files();
        let edge = stack_top(&saved.built);
        let zeros = "00 ".repeat(16);
        check(
            &saved,
            &format!("read kernel vmcore {:#x} 64", edge - 16),
            &format!(
                "{:016x}  {zeros} |................|
                ! kgdbserver: {edge:#x}: the kernel's page tables map nothing here
                status 1",
                edge - 16
            ),
        );
        let output = run(&saved, &format!("read --raw vmcore {:#x} 64", edge - 16));
        assert_eq!((output.stdout, output.status.code()), (vec![0; 16], Some(1)));
        // A length beyond all memory is no more than a hole at its end.
        check(
            &saved,
            &format!("read vmcore {:#x} 0xffffffffffffffff", edge - 1),
            &format!(
                "{:016x}  00                                               |.|
                ! kgdbserver: {edge:#x}: the kernel's page tables map nothing here
                status 1",
                edge - 1
            ),
        );
        check(
            &saved,
            "read kernel vmcore 0xffffffffffffffff 16",
            "! kgdbserver: 0xffffffffffffffff: the image knows no mapping for this part of the address space
            status 1",
        );
    }

    #[test]
    fn the_last_two_arguments_are_address_and_length() {
        let saved = files();
        let takes = usage("read takes [KERNEL] IMAGE ADDRESS LENGTH");
        check(&saved, "read vmcore hz", &usage("name the image to open (and its kernel, if you have it)"));
        check(&saved, "read kernel vmcore hz 4 4", &takes);
        check(&saved, "read kernel vmcore hz four", &usage("four: not a number of bytes"));
        check(&saved, "read kernel vmcore hz+x 4", &usage("x: not an offset"));
        check(
            &saved,
            "read kernel vmcore nonsense 4",
            "! kgdbserver: nonsense: no such symbol
            status 1",
        );
        check(&saved, "read vmcore hz 4", "! kgdbserver: hz: no such symbol\nstatus 1");
        // Files that happen to be called like an address and a length.
        saved.write("hz", b"x");
        saved.write("4", b"x");
        check(
            &saved,
            "read kernel vmcore hz 4",
            &format!(
                "{:016x}  64 00 00 00                                      |d...|",
                saved.built.facts.symbol("hz")
            ),
        );
    }
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
    let page = include_str!("../docs/json.md");
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

mod raw_memory {
    use super::*;
    use synth::freebsd::{Full, Kernphys};

    /// A moved kernel, and its memory up to 64 MiB, then what lies at 4 GiB.
    fn saved() -> Saved {
        let full = Full {
            loaded_at: 0x260_0000,
            kernphys: Kernphys::Variable,
            five_levels: false,
            high_memory: true,
        };
        let saved = Saved::new(System { full: Some(full), ..System::small() }.build());
        let mut raw = vec![0; 80 << 20];
        for (pa, page) in &saved.built.memory.as_ref().unwrap().pages {
            let at = if *pa < 1 << 32 { *pa } else { pa - (1 << 32) + (64 << 20) };
            synth::put(&mut raw, usize::try_from(at).unwrap(), page);
        }
        saved.write("memory", &raw);
        saved
    }

    #[test]
    fn the_flag_says_what_lies_where() {
        let saved = saved();
        for line in [
            "info --json --raw-memory=0:64M,4G kernel memory",
            "info --json memory kernel --raw-memory=4G:16M@64M,0:64M@0",
        ] {
            let info = json_of(&saved, line);
            assert_eq!((&info["format"], &info["segments"]), (&json!("raw memory"), &json!(2)));
            assert_eq!(info["kernel_at"], json!({ "physical": 0x260_0000, "by": "search" }));
            assert_eq!(info["kernel_match"], "verified");
            assert_eq!(info["warnings"], json!([]));
        }
        // Without an `=` what follows is a file.
        let info = json_of(&saved, "info --json --raw-memory kernel memory");
        assert_eq!((&info["segments"], &info["pages"]["dumped"]), (&json!(1), &json!(20480)));
    }

    #[test]
    fn layouts_that_cannot_be_are_refused() {
        let saved = saved();
        check(
            &saved,
            "info --raw-memory=0:8M,4M:8M kernel memory",
            "! kgdbserver: raw memory: the range at 0x400000 lies in another one
            status 1",
        );
        let reason = "invalid value '0:3Q' for '--raw-memory[=<RANGE,...>]': 3Q: not a number";
        check(&saved, "info --raw-memory=0:3Q kernel memory", &usage(reason));
    }
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

/// Files for IDEs and debuggers. That they do what they are for is tested with the programs themselves.
mod ready {
    use super::*;

    /// The only configuration that `launch-json` prints, without its name.
    fn configuration(saved: &Saved, line: &str) -> Value {
        let mut file = json_of(saved, line);
        assert_eq!(file["version"], "0.2.0");
        assert_eq!(file["configurations"].as_array().map(Vec::len), Some(1));
        let mut configuration = file["configurations"][0].take();
        let fields = configuration.as_object_mut().unwrap();
        assert_eq!(fields.remove("name"), Some("kgdbserver: vmcore".into()));
        fields.remove("miDebuggerPath"); // which gdb there is
        configuration
    }

    #[test]
    fn each_ide_has_a_configuration_of_its_own() {
        let saved = files();
        let kernel = saved.kernel.to_str().unwrap();
        let patience = "settings set plugin.process.gdb-remote.packet-timeout 60";
        let lldb_dap = json!({
            "type": "lldb-dap", "request": "attach", "stopOnEntry": true, "program": kernel,
            "initCommands": [patience], "gdb-remote-hostname": "127.0.0.1", "gdb-remote-port": 1234,
        });
        assert_eq!(configuration(&saved, "launch-json --ide lldb-dap kernel vmcore"), lldb_dap);
        let codelldb = json!({
            "type": "lldb", "request": "attach", "stopOnEntry": true, "initCommands": [patience],
            "targetCreateCommands": [format!("target create \"{kernel}\"")],
            "processCreateCommands": ["gdb-remote [::1]:99"],
        });
        let line = "launch-json --ide codelldb vmcore kernel --listen [::1]:99";
        assert_eq!(configuration(&saved, line), codelldb);
        let gdb_dap = json!({ "type": "gdb", "request": "attach", "target": "127.0.0.1:1234" });
        assert_eq!(configuration(&saved, "launch-json --ide gdb-dap vmcore"), gdb_dap);
        for line in ["launch-json kernel vmcore", "launch-json --ide vscode-cppdbg kernel vmcore"] {
            let mut cppdbg = configuration(&saved, line);
            let program = cppdbg.as_object_mut().unwrap().remove("program").unwrap();
            assert!(std::fs::read(program.as_str().unwrap()).unwrap().starts_with(b"\x7fELF\x02\x01\x01\0"));
            let expected = json!({
                "type": "cppdbg", "request": "launch", "MIMode": "gdb", "stopAtConnect": true,
                "cwd": saved.folder.path().to_str().unwrap(), "miDebuggerServerAddress": "127.0.0.1:1234",
                "setupCommands": [{ "text": "-interpreter-exec console \"set remotetimeout 60\"" }],
            });
            assert_eq!(cppdbg, expected);
        }
    }

    #[test]
    fn sockets_have_a_command_of_their_own_in_lldb() {
        let saved = files();
        let line = "launch-json --ide lldb-dap vmcore -l unix:/tmp/socket";
        let commands = &configuration(&saved, line)["attachCommands"];
        assert_eq!(commands, &json!(["process connect unix-connect:///tmp/socket"]));
        let image = saved.path("vmcore").display().to_string();
        check(
            &saved,
            "--emit-gdbinit vmcore -l unix:socket",
            &format!(
                "# gdb -x THIS-FILE, while kgdbserver serves {image}
                set remotetimeout 60
                target remote {}",
                saved.path("socket").display()
            ),
        );
        check(
            &saved,
            "serve --emit-lldbinit kernel vmcore -l :4",
            &format!(
                "# lldb -s THIS-FILE, while kgdbserver serves {image}
                settings set plugin.process.gdb-remote.packet-timeout 60
                command regex monitor 's/^(.*)$/process plugin packet monitor %1/'
                target create \"{}\"
                gdb-remote 127.0.0.1:4",
                saved.kernel.display()
            ),
        );
    }

    /// gdb 16 finds no return addresses there otherwise.
    #[test]
    fn gdb_is_prepared_for_a_powerpc() {
        let saved = Saved::new(System::on(&synth::machine::PPC64).build());
        let emitted = text(&run(&saved, "--emit-gdbinit kernel vmcore").stdout);
        assert!(emitted.contains("\nset osabi none\ntarget remote "), "{emitted}");
        let cppdbg = configuration(&saved, "launch-json kernel vmcore");
        assert_eq!(cppdbg["setupCommands"][1]["text"], "-interpreter-exec console \"set osabi none\"");
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let saved = files();
        let port = "name the port that the server listens on: 0 is any";
        check(&saved, "launch-json kernel vmcore --listen :0", &usage(port));
        check(&saved, "--emit-gdbinit kernel vmcore --listen :0", &usage(port));
        check(&saved, "launch-json vmcore", &usage("the image tells no names: name its kernel file as well"));
        let image = saved.path("a\nshell b");
        std::fs::copy(&saved.vmcore, &image).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_kgdbserver")).arg("--emit-gdbinit").arg(image).output();
        let said = text(&output.unwrap().stderr);
        assert!(said.contains("a\\nshell b\": no command can hold this name"), "{said}");
        let output = run(&saved, "launch-json --ide emacs vmcore");
        assert_eq!(output.status.code(), Some(2));
        let known = "[possible values: vscode-cppdbg, codelldb, lldb-dap, gdb-dap]";
        assert!(text(&output.stderr).contains(known), "{}", text(&output.stderr));
    }

    /// Every command of `docs/ide.md` that prints something, and all that it prints.
    #[test]
    fn the_page_about_ides_shows_what_is_printed() {
        let saved = Saved::small();
        let page = include_str!("../docs/ide.md");
        let blocks = page.split("```\n").skip(1).step_by(2);
        let shown = blocks.filter_map(|block| block.strip_prefix("$ kgdbserver ")?.split_once('\n'));
        let mut compared = 0;
        for (line, expected) in shown.filter(|(_, expected)| !expected.starts_with("$ ")) {
            let printed = text(&run(&saved, line).stdout);
            let printed = printed.replace(saved.folder.path().to_str().unwrap(), "/home/me/crash");
            let printed = printed.replace("/home/me/crash/.cache", "/home/me/.cache");
            // The name of a symbol file tells its content; which gdb there is, the machine.
            let plain = |text: &str| -> Vec<String> {
                let kept = text.lines().filter(|line| !line.contains("miDebuggerPath"));
                let named =
                    |line: &str| line.split_once("/kernel-").map_or(line.to_owned(), |(path, _)| path.into());
                kept.map(named).collect()
            };
            assert_eq!(plain(&printed), plain(expected), "{line}");
            compared += 1;
        }
        assert_eq!(compared, 6);
    }
}
