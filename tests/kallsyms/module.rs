//! The symbol tables of loaded modules.

use crate::synth::Endian;
use kgdbserver::symbols::Symbol;
use kgdbserver::symbols::kallsyms::{ModuleSymbols, module_symbols};
use kgdbserver_arch::{Arch, Machine, arm, x86_64};

const FUNC: u8 = 2;
const OBJECT: u8 = 1;
const GLOBAL: u8 = 1 << 4;
const TEXT: u16 = 1;
const UNDEF: u16 = 0;
const NAMES: &[u8] = b"\0open\0limit\0$x\0printk\0.L12\0percpu\0";

/// One symbol: where its name is, `st_info`, `st_shndx`, address and size.
type Entry = (u32, u8, u16, u64, u64);
const ENTRIES: &[Entry] = &[
    (0, 0, UNDEF, 0, 0),
    (1, FUNC | GLOBAL, TEXT, 0x1_0001, 0x40),
    (6, OBJECT, TEXT, 0x2_0000, 8),
    (12, 0, TEXT, 0x1_0000, 0),
    (15, FUNC, UNDEF, 0, 0),
    (22, 0, TEXT, 0x1_0010, 0),
    (27, OBJECT, TEXT, 0x3_0000, 4),
];
const LETTERS: &[u8] = b"Utbttta";

struct Module {
    arch: &'static Arch,
    word: usize,
    endian: Endian,
}

impl Module {
    /// Elf32_Sym and Elf64_Sym have their members in different orders.
    fn symtab(&self, info: impl Fn(usize, u8) -> u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (number, (name, old_info, section, value, size)) in ENTRIES.iter().copied().enumerate() {
            bytes.extend(self.endian.u32(name));
            let kind = [info(number, old_info), 0];
            if self.word == 8 {
                bytes.extend(kind);
                bytes.extend(self.endian.u16(section));
                bytes.extend(self.endian.u64(value));
                bytes.extend(self.endian.u64(size));
            } else {
                bytes.extend(self.endian.u32(value as u32));
                bytes.extend(self.endian.u32(size as u32));
                bytes.extend(kind);
                bytes.extend(self.endian.u16(section));
            }
        }
        bytes
    }

    fn machine(&self) -> Machine {
        let big_endian = self.endian == Endian::Big;
        Machine { arch: self.arch, big_endian, ptr_bytes: self.word as u8 }
    }
}

fn show(symbols: &[Symbol]) -> Vec<String> {
    let line = |symbol: &Symbol| {
        let function = if symbol.function { " function" } else { "" };
        format!("{:x} {} {} {}{function}", symbol.va.0, symbol.letter(), symbol.name, symbol.size)
    };
    symbols.iter().map(line).collect()
}

#[test]
fn both_classes_and_orders_are_read() {
    for word in [4, 8] {
        for endian in [Endian::Little, Endian::Big] {
            let module = Module { arch: &x86_64::ARCH, word, endian };
            let symtab = module.symtab(|_, info| info);
            let tables = ModuleSymbols {
                machine: module.machine(),
                symtab: &symtab,
                strtab: NAMES,
                typetab: Some(LETTERS),
            };
            let expected = ["10001 T open 64 function", "20000 b limit 8", "30000 a percpu 4"];
            assert_eq!(show(&module_symbols(&tables, 100)), expected, "{word} {endian:?}");
        }
    }
}

#[test]
fn until_5_1_the_letter_stood_in_the_symbol() {
    let module = Module { arch: &x86_64::ARCH, word: 8, endian: Endian::Little };
    let symtab = module.symtab(|number, _| LETTERS[number]);
    let tables = ModuleSymbols { machine: module.machine(), symtab: &symtab, strtab: NAMES, typetab: None };
    let expected = ["10001 t open 64 function", "20000 b limit 8", "30000 a percpu 4"];
    assert_eq!(show(&module_symbols(&tables, 100)), expected);
}

#[test]
fn thumb_functions_are_at_even_addresses() {
    let module = Module { arch: &arm::ARCH, word: 4, endian: Endian::Little };
    let symtab = module.symtab(|_, info| info);
    let tables =
        ModuleSymbols { machine: module.machine(), symtab: &symtab, strtab: NAMES, typetab: Some(LETTERS) };
    assert_eq!(show(&module_symbols(&tables, 2)), ["10000 T open 64 function"]);
}

#[test]
fn tables_that_are_cut_short_give_what_they_hold() {
    let module = Module { arch: &x86_64::ARCH, word: 8, endian: Endian::Little };
    let symtab = module.symtab(|_, info| info);
    let whole =
        ModuleSymbols { machine: module.machine(), symtab: &symtab, strtab: NAMES, typetab: Some(LETTERS) };
    let names = |tables: &ModuleSymbols<'_>, limit| -> Vec<String> {
        module_symbols(tables, limit).into_iter().map(|symbol| symbol.name).collect()
    };
    assert_eq!(names(&whole, 3), ["open", "limit"]);
    assert_eq!(names(&whole, 0), [""; 0]);
    assert_eq!(names(&ModuleSymbols { symtab: &symtab[..3 * 24 - 1], ..whole }, 100), ["open"]);
    assert_eq!(names(&ModuleSymbols { strtab: &NAMES[..NAMES.len() - 1], ..whole }, 100), ["open", "limit"]);
    assert_eq!(names(&ModuleSymbols { strtab: b"", ..whole }, 100), [""; 0]);
    assert_eq!(names(&ModuleSymbols { typetab: Some(&LETTERS[..2]), ..whole }, 100), ["open"]);
}
