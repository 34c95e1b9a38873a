//! A kernel that the host's compiler makes from a C file in `tests/data`, and a dump of it.
//!
//! The compiler lays out the structures, fills them, and describes them in DWARF, so nothing here knows an offset. Needs
//! `cc`, `nm` and `objcopy` for x86-64; without them there is no kernel, and the tests say so.

use super::machine::{self, Machine};
use super::minidump::{Minidump, Rights, SUPERPAGE};
use super::put;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where kernels are loaded that cannot be moved, from the begin of memory on.
const FRAME: u64 = 0x20_0000;
/// ELF's `e_machine`.
const E_MACHINE: usize = 18;

pub struct Compiled {
    folder: tempfile::TempDir,
    symbols: BTreeMap<String, u64>,
    dump: Minidump,
}

impl Compiled {
    /// Compiles `tests/data/SOURCE`. The folder holds `full` (with debugging information), `kernel` (without) and
    /// `kernel.debug` (that information alone), and, once saved, `vmcore`.
    pub fn new(source: &str) -> Option<Self> {
        Self::on(&machine::AMD64, source, &[])
    }

    /// The same for another machine that stores the low byte first. The compiler makes data for a PC with pointers as wide,
    /// which are the same; there is no code.
    pub fn on(machine: &'static Machine, source: &str, more: &[&str]) -> Option<Self> {
        let (folder, symbols) = compile(machine, source, more)?;
        let dump = load(machine, &std::fs::read(folder.path().join("full")).expect("the kernel"));
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

    /// Where a variable lies in physical memory.
    pub fn physical(&self, name: &str) -> u64 {
        self.dump.translated(self.symbol(name)).expect("mapped")
    }

    /// Leaves the page of a variable out of the dump.
    pub fn omit(&mut self, name: &str) -> &mut Self {
        let pa = self.physical(name);
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

/// A folder with what the compiler makes of `tests/data/SOURCE`, and the addresses of its symbols.
pub(super) fn compile(
    machine: &Machine,
    source: &str,
    more: &[&str],
) -> Option<(tempfile::TempDir, BTreeMap<String, u64>)> {
    assert_eq!(machine.endian, super::Endian::Little, "the host's compiler");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str| folder.path().join(name);
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(source);
    let compiler = std::env::var("CC_X86_64").unwrap_or_else(|_| "cc".into());
    let mut cc = Command::new(compiler);
    cc.args(["-g", "-ffreestanding", "-fno-pic", "-no-pie", "-static", "-nostdlib"]);
    cc.arg(format!("-Wl,-Ttext-segment={:#x}", machine.text));
    cc.args(["-Wl,--build-id=sha1", "-Wl,-e,0", "-Wl,--no-warn-rwx-segments"]);
    cc.arg(if machine.word == 4 { "-m32" } else { "-mcmodel=kernel" }).args(more);
    let made = cfg!(target_arch = "x86_64")
        && run(cc.arg("-o").arg(file("full")).arg(&source))
        && run(Command::new("objcopy").arg("-g").arg(file("full")).arg(file("kernel")))
        && run(Command::new("objcopy").arg("--only-keep-debug").args([file("full"), file("kernel.debug")]));
    if !made {
        eprintln!("skipped: no compiler and objcopy for x86-64 here");
        return None;
    }
    for name in ["full", "kernel", "kernel.debug"] {
        let mut elf = std::fs::read(file(name)).expect("the kernel");
        put(&mut elf, E_MACHINE, &machine.endian.u16(machine.elf.0));
        std::fs::write(file(name), elf).expect("write the kernel");
    }
    let symbols = symbols(&file("full"));
    Some((folder, symbols))
}

pub(super) fn run(command: &mut Command) -> bool {
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
fn load(machine: &'static Machine, elf: &[u8]) -> Minidump {
    let mut dump = Minidump::of(machine, machine.newest);
    match machine.moved_to() {
        Some(phys) => dump.alias(machine.text..machine.text + 2 * SUPERPAGE, phys + machine.text),
        None => {
            let frame = machine.ram + FRAME;
            dump.map(machine.text, frame, SUPERPAGE, Rights::Execute);
            dump.map(machine.text + SUPERPAGE, frame + SUPERPAGE, SUPERPAGE, Rights::Write);
        }
    }
    for (address, bytes) in segments(machine, elf) {
        dump.write(address, &bytes);
    }
    dump
}

/// The loaded segments: addresses and bytes.
pub(super) fn segments(machine: &Machine, elf: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let number = |at: usize, bytes: usize| {
        elf[at..at + bytes].iter().rev().fold(0, |value: u64, byte| value << 8 | u64::from(*byte))
    };
    // Offsets in the file's header, and in a segment's: where it lies in the file and in memory, how much, and of what.
    let word = machine.word as usize;
    let (table, size, segment) = if word == 4 { (28, 42, [4, 8, 16, 20]) } else { (32, 54, [8, 16, 32, 40]) };
    let count = number(size + 2, 2) as usize;
    let headers = (number(table, word) as usize..).step_by(number(size, 2) as usize).take(count);
    let loaded = |header: usize| {
        let [offset, address, in_file, size] = segment.map(|field| number(header + field, word));
        let mut bytes = elf[offset as usize..(offset + in_file) as usize].to_vec();
        bytes.resize(size as usize, 0);
        (address, bytes)
    };
    headers.filter(|header| number(*header, 4) == 1).map(loaded).collect()
}
