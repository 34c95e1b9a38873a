//! Dumps of several files.

use super::synth::Kdump;
use super::synth::kdump::{Packing, Writer};
use super::{ELSEWHERE, Folder, at, check_pages, dump, open_parts};
use kgdbserver::Result;
use kgdbserver::image::{self, Image};
use std::path::PathBuf;
use std::process::Command;

/// Three files: the pages below 5, those below 9000, and the rest.
struct Set {
    folder: Folder,
    paths: Vec<PathBuf>,
}

impl Set {
    fn of(dump: &Kdump) -> Self {
        let folder = Folder::new();
        let files = dump.split(&[5, 9000]).into_iter().zip(1..);
        let paths = files.map(|(file, number)| folder.write(&format!("dump.{number}"), &file)).collect();
        Self { folder, paths }
    }

    fn open(&self, files: &[usize]) -> Result<Image> {
        let paths: Vec<PathBuf> = files.iter().map(|index| self.paths[*index].clone()).collect();
        open_parts(&paths[0], &paths[1..])
    }

    fn refused(&self, files: &[usize], words: &str) {
        let error = self.open(files).expect_err("it was opened").to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn the_files_in_any_order() {
    for (writer, version) in [(Writer::Lp64, 6), (Writer::Lp64, 2), (Writer::I386, 6), (Writer::Arm, 4)] {
        let set = Set::of(&Kdump { writer, version, ..dump() });
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            let image = set.open(&order).unwrap();
            check_pages(&image);
            assert_eq!(image.facts.parts.as_deref(), Some("3 of 3 files"));
            assert_eq!(image.warnings, [""; 0]);
        }
    }
}

#[test]
fn what_a_missing_file_holds_is_elsewhere() {
    let set = Set::of(&dump());
    for (files, there, missing, told) in [
        (
            &[1, 2][..],
            &[5, 6, 7, 9000][..],
            &[3, 4][..],
            "2 files, none for physical addresses 0x0 to 0x5000",
        ),
        (&[0, 2], &[3, 4, 9000], &[5, 6, 7], "2 files, none for physical addresses 0x5000 to 0x2328000"),
        (&[0, 1], &[3, 4, 5, 6, 7], &[9000], "2 files, none for physical addresses 0x2328000 to 0x2710000"),
        (
            &[1],
            &[5, 6, 7],
            &[3, 4, 9000],
            "1 file, none for physical addresses 0x0 to 0x5000, 0x2328000 to 0x2710000",
        ),
    ] {
        let image = set.open(files).unwrap();
        there.iter().for_each(|page| assert_eq!(at(&image, *page), format!("page {page:x}")));
        missing.iter().for_each(|page| assert_eq!(at(&image, *page), ELSEWHERE, "page {page:x}"));
        assert_eq!(image.facts.parts.as_deref(), Some(told));
        assert_eq!(image.warnings.len(), 1, "{:?}", image.warnings);
        let census = image.memory.census();
        assert_eq!((census.dumped, census.cut_off), (6, missing.len() as u64));
    }
}

#[test]
fn files_that_do_not_belong_together() {
    let mut set = Set::of(&dump());
    set.refused(&[0, 0], "hold the same part of the dump");
    set.paths.push(set.folder.write("whole", &dump().build().0));
    set.refused(&[0, 1, 2, 3], "whole: a dump of its own, and no part of a split one");
    // Another crash of the same machine: only its notes differ.
    let other = Kdump { notes: b"Notes of CPUs...".to_vec(), ..dump() }.split(&[5, 9000]);
    set.paths.push(set.folder.write("other", &other[2]));
    set.refused(&[0, 1, 4], "other: part of another dump than");
    let other = Kdump { seconds: 5, ..dump() }.split(&[5, 9000]);
    set.paths.push(set.folder.write("later", &other[2]));
    set.refused(&[0, 1, 5], "later: part of another dump than");
    set.paths.push(set.folder.write("cut", &dump().split(&[5, 9000])[2][..5000]));
    set.refused(&[0, 1, 6], "cut off before its first page");
    set.paths.push(set.folder.write("notes.txt", b"Dear diary,"));
    set.refused(&[0, 1, 7], "not a kernel image");
}

#[test]
fn a_part_may_be_cut_off_or_packed() {
    let mut set = Set::of(&dump());
    let files = dump().split(&[5, 9000]);
    set.paths.push(set.folder.write("cut", &files[1][..files[1].len() - 100]));
    let image = set.open(&[0, 3, 2]).unwrap();
    assert_eq!([at(&image, 6), at(&image, 7)], ["page 6", super::CUT_OFF]);
    assert!(image.warnings[0].contains("1 of 6 pages are missing"), "{:?}", image.warnings);
    set.paths.push(set.folder.write("dump.2.zst", &zstd::bulk::compress(&files[1], 1).unwrap()));
    let settings = image::Settings {
        parts: vec![set.paths[4].clone(), set.paths[2].clone()],
        cache: Some(set.folder.0.path().join("cache")),
        ..image::Settings::default()
    };
    let first = image::Store::open(&set.paths[0]).unwrap();
    check_pages(&image::open(std::sync::Arc::new(first), &settings).unwrap());
}

// The command line

/// What the command prints, on both streams, and its exit status.
fn run(set: &Set, line: &str) -> (String, String, Option<i32>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
    let output = command
        .args(line.split(' '))
        .current_dir(set.folder.0.path())
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn the_command_line_takes_several_files_or_their_folder() {
    let set = Set::of(&dump());
    let read = |files: &str| run(&set, &format!("read {files} --raw --physical 0x7000 6")).0;
    for files in ["dump.1 dump.2 dump.3", "dump.3 dump.1 dump.2", "."] {
        assert_eq!(read(files), "page 7", "{files}");
        let (text, ..) = run(&set, &format!("info {files}"));
        assert!(text.contains("split set    3 of 3 files\n"), "{text}");
        assert!(text.contains("dump level   31: without page cache,"), "{text}");
    }
    let (text, log, _) = run(&set, "info dump.1 dump.3");
    assert!(text.contains("missing      3 pages: in files that are cut off or were not given\n"), "{text}");
    assert!(log.contains("0x5000 to 0x2328000"), "{log}");
    let (_, log, status) = run(&set, "read dump.1 --physical 0x7000 6");
    assert!(log.contains("physical address 0x7000 is in another file of the split set"), "{log}");
    assert_eq!(status, Some(1));
}

#[test]
fn the_command_line_refuses_other_second_images_and_folders() {
    let mut set = Set::of(&dump());
    set.paths.push(set.folder.write("whole", &dump().build().0));
    let (_, log, status) = run(&set, "info whole dump.1");
    assert!(log.contains("whole: a dump of its own"), "{log}");
    assert_eq!(status, Some(1));
    let (_, log, _) = run(&set, "info .");
    assert!(log.contains("whole: a dump of its own"), "{log}");
    let (_, log, status) = run(&set, "info -c dump.1 dump.2");
    assert!(log.contains("dump.2: a second image"), "{log}");
    assert_eq!(status, Some(2));
    std::fs::create_dir(set.folder.0.path().join("empty")).unwrap();
    let (_, log, _) = run(&set, "info empty");
    assert!(log.contains("empty: a folder without an image in it"), "{log}");
    let mut minidump = super::synth::Minidump::new(3);
    minidump.write_physical(0x1000, b"page");
    set.folder.write("minidump", &minidump.build().0);
    let (_, log, _) = run(&set, "info minidump dump.1");
    assert!(log.contains("dump.1: a second image"), "{log}");
}

#[test]
fn an_empty_part_is_no_gap() {
    let mut dump = Kdump::new(100);
    dump.page(1, "page 1", Packing::Lzo);
    let set = Set::of(&dump);
    let folder = Folder::new();
    let files = dump.split(&[50]);
    let paths = [folder.write("a", &files[0]), folder.write("b", &files[1])];
    let image = open_parts(&paths[0], &paths[1..]).unwrap();
    assert_eq!((at(&image, 1).as_str(), image.facts.parts.as_deref()), ("page 1", Some("2 of 2 files")));
    assert_eq!(image.memory.census().cut_off, 0);
    drop(set);
}
