//! The kernel file: its text, its variables, its symbols.

use super::super::elf::{
    Contents, Elf, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHT_PROGBITS, STT_FUNC, STT_NOTYPE, STT_OBJECT,
    Section, Symbol,
};
use super::super::machine::Machine;
use super::memory::Memory;
use super::text;
use super::{Kernphys, StopPcbs, System};
use std::collections::BTreeMap;

const MAXCPU: u64 = 256;
const MAXUSER_ADDRESS: u64 = 0x8000_0000_0000;
const MSGBUF_MAGIC: u32 = 0x06_3062;

/// The variables of one section.
struct Variables {
    machine: &'static Machine,
    section: &'static str,
    base: u64,
    /// As the file gives them; for the bss only their number counts.
    bytes: Vec<u8>,
    symbols: Vec<Symbol>,
}

pub(super) struct Kernel {
    machine: &'static Machine,
    code: Vec<u8>,
    data: Variables,
    bss: Variables,
}

impl Variables {
    fn at(machine: &'static Machine, section: &'static str, base: u64) -> Self {
        Self { machine, section, base, bytes: Vec::new(), symbols: Vec::new() }
    }

    fn define(&mut self, name: &str, value: &[u8]) {
        self.bytes.resize(self.bytes.len().next_multiple_of(16), 0);
        self.symbols.push(Symbol {
            name: name.into(),
            address: self.base + self.bytes.len() as u64,
            size: value.len() as u64,
            kind: STT_OBJECT,
            section: Some(self.section.into()),
        });
        self.bytes.extend(value);
    }

    fn int(&mut self, name: &str, value: u32) {
        self.define(name, &self.machine.endian.u32(value));
    }

    fn reserve(&mut self, name: &str, size: u64) {
        self.define(name, &vec![0; size as usize]);
    }

    fn string(&mut self, name: &str, text: &str) {
        self.define(name, format!("{text}\0").as_bytes());
    }
}

impl Kernel {
    pub(super) fn of(system: &System) -> Self {
        let machine = system.machine;
        let mut kernel = Self {
            machine,
            code: text::code(machine),
            data: Variables::at(machine, ".data", machine.data),
            bss: Variables::at(machine, ".bss", machine.bss),
        };
        kernel.define_constants(system);
        kernel.define_state(system);
        assert!(machine.data + (kernel.data.bytes.len() as u64) < machine.bss, "the data run into the bss");
        kernel
    }

    /// What the file itself tells.
    fn define_constants(&mut self, system: &System) {
        let o = &system.offsets;
        for (name, value) in [
            ("proc_off_p_pid", o.p_pid),
            ("proc_off_p_comm", o.p_comm),
            ("proc_off_p_list", o.p_list),
            ("proc_off_p_hash", o.p_hash),
            ("proc_off_p_threads", o.p_threads),
            ("thread_off_td_tid", o.td_tid),
            ("thread_off_td_name", o.td_name),
            ("thread_off_td_oncpu", o.td_oncpu),
            ("thread_off_td_pcb", o.td_pcb),
            ("thread_off_td_plist", o.td_plist),
            ("pcb_size", o.pcb_size),
            ("osreldate", system.osreldate),
            ("nprocs", 1),
        ] {
            self.data.int(name, value);
        }
        let limit = if self.machine.word == 4 { 0xbfc0_0000 } else { MAXUSER_ADDRESS };
        self.data.define("vm_maxuser_address", &self.machine.pointer(limit));
        self.data.string("ostype", "FreeBSD");
        self.data.string("osrelease", system.version.split(' ').nth(1).unwrap_or_default());
        self.data.string("version", &system.version);
    }

    /// What only the running kernel knows.
    fn define_state(&mut self, system: &System) {
        let pcb = u64::from(system.offsets.pcb_size);
        for name in ["hz", "mp_maxid", "mp_ncpus", "dumptid"] {
            self.bss.reserve(name, 4);
        }
        for name in ["allproc", "panicstr", "msgbufp"] {
            self.bss.reserve(name, self.machine.word);
        }
        if system.ptrauth.is_some() {
            self.bss.reserve("enable_ptrauth", 1);
        }
        self.bss.reserve("stopped_cpus", MAXCPU / 8);
        self.bss.reserve("dumppcb", pcb);
        for name in system.full.iter().flat_map(|full| full.variables(system.machine)) {
            self.bss.reserve(name, 8);
        }
        let array = system.stoppcbs == StopPcbs::Array;
        self.bss.reserve("stoppcbs", if array { MAXCPU * pcb } else { self.machine.word });
    }

    /// The address of a variable.
    pub(super) fn variable(&self, name: &str) -> u64 {
        let mut symbols = self.data.symbols.iter().chain(&self.bss.symbols);
        symbols.find(|symbol| symbol.name == name).unwrap_or_else(|| panic!("no variable {name}")).address
    }

    pub(super) fn addresses(&self, system: &System) -> BTreeMap<String, u64> {
        self.symbols(system).into_iter().map(|symbol| (symbol.name, symbol.address)).collect()
    }

    /// Gives the variables their values at the moment of the dump.
    pub(super) fn set_variables(&self, system: &System, memory: &mut Memory) {
        for (name, value) in [
            ("hz", 100),
            ("mp_maxid", system.cpus - 1),
            ("mp_ncpus", system.cpus),
            ("dumptid", system.crashed.unwrap_or(0)),
            ("nprocs", system.processes.len() as u32),
        ] {
            memory.int(self.variable(name), value);
        }
        if let Some(enabled) = system.ptrauth {
            memory.write(self.variable("enable_ptrauth"), &[u8::from(enabled)]);
        }
        self.set_stopped_cpus(system, memory);
        if let Some(text) = &system.panic {
            let address = memory.alloc(text.len() as u64 + 1);
            memory.write(address, format!("{text}\0").as_bytes());
            memory.word(self.variable("panicstr"), address);
        }
        self.set_message_buffer(system, memory);
    }

    /// A set of CPUs is an array of longs.
    fn set_stopped_cpus(&self, system: &System, memory: &mut Memory) {
        let (bytes, bits) = (self.machine.word, self.machine.word as u32 * 8);
        let mut set = vec![0_u64; (MAXCPU / u64::from(bits)) as usize];
        for cpu in &system.stopped_cpus {
            set[(cpu / bits) as usize] |= 1 << (cpu % bits);
        }
        for (place, word) in (self.variable("stopped_cpus")..).step_by(bytes as usize).zip(set) {
            memory.word(place, word);
        }
    }

    /// The text as a ring that has not wrapped yet, and the structure that describes it.
    fn set_message_buffer(&self, system: &System, memory: &mut Memory) {
        let ring = memory.messages(&system.message_buffer);
        let size = (ring.end - ring.start) as u32;
        let header = memory.alloc(64);
        memory.word(header, ring.start);
        for (offset, value) in
            [(0, MSGBUF_MAGIC), (4, size), (8, system.message_buffer.len() as u32), (12, 0), (20, size * 16)]
        {
            memory.int(header + self.machine.word + offset, value);
        }
        memory.word(self.variable("msgbufp"), header);
    }

    pub(super) fn elf(&self, system: &System) -> Elf {
        let m = self.machine;
        let mut elf = Elf {
            endian: m.endian,
            word: m.word,
            machine: m.elf.0,
            flags: m.elf.1,
            os_abi: system.os_abi,
            entry: m.text,
            symbols: self.symbols(system),
            hashed: system.hashed,
            ..Elf::amd64()
        };
        let bss = Contents::Zeros(self.bss.bytes.len() as u64);
        for (name, flags, address, contents) in [
            (".text", SHF_ALLOC | SHF_EXECINSTR, m.text, Contents::Bytes(self.code.clone())),
            (".data", SHF_ALLOC | SHF_WRITE, m.data, Contents::Bytes(self.data.bytes.clone())),
            (".bss", SHF_ALLOC | SHF_WRITE, m.bss, bss),
        ] {
            elf.sections.push(Section { name: name.into(), kind: SHT_PROGBITS, flags, address, contents });
        }
        elf.with_build_id(m.note, b"a synthetic kernel..")
    }

    fn symbols(&self, system: &System) -> Vec<Symbol> {
        let function = |(name, address, size)| symbol(name, address, size, STT_FUNC, Some(".text"));
        let mut symbols = vec![symbol("kernbase", self.machine.kernload, 0, STT_NOTYPE, None)];
        symbols.extend(text::functions(self.machine).map(function));
        let more = (0..system.more_functions).map(|number| (format!("subr_{number}_handler"), number));
        let (text, code) = (self.machine.text, self.code.len() as u64);
        symbols.extend(more.map(|(name, number)| {
            let section = Some(".text".into());
            Symbol { name, address: text + number % code, size: 1, kind: STT_FUNC, section }
        }));
        symbols.push(symbol("etext", text + code, 0, STT_NOTYPE, Some(".text")));
        symbols.extend(self.data.symbols.iter().chain(&self.bss.symbols).cloned());
        symbols.push(symbol(
            "_end",
            self.machine.bss + self.bss.bytes.len() as u64,
            0,
            STT_NOTYPE,
            Some(".bss"),
        ));
        symbols
    }
}

fn symbol(name: &str, address: u64, size: u64, kind: u8, section: Option<&str>) -> Symbol {
    Symbol { name: name.into(), address, size, kind, section: section.map(Into::into) }
}
