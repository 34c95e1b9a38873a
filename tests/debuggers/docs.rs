//! The sessions of the pages: what is typed there prints what stands there.

use crate::driver::{
    GDB_WAITS, LLDB_WAITS, Server, Transcript, gdb, gdb_multiarch, gdb_program, lldb, server_program, tidy,
    version,
};
use crate::page::{block, compare, has_lines, session, typed, without_numbers};
use crate::scene::connect;
use std::path::{Path, PathBuf};
use std::process::Command;

const README: &str = include_str!("../../README.md");
const PAGE: &str = include_str!("../../docs/debuggers.md");
const LINUX: &str = include_str!("../../docs/linux.md");
const WRITING: &str = include_str!("../../docs/writing.md");
const DUMP: &str = include_str!("../../docs/dump.md");

#[track_caller]
fn check(transcript: &Transcript, command: &str, expected: &[&str]) {
    has_lines(transcript.of(command), command, expected, tidy);
}

/// The image of a guest that the pages show, if it was made.
fn guest(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("KGDBSERVER_LINUX_IMAGES").map(PathBuf::from).unwrap_or_default();
    let image = root.join(name).join("elf.dump");
    let found = image.canonicalize().ok();
    if found.is_none() {
        eprintln!("skipped: no {} (KGDBSERVER_LINUX_IMAGES)", image.display());
    }
    found
}

/// The sessions of a block, on that guest: in gdb, and in lldb.
#[track_caller]
fn of_guest(server: &Server, page: &str, begin: &str) {
    let session_of_gdb = session(page, begin, "gdb");
    let start = [GDB_WAITS.to_owned(), connect(server)];
    let commands = [start.each_ref().map(String::as_str).as_slice(), &typed(&session_of_gdb)].concat();
    compare(&gdb_multiarch(&commands), &session_of_gdb);
    let session_of_lldb = session(page, begin, "lldb");
    if !typed(&session_of_lldb).is_empty() {
        let connect = format!("gdb-remote {}", server.port);
        let start = [LLDB_WAITS, connect.as_str()];
        let commands = [start.as_slice(), &typed(&session_of_lldb)].concat();
        compare(&lldb(&commands), &session_of_lldb);
    }
}

#[test]
fn of_gdb() {
    let Some(real) = crate::real::amd64() else { return };
    let server = Server::start(&[&real.kernel, &real.vmcore]);
    let session = session(PAGE, "$ gdb -ex 'target remote :1234'\n(gdb) info threads", "gdb");
    let transcript = gdb(&[&[connect(&server).as_str()], typed(&session).as_slice()].concat());
    for (command, printed) in session.iter().skip(1) {
        check(&transcript, command, printed);
    }
}

#[test]
fn of_lldb() {
    let Some(real) = crate::real::amd64() else { return };
    let server = Server::start(&[&real.kernel, &real.vmcore]);
    let session = session(PAGE, "$ lldb kernel -o 'gdb-remote 1234'", "lldb");
    let [target, connect] =
        [format!("target create {}", real.kernel.display()), format!("gdb-remote {}", server.port)];
    let transcript = lldb(&[&[target.as_str(), &connect], typed(&session).as_slice()].concat());
    check(&transcript, &connect, &session[0].1);
    // lldb 14 numbers the values that it prints.
    for (command, printed) in session.iter().skip(1).filter(|(command, _)| !command.starts_with("p ")) {
        check(&transcript, command, printed);
    }
}

#[test]
fn of_the_demo() {
    let server = Server::start(&[Path::new("demo")]);
    let session = session(PAGE, "(gdb) monitor help", "gdb");
    let transcript = gdb(&[&[connect(&server).as_str()], typed(&session).as_slice()].concat());
    for (command, printed) in &session {
        check(&transcript, command, printed);
    }
    // What scripts/demo types; above the list stands the symbol file, which is the build's.
    let shown: Vec<&str> = block(README, "Reading symbols from").lines().skip(1).collect();
    let commands = [connect(&server), "info threads".to_owned(), "bt".to_owned()];
    let transcript = gdb(&commands.each_ref().map(String::as_str));
    let printed: String = commands.iter().map(|command| transcript.of(command)).collect();
    has_lines(&printed, "scripts/demo", &shown, tidy);
}

#[test]
fn of_a_linux_guest() {
    let Some(image) = guest("amd64l4") else { return };
    let server = Server::start(&[&image]);
    of_guest(&server, PAGE, "$ gdb -ex 'target remote :1234'\n(gdb) info sharedlibrary");
    of_guest(&server, PAGE, "$ gdb -ex 'target remote :1234'\n(gdb) p init_task.comm");
    of_guest(&server, PAGE, "(gdb) monitor regions");
}

/// Where the guest's sleeper is in gdb's list, its number, and where its arguments lie, as the guest itself said.
fn sleeper(server: &Server, image: &Path) -> [String; 3] {
    let report = std::fs::read_to_string(image.with_file_name("report.txt")).expect("the guest's report");
    let word = |begin: &str, nth: usize| {
        let line = report.lines().find(|line| line.starts_with(begin)).expect("a line");
        line.split(' ').nth(nth).expect("a word").to_owned()
    };
    let pid = word("sleeper ", 1);
    let arguments: u64 = word(&format!("{pid} {pid} {pid} (sleeper) "), 49).parse().expect("an address"); // proc(5): arg_start
    let listed = gdb_multiarch(&[GDB_WAITS, &connect(server), "info threads"]);
    let is_it = |line: &&str| line.contains(&format!("Thread {pid} \"sleeper\""));
    let row = listed.of("info threads").lines().find(is_it).expect("the sleeper");
    [row.split_whitespace().next().expect("a number").to_owned(), pid, format!("{arguments:#x}")]
}

#[test]
fn of_a_process() {
    let Some(image) = guest("amd64l4") else { return };
    let server = Server::start(&[&image]);
    let [thread, pid, arguments] = sleeper(&server, &image);
    let page = PAGE.replace("(gdb) thread 84", &format!("(gdb) thread {thread}"));
    let page = page.replace("monitor user 144", &format!("monitor user {pid}"));
    let page = page.replace("0x7ffd5e5a0f92", &arguments);
    of_guest(&server, &page, &format!("(gdb) thread {thread}"));
    of_guest(&server, &page, "(lldb) settings set target.process.disable-memory-cache");
}

/// The first command of a block, where files have the names that the page gives them.
#[track_caller]
fn of_shell(page: &str, begin: &str, files: &[(&str, &Path)]) {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, file) in files {
        std::os::unix::fs::symlink(file, folder.path().join(name)).expect("make a link");
    }
    let (line, shown) = block(page, begin).split_once('\n').expect("lines");
    let mut command = server_program(folder.path());
    command.args(line.strip_prefix("$ kgdbserver ").expect("our command").split(' '));
    let output = command.current_dir(folder.path()).output().expect("run it");
    let said = [output.stderr, output.stdout].concat();
    let shown: Vec<&str> = shown.lines().take_while(|line| !line.starts_with("$ ")).collect();
    has_lines(&String::from_utf8_lossy(&said), line, &shown, without_numbers);
}

#[test]
fn of_the_shell() {
    if let Some(image) = guest("amd64l4") {
        of_shell(PAGE, "$ kgdbserver symbols vmcore", &[("vmcore", &image)]);
        let [one, three] = ["split-0.dump", "split-2.dump"].map(|name| image.with_file_name(name));
        of_shell(LINUX, "$ kgdbserver info dump.1 dump.3", &[("dump.1", &one), ("dump.3", &three)]);
        of_shell(DUMP, "$ kgdbserver dump ram.img", &[("ram.img", &image.with_file_name("ram.img"))]);
    }
    if let Some(image) = guest("amd64panic") {
        of_shell(LINUX, "$ kgdbserver info vmcore", &[("vmcore", &image)]);
    }
}

#[test]
fn of_a_crash() {
    let Some(image) = guest("amd64panic") else { return };
    // Its CPUs were stopped wherever they were, and a busy host interrupts them more often.
    let page = README.replace("0x0000000000401820 in ?? ()", "...");
    of_guest(&Server::start(&[&image]), &page, "$ kgdbserver --gdb vmcore");
}

/// The page shows it as the debugger prints it that the server starts.
#[test]
fn of_a_vmlinux() {
    if std::env::var_os("KGDBSERVER_FULL").is_none() {
        return eprintln!("skipped: KGDBSERVER_FULL is not set");
    }
    let Some(image) = guest("amd64panic") else { return };
    let report = std::fs::read_to_string(image.with_file_name("report.txt")).expect("the guest's report");
    let version = report.lines().find_map(|line| line.strip_prefix("Linux version ")).expect("a version");
    let release = version.split(' ').next().expect("a release");
    let vmlinux = image.with_file_name(format!("../debug/vmlinux-{release}"));
    of_guest(&Server::start(&[&vmlinux, &image]), LINUX, "$ kgdbserver --gdb vmlinux vmcore");
}

#[test]
fn of_an_overlay() {
    let Some(image) = guest("amd64l4") else { return };
    let server = Server::start_with(&[&image], &["--overlay"]);
    of_guest(&server, WRITING, "(gdb) set var");
}

/// The picture is of gdb 13; others draw some lines in other ways.
#[test]
fn the_picture_is_what_gdb_draws() {
    if version(&mut gdb_program()) != 13 {
        return eprintln!("skipped: the picture is of gdb 13");
    }
    let mut screenshot = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/screenshot"));
    let output = screenshot.arg(env!("CARGO_BIN_EXE_kgdbserver")).output().expect("run scripts/screenshot");
    let drawn = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(drawn, include_str!("../../docs/tui.svg"));
}
