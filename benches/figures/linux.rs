//! Linux images beside drgn, which opens the same files and reads the same addresses in the same order, and crash.

use super::drgn::Drgn;
use super::files;
use super::library::private_memory_of;
use super::linux_reads;
use super::measure::{Times, Watch};
use super::table::{Row, time};
use kgdbserver::kvm::{Kvm, Options};
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PAGE: usize = 4096;
const ROUNDS: usize = 9;

/// An image that `scripts/make-images` made, in many formats.
pub(super) struct Images {
    folder: PathBuf,
    /// The kernel's own file, where `scripts/make-images --debug` brought it.
    vmlinux: Option<PathBuf>,
}

impl Images {
    /// None, and a word about it, where there are none.
    pub(super) fn find() -> Option<Self> {
        let found = Self::look();
        if found.is_none() {
            eprintln!("no Linux images (scripts/make-images amd64l4): what needs them is left out");
        }
        found
    }

    fn look() -> Option<Self> {
        let root = PathBuf::from(std::env::var_os("KGDBSERVER_LINUX_IMAGES")?);
        let folder = root.join("amd64l4");
        let kvm = open(&folder.join("elf.dump"), None)?;
        let release = kvm.linux()?.info.release().to_owned();
        let vmlinux = Some(root.join(format!("debug/vmlinux-{release}"))).filter(|path| path.exists());
        Some(Self { folder, vmlinux })
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

pub(super) fn open(image: &Path, vmlinux: Option<&Path>) -> Option<Kvm> {
    let options = Options { kernel: vmlinux.map(Path::to_owned), ..Options::default() };
    Kvm::open_with(image, options).ok()
}

pub(crate) fn rows() -> Vec<Row> {
    let Some(images) = Images::find() else { return Vec::new() };
    let mut drgn = Drgn::start();
    if drgn.is_none() {
        eprintln!("no drgn (pip in a virtual environment): its figures are left out");
    }
    let mut rows = with_vmlinux(&images, drgn.as_mut());
    rows.extend(without_vmlinux(&images));
    rows.extend(opened(&images));
    rows.extend(linux_reads::rows(&images, drgn.as_mut()));
    rows
}

/// From the path of an image to its tasks with their names, states and parents.
fn listed(image: &Path, vmlinux: Option<&Path>) -> usize {
    let kvm = open(image, vmlinux).unwrap();
    assert!(kvm.processes().unwrap().items.len() > 1);
    kvm.threads().unwrap().items.len()
}

/// Seconds for that.
fn seconds(image: &Path, vmlinux: Option<&Path>) -> f64 {
    let watch = Watch::start();
    assert!(listed(image, vmlinux) > 1);
    watch.seconds()
}

/// With the kernel's own file, as drgn and crash need it.
fn with_vmlinux(images: &Images, mut drgn: Option<&mut Drgn>) -> Vec<Row> {
    let (elf, Some(vmlinux)) = (images.file("elf.dump"), &images.vmlinux) else {
        eprintln!("no vmlinux (scripts/make-images --debug amd64l4): what needs one is left out");
        return Vec::new();
    };
    let count = listed(&elf, Some(vmlinux)) as u64;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(seconds(&elf, Some(vmlinux)));
        if let Some(drgn) = drgn.as_deref_mut() {
            let (seconds, their_count) = drgn.tasks(&elf, vmlinux);
            assert!(count >= their_count, "{count} tasks, and drgn has {their_count}");
            theirs.push(seconds);
        }
    }
    let (ours, theirs) = (Times::of(ours), Times::of(theirs));
    let mut taken =
        Row::new("Linux: tasks, with vmlinux", time(ours.best())).wanted("20 ms", ours.best() <= 20e-3);
    let used = used_memory(&elf, Some(vmlinux));
    let mut memory = memory_row("  private memory", used);
    if let Some(drgn) = drgn {
        taken = taken.beside("drgn", time(theirs.best()), ours.ratio(&theirs));
        let theirs = private_memory_of(&drgn.id().to_string());
        memory = memory.beside("drgn", mib(theirs), used / theirs);
    }
    if let Some((seconds, theirs)) = crash(vmlinux, &elf) {
        taken = taken.beside("crash", time(seconds), ours.best() / seconds);
        memory = memory.beside("crash", mib(theirs), used / theirs);
    }
    vec![taken, memory]
}

fn without_vmlinux(images: &Images) -> Vec<Row> {
    let elf = images.file("elf.dump");
    let warm = Times::of((0..ROUNDS).map(|_| seconds(&elf, None)).collect());
    let cold = || {
        // The system forgets what it read of the file.
        fadvise(File::open(&elf).unwrap(), 0, None, Advice::DontNeed).unwrap();
        seconds(&elf, None)
    };
    let cold = Times::of((0..ROUNDS).map(|_| cold()).collect());
    vec![
        Row::new("Linux: tasks, without vmlinux", time(warm.best())),
        Row::new("  read from disk", time(cold.best())).wanted("60 ms", cold.best() <= 60e-3),
        memory_row("  private memory", used_memory(&elf, None)),
    ]
}

/// Images that are large, or in many pieces.
fn opened(images: &Images) -> [Row; 2] {
    let elf = images.file("elf.dump");
    let row = |figure, image: &Path, wanted: f64| {
        let taken = || {
            let watch = Watch::start();
            assert!(open(image, None).is_some());
            watch.seconds()
        };
        let best = Times::of((0..ROUNDS).map(|_| taken()).collect()).best();
        Row::new(figure, time(best)).wanted(time(wanted), best <= wanted)
    };
    [
        row("open ELF, 64 GiB of holes", &files::linux::vast(&elf), 10e-3),
        row("open flattened, 1 million records", &files::linux::flattened(&elf), 1.0),
    ]
}

/// MiB that a process of its own needs in which an image was used.
fn used_memory(image: &Path, vmlinux: Option<&Path>) -> f64 {
    let mut this = Command::new(std::env::current_exe().unwrap());
    let output = this.arg("linux-memory").arg(image).args(vmlinux).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn memory_row(figure: &'static str, used: f64) -> Row {
    Row::new(figure, mib(used)).wanted("40 MB", used <= 40.0 / 1.048_576)
}

fn mib(used: f64) -> String {
    format!("{used:.1} MiB")
}

/// Seconds of CPU time that crash takes for its process list, and MiB of its own; none where it is not installed.
fn crash(vmlinux: &Path, image: &Path) -> Option<(f64, f64)> {
    let before = cpu_of_children();
    let mut crash = Command::new("crash");
    crash.arg("-s").args([vmlinux, image]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = crash.spawn().ok()?;
    child.stdin.take()?.write_all(b"ps\n!grep RssAnon /proc/$PPID/status\nquit\n").ok()?;
    let output = String::from_utf8_lossy(&child.wait_with_output().ok()?.stdout).into_owned();
    let kib = output.lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().strip_suffix(" kB"));
    Some((cpu_of_children() - before, kib?.parse::<f64>().ok()? / 1024.0))
}

/// Counted in hundredths of a second.
fn cpu_of_children() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = text.rsplit_once(')').unwrap().1.split_ascii_whitespace();
    fields.skip(13).take(2).map(|field| field.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

/// Uses an image, and prints how many MiB of its own the process has then.
pub(crate) fn use_memory(mut paths: impl Iterator<Item = String>) {
    let image = PathBuf::from(paths.next().unwrap());
    let vmlinux = paths.next().map(PathBuf::from);
    let kvm = open(&image, vmlinux.as_deref()).unwrap();
    let threads = kvm.threads().unwrap().items;
    let processes = kvm.processes().unwrap();
    for thread in &threads {
        let frames = kvm.registers(thread).map(|registers| kvm.backtrace(&registers)).unwrap_or_default();
        frames.iter().for_each(|frame| drop(kvm.symbol_at(frame.pc)));
    }
    let mut page = [0; PAGE];
    for address in files::linux::pages(&kvm) {
        kvm.read2(address.0, &mut page).unwrap();
    }
    println!("{}", private_memory_of("self"));
    drop((threads, processes));
}
