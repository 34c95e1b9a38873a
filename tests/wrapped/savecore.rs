//! A crash directory, and what savecore notes there.

use super::*;

#[test]
fn the_kernel_is_checked_by_what_the_header_tells() {
    let bench = Bench::new();
    // A dump with none of the kernel's own pages.
    let dump = synth::Minidump::new(3).build().0;
    let mut device = Device::with(&dump);
    let mut check = |version: &str| {
        device.header.versionstring = version.into();
        bench.write("disk", &device.build());
        let options =
            Options { kernel: Some(bench.path("kernel")), image: bench.settings(), ..Options::default() };
        Kvm::open_with(&bench.path("disk"), options)
            .map(|kvm| kvm.verdict().clone())
            .map_err(|error| error.to_string())
    };
    assert_eq!(check(""), Ok(Verdict::Unverified));
    for version in
        ["FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC", "FreeBSD 15.0-RELEASE releng/15.0 SYNTH"]
    {
        assert_eq!(
            check(version),
            Ok(Verdict::Verified(vec!["the version that the dump's header tells".into()]))
        );
    }
    for version in
        ["FreeBSD 14.3-RELEASE releng/14.3 GENERIC", "FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC 2"]
    {
        let error = check(version).unwrap_err();
        assert!(error.contains("the kernel file does not belong to this image: the version"), "{error}");
    }
}

#[test]
fn savecores_info_is_read() {
    let bench = Bench::new();
    fs::rename(bench.path("vmcore"), bench.path("vmcore.7")).unwrap();
    bench.write("info.7", INFO.as_bytes());
    let kvm = bench.open("vmcore.7", bench.settings()).unwrap();
    let facts = &kvm.image().facts;
    assert_eq!(facts.hostname.as_deref(), Some("beastie.example.org"));
    assert_eq!(facts.panic.as_deref(), Some("page fault"));
    assert_eq!(facts.version.as_deref(), Some("FreeBSD 15.0-RELEASE\nreleng/15.0 SYNTHETIC GENERIC"));
}

const INFO: &str = "Dump header from device: /dev/ada0p3
  Architecture: amd64
  Architecture Version: 2
  Dump Length: 1048576
  Blocksize: 512
  Compression: none
  Dumptime: 2020-02-29 23:59:59 +0000
  Hostname: beastie.example.org
  Magic: FreeBSD Kernel Dump
  Version String: FreeBSD 15.0-RELEASE
    releng/15.0 SYNTHETIC GENERIC
  Panic String: page fault
  Dump Parity: 123456
  Bounds: 7
  Dump Status: good
";

#[test]
fn dumps_are_found_by_number() {
    let bench = Bench::new();
    let crash = bench.path("crash");
    let boot = bench.path("boot");
    for folder in [&crash, &boot.join("kernel"), &boot.join("kernel.old")] {
        fs::create_dir_all(folder).unwrap();
    }
    let mut other = System::small();
    other.version = "FreeBSD 14.3-RELEASE releng/14.3 SYNTHETIC GENERIC".into();
    fs::write(boot.join("kernel/kernel"), other.build().kernel).unwrap();
    fs::write(boot.join("kernel.old/kernel"), &SYSTEM.kernel).unwrap();
    for name in [
        "vmcore.0",
        "vmcore.1.zst",
        "vmcore_encrypted.2",
        "textdump.tar.3",
        "livecore.4.gz",
        "vmcore.10",
        "kernel.0",
        "bounds",
    ] {
        fs::write(crash.join(name), b"").unwrap();
    }
    let info = INFO.replace("15.0-RELEASE\n", "15.0-RELEASE\n  ");
    for number in [1, 10] {
        fs::write(crash.join(format!("info.{number}")), &info).unwrap();
    }
    let find = |which: &str| {
        crashdir::find(&crash, which.parse::<Which>().unwrap(), &boot).map_err(|error| error.to_string())
    };
    let found = |image: &str, kernel: Option<PathBuf>| Ok(Found { image: crash.join(image), kernel });
    let old = Some(boot.join("kernel.old/kernel"));
    assert_eq!(find("0"), found("vmcore.0", Some(crash.join("kernel.0"))));
    assert_eq!(find("1"), found("vmcore.1.zst", old.clone()));
    assert_eq!(find("2"), found("vmcore_encrypted.2", None));
    assert_eq!(find("3"), found("textdump.tar.3", None));
    assert_eq!(find("4"), found("livecore.4.gz", None));
    assert_eq!(find("last"), found("vmcore.10", old.clone()), "without links, the highest number");
    std::os::unix::fs::symlink("vmcore.1.zst", crash.join("vmcore.last.zst")).unwrap();
    assert_eq!(find("last"), found("vmcore.1.zst", old));
    std::os::unix::fs::symlink("info.3", crash.join("info.last")).unwrap();
    assert_eq!(find("last"), found("textdump.tar.3", None), "savecore's newest link is info.last");
    let error = find("99").unwrap_err();
    assert!(error.contains("no dump 99; looked for vmcore.99[.zst|.gz], vmcore_encrypted.99"), "{error}");
    assert!("first".parse::<Which>().is_err());
    assert!(crashdir::find(&bench.path("nowhere"), Which::Last, &boot).is_err());
    let empty = bench.path("empty");
    fs::create_dir(&empty).unwrap();
    assert!(crashdir::find(&empty, Which::Last, &boot).unwrap_err().to_string().contains("no dump last"));
}

/// The command, as a user types it.
fn kgdbserver(bench: &Bench, line: &str) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kgdbserver"))
        .args(line.split(' '))
        .current_dir(&bench.folder)
        .env("XDG_CACHE_HOME", bench.path("cache"))
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[test]
fn the_command_line() {
    let bench = Bench::new();
    let Some(bytes) = bench.run("gzip -c vmcore") else { return };
    let mut device = Device::with(&bytes);
    device.header.compression = 1;
    device.header.dumpextent = device.dump.len() as u64;
    bench.write("vmcore.3", &device.build());
    bench.write("kernel.3", &SYSTEM.kernel);
    let check = |line: &str, words: &[&str]| {
        let (done, text) = kgdbserver(&bench, line);
        assert!(done, "{line}: {text}");
        words.iter().for_each(|word| assert!(text.contains(word), "{line}: no {word:?} in {text}"));
        assert!(!text.contains('\u{1b}'), "no progress bar without a terminal: {text}");
    };
    let facts = [
        "dump device, gzip",
        "beastie.example.org",
        "2020-02-29 23:59:59 UTC",
        "kdb_sysctl_panic",
        "verified by",
    ];
    check("info -n 3 -d .", &facts);
    check("info -n last -d .", &facts);
    check("info kernel vmcore.3", &facts);
    check("info vmcore.3 kernel --cache-limit 1G", &facts);
    check("info -n 3 -d . --json", &["\"dump_time\": 1583020799", "\"layers\": [", "\"gzip\""]);
    check("read -n 3 -d . version 20", &["FreeBSD 15.0-REL"]);
    check("nlist -n 3 -d . allproc", &["allproc"]);
    check("ps -n 3 -d .", &["sysctl"]);
    for (line, words) in [
        ("info -n 4 -d .", "no dump 4; looked for vmcore.4"),
        ("info -n 3 -c vmcore", "cannot be used with"),
        ("info -n first", "a number, or: last"),
        ("info -d . vmcore", "required"),
        ("info --cache-limit 3X vmcore", "a number of bytes"),
        ("info vmcore.3 --cache-limit 1K", "--cache-limit allows 1024 bytes"),
    ] {
        fs::remove_dir_all(bench.path("cache")).ok();
        let (done, text) = kgdbserver(&bench, line);
        assert!(!done && text.contains(words), "{line}: {text}");
    }
}
