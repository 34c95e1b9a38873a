//! Images of real kernels, in the folders of `KGDBSERVER_LINUX_IMAGES`: what was made of one memory must be the same.

use super::*;
use kgdbserver::kvm::{Kvm, Options};
use std::path::PathBuf;

/// The images that have all of these files; none, with a printed reason, where there are none.
fn folders(files: &[&str]) -> Vec<PathBuf> {
    let root = std::env::var_os("KGDBSERVER_LINUX_IMAGES").map(PathBuf::from).unwrap_or_default();
    let entries = std::fs::read_dir(&root).into_iter().flatten().flatten();
    let whole = |folder: &PathBuf| files.iter().all(|file| folder.join(file).is_file());
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(whole).collect();
    folders.sort();
    if folders.is_empty() {
        eprintln!("skipped: no image with {} in KGDBSERVER_LINUX_IMAGES", files.join(" and "));
    }
    folders
}

/// Reads the same page of two images.
fn both(one: &Image, other: &Image, pa: Pa) -> (Result<Vec<u8>, String>, Result<Vec<u8>, String>) {
    let page = |image: &Image| {
        let mut page = vec![0; 4096];
        let got = image.memory.read(Addr::Phys(pa), &mut page).map_err(describe)?;
        page.truncate(got);
        Ok(page)
    };
    (page(one), page(other))
}

#[test]
fn a_flattened_core_is_what_makedumpfile_makes_of_it_otherwise() {
    for folder in folders(&["md-flat-elf-d31.dump", "md-elf-d31.dump", "elf.dump"]) {
        let [flat, plain, whole] = ["md-flat-elf-d31.dump", "md-elf-d31.dump", "elf.dump"]
            .map(|name| open_file(&folder.join(name)).unwrap());
        assert_eq!(flat.facts.layers, ["flattened"]);
        assert_eq!(
            (flat.memory.census(), flat.size, flat.warnings.len()),
            (plain.memory.census(), plain.size, 0)
        );
        let mut left_out = 0;
        for pa in whole.memory.pages() {
            let (flat, plain) = both(&flat, &plain, pa);
            assert!(flat == plain, "{}: {pa}", folder.display());
            left_out += u64::from(plain == Err(super::left_out(pa.0)));
        }
        assert_eq!(
            plain.memory.census().dumped + left_out,
            whole.memory.census().dumped,
            "{}",
            folder.display()
        );
    }
}

#[test]
fn a_filtered_core_has_the_pages_of_the_whole_one() {
    for folder in folders(&["md-elf-d31.dump", "elf.dump"]) {
        let [filtered, whole] =
            ["md-elf-d31.dump", "elf.dump"].map(|name| open_file(&folder.join(name)).unwrap());
        for pa in filtered.memory.pages() {
            let (filtered, whole) = both(&filtered, &whole, pa);
            assert!(filtered == whole, "{}: {pa}", folder.display());
        }
    }
}

#[test]
fn a_core_by_virtual_address_has_the_same_memory() {
    for folder in folders(&["elf-paging.dump", "elf.dump"]) {
        let [paging, whole] =
            ["elf-paging.dump", "elf.dump"].map(|name| open_file(&folder.join(name)).unwrap());
        assert!(paging.memory.census().dumped > whole.memory.census().dumped * 9 / 10);
        for pa in paging.memory.pages() {
            let (paging, whole) = both(&paging, &whole, pa);
            assert!(paging == whole, "{}: {pa}", folder.display());
        }
    }
}

/// Those whose kernel must be found in raw memory, if they are there. Of others it is said if it is not.
const FOUND: [&str; 5] = ["amd64", "amd64l4", "amd64-612", "amd64-new", "arm64"];

/// Where a machine's memory lies in a file without a header is found out by the kernel in it.
#[test]
fn raw_memory_is_that_of_the_core() {
    for folder in folders(&["ram.img"]) {
        let name = folder.file_name().unwrap().to_string_lossy();
        let raw = match Kvm::open_with(&folder.join("ram.img"), Options::default()) {
            Ok(raw) => raw,
            Err(error) if FOUND.contains(&&*name) => panic!("{name}: {error}"),
            Err(error) => {
                eprintln!("skipped: {name}: {error}");
                continue;
            }
        };
        let cores = ["elf.dump", "kdump-zlib.dump"].map(|name| open_file(&folder.join(name)));
        let Some(core) = cores.into_iter().find_map(Result::ok) else {
            eprintln!("skipped: {name}: no core");
            continue;
        };
        for pa in raw.image().memory.pages() {
            let (raw, core) = both(raw.image(), &core, pa);
            assert!(raw == core, "{name}: {pa}");
        }
    }
}
