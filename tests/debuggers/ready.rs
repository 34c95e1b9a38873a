//! The files that bring gdb and lldb to a server: `--emit-gdbinit` and `--emit-lldbinit`.

use crate::driver::{Server, gdb_batch, gdb_program, lldb_batch, lldb_program};
use crate::scene::Scene;
use std::path::{Path, PathBuf};

/// A folder whose name must be quoted in gdb, lldb, a shell and JSON.
pub(crate) const AWKWARD: &str = "a \"b\" c";

/// The machine's files in such a folder.
pub(crate) fn awkward() -> (Scene, PathBuf, PathBuf) {
    let scene = Scene::small();
    let folder = scene.kernel.parent().expect("a folder").join(AWKWARD);
    std::fs::create_dir(&folder).expect("make a folder");
    let moved = |file: &Path| {
        let place = folder.join(file.file_name().expect("a name"));
        std::fs::copy(file, &place).expect("copy a file");
        place
    };
    let (kernel, vmcore) = (moved(&scene.kernel), moved(&scene.vmcore));
    (scene, kernel, vmcore)
}

/// Saves what an option prints beside the image.
fn emit(server: &Server, option: &str, kernel: &Path, vmcore: &Path) -> PathBuf {
    let text = server.says(&[option, "--listen", &format!(":{}", server.port)], &[kernel, vmcore]);
    let path = vmcore.with_file_name("init");
    std::fs::write(&path, text).expect("write a file");
    path
}

#[test]
fn gdb_runs_what_was_emitted_for_it() {
    let (scene, kernel, vmcore) = awkward();
    let server = Server::start(&[&kernel, &vmcore]);
    let mut gdb = gdb_program();
    gdb.arg("-x").arg(emit(&server, "--emit-gdbinit", &kernel, &vmcore));
    let session = gdb_batch(gdb, &["info threads", "show remotetimeout"]);
    session.is("info threads", &scene.machine.gdb_threads());
    session.has("show remotetimeout", "is 60.");
}

#[test]
fn lldb_runs_what_was_emitted_for_it() {
    let (scene, kernel, vmcore) = awkward();
    let server = Server::start(&[&kernel, &vmcore]);
    let mut lldb = lldb_program();
    lldb.arg("-s").arg(emit(&server, "--emit-lldbinit", &kernel, &vmcore));
    let session = lldb_batch(lldb, &["bt", "image list", "monitor ps"]);
    session.has("bt", &scene.machine.lldb_place(scene.machine.crashed().frames[0], "kernel"));
    let images: Vec<&str> = session.of("image list").lines().filter(|line| !line.is_empty()).collect();
    let [image] = images[..] else { panic!("not one image in\n{session}") };
    assert!(image.trim_end().ends_with(kernel.to_str().expect("a name")), "{session}");
    session.has("monitor ps", "pagedaemon");
}
