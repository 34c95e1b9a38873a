//! Files and options, given rightly and wrongly.

use super::*;

/// Every way to name the files gives the same.
#[test]
fn the_files_are_told_apart_by_content() {
    let saved = files();
    let hz = format!("{:016x} B hz", saved.built.facts.symbol("hz"));
    for line in [
        "nlist kernel vmcore hz",
        "nlist vmcore kernel hz",
        "nlist -k kernel vmcore hz",
        "nlist -k kernel -c vmcore hz",
        "nlist -c vmcore kernel hz",
        "nlist --core vmcore --kernel kernel hz",
        "nlist -M vmcore kernel hz",
        "nlist kernel vmcore -- hz",
        "nlist -k kernel -c vmcore -- hz",
        "nlist ./vmcore ./kernel hz",
        "nlist kernel . hz", // the folder holds one image
    ] {
        let found = run(&saved, line);
        assert_eq!((text(&found.stdout).trim(), text(&found.stderr).as_str()), (hz.as_str(), ""), "{line}");
    }
}

#[test]
fn the_first_argument_that_is_no_file_begins_the_names() {
    let saved = files();
    let at = |name: &str| saved.built.facts.symbol(name);
    check(
        &saved,
        "nlist kernel vmcore hz panic kernbase osreldate",
        &format!(
            "{:016x} B hz\n{:016x} T panic\n{:016x} A kernbase\n{:016x} D osreldate",
            at("hz"),
            at("panic"),
            at("kernbase"),
            at("osreldate")
        ),
    );
    // Both files are there, so a third that exists is a name; so is what follows --.
    saved.write("hz", b"a file of that name");
    check(&saved, "nlist kernel vmcore hz", &format!("{:016x} B hz", at("hz")));
    check(
        &saved,
        "nlist vmcore -- hz",
        "! kgdbserver: hz: no such symbol
        status 1",
    );
}

#[test]
fn a_kernel_may_be_missing_and_an_image_may_not() {
    let saved = files();
    check(
        &saved,
        "ps vmcore",
        "! kgdbserver: no kernel file was given, so processes and threads cannot be found\nstatus 1",
    );
    for command in ["info", "ps", "nlist", "serve"] {
        let text = usage("kernel is a kernel; name the image too");
        check(&saved, &format!("{command} kernel"), &text);
    }
}

#[test]
fn too_many_files_of_a_kind() {
    let saved = files();
    std::fs::copy(&saved.vmcore, saved.path("vmcore2")).unwrap();
    check(&saved, "info kernel other", &usage("other: a second kernel file"));
    check(&saved, "info vmcore vmcore2", &usage("vmcore2: a second image"));
    check(&saved, "info kernel vmcore vmcore2", &usage("vmcore2: one kernel and one image are enough"));
}

#[test]
fn files_that_are_not_there_or_not_what_they_should_be() {
    let saved = files();
    check(&saved, "info nowhere", &usage("nowhere: no such file"));
    check(&saved, "info kernel nowhere", &usage("nowhere: no such file"));
    check(&saved, "ps nowhere vmcore", &usage("nowhere: no such file"));
    check(&saved, "nowhere", &usage("nowhere: no such file"));
    check(&saved, "info notes", &format!("! kgdbserver: notes: {UNKNOWN}\nstatus 4"));
    check(&saved, "info notes vmcore", "! kgdbserver: notes: kernel is not an ELF file\nstatus 1");
    // With a kernel any file could be raw memory.
    let raw = "raw memory: the kernel's page tables cannot be found without its symbol KPML4phys";
    let unknown = UNKNOWN.replace(')', &format!("; {raw})"));
    check(&saved, "info kernel notes", &format!("! kgdbserver: notes: {unknown}\nstatus 4"));
    check(&saved, "info empty", "! kgdbserver: empty: empty file\nstatus 1");
    std::fs::create_dir(saved.path("folder")).unwrap();
    check(&saved, "info folder", "! kgdbserver: folder: a folder without an image in it\nstatus 1");
    check(
        &saved,
        "info -c nowhere",
        "! kgdbserver: nowhere: No such file or directory (os error 2)\nstatus 1",
    );
    check(&saved, "info -k notes vmcore", "! kgdbserver: notes: kernel is not an ELF file\nstatus 1");
}

#[test]
fn a_kernel_that_does_not_belong_to_the_image_is_refused_unless_forced() {
    let saved = files();
    let text = "the kernel file does not belong to this image: version is \
                \"FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC MINIMAL\" in the kernel file and \
                \"FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC\" in the image \
                (find the kernel that wrote the image, or override with --force)";
    check(&saved, "nlist other vmcore hz", &format!("! kgdbserver: {text}\nstatus 3"));
    let hz = format!("{:016x} B hz", saved.built.facts.symbol("hz"));
    check(&saved, "nlist --force other vmcore hz", &format!("{hz}\n! [WARN ] forced: {text}"));
    check(&saved, "nlist --quiet -f other vmcore hz", &hz);
}

#[test]
fn a_kernel_that_cannot_be_compared_is_a_warning() {
    let mut built = System::small().build();
    let page = built.layout.offset(built.facts.symbol("version")).unwrap() / 4096 * 4096;
    let note = built.layout.offset(0xffff_ffff_803f_f000).unwrap() / 4096 * 4096;
    built.vmcore[page..page + 4096].fill(0);
    built.vmcore[note..note + 4096].fill(0);
    let hz = built.facts.symbol("hz");
    check(
        &Saved::new(built),
        "nlist kernel vmcore hz",
        &format!(
            "{hz:016x} B hz
            ! [WARN ] the kernel file could not be compared with the image (one of them lacks the bytes): if names \
            lead to nonsense, it is the wrong kernel"
        ),
    );
}

#[test]
fn clap_says_the_rest() {
    let saved = files();
    for (line, status) in [
        ("--help", 0),
        ("read --help", 0),
        ("--version", 0),
        ("", 2),
        ("info", 2),
        ("info -k kernel", 2),
        ("read", 2),
        ("info --nonsense vmcore", 2),
        ("--listen nonsense kernel vmcore", 2),
        ("--stdio --listen :0 kernel vmcore", 2),
    ] {
        let output = run(&saved, line);
        assert_eq!(output.status.code(), Some(status), "{line}: {}", text(&output.stderr));
    }
    let help = text(&run(&saved, "--help").stdout);
    for word in ["serve", "info", "ps", "nlist", "read", "demo", "--listen", "Exit status"] {
        assert!(help.contains(word), "{word}");
    }
}
