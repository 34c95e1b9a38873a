//! A kernel that the host's compiler makes from a C file in `tests/data`, and a dump of it.
//!
//! The compiler lays out the structures, fills them, and describes them in DWARF, so nothing here knows an offset. Needs
//! `cc`, `nm` and `objcopy` for x86-64; without them there is no kernel, and the tests say so.

use super::minidump::{Minidump, Rights, SUPERPAGE};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

const BASE: u64 = 0xffff_ffff_8020_0000;
const FRAME: u64 = 0x20_0000;

pub struct Compiled {
    folder: tempfile::TempDir,
    symbols: BTreeMap<String, u64>,
    dump: Minidump,
}

impl Compiled {
    /// Compiles `tests/data/SOURCE`. The folder holds `full` (with debugging information), `kernel` (without) and
    /// `kernel.debug` (that information alone), and, once saved, `vmcore`.
    pub fn new(source: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = |name: &str| folder.path().join(name);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(source);
        let compiler = std::env::var("CC_X86_64").unwrap_or_else(|_| "cc".into());
        let mut cc = Command::new(compiler);
        cc.args(["-g", "-ffreestanding", "-fno-pic", "-no-pie", "-static", "-nostdlib", "-mcmodel=kernel"]);
        cc.args([
            "-Wl,-Ttext-segment=0xffffffff80200000",
            "-Wl,--build-id=sha1",
            "-Wl,-e,0",
            "-Wl,--no-warn-rwx-segments",
        ]);
        let made = cfg!(target_arch = "x86_64")
            && run(cc.arg("-o").arg(file("full")).arg(&source))
            && run(Command::new("objcopy").arg("-g").arg(file("full")).arg(file("kernel")))
            && run(Command::new("objcopy")
                .arg("--only-keep-debug")
                .args([file("full"), file("kernel.debug")]));
        if !made {
            eprintln!("skipped: no compiler and objcopy for x86-64 here");
            return None;
        }
        let dump = load(&std::fs::read(file("full")).expect("the kernel"));
        let symbols = symbols(&file("full"));
        Some(Self { folder, symbols, dump })
    }

    pub fn symbol(&self, name: &str) -> u64 {
        *self.symbols.get(name).unwrap_or_else(|| panic!("no symbol {name}"))
    }

    /// Changes memory, `offset` bytes into a variable.
    pub fn poke(&mut self, name: &str, offset: u64, bytes: &[u8]) -> &mut Self {
        let at = self.symbol(name) + offset;
        self.dump.write(at, bytes);
        self
    }

    pub fn poke_word(&mut self, name: &str, offset: u64, value: u64) -> &mut Self {
        self.poke(name, offset, &value.to_le_bytes())
    }

    /// Leaves the page of a variable out of the dump.
    pub fn omit(&mut self, name: &str) -> &mut Self {
        let pa = self.symbol(name) - BASE + FRAME;
        self.dump.omit(pa);
        self
    }

    /// Writes the dump; says where it is.
    pub fn save(&self) -> PathBuf {
        let path = self.file("vmcore");
        std::fs::write(&path, self.dump.build().0).expect("write the vmcore");
        path
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Without the debugging information beside the kernel.
    pub fn hide_debug_file(&self) -> &Self {
        std::fs::rename(self.file("kernel.debug"), self.file("elsewhere")).expect("rename");
        self
    }
}

fn run(command: &mut Command) -> bool {
    match command.output() {
        Err(_) => false,
        Ok(output) => {
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
            true
        }
    }
}

fn symbols(file: &Path) -> BTreeMap<String, u64> {
    let output = Command::new("nm").arg(file).output().expect("nm");
    let text = String::from_utf8(output.stdout).expect("text");
    let symbol = |line: &str| {
        let mut words = line.split(' ');
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        Some((words.nth(1)?.to_owned(), address))
    };
    text.lines().filter_map(symbol).collect()
}

/// The loaded segments, in two large pages.
fn load(elf: &[u8]) -> Minidump {
    let word = |at: usize| u64::from_le_bytes(elf[at..at + 8].try_into().expect("eight bytes"));
    let half = |at: usize| usize::from(u16::from_le_bytes([elf[at], elf[at + 1]]));
    let mut dump = Minidump::new(3);
    dump.map(BASE, FRAME, SUPERPAGE, Rights::Execute);
    dump.map(BASE + SUPERPAGE, FRAME + SUPERPAGE, SUPERPAGE, Rights::Write);
    for header in (word(32) as usize..).step_by(half(54)).take(half(56)) {
        if elf[header] == 1 {
            let [offset, address, in_file, size] = [8, 16, 32, 40].map(|field| word(header + field));
            let mut bytes = elf[offset as usize..(offset + in_file) as usize].to_vec();
            bytes.resize(size as usize, 0);
            dump.write(address, &bytes);
        }
    }
    dump
}
