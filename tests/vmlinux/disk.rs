//! The places where systems keep kernels.

use crate::{HEX, ID, RELEASE, kernel, show};
use kgdbserver::symbols::vmlinux::{Wanted, find_below};
use std::path::Path;
use tempfile::TempDir;

const WANTED: Wanted<'static> = Wanted { build_id: Some(ID), release: RELEASE };
/// From kernels before 5.9.
const WITHOUT_ID: Wanted<'static> = Wanted { build_id: None, release: RELEASE };

/// A system's files, and a folder with an image.
struct System(TempDir);

impl System {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let system = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(system.0.path().join("dumps")).unwrap();
        for (path, bytes) in files {
            let path = system.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        system
    }

    fn search(&self, wanted: &Wanted<'_>) -> Vec<String> {
        let root = self.0.path();
        show(&find_below(root, wanted, &root.join("dumps/vmcore")), &root.display().to_string())
    }

    /// The boundary: the last place that was looked at, and what was found.
    #[track_caller]
    fn check(&self, wanted: &Wanted<'_>, expected: [&str; 2]) {
        let lines = self.search(wanted);
        assert_eq!(lines[lines.len() - 2..], expected, "{lines:#?}");
    }
}

#[test]
fn every_place_is_looked_at() {
    let expected = [
        "dumps/vmlinux: not there",
        "dumps/vmlinux-6.1.0-56-amd64: not there",
        "dumps/vmlinux-6.1.0-56-amd64.debug: not there",
        "dumps/abcdef0102030405.debug: not there",
        "usr/lib/debug/.build-id/ab/cdef0102030405.debug: not there",
        "usr/lib/debug/boot/vmlinux-6.1.0-56-amd64: not there",
        "usr/lib/debug/boot/vmlinux-6.1.0-56-amd64.debug: not there",
        "usr/lib/debug/lib/modules/6.1.0-56-amd64/vmlinux: not there",
        "usr/lib/debug/usr/lib/modules/6.1.0-56-amd64/vmlinux: not there",
        "usr/lib/debug/usr/lib/modules/6.1.0-56-amd64/vmlinux.debug: not there",
        "boot/vmlinux-6.1.0-56-amd64: not there",
        "lib/modules/6.1.0-56-amd64/vmlinux: not there",
        "lib/modules/6.1.0-56-amd64/build/vmlinux: not there",
        "nothing",
    ];
    assert_eq!(System::new(&[]).search(&WANTED), expected);
}

#[test]
fn the_kernel_is_found_in_each_of_them() {
    let right = kernel(Some(ID), RELEASE);
    let places = System::new(&[]).search(&WANTED);
    for place in places.iter().filter_map(|line| line.strip_suffix(": not there")) {
        System::new(&[(place, &right)]).check(&WANTED, [&format!("{place}: found"), place]);
    }
}

#[test]
fn another_kernel_is_passed_over() {
    let (wrong, right) = (kernel(Some(&[7; 20]), RELEASE), kernel(Some(ID), RELEASE));
    let at = format!("usr/lib/debug/boot/vmlinux-{RELEASE}");
    let system = System::new(&[("dumps/vmlinux", &wrong), (&at, &right)]);
    let lines = system.search(&WANTED);
    let id = "07".repeat(20);
    assert_eq!(lines[0], format!("dumps/vmlinux: another kernel's (build id {id})"));
    assert_eq!(lines.last(), Some(&at));
}

#[test]
fn what_is_no_kernel_is_passed_over() {
    let check = |bytes: &[u8], why: &str| {
        let lines = System::new(&[("dumps/vmlinux", bytes)]).search(&WANTED);
        assert!(lines[0].starts_with(&format!("dumps/vmlinux: {why}")), "{}", lines[0]);
        assert_eq!(lines.last().unwrap(), "nothing");
    };
    check(b"", "empty file");
    check(b"a text", "kernel is not an ELF file");
    check(&kernel(None, RELEASE), "it has no build id");
    check(&kernel(Some(ID), RELEASE)[..100], "corrupt ELF kernel file");
}

#[test]
fn a_folder_is_no_kernel() {
    let lines = System::new(&[("dumps/vmlinux/file", b"")]).search(&WANTED);
    assert_eq!(lines[0], "dumps/vmlinux: not a file");
}

#[test]
fn without_a_build_id_the_banner_tells() {
    let (wrong, right) = (kernel(Some(ID), "6.1.0-56"), kernel(None, RELEASE));
    let at = format!("boot/vmlinux-{RELEASE}");
    let system = System::new(&[("dumps/vmlinux", &wrong), (&at, &right)]);
    assert_eq!(system.search(&WITHOUT_ID)[0], "dumps/vmlinux: another kernel's (release 6.1.0-56)");
    system.check(&WITHOUT_ID, [&format!("{at}: found"), &at]);
    let silent = crate::synth::Elf::amd64().build();
    let lines = System::new(&[("dumps/vmlinux", &silent)]).search(&WITHOUT_ID);
    assert_eq!(lines[0], "dumps/vmlinux: it does not tell its release");
}

#[test]
fn nothing_is_made_of_what_is_not_known() {
    let only_beside = ["dumps/vmlinux: not there", "nothing"];
    for release in ["", ".", "..", "../../etc", "/etc", "a/b", "a/"] {
        let wanted = Wanted { build_id: None, release };
        assert_eq!(System::new(&[]).search(&wanted), only_beside, "{release:?}");
    }
    let short = Wanted { build_id: Some(&[0xab]), release: "" };
    assert_eq!(System::new(&[]).search(&short), only_beside);
    let only_id = Wanted { build_id: Some(ID), release: "" };
    let debug = format!("usr/lib/debug/.build-id/ab/{}.debug: not there", &HEX[2..]);
    assert_eq!(
        System::new(&[]).search(&only_id)[1..],
        [format!("dumps/{HEX}.debug: not there"), debug, "nothing".into()]
    );
}

#[test]
fn an_image_without_a_folder_is_in_the_current_one() {
    let search = find_below(Path::new("/nowhere"), &WANTED, Path::new("vmcore"));
    assert_eq!(search.looked[0].0, "vmlinux");
}
