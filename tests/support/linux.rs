//! Images of real Linux kernels, as `scripts/make-images` makes them, and what each guest said about itself before:
//! `KGDBSERVER_LINUX_IMAGES` says where they are.

use super::open;
use kgdbserver::Kvm;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A guest's image, and its report.
pub struct Guest {
    pub name: String,
    pub folder: PathBuf,
    pub kvm: Kvm,
    /// The kernel's file, where it is needed.
    pub vmlinux: Option<PathBuf>,
    sections: HashMap<String, Vec<String>>,
}

/// Machines whose kernels describe their own types (BTF): their images must be readable. The kernels of others are read with
/// their vmlinux (`scripts/make-images --debug`), and it is said where it is missing.
const READABLE: [&str; 3] = ["amd64", "arm64", "riscv64"];

/// Every guest with a whole image of a kernel that can be read. They are opened once.
pub fn guests() -> &'static [Guest] {
    static GUESTS: LazyLock<Vec<Guest>> = LazyLock::new(find);
    &GUESTS
}

fn find() -> Vec<Guest> {
    let root = std::env::var_os("KGDBSERVER_LINUX_IMAGES").map(PathBuf::from).unwrap_or_default();
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(&root).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    folders.sort();
    let guests: Vec<Guest> = folders.iter().filter_map(|folder| Guest::open(folder)).collect();
    if guests.is_empty() {
        eprintln!("skipped: no image with a report in KGDBSERVER_LINUX_IMAGES ({})", root.display());
    }
    guests
}

impl Guest {
    fn open(folder: &Path) -> Option<Self> {
        let report = std::fs::read_to_string(folder.join("report.txt")).ok()?;
        let image = folder.join("elf.dump");
        let name = folder.file_name()?.to_str()?.to_owned();
        let sections = sections(&report);
        let is_readable = READABLE.iter().any(|machine| name.starts_with(machine));
        let vmlinux = if is_readable { None } else { vmlinux(folder, &sections) };
        let is_expected = is_readable || vmlinux.is_some() || std::env::var_os("KGDBSERVER_FULL").is_some();
        let open = || {
            let kvm = open(vmlinux.as_deref(), &image, false)?;
            kvm.kernel()?;
            Ok::<_, kgdbserver::Error>(kvm)
        };
        match image.exists().then(open)? {
            Ok(kvm) => Some(Self { name, folder: folder.to_owned(), kvm, vmlinux, sections }),
            Err(error) if is_expected => panic!("{name}: {error}"),
            Err(error) => {
                eprintln!("skipped: {name}: {error}");
                None
            }
        }
    }

    /// The lines of a section.
    pub fn lines(&self, section: &str) -> &[String] {
        self.sections.get(section).unwrap_or_else(|| panic!("{}: no section {section}", self.name))
    }

    /// The lines of a section whose first words are a process's number and, perhaps, something else: by number.
    pub fn by_process(&self, section: &str) -> HashMap<u32, Vec<&str>> {
        let mut processes: HashMap<u32, Vec<&str>> = HashMap::new();
        for line in self.lines(section) {
            let (pid, rest) = line.split_once(' ').expect("a number and more");
            processes.entry(pid.parse().expect("a number")).or_default().push(rest);
        }
        processes
    }

    /// Bytes of a page of its memory.
    pub fn page_size(&self) -> u64 {
        self.kvm.linux().and_then(|linux| linux.info.number("PAGESIZE")).expect("the size of pages")
    }

    /// The number of a process by its part in the guest's cast.
    pub fn player(&self, name: &str) -> u32 {
        let pid = |line: &String| line.strip_prefix(name)?.strip_prefix(' ')?.split(' ').next()?.parse().ok();
        self.lines("cast").iter().find_map(pid).unwrap_or_else(|| panic!("{}: no {name}", self.name))
    }

    /// Whether a process was still what it was when the report was made: the guest's shell goes on with its script, and
    /// a kernel that crashes has one process more.
    pub fn is_steady(&self, pid: u32) -> bool {
        pid != 1
    }
}

/// The file of the guest's kernel, with debug information, if it was fetched.
fn vmlinux(folder: &Path, sections: &HashMap<String, Vec<String>>) -> Option<PathBuf> {
    // Linux version 6.1.0-56-cloud-amd64 (debian-kernel@...
    let release = sections.get("version")?.first()?.split(' ').nth(2)?;
    let file = folder.with_file_name("debug").join(format!("vmlinux-{release}"));
    file.exists().then_some(file)
}

/// What stands behind each `@@ NAME`.
fn sections(report: &str) -> HashMap<String, Vec<String>> {
    let mut sections = HashMap::new();
    let mut lines: &mut Vec<String> = sections.entry(String::new()).or_default();
    for line in report.lines() {
        match line.strip_prefix("@@ ") {
            Some(name) => lines = sections.entry(name.to_owned()).or_default(),
            None => lines.push(line.to_owned()),
        }
    }
    sections
}

/// Undoes the report's `\xNN` and `\\`.
pub fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        match escaped.strip_prefix('x') {
            Some(digits) => {
                let (digits, after) = digits.split_at(2);
                bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
                rest = after;
            }
            None => {
                bytes.push(b'\\');
                rest = &escaped[1..];
            }
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
