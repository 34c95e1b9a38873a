//! Files that are no dumps, or odd ones.

use super::*;

/// What opening a path says that is not a dump at all.
#[track_caller]
fn not_a_dump(path: &Path, expected: &str) {
    same_lines(&opened(path, &[]), expected);
}

#[test]
fn case_33_things_that_are_no_image_files() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("text"), "Dear diary,\n").unwrap();
    std::fs::write(path("empty"), "").unwrap();
    std::os::unix::fs::symlink(path("nowhere"), path("dangling")).unwrap();
    std::os::unix::fs::symlink(path("loop"), path("loop")).unwrap();
    let unknown = &format!("FILE: {UNKNOWN}");
    not_a_dump(&path("text"), unknown);
    not_a_dump(&path("empty"), "FILE: empty file");
    not_a_dump(folder.path(), "FILE: a folder without an image in it");
    not_a_dump(&path("nonexistent"), "FILE: No such file or directory (os error 2)");
    not_a_dump(&path("dangling"), "FILE: No such file or directory (os error 2)");
    not_a_dump(&path("loop"), "FILE: Too many levels of symbolic links (os error 40)");
    let live = "FILE: only FreeBSD and DragonFly tell of their processes without memory (sysctl(3))";
    not_a_dump(Path::new("/dev/null"), live);
}

#[test]
fn case_33_a_pipe_is_refused_and_does_not_wait_for_a_writer() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
    // SAFETY: a NUL-terminated path.
    #[allow(unsafe_code)]
    let made = unsafe { libc::mkfifo(name.as_ptr(), 0o600) };
    assert_eq!(made, 0);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(opened(&pipe, &[])));
    let text = told.recv_timeout(std::time::Duration::from_secs(10)).expect("it still waits");
    assert_eq!(text, "FILE: is neither a file nor a device");
}

#[test]
fn case_33_a_link_leads_to_the_file_and_growth_is_not_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("vmcore.0"), folder.path().join("vmcore.last"));
    let (bytes, _) = dump(3);
    std::fs::write(&file, &bytes[..bytes.len() - 4096]).unwrap();
    std::os::unix::fs::symlink("vmcore.0", &link).unwrap();
    let kvm = open(None, &link, false).unwrap();
    assert_eq!(ask(&kvm, "pages"), "9 dumped, 1 missing");
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(ask(&kvm, "pages"), "9 dumped, 1 missing");
    assert_eq!(ask(&kvm, "read dmap+1000 10"), "\"page 1000\", 0x10 bytes");
}

#[test]
fn a_sparse_file_is_read_as_a_full_one() {
    use std::os::unix::fs::MetadataExt;
    let (file, _) = dump(3);
    let saved = tempfile::NamedTempFile::new().unwrap();
    support::real::copy_sparse(&mut &*file, &mut saved.reopen().unwrap()).unwrap();
    let meta = saved.as_file().metadata().unwrap();
    assert_eq!(meta.len(), file.len() as u64);
    assert!(meta.blocks() * 512 < meta.len() / 10, "{} blocks: not a sparse file", meta.blocks());
    same_lines(
        &opened(saved.path(), &["read text+1000 10", "read dmap+100000000 10", "read low+1000 1"]),
        "read text+1000 10: \"page 201000\", 0x10 bytes
        read dmap+100000000 10: \"page 100000000\", 0x10 bytes
        read low+1000 1: invalid address (0xffffffff80001000): physical address 0x3000 is not in the image",
    );
}
