//! A Linux kernel that the host's compiler makes from `tests/data/linux.c`, and a dump of it: an ELF core, VMCOREINFO in
//! a note, and page tables of the kernel and of a process.

use super::bytes::{Endian, put};
use super::compiled::{compile, run, segments};
use super::elfcore::{EM_X86_64, ElfCore, PT_NOTE, ProgramHeader};
use super::machine::AMD64;
use super::tables::{Physical, Tables};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// Where physical address 0 is mapped.
const KERNEL: u64 = 0xffff_ffff_8000_0000;
const KERNEL_TABLES: u64 = 0x70_0000;
/// A CPU's table of interrupts.
const INTERRUPTS: u64 = 0x6f_0000;
/// As the source has it.
const USER_TABLES: u64 = 0x90_0000;
const STACKS: [u64; 2] = [0x7fff_ffff_f000, 0xffff_d000];

/// The shapes of which releases.
#[derive(Clone, Copy, Debug)]
pub enum Shapes {
    New,
    Old,
}

pub struct Linux {
    folder: tempfile::TempDir,
    symbols: BTreeMap<String, u64>,
    memory: Physical,
    /// VMCOREINFO; no note of it if empty.
    pub info: String,
    /// Whether there are notes of a CPU, as QEMU writes them.
    pub qemu: bool,
}

impl Linux {
    pub fn new(shapes: Shapes) -> Option<Self> {
        let mut flags =
            vec!["-Wl,--defsym=__per_cpu_start=__start_percpu,--defsym=__per_cpu_end=__stop_percpu"];
        flags.extend(match shapes {
            Shapes::New => None,
            Shapes::Old => Some("-DOLD"),
        });
        let (folder, symbols) = compile(&AMD64, "linux.c", &flags)?;
        let mut memory = Physical::default();
        for (address, bytes) in
            segments(&AMD64, &std::fs::read(folder.path().join("full")).expect("the kernel"))
        {
            memory.write(address - KERNEL, &bytes);
        }
        let mut built = Self { folder, symbols, memory, info: String::new(), qemu: false };
        built.make_tables();
        built.make_per_cpu_areas();
        built.make_interrupts();
        built.info = format!(
            "OSRELEASE=4.99.0-test\nPAGESIZE=4096\nSYMBOL(init_uts_ns)={:x}\nSYMBOL(_stext)={:x}\n\
             SYMBOL(init_top_pgt)={:x}\nNUMBER(phys_base)=0\nNUMBER(pgtable_l5_enabled)=0\n",
            built.symbol("init_uts_ns"),
            built.symbol("_stext"),
            KERNEL + KERNEL_TABLES,
        );
        Some(built)
    }

    fn make_tables(&mut self) {
        let mut kernel = Tables::amd64(4, KERNEL_TABLES, KERNEL_TABLES + 0x1000);
        kernel.map_range(&mut self.memory, KERNEL..KERNEL + (16 << 20), 0);
        let mut user = Tables::amd64(4, USER_TABLES, USER_TABLES + 0x1000);
        let stack = self.symbol("user_stack") - KERNEL;
        STACKS.into_iter().for_each(|va| user.map(&mut self.memory, va, stack, 3));
    }

    /// The first and the third CPU's areas begin as copies of the variables as they were linked.
    fn make_per_cpu_areas(&mut self) {
        let [start, end, areas] =
            ["__per_cpu_start", "__per_cpu_end", "cpu_areas"].map(|name| self.symbol(name));
        let template = self.read(start, end - start);
        for cpu in 0..3 {
            let area = areas + cpu * 4096;
            if cpu != 1 {
                self.memory.write(area - KERNEL, &template);
            }
            self.poke_word("__per_cpu_offset", cpu * 8, area.wrapping_sub(start));
        }
    }

    /// One entry of the table, which leads to where the kernel's text begins.
    fn make_interrupts(&mut self) {
        let code = self.symbol("_stext").to_le_bytes();
        let entry = [&code[..2], &[0x10, 0, 0, 0x8e], &code[2..]].concat();
        self.memory.write(INTERRUPTS, &[entry, vec![0; 4]].concat());
    }

    fn read(&self, va: u64, length: u64) -> Vec<u8> {
        let byte = |pa: u64| self.memory.pages[&(pa & !0xfff)][(pa & 0xfff) as usize];
        (va - KERNEL..va - KERNEL + length).map(byte).collect()
    }

    /// A word, `offset` bytes into a variable.
    pub fn word(&self, name: &str, offset: u64) -> u64 {
        u64::from_le_bytes(self.read(self.symbol(name) + offset, 8).try_into().expect("eight bytes"))
    }

    pub fn symbol(&self, name: &str) -> u64 {
        *self.symbols.get(name).unwrap_or_else(|| panic!("no symbol {name}"))
    }

    /// Changes memory, `offset` bytes into a variable.
    pub fn poke(&mut self, name: &str, offset: u64, bytes: &[u8]) -> &mut Self {
        let at = self.symbol(name) + offset;
        self.memory.write(at - KERNEL, bytes);
        self
    }

    pub fn poke_word(&mut self, name: &str, offset: u64, value: u64) -> &mut Self {
        self.poke(name, offset, &value.to_le_bytes())
    }

    /// Puts another value in the place of the first word that has one of these.
    pub fn replace_word(&mut self, name: &str, value: u64, by: u64) -> &mut Self {
        let at = self.symbol(name);
        let place = (0..4096).step_by(4).find(|offset| self.read(at + offset, 8) == value.to_le_bytes());
        self.poke_word(name, place.unwrap_or_else(|| panic!("no {value:#x} in {name}")), by)
    }

    /// Leaves the page of a variable out of the dump.
    pub fn omit(&mut self, name: &str) -> &mut Self {
        let pa = self.symbol(name) - KERNEL;
        self.memory.pages.remove(&(pa & !0xfff)).expect("a page");
        self
    }

    /// Takes a name out of the kernel file.
    pub fn forget(&self, name: &str) -> &Self {
        assert!(run(Command::new("objcopy").args(["-N", name]).arg(self.kernel())));
        self
    }

    pub fn kernel(&self) -> PathBuf {
        self.folder.path().join("full")
    }

    /// Writes the dump; says where it is.
    pub fn save(&self) -> PathBuf {
        let e = Endian::Little;
        let mut notes = Vec::new();
        if self.qemu {
            notes.extend(note("CORE", 1, &[0; 336]));
            notes.extend(note("QEMU", 0, &control_registers()));
        }
        if !self.info.is_empty() {
            notes.extend(note("VMCOREINFO", 0, self.info.as_bytes()));
        }
        let note = ProgramHeader { kind: PT_NOTE, bytes: notes, ..ProgramHeader::default() };
        let memory = ElfCore::of_pages(EM_X86_64, e, true, &self.memory.pages).headers;
        let core = ElfCore::linux(EM_X86_64, e, [vec![note], memory].concat());
        let path = self.folder.path().join("vmcore");
        std::fs::write(&path, core.build()).expect("write the vmcore");
        path
    }
}

fn note(name: &str, kind: u32, contents: &[u8]) -> Vec<u8> {
    let e = Endian::Little;
    let mut note = [e.u32(name.len() as u32 + 1), e.u32(contents.len() as u32), e.u32(kind)].concat();
    for part in [&[name.as_bytes(), b"\0"].concat(), contents] {
        note.extend(part);
        note.resize(note.len().next_multiple_of(4), 0);
    }
    note
}

/// QEMU's note of a CPU: its version and size, 18 registers, ten segments of 24 bytes (the last one that of the table of
/// interrupts), and the control registers.
fn control_registers() -> Vec<u8> {
    let (segments, control) = (8 + 18 * 8, 8 + 18 * 8 + 10 * 24);
    let mut note = vec![0; control + 6 * 8];
    let size = note.len() as u64;
    put(&mut note, 0, &(size << 32 | 1).to_le_bytes());
    put(&mut note, segments + 9 * 24 + 16, &(KERNEL + INTERRUPTS).to_le_bytes());
    put(&mut note, control + 3 * 8, &KERNEL_TABLES.to_le_bytes());
    put(&mut note, control + 4 * 8, &0x20_u64.to_le_bytes());
    note
}
