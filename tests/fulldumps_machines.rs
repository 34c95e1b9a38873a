//! Full dumps and raw memory of machines other than amd64: the page tables of each, and what must not be believed.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod synth;

use kgdbserver::image::{Addr, RawMemory};
use kgdbserver::kvm::{Kvm, Options};
use kgdbserver::{Result, report};
use kgdbserver_arch::{Pa, Va};
use std::collections::HashMap;
use std::sync::Arc;
use synth::elfcore::{EM_386, EM_ARM, EM_PPC, EM_PPC64, ElfCore, ProgramHeader};
use synth::freebsd::{Built, Full, Kernphys, System};
use synth::lone::{self, Lone, saved};
use synth::tables::{Physical, Tables};
use synth::{Endian, machine, tables};

/// A machine's memory, and names for what is in it.
#[derive(Clone)]
struct Machine {
    elf: u16,
    memory: Physical,
    symbols: HashMap<String, u64>,
    tables: Tables,
}

/// Where the roots of the page tables lie.
const ROOT: u64 = 0x10_0000;

impl Machine {
    /// A kernel that runs at `kernbase`, with memory from `phys` on: its data lies 0x5000 further on in both.
    fn new(elf: u16, kernbase: u64, phys: u64, tables: Tables) -> Self {
        let lone = Lone::at(kernbase + 0x5000, Endian::Little, 4);
        let mut machine = Self { elf, memory: Physical::default(), symbols: lone.symbols, tables };
        machine.memory.write(phys + 0x5000, &lone.page);
        machine.define("kernbase", kernbase);
        machine
    }

    fn define(&mut self, name: &str, value: u64) {
        self.symbols.insert(name.into(), value);
    }

    /// A variable of 32 bits in the page of the data.
    fn variable(&mut self, name: &str, offset: u64, value: u32) {
        let (va, pa) = (self.data(), *self.memory.pages.first_key_value().unwrap().0);
        self.define(name, va + offset);
        self.memory.write(pa + offset, &value.to_le_bytes());
    }

    fn data(&self) -> u64 {
        self.symbols["kernbase"] + 0x5000
    }

    fn map(&mut self, va: u64, pa: u64, level: usize) {
        self.tables.map(&mut self.memory, va, pa, level);
    }

    fn core(&self) -> ElfCore {
        ElfCore::of_pages(self.elf, Endian::Little, false, &self.memory.pages)
    }

    fn open(&self) -> Result<Kvm> {
        open(&self.core().build(), &self.symbols, None)
    }
}

fn open(image: &[u8], symbols: &HashMap<String, u64>, raw: Option<&str>) -> Result<Kvm> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), image).unwrap();
    let symbols = symbols.clone();
    let resolver: kgdbserver::symbols::Resolver = Arc::new(move |name| symbols.get(name).copied());
    let raw_memory = raw.map(|text| text.parse::<RawMemory>().unwrap());
    Kvm::open_with(file.path(), Options { resolver: Some(resolver), raw_memory, ..Options::default() })
}

fn place(kvm: &Kvm) -> String {
    report::info(kvm).into_iter().find(|(name, _)| *name == "kernel at").map(|(_, value)| value).unwrap()
}

/// The one thread is found, with these registers at these offsets of its pcb, and no other.
fn check_thread(kvm: &Kvm, registers: &[(&str, u64)]) {
    let threads = kvm.threads().unwrap();
    assert!(threads.problems.is_empty() && threads.items.len() == 1, "{threads:?}");
    let thread = &threads.items[0];
    assert_eq!((thread.pid, thread.tid, thread.name.as_str()), (lone::PID, lone::TID.into(), lone::NAME));
    let found = kvm.registers(thread).unwrap();
    for (index, reg) in kvm.space().machine.arch.regs.iter().enumerate() {
        let expected = registers.iter().find(|(name, _)| *name == reg.name).map(|(_, at)| saved(*at));
        let expected = expected.map(|value| if reg.bytes == 4 { value & 0xffff_ffff } else { value });
        assert_eq!(found.get(index), expected, "{}", reg.name);
    }
}

/// A page that names its own address is read at this virtual address.
fn check_page(kvm: &Kvm, va: u64, pa: u64) {
    let mut word = [0; 8];
    assert_eq!(kvm.read2(va, &mut word).unwrap(), 8, "{va:#x}");
    assert_eq!(u64::from_le_bytes(word), pa, "{va:#x}");
    assert_eq!(kvm.space().translate(Va(va)).unwrap().at, Addr::Phys(Pa(pa)));
}

fn check_fault(kvm: &Kvm, va: u64, expected: &str) {
    let error = kvm.read2(va, &mut [0; 8]).unwrap_err().to_string();
    assert!(error.contains(expected), "{va:#x}: {error}");
}

fn check_lost(machine: &Machine, expected: &str) {
    let kvm = machine.open().unwrap();
    let warning = kvm.image().warnings.join("\n");
    assert!(warning.contains("only physical memory can be read") && warning.contains(expected), "{warning}");
    check_fault(&kvm, machine.data(), "knows no mapping");
}

const I386_REGISTERS: [(&str, u64); 6] =
    [("edi", 0), ("esi", 4), ("ebp", 8), ("esp", 12), ("ebx", 16), ("eip", 20)];

/// Two levels, kernel at 3 GiB: FreeBSD up to 11.
fn i386() -> Machine {
    let mut machine = Machine::new(EM_386, 0xc000_0000, 0, Tables::i386(ROOT, ROOT + 0x1000));
    machine.variable("IdlePTD", 0x800, ROOT as u32);
    machine.define("btext", 0xc040_0000);
    machine.map(machine.data(), 0x5000, 1);
    machine.map(0xc080_0000, 0x40_0000, 0);
    machine.map(0xc0c0_0000, 0x9000, 1);
    for pa in [0x40_0000, 0x7f_f000, 0x9000] {
        machine.memory.name_page(pa);
    }
    machine
}

/// Three levels, kernel at the bottom of its own address space: FreeBSD since 13, which has the other variables too.
fn pae() -> Machine {
    let mut machine = Machine::new(EM_386, 0, 0, Tables::pae(ROOT + 0x20, ROOT + 0x1000));
    machine.variable("IdlePDPT", 0x800, (ROOT + 0x20) as u32);
    machine.variable("IdlePTD_nopae", 0x804, 0);
    machine.map(machine.data(), 0x5000, 2);
    machine.map(0x80_0000, 0x40_0000, 1);
    machine.map(0xffc0_0000, 0x9000, 2);
    for pa in [0x40_0000, 0x5f_f000, 0x9000] {
        machine.memory.name_page(pa);
    }
    machine
}

#[test]
fn i386_with_two_levels() {
    let machine = i386();
    let kvm = machine.open().unwrap();
    assert_eq!(place(&kvm), "physical 0x400000, where this kernel is always loaded");
    check_thread(&kvm, &I386_REGISTERS);
    check_page(&kvm, 0xc0c0_0000, 0x9000);
    check_page(&kvm, 0xc080_0000, 0x40_0000);
    check_page(&kvm, 0xc080_0000 + 0x3f_f000, 0x7f_f000);
    check_fault(&kvm, 0xc080_1000, "physical address 0x401000 is not in the image");
    check_fault(&kvm, 0xc0c0_1000, "page tables map nothing here");
    check_fault(&kvm, 0xd000_0000, "page tables map nothing here");
}

#[test]
fn i386_with_three_levels() {
    let mut machine = pae();
    let kvm = machine.open().unwrap();
    assert_eq!(place(&kvm), "physical 0x0, where this kernel is always loaded");
    check_thread(&kvm, &I386_REGISTERS);
    check_page(&kvm, 0xffc0_0000, 0x9000);
    check_page(&kvm, 0x80_0000 + 0x1f_f000, 0x5f_f000);
    check_fault(&kvm, 0xa0_0000, "page tables map nothing here");
    // Headers of 64 bits do not make it a machine of 64 bits.
    let wide = ElfCore::of_pages(EM_386, Endian::Little, true, &machine.memory.pages).build();
    let kvm = open(&wide, &machine.symbols, None).unwrap();
    assert_eq!(kvm.space().machine.ptr_bytes, 4);
    check_thread(&kvm, &I386_REGISTERS);
    // Kernels since 13 that chose two levels when they booted.
    machine.variable("IdlePDPT", 0x800, 0);
    machine.tables = Tables::i386(ROOT + 0x8000, ROOT + 0x9000);
    machine.variable("IdlePTD_nopae", 0x804, ROOT as u32 + 0x8000);
    machine.map(machine.data(), 0x5000, 1);
    let kvm = machine.open().unwrap();
    check_thread(&kvm, &I386_REGISTERS);
    check_fault(&kvm, 0xffc0_0000, "page tables map nothing here");
}

#[test]
fn i386_that_proves_nothing_is_not_believed() {
    for root in [0, 0x9000, ROOT as u32 + 0x1000, u32::MAX] {
        let mut machine = i386();
        machine.variable("IdlePTD", 0x800, root);
        check_lost(&machine, "IdlePTD, which should lie at physical 0x5800, leads to none");
    }
    let mut machine = i386();
    machine.symbols.remove("IdlePTD");
    check_lost(&machine, "without its symbol IdlePTD");
    let mut machine = i386();
    machine.symbols.remove("kernbase");
    machine.define("kernbase", 0xd000_0000);
    let kvm = machine.open().unwrap();
    assert!(kvm.image().warnings[0].contains("IdlePTD"));
}

#[test]
fn addresses_wider_than_the_machines_are_not_cut() {
    // Case 20: an index beyond the table. A sign-extended address is meant as what it was.
    for (machine, va, pa) in [(i386(), 0xc0c0_0000, 0x9000), (arm(true), 0xc0c0_0000, 0x8000_9000)] {
        let kvm = open(&with_delta(&machine), &machine.symbols, None).unwrap();
        check_page(&kvm, va, pa);
        let mut word = [0; 8];
        assert_eq!(kvm.read2(0xffff_ffff_0000_0000 | va, &mut word).unwrap(), 8);
        assert_eq!(u64::from_le_bytes(word), pa);
        check_fault(&kvm, 0x1_0000_0000 | va, "knows no mapping");
        check_fault(&kvm, 0x7fff_ffff_0000_0000 | va, "knows no mapping");
        assert!(kvm.read2(u64::MAX - 3, &mut word).is_err());
    }
}

#[test]
fn raw_memory_does_not_tell_its_machine() {
    for machine in [i386(), pae()] {
        let error =
            open(&tables::raw(&machine.memory), &machine.symbols, Some("0")).err().unwrap().to_string();
        assert!(error.contains("does not tell its machine; give the kernel file"), "{error}");
    }
}

/// VMCOREINFO of 32-bit x86 and of ARM tells no machine; one entry maps the kernel to physical 0.
#[test]
fn raw_memory_of_linux_tells_its_machine_by_its_page_tables() {
    for (at, entry, arch) in
        [(0x4c00, 0xe3_u32, Some("i386")), (0x7000, 0xc0e, Some("arm")), (0x7000, 0, None)]
    {
        let mut memory = Physical::default();
        memory.write(0x4000, &[0; 0x4000]);
        memory.write(at, &entry.to_le_bytes());
        memory.write(0x9000, b"Linux");
        memory.write(0x9000 + 2 * 65, b"6.1.0");
        memory.write(
            0xa000,
            b"OSRELEASE=6.1.0\nPAGESIZE=4096\nSYMBOL(init_uts_ns)=c0009000\nOFFSET(uts_namespace.name)=0\n\
            SYMBOL(swapper_pg_dir)=c0004000\nSYMBOL(_stext)=c0008000\n",
        );
        let kvm = open(&tables::raw(&memory), &HashMap::new(), None);
        let machine = kvm.ok().map(|kvm| kvm.space().machine);
        assert_eq!(machine.map(|machine| machine.arch.name), arch);
        assert!(machine.is_none_or(|machine| machine.ptr_bytes == 4 && !machine.big_endian));
    }
}

/// Memory begins at 2 GiB. `delta`: whether the dump tells that, or the symbols.
fn arm(delta: bool) -> Machine {
    let mut machine = Machine::new(EM_ARM, 0xc000_0000, 0x8000_0000, Tables::arm(0x8010_0000, 0x8011_0000));
    machine.variable("kernel_l1pa", 0x800, 0x8010_0000);
    if !delta {
        machine.define("physaddr", 0x8000_0000);
    }
    machine.map(machine.data(), 0x8000_5000, 1);
    machine.map(0xc080_0000, 0x8040_0000, 0);
    machine.map(0xc0c0_0000, 0x8000_9000, 1);
    for va in (0xc0d0_0000..0xc0d1_0000).step_by(4096) {
        // A page of 64 KiB stands in 16 entries.
        machine.map(va, 0x8050_0000, 1);
        let table = machine.tables.next - 1024;
        let at = machine.tables.place(table, va, 1);
        machine.tables.enter(&mut machine.memory, at, 0x8050_0000 | 0x31);
    }
    for pa in [0x8040_0000, 0x804f_f000, 0x8000_9000, 0x8050_0000, 0x8050_b000] {
        machine.memory.name_page(pa);
    }
    machine
}

fn with_delta(machine: &Machine) -> Vec<u8> {
    machine.core().with_delta(0xc000_0000, 0x8000_0000, 0).build()
}

const ARM_REGISTERS: [(&str, u64); 11] = [
    ("r4", 0),
    ("r5", 4),
    ("r6", 8),
    ("r7", 12),
    ("r8", 16),
    ("r9", 20),
    ("r10", 24),
    ("r11", 28),
    ("r12", 32),
    ("sp", 36),
    ("pc", 40),
];

fn check_arm(kvm: &Kvm, expected: &str) {
    assert_eq!(place(kvm), expected);
    check_thread(kvm, &ARM_REGISTERS);
    check_page(kvm, 0xc0c0_0000, 0x8000_9000);
    check_page(kvm, 0xc080_0000, 0x8040_0000);
    check_page(kvm, 0xc08f_f000, 0x804f_f000);
    check_page(kvm, 0xc0d0_0000, 0x8050_0000);
    check_page(kvm, 0xc0d0_b000, 0x8050_b000);
    check_fault(kvm, 0xc0d0_1000, "physical address 0x80501000 is not in the image");
    check_fault(kvm, 0xc0d1_0000, "page tables map nothing here");
    check_fault(kvm, 0xc090_0000, "page tables map nothing here");
}

#[test]
fn arm_is_found_by_the_dump_by_symbols_and_by_trying() {
    let told = arm(true);
    check_arm(
        &open(&with_delta(&told), &told.symbols, None).unwrap(),
        "physical 0x80000000, as the dump says",
    );
    check_arm(&arm(false).open().unwrap(), "physical 0x80000000, where this kernel is always loaded");
    check_arm(&told.open().unwrap(), "physical 0x80000000, found by its page tables");
}

#[test]
fn arm_that_proves_nothing_is_not_believed() {
    let mut machine = arm(true);
    machine.variable("kernel_l1pa", 0x800, 0x8011_0000);
    check_lost(&machine, "nowhere is there a kernel_l1pa");
    // Case 34: the page of the second-level table is not in the image.
    let mut machine = arm(true);
    machine.memory.pages.remove(&0x8011_0000);
    check_lost(&machine, "nowhere is there a kernel_l1pa");
    // A tables' page that is missing elsewhere loses what it maps, and nothing else.
    let mut machine = arm(true);
    let table = machine.tables.place(0x8010_0000, 0xc0c0_0000, 0);
    machine.tables.enter(&mut machine.memory, table, 0x8060_0001);
    let kvm = machine.open().unwrap();
    check_thread(&kvm, &ARM_REGISTERS);
    check_fault(&kvm, 0xc0c0_0000, "physical address 0x80600000 is not in the image");
}

#[test]
fn pages_of_32_bit_machines_are_walked() {
    for (machine, mapped) in [(i386(), 1 + 1024 + 1), (pae(), 1 + 512 + 1), (arm(true), 1 + 256 + 1 + 16)] {
        let kvm = machine.open().unwrap();
        let mut rows = Vec::new();
        assert!(kvm.walk_pages(|page| {
            rows.push(*page);
            true
        }));
        assert_eq!(rows.iter().filter(|row| row.kmap_vaddr.is_some()).count(), mapped);
        let present = rows.iter().filter(|row| row.offset.is_some());
        let mut present: Vec<u64> = present.map(|row| row.paddr.0).collect();
        present.dedup();
        assert_eq!(present.len(), machine.memory.pages.len(), "every page of the image has a row");
    }
}

const PPC64_REGISTERS: [(&str, u64); 22] = [
    ("r12", 0),
    ("r14", 16),
    ("r15", 24),
    ("r16", 32),
    ("r17", 40),
    ("r18", 48),
    ("r19", 56),
    ("r20", 64),
    ("r21", 72),
    ("r22", 80),
    ("r23", 88),
    ("r24", 96),
    ("r25", 104),
    ("r26", 112),
    ("r27", 120),
    ("r28", 128),
    ("r29", 136),
    ("r30", 144),
    ("r31", 152),
    ("r1", 168),
    ("r2", 176),
    ("pc", 184),
];

/// r12 to r31, cr, r1, and behind a word that 32-bit code does not use, lr.
fn powerpc_registers() -> Vec<(&'static str, u64)> {
    const NAMES: [&str; 20] = [
        "r12", "r13", "r14", "r15", "r16", "r17", "r18", "r19", "r20", "r21", "r22", "r23", "r24", "r25",
        "r26", "r27", "r28", "r29", "r30", "r31",
    ];
    NAMES.into_iter().zip((0..).step_by(4)).chain([("cr", 80), ("r1", 84), ("pc", 92)]).collect()
}

#[test]
fn powerpc_is_stored_by_virtual_address() {
    let data = 0x0123_4000;
    let lone = Lone::at(data, Endian::Big, 4);
    let mut core = ElfCore::new(EM_PPC, Endian::Big, false);
    core.headers.push(ProgramHeader { vaddr: data, ..ProgramHeader::load(0xffff_ffff, &lone.page) });
    let kvm = open(&core.build(), &lone.symbols, None).unwrap();
    check_thread(&kvm, &powerpc_registers());
    check_fault(&kvm, data + 4096, "knows no mapping");
    // The twin: a release whose pcb is another has no registers.
    let mut older = lone.clone();
    let at = usize::try_from(older.symbols["osreldate"] - data).unwrap();
    synth::put(&mut older.page, at, &800_000_u32.to_be_bytes());
    core.headers[0].bytes = older.page;
    check_thread(&open(&core.build(), &lone.symbols, None).unwrap(), &[]);
}

/// Stored by virtual address: no segment has a physical one.
fn powerpc64(endian: Endian, data: u64) -> (ElfCore, HashMap<String, u64>) {
    let lone = Lone::at(data, endian, 8);
    let mut core = ElfCore::new(EM_PPC64, endian, true);
    for (vaddr, bytes) in [(data, lone.page), (data + 0x10_0000, vec![7; 8192])] {
        core.headers.push(ProgramHeader { vaddr, ..ProgramHeader::load(u64::MAX, &bytes) });
    }
    (core, lone.symbols)
}

#[test]
fn powerpc64_is_stored_by_virtual_address() {
    let data = 0xc000_0000_0123_4000;
    for endian in [Endian::Big, Endian::Little] {
        let (core, symbols) = powerpc64(endian, data);
        let kvm = open(&core.build(), &symbols, None).unwrap();
        assert!(kvm.image().warnings.is_empty() && kvm.located().is_none());
        assert_eq!(kvm.census().dumped, 3);
        check_thread(&kvm, &PPC64_REGISTERS);
        let mut bytes = [0; 8192];
        assert_eq!(kvm.read2(data + 0x10_0000, &mut bytes).unwrap(), 8192);
        assert_eq!(kvm.read2(data + 0x10_1ff8, &mut bytes).unwrap(), 8);
        check_fault(&kvm, data - 1, "knows no mapping");
        check_fault(&kvm, data + 4096, "knows no mapping");
        assert!(!kvm.walk_pages(|_| true), "there are no physical pages to tell of");
    }
}

#[test]
fn powerpc64_with_physical_addresses_is_not_guessed_at() {
    let (mut core, symbols) = powerpc64(Endian::Big, 0xc000_0000_0123_4000);
    core.headers[0].paddr = 0x123_4000;
    let kvm = open(&core.build(), &symbols, None).unwrap();
    assert!(kvm.image().warnings[0].contains("page tables on powerpc64 cannot be found"));
    check_fault(&kvm, 0xc000_0000_0123_4000, "knows no mapping");
    assert!(kvm.image().memory.locate(Pa(0x123_4000)).is_ok());
}

/// A whole system: every thread's registers are found through the page tables, in an ELF core and in raw memory.
#[test]
fn systems_of_32_bit_machines_are_found() {
    for (machine, loaded_at) in
        [(&machine::I386, 0xa0_0000), (&machine::I386_PAE, 0x20_0000), (&machine::ARM, 0x2020_0000)]
    {
        let full = Full { loaded_at, kernphys: Kernphys::Missing, five_levels: false, high_memory: true };
        let built = System { full: Some(full), ..System::on(machine) }.build();
        let memory = built.memory.as_ref().unwrap();
        let core = ElfCore::of_pages(machine.elf.0, Endian::Little, false, &memory.pages);
        let dump = match machine.arch {
            "arm" => core.with_delta(machine.kernload, machine.ram, 0).build(),
            _ => core.build(),
        };
        check_system(&built, &dump, None);
        let end = machine.ram + 0x400_0000;
        let low = Physical {
            pages: memory.pages.range(..end).map(|(pa, page)| (pa - machine.ram, page.clone())).collect(),
        };
        let high = Physical {
            pages: memory
                .pages
                .range(end..)
                .map(|(pa, page)| (pa - machine.last_ram.start, page.clone()))
                .collect(),
        };
        let mut raw = tables::raw(&low);
        raw.resize(0x400_0000, 0);
        raw.extend(tables::raw(&high));
        let layout = format!("{:#x}:64M,{:#x}", machine.ram, machine.last_ram.start);
        check_system(&built, &raw, Some(&layout));
    }
}

fn check_system(built: &Built, image: &[u8], raw: Option<&str>) {
    let folder = tempfile::tempdir().unwrap();
    let (kernel, path) = (folder.path().join("kernel"), folder.path().join("image"));
    std::fs::write(&kernel, &built.kernel).unwrap();
    std::fs::write(&path, image).unwrap();
    let raw_memory = raw.map(|text| text.parse::<RawMemory>().unwrap());
    let kvm =
        Kvm::open_with(&path, Options { kernel: Some(kernel), raw_memory, ..Options::default() }).unwrap();
    assert!(matches!(kvm.verdict(), kgdbserver::verify::Verdict::Verified(_)), "{}", place(&kvm));
    let threads = kvm.threads().unwrap();
    assert!(threads.problems.is_empty(), "{:?}", threads.problems);
    assert_eq!(threads.items.len(), built.facts.threads.len());
    for thread in &threads.items {
        let facts = built.facts.thread(u32::try_from(thread.tid).unwrap());
        let registers = kvm.registers(thread).unwrap();
        assert!(!facts.registers.is_empty());
        for (name, value) in &facts.registers {
            let index = kvm.space().machine.arch.regs.iter().position(|reg| reg.name == *name).unwrap();
            assert_eq!(registers.get(index), Some(*value), "{name} of {}", thread.name);
        }
    }
}
