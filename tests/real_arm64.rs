//! The published arm64 minidump: all that an independent reader says of it.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test may fail by panicking"
)]

#[allow(dead_code, unreachable_pub, reason = "other test programs use it too")]
#[path = "support/real.rs"]
mod real;

use kgdbserver::Kvm;
use kgdbserver::kvm::Options;
use kgdbserver_arch::{Pa, Va};
use real::Real;
use serde_json::Value;
use std::collections::BTreeMap;

fn number(value: &Value) -> u64 {
    match value.as_str() {
        Some(text) => u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("hexadecimal"),
        None => value.as_u64().expect("a number"),
    }
}

fn kvm(real: &Real) -> Kvm {
    Kvm::open_with(&real.vmcore, Options { kernel: Some(real.kernel.clone()), ..Options::default() })
        .expect("opens")
}

#[test]
fn the_library_says_what_is_expected() {
    let Some(real) = real::arm64() else { return };
    let (kvm, expected) = (kvm(real), &real.expected);
    let image = kvm.image();
    assert_eq!(image.version.map(u64::from), expected["header"]["version"].as_u64());
    assert_eq!(kvm.census().dumped, number(&expected["layout"]["dumped_pages"]));
    let missing = number(&expected["layout"]["expected_size"]) - number(&expected["layout"]["file_size"]);
    assert_eq!(kvm.census().cut_off, missing.div_ceil(4096));
    assert!(
        image.warnings.iter().any(|text| text.contains("2323 of 19296 pages are missing")),
        "{:?}",
        image.warnings
    );
    symbols(&kvm, expected);
    pages(&kvm, expected);
    threads(&kvm, expected);
}

fn symbols(kvm: &Kvm, expected: &Value) {
    for (name, symbol) in expected["symbols"].as_object().expect("symbols") {
        let found = kvm.symbols().by_name(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!((found.va.0, found.size), (number(&symbol["addr"]), number(&symbol["size"])), "{name}");
        let Some(hex) = symbol["hex"].as_str() else { continue };
        let mut bytes = vec![0; hex.len() / 2];
        kvm.space().read_exact(found.va, &mut bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let ours: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(ours, hex, "{name}");
    }
    // The array of pcbs is cut off by a page that the dump lacks; what is before it is read.
    let stoppcbs = number(&expected["symbols"]["stoppcbs"]["addr"]);
    let mut bytes = vec![0; number(&expected["symbols"]["stoppcbs"]["size"]) as usize];
    let (got, why) = kvm.space().read_prefix(Va(stoppcbs), &mut bytes);
    assert_eq!(stoppcbs + got as u64, 0xffff_0000_00e9_2000);
    assert!(why.is_some());
}

fn pages(kvm: &Kvm, expected: &Value) {
    let ranges = expected["layout"]["dump_avail"].as_array().expect("ranges");
    let hole = number(&ranges[0][1]);
    assert!(kvm.image().memory.locate(Pa(hole)).is_err(), "between two ranges of memory");
    let mut rows = Vec::new();
    kvm.walk_pages(|page| {
        rows.extend(page.kmap_vaddr.map(|va| (page.paddr, va, page.offset.is_some())));
        true
    });
    // The independent reader stopped at the first page that the trimmed file lacks.
    let before = rows.iter().take_while(|(_, _, there)| *there).count() as u64;
    assert_eq!(before, number(&expected["walk_pages"]["kmap_rows"]));
}

fn threads(kvm: &Kvm, expected: &Value) {
    let list = kvm.threads().expect("threads");
    let wanted = expected["threads"].as_array().expect("threads");
    assert_eq!(list.items.len(), wanted.len());
    assert_eq!(kvm.processes().expect("processes").items.len() as u64, number(&expected["processes"]));
    for (thread, wanted) in list.items.iter().zip(wanted) {
        assert_eq!((thread.tid, u64::from(thread.pid)), (number(&wanted["tid"]), number(&wanted["pid"])));
        assert_eq!(thread.va.0, number(&wanted["td"]));
        assert_eq!(thread.comm, wanted["td_name"].as_str().expect("a name"));
        assert_eq!(thread.on_cpu.map_or(-1, i64::from), wanted["oncpu"].as_i64().expect("a CPU"));
        assert_eq!(thread.saved.va().map(|va| va.0), Some(number(&wanted["used_pcb"])));
        assert_eq!(Some(thread.crashed), wanted["crashed"].as_bool());
        let registers = kvm.registers(thread).expect("registers");
        let ours: BTreeMap<&str, u64> = registers.known().collect();
        let theirs = wanted["regs"].as_object().expect("registers");
        let name = |name: &str| if name == "fp" { "x29".to_owned() } else { name.to_owned() };
        let theirs: BTreeMap<String, u64> =
            theirs.iter().map(|(key, value)| (name(key), number(value))).collect();
        assert_eq!(
            ours.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>(),
            theirs
        );
        let trace = kvm.backtrace(&registers);
        assert_eq!(trace.len(), wanted["fp_backtrace"].as_array().expect("a trace").len(), "{}", thread.tid);
        assert_eq!(trace[0].pc.0, number(&wanted["fp_backtrace"][0]));
    }
}
