//! A QEMU guest seen from outside: its memory, and what its QEMU says of its CPUs.
//!
//! A real QEMU runs on the memory of a guest that was saved: its firmware finds nothing to boot, and goes on looking.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod support;
mod synth;

use kgdbserver::dump::{self, Format, Packing, Settings};
use kgdbserver::kernel::Thread;
use kgdbserver::kvm::{Kvm, Options};
use kgdbserver::qmp::Qmp;
use kgdbserver_arch::Registers;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use support::linux::guests;
use support::{Saved, open};
use tempfile::TempDir;

/// A QEMU whose monitor shows these registers, to as many as ask.
fn qemu(folder: &Path, registers: String) {
    let listener = UnixListener::bind(folder.join("qmp")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            writeln!(stream.get_mut(), "{}", serde_json::json!({ "QMP": { "capabilities": [] } })).unwrap();
            let mut request = String::new();
            while stream.read_line(&mut request).is_ok_and(|got| got > 0) {
                let shown = if request.contains("info registers") { registers.as_str() } else { "" };
                writeln!(stream.get_mut(), "{}", serde_json::json!({ "return": shown })).unwrap();
                request.clear();
            }
        }
    });
}

fn connect(folder: &Path) -> Arc<Qmp> {
    Arc::new(Qmp::new(&folder.join("qmp")).unwrap())
}

fn on_cpu(kvm: &Kvm) -> Vec<Thread> {
    kvm.threads().unwrap().items.into_iter().filter(|thread| thread.on_cpu.is_some()).collect()
}

/// The registers that have values, but some. QEMU's monitor does not tell of `k_gs_base`, and the dumps that are written
/// here have no note for control registers.
fn values(registers: &Registers, but: &[&str]) -> Vec<(&'static str, u64)> {
    registers.known().filter(|(name, _)| !but.contains(name)).collect()
}

/// The registers of running tasks are those that QEMU's own dump of the same moment has, and go into dumps of ours.
#[test]
fn running_tasks_have_their_registers() {
    for guest in guests().iter().filter(|guest| guest.folder.join("registers.txt").exists()) {
        let (memory, folder) = (guest.folder.join("ram.img"), tempfile::tempdir().unwrap());
        let machine = guest.kvm.space().machine.arch.name;
        if !memory.exists() || !["x86_64", "aarch64"].contains(&machine) {
            continue;
        }
        qemu(folder.path(), std::fs::read_to_string(guest.folder.join("registers.txt")).unwrap());
        let options = Options { qmp: Some(connect(folder.path())), ..Options::default() };
        let kvm = Kvm::open_with(&memory, options).unwrap();
        assert!(kvm.is_live() && !on_cpu(&kvm).is_empty(), "{}", guest.name);
        let path = folder.path().join("dump");
        let (progress, stop) = (|_, _| (), AtomicBool::new(false));
        let format = Format::Kdump(Packing::Zstd);
        let settings = Settings { format, replace: false, progress: &progress, stop: &stop };
        dump::write(&kvm, &path, &settings).unwrap();
        let dump = open(None, &path, false).unwrap();
        let idle = |thread: &Thread| thread.pid == 0;
        for thread in on_cpu(&guest.kvm) {
            let noted = guest.kvm.registers(&thread).unwrap();
            assert!(noted.pc().is_some(), "{}: {}", guest.name, thread.name);
            let live = kvm.registers(&thread).unwrap();
            assert_eq!(values(&live, &[]), values(&noted, &["k_gs_base"]), "{}: {}", guest.name, thread.name);
            let ours = dump.threads().unwrap().items.into_iter().find(|own| own.va == thread.va).unwrap();
            let ours = dump.registers(&ours).unwrap();
            let control = ["k_gs_base", "cr0", "cr2", "cr3", "cr4"];
            if !idle(&thread) || ours.pc().is_some() {
                assert_eq!(values(&ours, &[]), values(&noted, &control), "{}: {}", guest.name, thread.name);
            }
        }
    }
}

/// A task that ran when its CPU was asked, and not before, has none.
#[test]
fn registers_are_of_who_runs() {
    for guest in guests().iter().filter(|guest| guest.name == "amd64l4") {
        let folder = tempfile::tempdir().unwrap();
        qemu(folder.path(), "CPU#1\r\nRIP=0000000000000001\r\n".into());
        let options = Options { qmp: Some(connect(folder.path())), ..Options::default() };
        let kvm = Kvm::open_with(&guest.folder.join("ram.img"), options).unwrap();
        for thread in on_cpu(&kvm) {
            let expected = (thread.on_cpu == Some(1)).then_some(1);
            assert_eq!(kvm.registers(&thread).ok().and_then(|registers| registers.pc()), expected);
        }
    }
}

#[test]
fn only_memory_is_a_guests() {
    let (saved, folder) = (Saved::small(), tempfile::tempdir().unwrap());
    qemu(folder.path(), String::new());
    let options = Options {
        kernel: Some(saved.kernel.clone()),
        qmp: Some(connect(folder.path())),
        ..Options::default()
    };
    let error = Kvm::open_with(&saved.vmcore, options).err().unwrap().to_string();
    assert!(error.contains("a FreeBSD minidump is no memory of a guest that runs"), "{error}");
}

/// A QEMU that runs on a copy of a guest's memory, watched by a second socket. Killed when it goes.
struct Machine {
    child: Child,
    folder: TempDir,
    watch: BufReader<UnixStream>,
}

impl Machine {
    /// None where there is no such guest, or no QEMU.
    fn start() -> Option<Self> {
        let guests = guests();
        let guest = guests.iter().find(|guest| guest.name == "amd64l4")?;
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(guest.folder.join("ram.img"), folder.path().join("ram.img")).unwrap();
        let ram = "memory-backend-file,id=ram,size=256M,mem-path=ram.img,share=on";
        let child = Command::new("qemu-system-x86_64")
            .args(["-accel", "tcg", "-machine", "q35,memory-backend=ram", "-m", "256M", "-object", ram])
            .args(["-display", "none", "-nic", "none"])
            .args(["-qmp", "unix:qmp,server=on,wait=off", "-qmp", "unix:watch,server=on,wait=off"])
            .current_dir(folder.path())
            .spawn();
        let child = child.inspect_err(|why| eprintln!("skipped: qemu-system-x86_64: {why}")).ok()?;
        let path = folder.path().join("watch");
        let connect = || UnixStream::connect(&path).ok();
        let wait = |_| std::thread::sleep(Duration::from_millis(50));
        let watch = (0..600).map(|nth| (nth > 0).then(|| wait(nth))).find_map(|_| connect()).unwrap();
        watch.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut machine = Self { child, folder, watch: BufReader::new(watch) };
        machine.line();
        machine.ask("qmp_capabilities");
        Some(machine)
    }

    fn line(&mut self) -> serde_json::Value {
        let mut line = String::new();
        self.watch.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// What a command returns.
    fn ask(&mut self, command: &str) -> serde_json::Value {
        writeln!(self.watch.get_mut(), "{}", serde_json::json!({ "execute": command })).unwrap();
        loop {
            if let Some(value) = self.line().get("return") {
                return value.clone();
            }
        }
    }

    /// The next event of the guest's being stopped or going on.
    fn event(&mut self) -> String {
        loop {
            let event = self.line()["event"].as_str().unwrap_or_default().to_owned();
            if ["STOP", "RESUME"].contains(&event.as_str()) {
                return event;
            }
        }
    }

    fn runs(&mut self) -> bool {
        self.ask("query-status")["running"] == true
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
        command.args(line.split(' ')).current_dir(self.folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may be gone
        let _ = self.child.wait();
    }
}

#[test]
fn a_real_guest_is_stopped_for_a_command_and_goes_on() {
    let Some(mut machine) = Machine::start() else { return };
    for line in ["dump --qmp qmp --pause ram.img -o out --format kdump-zstd", "ps --qmp qmp --pause ram.img"]
    {
        let status = machine.command(line).status().unwrap();
        assert!(status.success(), "{line}");
        while machine.event() != "RESUME" {}
        assert!(machine.runs(), "{line}");
    }
    // Without the option nothing happens to it.
    assert!(machine.command("ps --qmp qmp ram.img").status().unwrap().success());
    // One that was stopped by somebody else stays so.
    machine.ask("stop");
    assert!(machine.command("ps --qmp qmp --pause ram.img").status().unwrap().success());
    assert!(!machine.runs());
}

#[test]
fn a_real_guest_goes_on_when_a_command_is_interrupted() {
    let Some(mut machine) = Machine::start() else { return };
    for signal in [Signal::INT, Signal::TERM] {
        let line = "dump --qmp qmp --pause ram.img -o out";
        let mut child = machine.command(line).spawn().unwrap();
        // The first stop is that of opening the image, or of writing.
        assert_eq!(machine.event(), "STOP");
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert!(!child.wait().unwrap().success());
        while machine.event() != "RESUME" {}
        assert!(machine.runs());
        assert!(!machine.folder.path().join("out").exists());
    }
}

#[test]
fn a_real_guest_is_stopped_for_a_debuggers_question() {
    let Some(mut machine) = Machine::start() else { return };
    let mut child = machine.command("--qmp qmp --pause ram.img --listen unix:socket --once").spawn().unwrap();
    let path = machine.folder.path().join("socket");
    while !path.exists() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"+$qfThreadInfo#bb").unwrap();
    assert_eq!(machine.event(), "STOP");
    while machine.event() != "RESUME" {}
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
    assert!(machine.runs());
}
