//! `--serve-files`: gdb on another machine, where no announced path exists.

use crate::driver::{GDB_WAITS, Server, gdb, gdb_multiarch};
use crate::scene::{Scene, connect};
use std::path::PathBuf;

/// gdb prefers the connection as soon as it can have files from there.
#[test]
fn gdb_reads_the_symbols_over_the_connection() {
    let scene = Scene::small();
    let server = Server::with_files(&[&scene.kernel, &scene.vmcore]);
    let session = scene.gdb(&server, &["info threads", "bt", "p (int)hz"]);
    let [file] = &server.symbol_files()[..] else { panic!("one file: {:?}", server.symbol_files()) };
    session.has(&connect(&server), &format!("Reading {} from remote target", file.display()));
    session.has(&connect(&server), &format!("Reading symbols from target:{}", file.display()));
    session.is("info threads", &scene.machine.gdb_threads());
    session.has("bt", " in kdb_enter ()");
    session.is("p (int)hz", "$1 = 100");
    assert!(!session.of(&connect(&server)).contains("does not support file transfer"), "{session}");
}

#[test]
fn gdb_reads_modules_over_the_connection() {
    let root = std::env::var_os("KGDBSERVER_LINUX_IMAGES").map(PathBuf::from).unwrap_or_default();
    let image = root.join("amd64").join("elf.dump");
    let image = if image.exists() { image } else { root.join("amd64l4").join("elf.dump") };
    if !image.exists() {
        eprintln!("skipped: no image of a Linux kernel in KGDBSERVER_LINUX_IMAGES ({})", root.display());
        return;
    }
    let server = Server::with_files(&[&image]);
    let session = gdb_multiarch(&[GDB_WAITS, &connect(&server), "info sharedlibrary"]);
    let rows: Vec<&str> =
        session.of("info sharedlibrary").lines().filter(|line| line.contains(".ko")).collect();
    assert!(rows.len() > 5, "{session}");
    assert!(rows.iter().all(|row| row.contains(" Yes ") && row.contains(" target:/")), "{session}");
}

/// The user's own file stays one of gdb's own machine.
#[test]
fn a_kernel_file_of_gdbs_own_is_still_read_there() {
    let scene = Scene::small();
    let server = Server::with_files(&[&scene.kernel, &scene.vmcore]);
    let file = format!("file {}", scene.kernel.display());
    let session = gdb(&["set osabi none", &file, &connect(&server), "info threads"]);
    assert!(!session.of(&connect(&server)).contains("from remote target"), "{session}");
    session.is("info threads", &scene.machine.gdb_threads());
}
