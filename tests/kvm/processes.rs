//! What getprocs tells.

use super::*;
use kgdbserver::kernel::kinfo::Op;

/// `(pid, tid)` of each row.
fn rows(kvm: &Kvm, op: i32, arg: u32) -> Vec<(u32, Option<u64>)> {
    kvm.getprocs(op, arg).unwrap().items.iter().map(|row| (row.pid, row.tid)).collect()
}

#[test]
fn a_row_per_thread_or_per_process() {
    let saved = Saved::small();
    let kvm = saved.open().unwrap();
    let threads: Vec<_> =
        saved.built.facts.threads.iter().map(|thread| (thread.pid, Some(u64::from(thread.tid)))).collect();
    // On a dump ALL means threads too, as it does in libkvm.
    assert_eq!(rows(&kvm, Op::All as i32, 0), threads);
    assert_eq!(rows(&kvm, Op::All as i32 | Op::INC_THREAD, 0), threads);
    assert_eq!(rows(&kvm, Op::Proc as i32 | Op::INC_THREAD, 0), threads);
    let pids: Vec<u32> = rows(&kvm, Op::Proc as i32, 0).iter().map(|(pid, _)| *pid).collect();
    assert_eq!(pids, saved.built.facts.pids);
    assert_eq!(rows(&kvm, Op::Pid as i32, 28), [(28, Some(100_089))]);
    let of_28: Vec<_> = threads.iter().copied().filter(|(pid, _)| *pid == 28).collect();
    assert_eq!(rows(&kvm, Op::Pid as i32 | Op::INC_THREAD, 28), of_28);
    assert_eq!(rows(&kvm, Op::Pid as i32, 4711), []);
    assert_eq!(rows(&kvm, Op::Tty as i32, 0), [], "a dump tells no terminal's device");
}

#[test]
fn a_filter_by_what_the_image_cannot_tell_is_an_error_that_names_it() {
    let kvm = Saved::small().open().unwrap();
    for op in [Op::Pgrp, Op::Session, Op::Uid, Op::Ruid, Op::Rgid, Op::Gid] {
        let text = format!(
            "cannot select by {op:?}: the kernel file has no type information (CTF or DWARF) that tells it"
        );
        assert_eq!(error(kvm.getprocs(op as i32, 0)), text);
        assert_eq!(kvm.geterr(), text);
    }
    for op in [7, 9, 12, 35, -1, 0x20] {
        assert_eq!(error(kvm.getprocs(op, 0)), format!("bad getprocs operation {op:#x}"));
    }
}

#[test]
fn fields_that_the_image_cannot_tell_are_absent_not_zero() {
    let kvm = Saved::small().open().unwrap();
    let list = kvm.getprocs(Op::Pid as i32, 800).unwrap();
    let [row] = list.items.as_slice() else { panic!("{list:?}") };
    assert_eq!((row.comm.as_str(), row.tdname.as_deref(), row.oncpu), ("sysctl", Some("sysctl"), Some(2)));
    assert_eq!((row.ppid, row.pgid, row.sid, row.uid, row.jid), (None, None, None, None, None));
    assert_eq!((row.size, row.runtime, row.flag, row.nice), (None, None, None, None));
    assert_eq!((&row.groups, &row.wmesg, &row.emul), (&None, &None, &None));
    let sleeping = &kvm.getprocs(Op::Pid as i32, 1).unwrap().items[0];
    assert_eq!((sleeping.oncpu, sleeping.stat), (None, None));
}

#[test]
fn processes_are_listed_newest_first() {
    let saved = Saved::small();
    let processes = saved.open().unwrap().processes().unwrap();
    let pids: Vec<u32> = processes.items.iter().map(|process| process.pid).collect();
    assert_eq!(pids, saved.built.facts.pids);
    assert!(processes.items.iter().all(|process| process.ppid.is_none()));
    assert_eq!(processes.problems.len(), 0);
}
