//! `--raw-memory`.

use super::*;
use synth::freebsd::{Full, Kernphys};

/// A moved kernel, and its memory up to 64 MiB, then what lies at 4 GiB.
fn saved() -> Saved {
    let full =
        Full { loaded_at: 0x260_0000, kernphys: Kernphys::Variable, five_levels: false, high_memory: true };
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
