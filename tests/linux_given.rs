//! What may be given for a Linux kernel besides its vmlinux: its names alone, its types alone.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod support;
mod synth;

use kgdbserver::kernel::Hints;
use kgdbserver::kvm::{Kvm, Options};
use kgdbserver::symbols::{KernelFile, btf};
use kgdbserver::verify::Verdict;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::linux::{Guest, guests};
use synth::linux::{Linux, Shapes};

fn open_given(
    image: &Path,
    kernel: Option<&Path>,
    btf: Option<&Path>,
    force: bool,
) -> kgdbserver::Result<Kvm> {
    let given = |path: Option<&Path>| path.map(Path::to_owned);
    Kvm::open_with(image, Options { kernel: given(kernel), btf: given(btf), force, ..Options::default() })
}

/// The kernel's symbols as `/proc/kallsyms` shows them, higher by `by`, and some of a module.
fn kallsyms(kvm: &Kvm, by: u64) -> String {
    let table = kvm.symbols().table().expect("a table");
    let line = |symbol: kgdbserver::symbols::Symbol| {
        let by = if symbol.letter().eq_ignore_ascii_case(&'a') { 0 } else { by };
        format!("{:016x} {} {}\n", symbol.va.0.wrapping_add(by), symbol.letter(), symbol.name)
    };
    let own: String = table.symbols().map(line).collect();
    own + "ffffffffffff0000 t init_task\t[other]\n"
}

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::write(&path, contents).expect("written");
        path
    }
}

fn image(guest: &Guest) -> PathBuf {
    guest.folder.join("elf.dump")
}

fn names_of_threads(kvm: &Kvm) -> Vec<String> {
    kvm.threads().expect("threads").items.into_iter().map(|thread| thread.name).collect()
}

#[test]
fn names_of_the_same_kernel_count_wherever_it_ran() {
    for guest in guests().iter().filter(|guest| guest.kvm.symbols().file().is_none()) {
        let files = Files::new();
        for by in [0, 0x60_0000, 0x60_0000_u64.wrapping_neg()] {
            let path = files.write("System.map", kallsyms(&guest.kvm, by));
            let kvm = open_given(&image(guest), Some(&path), None, false).expect("an image");
            assert!(matches!(kvm.verdict(), Verdict::Verified(_)), "{}: {:?}", guest.name, kvm.verdict());
            assert_eq!(
                (kvm.symbols().map(), kvm.symbols().slide()),
                (Some(&*path), guest.kvm.symbols().slide())
            );
            let [ours, theirs] = [&kvm, &guest.kvm].map(|kvm| kvm.symbols().table().unwrap().symbols());
            assert!(ours.eq(theirs), "{}: {by:#x}", guest.name);
            assert_eq!(names_of_threads(&kvm), names_of_threads(&guest.kvm), "{}", guest.name);
        }
    }
}

/// A build that differs in one function has most symbols at the same places.
#[test]
fn names_of_another_kernel_are_refused() {
    for guest in guests().iter().filter(|guest| guest.kvm.symbols().file().is_none()) {
        let files = Files::new();
        let table = guest.kvm.symbols().table().unwrap();
        let middle = table.symbols().nth(table.len() / 3 * 2).unwrap().va;
        let line = |symbol: kgdbserver::symbols::Symbol| {
            let by = if symbol.va >= middle { 0x10 } else { 0 };
            format!("{:016x} {} {}\n", symbol.va.0.wrapping_add(by), symbol.letter(), symbol.name)
        };
        let other = files.write("System.map", table.symbols().map(line).collect::<String>());
        let why =
            open_given(&image(guest), Some(&other), None, false).err().expect("another kernel's").to_string();
        assert!(why.contains("does not belong to this image: the place of "), "{}: {why}", guest.name);
        let kvm = open_given(&image(guest), Some(&other), None, true).expect("by force");
        assert!(matches!(kvm.verdict(), Verdict::Forced(_)));
        let start = ["_stext", "_text"].map(|name| kvm.symbols().address(name));
        assert_eq!(
            start,
            ["_stext", "_text"].map(|name| guest.kvm.symbols().address(name)),
            "{}",
            guest.name
        );
    }
}

/// The BTF of a guest's own memory.
fn own_btf(guest: &Guest) -> Option<Vec<u8>> {
    let [start, stop] = ["__start_BTF", "__stop_BTF"].map(|name| guest.kvm.symbols().address(name));
    btf::read(guest.kvm.space(), start?, stop?.0 - start?.0).ok()
}

#[test]
fn types_are_compared_with_the_images_own() {
    for (guest, types) in guests().iter().filter_map(|guest| Some((guest, own_btf(guest)?))) {
        let files = Files::new();
        let path = files.write("vmlinux.btf", &types);
        for (kernel, btf) in [(Some(&*path), None), (None, Some(&*path))] {
            let kvm = open_given(&image(guest), kernel, btf, false).expect("an image");
            assert!(
                matches!(kvm.verdict(), Verdict::Verified(what) if what.len() == 1),
                "{:?}",
                kvm.verdict()
            );
            assert_eq!(kvm.symbols().types().source(), "BTF");
            assert_eq!(names_of_threads(&kvm), names_of_threads(&guest.kvm), "{}", guest.name);
        }
        let mut other = types;
        other.push(0);
        let path = files.write("other.btf", &other);
        let why = open_given(&image(guest), None, Some(&path), false).err().expect("another's").to_string();
        assert!(why.contains("does not belong to this image: BTF is "), "{}: {why}", guest.name);
        let forced = open_given(&image(guest), None, Some(&path), true).expect("by force");
        assert!(matches!(forced.verdict(), Verdict::Forced(_)));
    }
}

/// Where the image has neither, a table is placed by what VMCOREINFO tells.
#[test]
fn an_image_without_names_of_its_own() {
    let Some(built) = Linux::new(Shapes::New) else { return };
    let core = built.save();
    let files = Files::new();
    let file = KernelFile::open(Arc::new(kgdbserver::image::Store::open(&built.kernel()).unwrap())).unwrap();
    let text = |by: u64| -> String {
        let named = file.symbols().filter(|symbol| !symbol.name.contains(char::is_whitespace));
        named
            .map(|symbol| format!("{:016x} {} {}\n", symbol.va.0 - by, symbol.letter(), symbol.name))
            .collect()
    };
    let path = files.write("System.map", text(0x10_0000));
    let kvm = open_given(&core, Some(&path), None, false).expect("an image");
    assert_eq!(kvm.symbols().address("linux_banner").map(|va| va.0), Some(built.symbol("linux_banner")));
    assert_eq!(kvm.verdict(), &Verdict::Verified(vec!["3 symbols".into()]));

    let wrong = text(0).replace(
        &format!("{:016x} D init_uts_ns", built.symbol("init_uts_ns")),
        "ffffffff80000000 D init_uts_ns",
    );
    let path = files.write("System.map", wrong);
    let why = open_given(&core, Some(&path), None, false).err().expect("another kernel's").to_string();
    assert!(why.contains("where symbols lie is "), "{why}");
}

/// What the system of a kernel that runs shows of it, where its memory does not lead to it.
#[test]
fn files_of_the_system_stand_in_for_memory() {
    let Some(built) = Linux::new(Shapes::New) else { return };
    let core = built.save();
    let open = |kernel: Option<PathBuf>, hints: Hints| {
        Kvm::open_with(&core, Options { kernel, hints, ..Options::default() }).expect("an image")
    };
    let files = Files::new();
    let line = |name: &str| format!("{:016x} T {name}\n", built.symbol(name));
    let kallsyms = files.write("kallsyms", ["_stext", "init_uts_ns", "linux_banner"].map(line).concat());
    let hidden = files.write("hidden", "0000000000000000 T _stext\n0000000000000000 D linux_banner\n");
    let banner = |kallsyms| {
        let hints = Hints { kallsyms: Some(kallsyms), ..Hints::default() };
        open(None, hints).symbols().address("linux_banner").map(|va| va.0)
    };
    assert_eq!(banner(kallsyms), Some(built.symbol("linux_banner")));
    assert_eq!(banner(hidden), None, "hidden addresses are none");

    let btf = files.write("vmlinux", "the kernel's");
    let kvm = open(Some(built.kernel()), Hints { btf: Some(btf), ..Hints::default() });
    let mut module = kvm.loaded().first().expect("a module").module.clone();
    assert!(kvm.module_types(&module).is_err(), "there is no file of its name");
    files.write(&module.name, "the module's");
    assert_eq!(kvm.module_types(&module).expect("types").as_deref(), Some(&b"the module's"[..]));
    module.name = format!("../{}/vmlinux", files.0.path().file_name().unwrap().to_str().unwrap());
    assert!(kvm.module_types(&module).is_err(), "no name leads elsewhere");
}

#[test]
fn what_is_of_no_use_is_refused() {
    let files = Files::new();
    let map = files.write("System.map", "ffffffff81000000 T _text\nffffffff81000040 T start\n");
    let module = files.write("module.btf", [&[0x9f, 0xeb, 1, 0, 24, 0, 0, 0][..], &[0; 16], &[0]].concat());
    let saved = support::Saved::small();
    let why = |kernel: &Path| {
        open_given(&saved.vmcore, Some(kernel), None, false).err().expect("no Linux").to_string()
    };
    assert!(
        why(&map).ends_with("tells of a Linux kernel, and there is none to be found in the image"),
        "{}",
        why(&map)
    );
    assert!(why(&module).contains("task_struct") || why(&module).contains("corrupt"), "{}", why(&module));
    let Some(built) = Linux::new(Shapes::New) else { return };
    let why =
        open_given(&built.save(), Some(&map), None, false).err().expect("nothing to compare").to_string();
    assert!(why.contains("none of the symbols that the image tells is in the table"), "{why}");
}

#[test]
fn the_command_line_tells_them_by_content() {
    let Some(built) = Linux::new(Shapes::New) else { return };
    let files = Files::new();
    let line = |name: &str| format!("{:016x} T {name}\n", built.symbol(name));
    let map = files.write("names", ["_stext", "init_uts_ns", "init_task"].map(line).concat());
    let core = built.save();
    let info = |arguments: &[&Path]| {
        let program = std::process::Command::new(env!("CARGO_BIN_EXE_kgdbserver"))
            .args(["info", "--json"])
            .args(arguments)
            .output()
            .expect("run");
        let told: serde_json::Value = serde_json::from_slice(&program.stdout).unwrap_or_default();
        (program.status.code(), told, String::from_utf8_lossy(&program.stderr).into_owned())
    };
    for order in [[&*map, &*core], [&core, &map]] {
        let (status, told, _) = info(&order);
        assert_eq!(status, Some(0));
        assert_eq!(told["kernel_file"], map.display().to_string());
        assert_eq!((&told["kernel_match"], &told["linux"]["symbols"]), (&"verified".into(), &3.into()));
    }
    let wrong = files.write("wrong", line("_stext") + &line("init_uts_ns").replace("ffffffff8", "ffffffff9"));
    let (status, _, why) = info(&[&wrong, &core]);
    assert!(status == Some(3) && why.contains("where symbols lie is "), "{status:?} {why}");
    let (status, _, why) = info(&[&core, "--btf".as_ref(), &map]);
    assert_eq!((status, why), (Some(1), format!("kgdbserver: {}: not BTF\n", map.display())));
}
