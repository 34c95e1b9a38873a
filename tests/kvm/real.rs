//! The amd64 minidump that the LLVM project publishes, against what an independent reader found in it.

use super::*;
use crate::support::real::{Real, amd64};
use serde_json::Value;

fn number(value: &Value) -> u64 {
    let text = || value.as_str()?.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
    value.as_u64().or_else(text).unwrap_or_else(|| panic!("{value} is not a number"))
}

fn opened() -> Option<(Kvm, &'static Real)> {
    let real = amd64()?;
    let options = Options { kernel: Some(real.kernel.clone()), ..Options::default() };
    Some((Kvm::open_with(&real.vmcore, options).unwrap(), real))
}

#[test]
fn its_symbols_and_their_bytes() {
    let Some((kvm, real)) = opened() else { return };
    for (name, symbol) in real.expected["symbols"].as_object().unwrap() {
        let found = kvm.symbols().by_name(name).unwrap();
        assert_eq!((found.va.0, found.size), (number(&symbol["addr"]), number(&symbol["size"])), "{name}");
        let Some(hex) = symbol["hex"].as_str() else { continue };
        let mut bytes = vec![0; hex.len() / 2];
        assert_eq!(kvm.read2(found.va.0, &mut bytes).unwrap(), bytes.len(), "{name}");
        assert_eq!(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(), hex, "{name}");
    }
    let mut hz = [Nlist::new("_hz")];
    assert_eq!(kvm.nlist2(&mut hz).unwrap(), 0);
    assert_eq!(kvm.space().int(Va(hz[0].n_value)).unwrap(), 100);
}

#[test]
fn its_layout_and_what_was_cut_off() {
    let Some((kvm, real)) = opened() else { return };
    let (layout, image) = (&real.expected["layout"], kvm.image());
    assert_eq!(image.version.map(u64::from), Some(number(&real.expected["header"]["version"])));
    assert_eq!(image.size, number(&layout["file_size"]));
    let missing = (number(&layout["expected_size"]) - image.size).div_ceil(4096);
    let census = kvm.census();
    assert_eq!((census.dumped, census.cut_off), (number(&layout["dumped_pages"]), missing));
    let warning = format!("the file is cut off: {missing} of {} pages are missing", census.dumped);
    assert_eq!(image.warnings, [warning]);
    // The published kernel file is symbols only.
    assert_eq!(kvm.verdict(), &Verdict::Unverified);
}

#[test]
fn its_threads_registers_and_backtraces() {
    let Some((kvm, real)) = opened() else { return };
    let expected = real.expected["threads"].as_array().unwrap();
    let threads = kvm.threads().unwrap();
    assert_eq!((threads.items.len(), threads.problems.len()), (16, 0));
    assert_eq!(expected.len(), 16);
    for (thread, expected) in threads.items.iter().zip(expected) {
        let tid = thread.tid;
        assert_eq!((tid, u64::from(thread.pid)), (number(&expected["tid"]), number(&expected["pid"])));
        let text = |name: &str| expected[name].as_str().unwrap();
        assert_eq!(thread.comm, text("td_name"));
        let (comm, own) = (text("comm"), text("td_name"));
        assert_eq!(thread.name, if comm == own { comm.into() } else { format!("{comm}/{own}") });
        assert_eq!(thread.on_cpu.map_or(-1, i64::from), expected["oncpu"].as_i64().unwrap(), "{tid}");
        assert_eq!(thread.crashed, expected["crashed"].as_bool().unwrap());
        assert_eq!(thread.va.0, number(&expected["td"]));
        assert_eq!(thread.saved.va().unwrap().0, number(&expected["used_pcb"]), "{tid}");
        let registers = kvm.registers(thread).unwrap();
        for (name, value) in expected["regs"].as_object().unwrap() {
            let found = registers.known().find(|(known, _)| known == name);
            assert_eq!(found.map(|(_, value)| value), Some(number(value)), "{tid} {name}");
        }
        let trace: Vec<u64> = kvm.backtrace(&registers).iter().map(|frame| frame.pc.0).collect();
        let frames: Vec<u64> = expected["fp_backtrace"].as_array().unwrap().iter().map(number).collect();
        assert_eq!(trace, frames, "{tid}");
    }
    let pids: HashSet<u32> = kvm.processes().unwrap().items.iter().map(|process| process.pid).collect();
    assert_eq!(pids.len() as u64, number(&real.expected["processes"]));
}

#[test]
fn a_walk_over_all_its_pages() {
    let Some((kvm, real)) = opened() else { return };
    let (mut mapped, mut offsets, mut unmapped) = (BTreeMap::new(), HashSet::new(), HashSet::new());
    assert!(kvm.walk_pages(|page| {
        let again = match page.kmap_vaddr {
            Some(va) => mapped.insert(va.0, page.paddr.0).is_some(),
            None => !unmapped.insert(page.paddr.0),
        };
        assert!(!again, "{page:?}: twice");
        offsets.extend(page.offset);
        true
    }));
    // What can be compared: the rows of the page tables. A page of 2 MiB is one row of the peer's, 512 of ours. The
    // peer then reports the dumped pages among them a second time, with address 0, instead of the other dumped
    // pages: its 4146 rows are 2 * 2073, and its number of rows with an offset counts those twice too.
    let rows = &real.expected["walk_pages"];
    assert_eq!(mapped.len() as u64 - 511 * large_pages(&mapped), number(&rows["kmap_rows"]));
    assert_eq!(number(&rows["rows"]), 2 * number(&rows["kmap_rows"]));
    // The file ends within a page, whose first half can still be read.
    let held = kvm.image().size - number(&real.expected["layout"]["sparse_off"]);
    assert_eq!(offsets.len() as u64, held.div_ceil(4096));
    assert!(!unmapped.is_empty());
    assert!(mapped.values().all(|pa| !unmapped.contains(pa)));
}

/// How many pieces of 2 MiB are mapped whole, to pieces of 2 MiB.
fn large_pages(mapped: &BTreeMap<u64, u64>) -> u64 {
    const SIZE: u64 = 2 << 20;
    let whole = |(va, pa): &(&u64, &u64)| {
        let rest = mapped.range(**va..**va + SIZE);
        va.is_multiple_of(SIZE)
            && pa.is_multiple_of(SIZE)
            && rest.zip(0..).all(|((_, each), i)| *each == **pa + i * 4096)
            && mapped.range(**va..**va + SIZE).count() == 512
    };
    mapped.iter().filter(whole).count() as u64
}
