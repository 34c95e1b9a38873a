//! A second, independent writer of minidumps, which is not part of this project: its pages hold their own address.
//! `KGDBSERVER_MKMINIDUMP` says where it is.

use super::*;
use std::process::Command;

fn words(path: &Path) -> Vec<u64> {
    let bytes = std::fs::read(path).unwrap();
    bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
}

/// Writes a small dump; none, with a printed reason, where that cannot be done.
fn write(out: &Path, version: u32) -> Option<()> {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/tools/mkminidump.py");
    let tool = std::env::var_os("KGDBSERVER_MKMINIDUMP").map_or(tool, Into::into);
    if !tool.exists() {
        eprintln!("skipped: no {}", tool.display());
        return None;
    }
    let mut command = Command::new("python3");
    command.arg(&tool).arg("--out").arg(out).args(["--version", &version.to_string()]);
    command.args(["--gib", "0.25", "--kva-gib", "0.05", "--text-mib", "4", "--procs", "20"]);
    match command.output() {
        Ok(output) if output.status.success() => Some(()),
        Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            eprintln!("skipped: python3: {error}");
            None
        }
    }
}

/// Whether a page repeats a physical address and that address's mask; this one, where it is known.
fn pattern(kvm: &Kvm, va: u64, pa: Option<u64>) -> bool {
    let mut page = [0; 4096];
    assert_eq!(kvm.read2(va, &mut page).unwrap(), page.len(), "{va:#x}");
    let first = u64::from_le_bytes(page[..8].try_into().unwrap());
    let pair: Vec<u8> =
        [first, first ^ 0x5a5a_5a5a_5a5a_5a5a].iter().flat_map(|word| word.to_le_bytes()).collect();
    pa.is_none_or(|pa| pa == first) && page.chunks_exact(16).all(|chunk| chunk == pair)
}

#[test]
fn another_writers_dumps_are_read_alike() {
    for version in 1..=3 {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("mk");
        let Some(()) = write(&out, version) else { return };
        let file = |end: &str| folder.path().join(format!("mk.{end}"));
        let facts: serde_json::Value = serde_json::from_slice(&std::fs::read(file("json")).unwrap()).unwrap();
        let kvm = open(Some(&file("kernel")), &file("vmcore"), false).unwrap();
        assert_eq!(kvm.image().warnings, [""; 0], "v{version}");
        assert_eq!(kvm.census().dumped, facts["dumped_pages"].as_u64().unwrap());
        let kva = words(&file("kva.bin"));
        assert!(kva.iter().all(|va| pattern(&kvm, *va, None)), "v{version}: a mapped page");
        // The last pages are page tables and structures, which have no pattern.
        let dmap = words(&file("dmap.bin"));
        let plain = &dmap[..dmap.len() - 500];
        let wrong = plain.iter().filter(|va| !pattern(&kvm, **va, Some(**va - DMAP.start))).count();
        assert_eq!(wrong, 0, "v{version}: pages of the direct map");
        threads(&kvm, &facts);
    }
}

fn threads(kvm: &Kvm, facts: &serde_json::Value) {
    let threads = kvm.threads().unwrap();
    assert_eq!(threads.problems.len(), 0);
    assert_eq!(threads.items.len() as u64, facts["threads"].as_u64().unwrap());
    for (thread, expected) in threads.items.iter().zip(facts["first_threads"].as_array().unwrap()) {
        let (tid, cpu) = (expected[0].as_u64().unwrap(), expected[4].as_i64().unwrap());
        assert_eq!((thread.tid, u64::from(thread.pid)), (tid, expected[1].as_u64().unwrap()));
        assert_eq!(thread.comm, expected[3].as_str().unwrap());
        assert_eq!(thread.on_cpu.map_or(-1, i64::from), cpu);
        // Registers are made from a seed: the thread's number, or its CPU's where that saved them.
        let seed = if thread.crashed || cpu < 0 { tid } else { cpu.cast_unsigned() + 1 };
        let registers = kvm.registers(thread).unwrap();
        assert_eq!(registers.pc(), Some(0xffff_ffff_8020_1000 + seed * 16), "{tid}");
    }
}
