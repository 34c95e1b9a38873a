//! Dumps of real kernels, in the folders of `KGDBSERVER_LINUX_IMAGES`: makedumpfile made them from an ELF core, so every page
//! must be the same.

use super::open_parts;
use kgdbserver::image::{Addr, Image};
use kgdbserver_arch::Fault;
use std::path::{Path, PathBuf};

/// The images that have all of these files; none, with a printed reason, where there are none.
fn folders(files: &[&str]) -> Vec<PathBuf> {
    let kept = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/kgdbserver/images"));
    let root =
        std::env::var_os("KGDBSERVER_LINUX_IMAGES").map(PathBuf::from).or_else(kept).unwrap_or_default();
    let entries = std::fs::read_dir(&root).into_iter().flatten().flatten();
    let whole = |folder: &PathBuf| files.iter().all(|file| folder.join(file).is_file());
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(whole).collect();
    folders.sort();
    if folders.is_empty() {
        eprintln!("skipped: no image with {} in {}", files.join(" and "), root.display());
    }
    folders
}

fn open(path: &Path, parts: &[PathBuf]) -> Image {
    let image = open_parts(path, parts).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert_eq!(image.warnings, [""; 0], "{}", path.display());
    assert!(image.machine.is_some(), "{}", path.display());
    image
}

/// Compares all pages with the core's. Returns how many were left out.
fn compare(core: &Image, image: &Image, name: &Path) -> u64 {
    let (mut same, mut left_out) = (0, 0);
    // Filtered dumps are small enough for all pages; of a whole one every 13th will do, unless all is to be tested.
    let whole = image.facts.dump_level <= Some(1) && std::env::var_os("KGDBSERVER_FULL").is_none();
    let step = if whole { 13 } else { 1 };
    for pa in core.memory.pages().step_by(step) {
        let read = |image: &Image| {
            let mut page = [0; 4096];
            image.memory.read(Addr::Phys(pa), &mut page).map(|got| (got, page))
        };
        match read(image) {
            Err(Fault::Excluded(_)) => left_out += 1,
            // QEMU's core also has what is not memory of the kernel's: the firmware, the screen.
            Err(Fault::NotInImage(_)) => {}
            page => {
                assert!(page.is_ok() && page == read(core), "{}: {pa}", name.display());
                same += 1;
            }
        }
    }
    let census = image.memory.census();
    assert_eq!(census.cut_off, 0, "{}", name.display());
    assert!(whole || census.dumped << image.page_shift == same << 12, "{}", name.display());
    left_out
}

/// The dumps of the same memory that are one file: makedumpfile's, and QEMU's own.
fn dumps(folder: &Path) -> Vec<PathBuf> {
    let is_one = |name: &str| name.starts_with("md-") && !name.contains("elf") || name.starts_with("kdump-");
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let named = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_one));
    named.map(|entry| entry.path()).collect()
}

#[test]
fn every_page_is_that_of_the_core() {
    for folder in folders(&["elf.dump"]) {
        let core = open_parts(&folder.join("elf.dump"), &[]).unwrap();
        for path in dumps(&folder) {
            let image = open(&path, &[]);
            assert_eq!(image.machine, core.machine, "{}", path.display());
            // Pages of zeros, which the lowest bit leaves out, are in one place, but there.
            let filtered = image.facts.dump_level.unwrap() > 1;
            assert_eq!(compare(&core, &image, &path) > 0, filtered, "{}", path.display());
        }
    }
}

#[test]
fn the_files_of_a_split_dump_are_one_image() {
    let names = ["split-0.dump", "split-1.dump", "split-2.dump"];
    for folder in folders(&[&names[..], &["elf.dump"]].concat()) {
        let core = open_parts(&folder.join("elf.dump"), &[]).unwrap();
        let [first, second, third] = names.map(|name| folder.join(name));
        let image = open(&third, &[first, second.clone()]);
        assert_eq!(image.facts.parts.as_deref(), Some("3 of 3 files"));
        compare(&core, &image, &folder);
        // Without the first file, what was left out still is, and the rest is elsewhere.
        let rest = open_parts(&third, &[second]).unwrap();
        let mut missing = 0;
        for pa in image.memory.pages() {
            match rest.memory.read(Addr::Phys(pa), &mut [0; 8]) {
                Ok(8) => {}
                answer => {
                    assert_eq!(answer, Err(Fault::PartMissing(pa)), "{}", folder.display());
                    missing += 1;
                }
            }
        }
        assert_eq!(rest.memory.census().cut_off, missing, "{}", folder.display());
        assert!(missing > 0);
    }
}

/// What the kernel said of itself stands in the header as in memory; and QEMU's notes are where the header says.
#[test]
fn the_notes_and_the_names_are_the_cores() {
    for folder in folders(&["elf.dump", "md-lzo-d31.dump"]) {
        let [core, image] =
            ["elf.dump", "md-lzo-d31.dump"].map(|name| open_parts(&folder.join(name), &[]).unwrap());
        let told = |image: &Image| -> Vec<_> {
            let notes = image.notes().into_iter();
            notes.map(|note| (note.name.clone(), note.kind, image.contents(&note.contents))).collect()
        };
        assert_eq!(told(&core), told(&image), "{}", folder.display());
        let range = image.plain.as_ref().unwrap().vmcoreinfo.clone().expect("VMCOREINFO");
        let text = String::from_utf8(image.contents(&range).unwrap()).unwrap();
        let release = text.lines().find_map(|line| line.strip_prefix("OSRELEASE=")).expect("OSRELEASE");
        assert!(image.facts.version.as_deref().unwrap().contains(release), "{:?}", image.facts.version);
        assert_eq!(image.machine, core.machine);
    }
}
