//! The file that is written, and the command.

use super::*;

/// Raw memory, which any kernel file serves for.
pub(super) fn memory() -> (Saved, Kvm) {
    let full =
        Full { loaded_at: 2 << 20, kernphys: Kernphys::Missing, five_levels: false, high_memory: false };
    let saved = Saved::new(System { full: Some(full), ..System::small() }.build());
    let image = saved.write("raw", &synth::tables::raw(saved.built.memory.as_ref().unwrap()));
    let kvm = open(Some(&saved.kernel), &image, false).unwrap();
    (saved, kvm)
}

fn names(folder: &TempDir) -> Vec<PathBuf> {
    std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn nothing_is_replaced_unless_told() {
    let (saved, kvm) = memory();
    let path = saved.write("dump", b"precious");
    let error = write_to(&kvm, &path, ELF, false).unwrap_err().to_string();
    assert!(error.ends_with("dump: is there already; --replace replaces it"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    write_to(&kvm, &path, ELF, true).unwrap();
    assert!(std::fs::read(&path).unwrap().starts_with(b"\x7fELF"));
    let folder = write_to(&kvm, saved.folder.path(), ELF, true).unwrap_err().to_string();
    assert!(folder.contains("not a file"), "{folder}");
}

#[test]
fn an_end_leaves_nothing() {
    let (saved, kvm) = memory();
    let (before, stop, told) = (names(&saved.folder).len(), AtomicBool::new(false), Mutex::new(0));
    let progress = |_, _| {
        *told.lock().unwrap() += 1;
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let settings = Settings { format: ELF, replace: false, progress: &progress, stop: &stop };
    let error = dump::write(&kvm, &saved.path("dump"), &settings).unwrap_err().to_string();
    assert!(error.contains("interrupted"), "{error}");
    assert_eq!((names(&saved.folder).len(), *told.lock().unwrap()), (before, 1));
}

#[test]
fn an_overlay_is_written_too() {
    let (saved, kvm) = memory();
    let hz = saved.built.facts.symbol("hz");
    let over = kvm.with_overlay(LIMIT);
    over.write(hz as usize, &[7]).unwrap();
    let (other, _) = dumped(&over, Some(&saved.kernel), ELF, &saved.folder);
    let value = |kvm: &Kvm| kvm.space().uint(kgdbserver_arch::Va(hz), 4).unwrap();
    assert_eq!((value(&other), value(&kvm)), (7, 100));
}

#[test]
fn pages_of_zeros_take_no_room() {
    use std::os::unix::fs::MetadataExt;
    let (saved, _) = memory();
    let image = saved.path("zeros");
    std::fs::File::create(&image).unwrap().set_len(64 << 20).unwrap();
    let options = Options {
        kernel: Some(saved.write("kernel2", &Elf::amd64().build())),
        raw_memory: Some("0".parse().unwrap()),
        ..Options::default()
    };
    let kvm = Kvm::open_with(&image, options).unwrap();
    let (other, written) = dumped(&kvm, None, ELF, &saved.folder);
    assert_eq!(written.memory, 64 << 20);
    assert_eq!(page(&other, (64 << 20) - 4096), Ok(vec![0; 4096]));
    let blocks = saved.path("dump").metadata().unwrap().blocks();
    assert!(blocks * 512 < 1 << 20, "{blocks} blocks");
}

#[test]
fn the_command_writes_and_refuses() {
    let (saved, _) = memory();
    let run = |line: &str| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
        let output = command.args(line.split(' ')).current_dir(saved.folder.path()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, said) = run("dump kernel raw -o out");
    assert!(status == Some(0) && said.starts_with("out: 64 MiB of memory in 64 MiB"), "{status:?} {said}");
    for (line, expected, text) in [
        ("dump kernel raw -o out", 1, "is there already"),
        ("dump kernel raw -o raw --replace", 2, "that is what is read"),
        ("dump kernel vmcore -o two --format kdump-zstd", 1, "only Linux"),
        ("dump kernel raw -o no-such-folder/out", 1, "No such file"),
        ("dump kernel raw -o two --format kdump-zlib", 1, "only Linux"),
        ("dump kernel raw", 2, "--output"),
    ] {
        let (status, said) = run(line);
        assert!(status == Some(expected) && said.contains(text), "{line}: {status:?} {said}");
    }
    assert_eq!(run("info kernel out").0, Some(0));
}
