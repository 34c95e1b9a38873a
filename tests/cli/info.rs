//! `info`.

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
