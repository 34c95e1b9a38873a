use super::*;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::thread;

const X86: &str = "
CPU#0\r
RAX=000000000001ad40 RBX=0000000000000001 RCX=7ffffff8393471ff RDX=4000000000000000\r
R8 =0000000000000008 R9 =0000000000000009 R10=00000000fffffffb R11=0000000000000001\r
RIP=ffffffffb8617a0b RFL=00000246 [---Z-P-] CPL=0 II=0 A20=1 SMM=0 HLT=1\r
CS =0010 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]\r
FS =0000 0000000000000123 00000000 00000000\r
GS =0000 ffff8ee98f600000 00000000 00000000\r
CR0=80050033 CR2=00000000005eec78 CR3=0000000002d9e000 CR4=00750eb0\r
\r
CPU#2\r
RAX=00000000000000ff\r
";

const ARM64: &str = "
CPU#0
 PC=ffffcf41295af4fc X00=00000000000b8c8c X01=ffff00000ff0d558
X29=ffffcf412a213d50 X30=6ad1cf41295af514  SP=ffffcf412a213d50
PSTATE=404000c5 -Z-- EL1h  SVCR=00000000 --  BTYPE=0     FPCR=00000000 FPSR=00000000
P00=00000000000000ff P01=0000000000000000 P02=0000000000000000
";

fn machine(name: &str) -> Machine {
    let arch = kgdbserver_arch::ALL.iter().find(|arch| arch.name == name).unwrap();
    Machine { arch, big_endian: false, ptr_bytes: 8 }
}

fn known(text: &str, name: &str) -> Vec<(u32, Vec<(&'static str, u64)>)> {
    let cpus = registers::parse(text, machine(name));
    cpus.into_iter().map(|(cpu, registers)| (cpu, registers.known().collect())).collect()
}

#[test]
fn registers_are_read_as_qemu_prints_them() {
    let first = vec![
        ("rax", 0x1ad40),
        ("rbx", 1),
        ("rcx", 0x7fff_fff8_3934_71ff),
        ("rdx", 0x4000_0000_0000_0000),
        ("r8", 8),
        ("r9", 9),
        ("r10", 0xffff_fffb),
        ("r11", 1),
        ("rip", 0xffff_ffff_b861_7a0b),
        ("eflags", 0x246),
        ("cs", 0x10),
        ("fs", 0),
        ("gs", 0),
        ("fs_base", 0x123),
        ("gs_base", 0xffff_8ee9_8f60_0000),
        ("cr0", 0x8005_0033),
        ("cr2", 0x5eec78),
        ("cr3", 0x2d9_e000),
        ("cr4", 0x75_0eb0),
    ];
    assert_eq!(known(X86, "x86_64"), [(0, first), (2, vec![("rax", 0xff)])]);
    let first = vec![
        ("x0", 0xb_8c8c),
        ("x1", 0xffff_0000_0ff0_d558),
        ("x29", 0xffff_cf41_2a21_3d50),
        ("x30", 0x6ad1_cf41_295a_f514),
        ("sp", 0xffff_cf41_2a21_3d50),
        ("pc", 0xffff_cf41_295a_f4fc),
        ("cpsr", 0x4040_00c5),
    ];
    assert_eq!(known(ARM64, "aarch64"), [(0, first)]);
    for junk in ["", "CPU#", "CPU#x\nRAX=1", "CPU#1", "RAX=1"] {
        assert_eq!(known(junk, "x86_64"), [], "{junk}");
    }
    assert_eq!(known("CPU#1\n= = RAX==RBX=zz RCX", "x86_64"), [(1, vec![])]);
}

/// A QEMU that says these lines, one at each turn; what it was told.
fn qemu(lines: &'static [&'static str]) -> (tempfile::TempDir, thread::JoinHandle<Vec<String>>) {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("qmp")).unwrap();
    let serve = move || {
        let mut stream = BufReader::new(listener.accept().unwrap().0);
        let mut told = Vec::new();
        for line in lines {
            writeln!(stream.get_mut(), "{line}").unwrap();
            if !line.contains("event") {
                let mut request = String::new();
                let _ = stream.read_line(&mut request);
                told.push(request.trim().to_owned());
            }
        }
        told
    };
    (folder, thread::spawn(serve))
}

const GREETING: &str = r#"{"QMP": {"version": {}, "capabilities": []}}"#;

#[test]
fn events_are_passed_over() {
    let (folder, told) = qemu(&[
        GREETING,
        r#"{"return": {}}"#,
        r#"{"event": "RTC_CHANGE"}"#,
        r#"{"return": "\r\nCPU#0\r\nRAX=0000000000000007\r\n"}"#,
    ]);
    let qmp = Qmp { path: folder.path().join("qmp"), held: Mutex::default() };
    let cpus = qmp.registers(machine("x86_64")).unwrap();
    assert_eq!(cpus.first().unwrap().1.known().collect::<Vec<_>>(), [("rax", 7)]);
    assert!(told.join().unwrap()[1].contains("info registers -a"));
}

#[test]
fn who_is_no_qemu_is_told_from_one() {
    let says = |lines, text: &str| {
        let (folder, _told) = qemu(lines);
        let error = Qmp::new(&folder.path().join("qmp")).unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    says(&["SSH-2.0-OpenSSH"], "no QMP");
    says(&[r#"{"hello": 1}"#], "no QEMU greets there");
    says(&[GREETING, r#"{"error": {"class": "x", "desc": "no such thing"}}"#], "no such thing");
    says(&[], "QEMU hung up");
    let error = Qmp::new(Path::new("/nonexistent/qmp")).unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/qmp"), "{error}");
}

/// A QEMU in some state that notes what it is told, for as many clients as come one after the other.
fn stateful(status: &'static str, running: bool) -> (tempfile::TempDir, Arc<Qmp>, Arc<Mutex<Vec<String>>>) {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("qmp")).unwrap();
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = told.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            writeln!(stream.get_mut(), "{GREETING}").unwrap();
            let mut request = String::new();
            while stream.read_line(&mut request).is_ok_and(|got| got > 0) {
                let command: Value = serde_json::from_str(&request).unwrap();
                let answer = match command["execute"].as_str().unwrap() {
                    "query-status" => json!({ "return": { "running": running, "status": status } }),
                    "qmp_capabilities" => json!({ "return": {} }),
                    other => {
                        notes.lock().unwrap().push(other.to_owned());
                        json!({ "return": {} })
                    }
                };
                writeln!(stream.get_mut(), "{answer}").unwrap();
                request.clear();
            }
        }
    });
    let qmp = Arc::new(Qmp::new(&folder.path().join("qmp")).unwrap());
    (folder, qmp, told)
}

#[test]
fn a_guest_is_stopped_once_and_goes_on_after_the_last() {
    let (_folder, qmp, told) = stateful("running", true);
    let (one, other) = (qmp.pause().unwrap(), qmp.pause().unwrap());
    drop(one);
    assert_eq!(*told.lock().unwrap(), ["stop"]);
    drop(other);
    assert_eq!(*told.lock().unwrap(), ["stop", "cont"]);
    drop(qmp.pause().unwrap());
    assert_eq!(told.lock().unwrap().len(), 4);
}

#[test]
fn a_guest_that_did_not_run_does_not_after() {
    let (_folder, qmp, told) = stateful("paused", false);
    drop(qmp.pause().unwrap());
    qmp.let_go();
    assert!(told.lock().unwrap().is_empty());
}

#[test]
fn who_ends_lets_the_guest_go_and_nobody_stops_it_again() {
    let (_folder, qmp, told) = stateful("running", true);
    let held = qmp.pause().unwrap();
    qmp.let_go();
    assert_eq!(*told.lock().unwrap(), ["stop", "cont"]);
    assert!(qmp.pause().unwrap_err().to_string().contains("the guest was let go"));
    drop(held);
    assert_eq!(told.lock().unwrap().len(), 2);
}

#[test]
fn a_guest_goes_on_when_its_holder_panics() {
    let (_folder, qmp, told) = stateful("running", true);
    let holder = thread::spawn(move || {
        let _held = qmp.pause().unwrap();
        panic!("as a test");
    });
    assert!(holder.join().is_err());
    assert_eq!(*told.lock().unwrap(), ["stop", "cont"]);
}
