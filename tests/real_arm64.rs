//! The published arm64 minidump: all that an independent reader and LLDB's own test say of it.

use kgdbserver::Kvm;
use kgdbserver::kvm::Options;
use kgdbserver_arch::{Pa, Va};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn images() -> PathBuf {
    std::env::var_os("KGDBSERVER_IMAGES")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/images"), PathBuf::from)
}

struct Real {
    kernel: PathBuf,
    core: PathBuf,
    expected: Value,
    _directory: tempfile::TempDir,
}

/// Unpacks the image; `None`, and a word why, where it or a tool is missing.
fn real() -> Option<Real> {
    let folder = images().join("freebsd");
    let Ok(text) = std::fs::read_to_string(folder.join("expected.json")) else {
        eprintln!("skipped: no images at {}", folder.display());
        return None;
    };
    let directory = tempfile::tempdir().expect("a directory");
    let (kernel, core) = (directory.path().join("kernel"), directory.path().join("vmcore"));
    let unpacked = unpack("xz", &folder.join("kernel-arm64.xz"), &kernel)
        && unpack("bzip2", &folder.join("vmcore-arm64-minidump.bz2"), &core);
    if !unpacked {
        eprintln!("skipped: xz or bzip2 is missing");
        return None;
    }
    let all: Value = serde_json::from_str(&text).expect("JSON");
    Some(Real { kernel, core, expected: all["arm64-minidump"].clone(), _directory: directory })
}

fn unpack(tool: &str, from: &Path, to: &Path) -> bool {
    let (input, output) =
        (std::fs::File::open(from).expect("a file"), std::fs::File::create(to).expect("a file"));
    let run = Command::new(tool).arg("-dc").stdin(input).stdout(output).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}

fn number(value: &Value) -> u64 {
    match value.as_str() {
        Some(text) => u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("hexadecimal"),
        None => value.as_u64().expect("a number"),
    }
}

fn kvm(real: &Real) -> Kvm {
    Kvm::open_with(&real.core, Options { kernel: Some(real.kernel.clone()), ..Options::default() })
        .expect("opens")
}

#[test]
fn the_library_says_what_is_expected() {
    let Some(real) = real() else { return };
    let (kvm, expected) = (kvm(&real), &real.expected);
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
        let ours: std::collections::BTreeMap<&str, u64> = registers.known().collect();
        let theirs = wanted["regs"].as_object().expect("registers");
        let name = |name: &str| if name == "fp" { "x29".to_owned() } else { name.to_owned() };
        let theirs: std::collections::BTreeMap<String, u64> =
            theirs.iter().map(|(key, value)| (name(key), number(value))).collect();
        assert_eq!(
            ours.into_iter()
                .map(|(key, value)| (key.to_owned(), value))
                .collect::<std::collections::BTreeMap<_, _>>(),
            theirs
        );
        let trace = kgdbserver::kernel::frames::backtrace(kvm.space(), &registers);
        assert_eq!(trace.len(), wanted["fp_backtrace"].as_array().expect("a trace").len(), "{}", thread.tid);
        assert_eq!(trace[0].0, number(&wanted["fp_backtrace"][0]));
    }
}

/// A debugger's output about all threads; `None` if it is not installed.
fn debugger(program: &str, arguments: &[String]) -> Option<String> {
    let run = Command::new(program).args(arguments).stderr(Stdio::piped()).output();
    let Ok(output) = run else {
        eprintln!("skipped: no {program}");
        return None;
    };
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Every thread's values of the registers that are expected, through a debugger.
fn compare(output: &str, expected: &Value) {
    for thread in expected["threads"].as_array().expect("threads") {
        for (name, value) in thread["regs"].as_object().expect("registers") {
            let line = format!("{}.{name}={:#x}", number(&thread["tid"]), number(value));
            assert!(output.lines().any(|had| had.trim() == line), "{line} is not in\n{output}");
        }
    }
}

#[test]
fn gdb_shows_what_is_expected() {
    let Some(real) = real() else { return };
    let (kernel, core) = (real.kernel.display(), real.core.display());
    let serve = format!("target remote | {} -q --stdio {kernel} {core}", env!("CARGO_BIN_EXE_kgdbserver"));
    let mut arguments = vec!["-nx".into(), "-batch".into(), "-ex".into(), serve];
    for (number, thread) in (1..).zip(real.expected["threads"].as_array().expect("threads")) {
        arguments.extend(["-ex".into(), format!("thread {number}")]);
        for name in thread["regs"].as_object().expect("registers").keys() {
            let register = if name == "fp" { "x29" } else { name };
            let print =
                format!("printf \"%d.{name}=%#lx\\n\", {}, (unsigned long)${register}", thread["tid"]);
            arguments.extend(["-ex".into(), print]);
        }
    }
    let Some(output) = debugger("gdb-multiarch", &arguments) else { return };
    // gdb prints 0 without its prefix.
    let output: String = output
        .lines()
        .map(|line| line.strip_suffix("=0").map_or(line.to_owned(), |name| format!("{name}=0x0")) + "\n")
        .collect();
    compare(&output, &real.expected);
}

#[test]
fn lldb_shows_what_is_expected() {
    let Some(real) = real() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("socket");
    let server = Command::new(env!("CARGO_BIN_EXE_kgdbserver"))
        .args(["-q", "--once", "-l"])
        .arg(format!("unix:{}", socket.display()))
        .args([&real.kernel, &real.core])
        .stdout(Stdio::null())
        .spawn();
    let mut server = server.expect("a server");
    let bound = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        socket.exists()
    });
    assert!(bound, "the server listens");
    let script = directory.path().join("show.py");
    std::fs::write(&script, SCRIPT).expect("write");
    let connect = format!("process connect --plugin gdb-remote unix-connect://{}", socket.display());
    let import = format!("command script import {}", script.display());
    let arguments = ["-b", "-x", "-o", &connect, "-o", &import].map(String::from);
    let output = debugger("lldb-19", &arguments).or_else(|| debugger("lldb", &arguments));
    server.kill().expect("ends");
    server.wait().expect("ended");
    let Some(output) = output else { return };
    compare(&output, &real.expected);
}

/// Prints every register of every thread that has a value.
const SCRIPT: &str = "
import lldb
process = lldb.debugger.GetSelectedTarget().GetProcess()
for thread in process:
    for group in thread.GetFrameAtIndex(0).GetRegisters():
        for register in group:
            name = {'x29': 'fp'}.get(register.GetName(), register.GetName())
            if not register.GetError().Fail():
                print('%d.%s=%#x' % (thread.GetThreadID(), name, register.GetValueAsUnsigned()))
";
