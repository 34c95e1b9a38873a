//! The compiler is the oracle.

use super::super::compiled::{self, PLACES, kernel};
use super::super::{KernelFile, Types};
use crate::image::Store;
use std::sync::Arc;

#[test]
fn every_version_says_what_the_compiler_says() {
    let dir = tempfile::tempdir().unwrap();
    for flags in [
        &["-gdwarf-2", "-gstrict-dwarf"][..],
        &["-gdwarf-3", "-gstrict-dwarf"],
        &["-gdwarf-4"],
        &["-gdwarf-5"],
        &["-gdwarf-5", "-gdwarf64"],
        &["-gdwarf-5", "-gz=zlib"],
    ] {
        let Some(file) = kernel(dir.path(), flags) else { return };
        eprintln!("{flags:?}");
        let types = Types::of(Arc::clone(&file));
        assert_eq!(types.source(), "DWARF");
        compiled::check(&file, &types);
        assert_eq!(types.size_of("local"), None, "known inside a function only");
    }
}

#[test]
fn a_debug_file_adds_what_the_kernel_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let Some(bare) = kernel(dir.path(), &["-g0"]) else { return };
    let other = tempfile::tempdir().unwrap();
    let Some(debug) = kernel(other.path(), &["-g"]) else { return };
    let types = Types::of(bare);
    assert_eq!((types.source(), types.size_of("proc")), ("none", None));
    let types = types.with_debug_file(debug);
    assert_eq!((types.source(), types.size_of("pid_t")), ("DWARF", Some(4)));
}

#[test]
fn damage_is_survived() {
    let dir = tempfile::tempdir().unwrap();
    let Some(file) = kernel(dir.path(), &["-g"]) else { return };
    let sound = std::fs::read(file.source().path()).unwrap();
    let path = dir.path().join("damaged");
    let mut state = 0x9e37_79b9_u32;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize
    };
    let sections = [".debug_info", ".debug_abbrev", ".debug_str"].map(|name| {
        let header = &file.sections().iter().find(|section| section.name == name).unwrap().header;
        header.sh_offset as usize..(header.sh_offset + header.sh_size) as usize
    });
    for round in 0..600 {
        let mut bytes = sound.clone();
        for _ in 0..4 {
            let section = &sections[round % sections.len()];
            bytes[section.start + random() % section.len()] = random() as u8;
        }
        std::fs::write(&path, &bytes).unwrap();
        let file = KernelFile::open(Arc::new(Store::open(&path).unwrap())).unwrap();
        let types = Types::of(Arc::new(file));
        for (structure, path) in PLACES {
            let _ = types.member(structure, path);
        }
        let _ = (types.size_of("nothing"), types.enumerator("LARGE"));
    }
}
