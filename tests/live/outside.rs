//! The guest's memory as QEMU has it in a file, while the guest runs.

use crate::STEADY;
use crate::guest::Guest;
use kgdbserver::Error;
use kgdbserver::kernel::Thread;
use kgdbserver::kvm::{Kvm, Options};
use kgdbserver::qmp::Qmp;
use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) fn the_same_is_seen_from_outside(guest: &mut Guest) {
    for qmp in [false, true] {
        let kvm = open(guest, qmp, false);
        let threads = kvm.threads().expect("threads");
        assert!(threads.problems.is_empty(), "{:?}", threads.problems);
        let ours: BTreeSet<(u64, &str)> = threads
            .items
            .iter()
            .filter(|thread| thread.tid == u64::from(thread.pid))
            .map(|thread| (thread.tid, &*thread.name))
            .collect();
        let theirs = guest.processes();
        for (pid, (name, _)) in theirs.iter().filter(|(_, (name, _))| STEADY.contains(&name.as_str())) {
            assert!(ours.contains(&(*pid, name.as_str())), "{name} is not in {ours:?}");
        }
        let spinner = |thread: &&Thread| thread.name == "spinner";
        // It runs in user mode, below all of the kernel; now and then an interrupt does in its place.
        let counters: Vec<Option<u64>> = (0..20)
            .map(|_| open(guest, qmp, false))
            .map(|kvm| {
                let threads = kvm.threads().expect("threads").items;
                let thread = threads.iter().find(spinner).filter(|thread| thread.on_cpu.is_some())?.clone();
                kvm.registers(&thread).ok().and_then(|registers| registers.pc())
            })
            .collect();
        let known = counters.iter().any(|pc| pc.is_some_and(|pc| pc < 1 << 47));
        assert_eq!(known, qmp, "{counters:x?}");
    }
    what_is_written_shows_in_the_guest(guest);
}

/// The variable behind the sysctl kernel.hostname, whose place VMCOREINFO tells.
fn what_is_written_shows_in_the_guest(guest: &mut Guest) {
    const SYSCTL: &str = "cat /proc/sys/kernel/hostname";
    let reader = open(guest, false, false);
    let namespace = reader.symbols().address("init_uts_ns").expect("init_uts_ns");
    let types = reader.symbols().types();
    let offset = |name, member| types.require(name, member).expect("a member").offset;
    let at = (namespace.0 + offset("uts_namespace", "name") + offset("new_utsname", "nodename")) as usize;
    assert_eq!(guest.run(SYSCTL), "rig\n");
    assert!(matches!(reader.write(at, b"jig\0"), Err(Error::ReadOnly)));
    assert_eq!(guest.run(SYSCTL), "rig\n");
    let writer = open(guest, false, true);
    assert_eq!(writer.write(at, b"jig\0").expect("written"), 4);
    assert_eq!(guest.run(SYSCTL), "jig\n");
    guest.run("hostname rig");
    let mut name = [0; 4];
    assert_eq!((reader.read2(at as u64, &mut name).expect("read"), &name), (4, b"rig\0"));
}

fn open(guest: &Guest, qmp: bool, write: bool) -> Kvm {
    let folder = guest.folder.path();
    let qmp = qmp.then(|| Arc::new(Qmp::new(&folder.join("qmp")).expect("QEMU's monitor")));
    let options = Options { qmp, write, ..Options::default() };
    Kvm::open_with(&folder.join("ram.img"), options).expect("the guest's memory")
}
