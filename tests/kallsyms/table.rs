//! Looking symbols up.

use crate::kernel::Kernel;
use crate::synth::Endian;
use crate::synth::kallsyms::{Addresses, LINUX_6_1, LINUX_7_0, Release};
use kgdbserver::symbols::Symbol;
use kgdbserver::symbols::kallsyms::{Table, parse};
use kgdbserver_arch::Va;

fn table() -> Table {
    parse(
        b"0000000000001000 T _stext\n\
          0000000000001000 t alias\n\
          0000000000001040 t twice\n\
          0000000000001080 W weak\n\
          00000000000010c0 T twice\n\
          0000000000001100 T _etext\n\
          0000000000005000 T _sinittext\n\
          0000000000005040 T _einittext\n\
          0000000000009000 R constant\n\
          0000000000009010 d variable\n\
          0000000000009020 B zeros\n\
          0000000000009030 A number\n\
          000000000000a000 B last\n",
    )
    .unwrap()
}

fn show(symbol: Option<Symbol>) -> String {
    symbol.map_or("none".into(), |symbol| {
        let function = if symbol.function { " function" } else { "" };
        format!("{:x} {} {} {:#x}{function}", symbol.va.0, symbol.letter(), symbol.name, symbol.size)
    })
}

#[track_caller]
fn by_name(name: &str, expected: &str) {
    assert_eq!(show(table().by_name(name)), expected);
}

#[track_caller]
fn by_address(address: u64, expected: &str) {
    assert_eq!(show(table().by_address(Va(address))), expected);
}

#[test]
fn a_name_leads_to_its_symbol() {
    by_name("_stext", "1000 T _stext 0x40 function");
    by_name("alias", "1000 t alias 0x40 function");
    by_name("weak", "1080 T weak 0x40 function");
    by_name("constant", "9000 D constant 0x10");
    by_name("variable", "9010 d variable 0x10");
    by_name("zeros", "9020 B zeros 0x10");
    by_name("last", "a000 B last 0x0");
}

#[test]
fn of_two_symbols_of_one_name_the_global_one_is_meant() {
    by_name("twice", "10c0 T twice 0x40 function");
}

#[test]
fn parts_of_names_are_no_names() {
    for name in ["", "T", "Tlast", "las", "last2", "ast"] {
        by_name(name, "none");
    }
}

#[test]
fn a_plain_number_has_no_size() {
    by_name("number", "9030 A number 0x0");
}

#[test]
fn an_address_leads_to_the_first_symbol_at_or_below_it() {
    by_address(0x1000, "1000 T _stext 0x40 function");
    by_address(0x107f, "1040 t twice 0x40 function");
    by_address(0x1080, "1080 T weak 0x40 function");
    by_address(0x901f, "9010 d variable 0x10");
}

#[test]
fn no_symbol_reaches_beyond_the_end_of_code() {
    by_address(0x1100, "1100 T _etext 0x0 function");
    by_address(0x1101, "none");
    by_address(0x4fff, "none");
    by_address(0x503f, "5000 T _sinittext 0x40 function");
    by_address(0x5041, "none");
}

#[test]
fn nothing_is_below_the_first_or_above_the_last() {
    by_address(0xfff, "none");
    by_address(0xa000, "a000 B last 0x0");
    by_address(0xa001, "none");
    by_address(u64::MAX, "none");
}

#[test]
fn a_plain_number_is_no_address() {
    by_address(0x9030, "9020 B zeros 0x10");
    let release = Release { addresses: Addresses::AbsolutePercpu, ..LINUX_6_1 };
    let table = Kernel::new(release, 8, Endian::Little).find_told().unwrap();
    assert_eq!(show(table.by_name("runqueues")), "31980 A runqueues 0x0");
    assert_eq!(show(table.by_address(Va(0x3_1980))), "none");
    assert_eq!(show(table.by_address(Va(0x3_1981))), "none");
}

#[test]
fn every_name_of_a_packed_table_is_found() {
    let kernel = Kernel::new(LINUX_7_0, 8, Endian::Big);
    let table = kernel.find_told().unwrap();
    for symbol in &kernel.kallsyms.symbols {
        let found = table.by_name(&symbol.name).map(|found| found.va.0);
        assert_eq!(found, Some(symbol.address), "{}", symbol.name);
    }
    assert_eq!(table.by_name("tcp_v4_9999"), None);
}

#[test]
fn a_table_can_be_moved_to_where_the_kernel_runs() {
    let known = [("_stext", 0x7000_1000), ("unknown", 1), ("variable", 0x7000_9010)];
    let displacement = table().displacement(&known).unwrap();
    assert_eq!(displacement, 0x7000_0000);
    let moved = table().displaced(displacement);
    assert_eq!(show(moved.by_name("weak")), "70001080 T weak 0x40 function");
    assert_eq!(show(moved.by_address(Va(0x7000_1081))), "70001080 T weak 0x40 function");
    assert_eq!(show(moved.by_address(Va(0x7000_2000))), "none");
    assert_eq!(show(moved.by_name("number")), "9030 A number 0x0");
    assert_eq!(moved.symbols().next().map(|symbol| symbol.name), Some("number".into()));
}

#[test]
fn a_table_can_be_moved_downwards() {
    let moved = table().displaced(0u64.wrapping_sub(0x800));
    assert_eq!(show(moved.by_name("_stext")), "800 T _stext 0x40 function");
}

#[test]
fn one_of_three_may_differ() {
    // SYMBOL(mem_section) is the value of a pointer.
    let known = [("variable", 0x5555), ("_stext", 0x7000_1000), ("weak", 0x7000_1080)];
    assert_eq!(table().displacement(&known).unwrap(), 0x7000_0000);
}

#[test]
fn another_kernels_table_is_refused() {
    let known = [("_stext", 0x7000_1000), ("variable", 0x7000_9999)];
    let error = table().displacement(&known).unwrap_err().to_string();
    assert!(error.contains("_stext 0x1000, variable 0x9010 in the kernel file"), "{error}");
    assert!(error.contains("_stext 0x70001000, variable 0x70009999 in the image"), "{error}");
    let error = table().displacement(&[("unknown", 1)]).unwrap_err().to_string();
    assert_eq!(error, "none of the symbols that the image tells is in the table");
}
