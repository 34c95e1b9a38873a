//! A compiled DragonFly kernel: processes, lwps and the kernel's own threads.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

mod synth;

use kgdbserver::Kvm;
use kgdbserver::kernel::kinfo::{Op, Stat};
use kgdbserver::kvm::Options;
use synth::Compiled;

fn open(built: &Compiled) -> Kvm {
    let options = Options { kernel: Some(built.file("kernel")), ..Options::default() };
    Kvm::open_with(&built.save(), options).expect("open")
}

/// The boundary: threads and problems as text.
fn check(built: &Compiled, expected: &str) {
    let list = open(built).threads().expect("threads");
    let line = |thread: &kgdbserver::kernel::Thread| {
        let crashed = if thread.crashed { "*" } else { "" };
        let cpu = thread.on_cpu.map(|cpu| format!(" cpu{cpu}")).unwrap_or_default();
        let wait = thread.wait.as_ref().map(|wait| format!(" {wait}")).unwrap_or_default();
        format!("{crashed}{:#x} {} {}{cpu}{wait}\n", thread.tid, thread.pid, thread.name)
    };
    let problems = list.problems.iter().map(|problem| format!("{problem}\n"));
    let got: String = list.items.iter().map(line).chain(problems).collect();
    assert_eq!(got.trim_end(), expected.trim_end());
}

const THREADS: &str = "\
*0x32c00003 812 worker cpu0
0x100001 1 init wait
0x32c00001 812 worker
0x32c00002 812 worker
0x32c00004 812 worker
0x32c00005 812 worker
0x32c00006 812 worker cpu1
0x10000000000000 0 idle_0
0x10000000000001 0 netisr 1 idle
";

#[test]
fn every_lwp_and_kernel_thread_is_found_once_and_in_order() {
    let Some(built) = Compiled::new("dragonfly.c") else { return };
    check(&built, THREADS);
}

#[test]
fn registers_are_where_the_types_say() {
    let Some(built) = Compiled::new("dragonfly.c") else { return };
    let kvm = open(&built);
    let threads = kvm.threads().expect("threads").items;
    let pc = |tid: u64| {
        let thread = threads.iter().find(|thread| thread.tid == tid).expect("the thread");
        kvm.registers(thread).expect("registers")
    };
    assert_eq!(pc(0x32c0_0003).pc(), Some(0xffff_ffff_8020_4444), "dumppcb");
    assert_eq!(pc(0x32c0_0006).pc(), Some(0xffff_ffff_8020_5555), "stoppcbs of CPU 1");
    let sleeping = pc(0x32c0_0001);
    assert_eq!(sleeping.pc(), Some(0xffff_ffff_8020_3333));
    assert_eq!(sleeping.known().find(|(name, _)| *name == "r15"), Some(("r15", 15)));
    assert_eq!(sleeping.known().find(|(name, _)| *name == "rax"), None, "not saved");
}

#[test]
fn a_kernel_thread_keeps_its_registers_on_its_stack() {
    let Some(mut built) = Compiled::new("dragonfly.c") else { return };
    let registers = |built: &Compiled, tid: u64| {
        let kvm = open(built);
        let threads = kvm.threads().expect("threads").items;
        kvm.registers(threads.iter().find(|thread| thread.tid == tid).expect("the thread"))
            .expect("registers")
    };
    let idle = registers(&built, 1 << 52);
    let after = built.symbol("idle_stack") + 72;
    let mut seen: Vec<_> = idle.known().collect();
    seen.sort_unstable();
    let expected = [
        ("eflags", 0x246),
        ("r12", 12),
        ("r13", 13),
        ("r14", 14),
        ("r15", 15),
        ("rbp", 5),
        ("rbx", 3),
        ("rip", 0xffff_ffff_8020_6666),
        ("rsp", after),
    ];
    assert_eq!(seen, expected);
    assert_eq!(registers(&built, (1 << 52) + 1).known().count(), 0, "the other has no stack");
    // Before its first turn, a thread has another function there and nothing above it.
    let other = built.symbol("init");
    built.poke_word("idle_stack", 0, other);
    assert_eq!(registers(&built, 1 << 52).known().count(), 0);
}

#[test]
fn processes_and_their_rows() {
    let Some(built) = Compiled::new("dragonfly.c") else { return };
    let kvm = open(&built);
    let list = kvm.processes().expect("processes");
    let seen: Vec<_> = list.items.iter().map(|p| (p.pid, p.ppid, p.state, p.comm.as_str())).collect();
    assert_eq!(
        seen,
        [(1, None, Some('S'), "init"), (5, Some(1), Some('Z'), "true"), (812, Some(1), Some('S'), "worker")]
    );
    assert!(list.problems.is_empty());

    let rows = kvm.getprocs(Op::Proc as i32, 0).expect("getprocs").items;
    assert_eq!(rows.iter().map(|row| row.pid).collect::<Vec<_>>(), [1, 5, 812]);
    let worker = rows.last().expect("a row");
    assert_eq!(
        (worker.uid, worker.ruid, worker.groups.clone()),
        (Some(1001), Some(1002), Some(vec![100, 5]))
    );
    assert_eq!((worker.pgid, worker.sid, worker.login.as_deref()), (Some(812), Some(812), Some("joe")));
    assert_eq!((worker.nice, worker.numthreads, worker.tid), (Some(-5), Some(6), Some(1)));
    assert_eq!(rows.get(1).map(|row| (row.stat, row.tid)), Some((Some(Stat::Zombie), None)));
    let all = kvm.getprocs(Op::Uid as i32 | Op::INC_THREAD, 1001);
    assert!(all.is_err(), "the other processes have no credentials here");
    let threads = kvm.getprocs(Op::Pid as i32 | Op::INC_THREAD, 812).expect("getprocs").items;
    assert_eq!(threads.iter().map(|row| row.tid).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6].map(Some));

    let kernel = kvm.kernel().expect("a kernel");
    assert_eq!(kernel.name(), "DragonFly");
    assert_eq!(kernel.version(kvm.space()).as_deref(), Some("DragonFly v6.4-TEST a compiled kernel"));
    assert_eq!(kernel.panic_message(kvm.space()).as_deref(), Some("a compiled panic"));
}

#[test]
fn files_and_load() {
    let Some(built) = Compiled::new("dragonfly.c") else { return };
    let kvm = open(&built);
    let files = kvm.getfiles(Some(812)).expect("files").items;
    let seen: Vec<_> = files.iter().map(|file| (file.fd, file.kind.as_deref(), file.offset)).collect();
    assert_eq!(seen, [(0, Some("vnode"), Some(7)), (2, Some("socket"), Some(0))]);
    assert_eq!(kvm.getloadavg().expect("load"), [1.0, 0.5, 0.0]);
}

#[test]
fn modules_messages_arguments_and_swap() {
    let Some(mut built) = Compiled::new("dragonfly.c") else { return };
    let kvm = open(&built);
    let modules = kvm.modules().expect("modules").items;
    let seen: Vec<_> =
        modules.iter().map(|m| (m.name.as_str(), m.path.clone(), m.address.0, m.size)).collect();
    assert_eq!(
        seen,
        [
            ("ehci.ko", None, 0xffff_ffff_8180_0000, Some(0x9000)),
            ("acpi.ko", None, 0xffff_ffff_8190_0000, Some(0x6_8000))
        ]
    );

    let log = kvm.log().expect("messages");
    assert_eq!((log.text.as_str(), log.unread.as_str()), ("the ast line\nok\n", "ok\n"));

    let rows = kvm.getprocs(Op::Proc as i32, 0).expect("getprocs").items;
    let row = |pid: u32| rows.iter().find(|row| row.pid == pid).expect("a row");
    let args = |pid: u32| kvm.getargv(row(pid), 0).map(|strings| strings.items);
    assert_eq!(args(812).expect("kept"), ["worker", "-n", "four"]);
    assert_eq!(args(5).expect("a kernel process has none"), [""; 0]);
    assert_eq!(args(1).expect("in the process's memory"), ["/sbin/init", "-s"]);

    let swap = kvm.getswapinfo(0).expect("swap").items;
    let seen: Vec<_> = swap.iter().map(|s| (s.name.as_str(), s.used, s.total, s.flags)).collect();
    assert_eq!(
        seen,
        [("da0s1b", 300, 2016, 1), ("[NFS swap]", 7, 992, 1)],
        "a device that has no room is none"
    );

    built.poke("worker_args", 4, &u32::MAX.to_le_bytes()).poke("nswdev", 0, &i32::MAX.to_le_bytes());
    built.poke("msgbuf", 0, &0x06_3065_u32.to_le_bytes());
    let kernel_ko = built.symbol("kernel_ko");
    built.poke_word("acpi_ko", 16, kernel_ko);
    let kvm = open(&built);
    let said = |error: String, end: &str| assert!(error.ends_with(end), "{error}");
    said(
        kvm.getargv(rows.last().expect("a row"), 0).expect_err("absurd").to_string(),
        "its length is 4294967295",
    );
    said(kvm.getswapinfo(0).expect_err("absurd").to_string(), "2147483647 swap devices");
    said(kvm.log().expect_err("no ring").to_string(), "its magic number is 0x63065");
    let modules = kvm.modules().expect("modules");
    assert_eq!((modules.items.len(), modules.problems.len()), (2, 1), "{:?}", modules.problems);
}

#[test]
fn the_memory_of_processes() {
    let Some(mut built) = Compiled::new("dragonfly.c") else { return };
    let env = |built: &Compiled, pid: u32| {
        let kvm = open(built);
        let rows = kvm.getprocs(Op::Proc as i32, 0).expect("getprocs").items;
        let row = rows.iter().find(|row| row.pid == pid).expect("a row");
        kvm.getenvv(row, 0).map(|list| list.items).map_err(|error| error.to_string())
    };
    assert_eq!(env(&built, 1), Ok(vec!["TERM=xterm".into()]));
    assert_eq!(env(&built, 5), Ok(Vec::new()), "a kernel process");
    let exiting = "cannot read user space from dead kernel: the process has none: it is exiting";
    assert_eq!(env(&built, 812), Err(exiting.into()));
    // Where stacks ended in older releases. Its pointers are still the others, so nothing but the end is found.
    let table = built.physical("user_pt");
    built.poke_word("user_pd", 510 * 8, 0);
    let error = env(&built, 1).expect_err("gone");
    assert!(error.ends_with("(0x7fffffdffff0): the kernel's page tables map nothing here"), "{error}");
    built.poke_word("user_pd", 511 * 8, table + 7);
    let error = env(&built, 1).expect_err("old");
    assert!(error.ends_with("(0x7fffffdff018): the kernel's page tables map nothing here"), "{error}");
}

#[test]
fn cpus_and_their_times() {
    let Some(mut built) = Compiled::new("dragonfly.c") else { return };
    let kvm = open(&built);
    let time = kvm.getcptime().expect("times");
    assert_eq!([time.user, time.nice, time.system, time.interrupt, time.idle], [11, 22, 33, 44, 55]);
    assert_eq!((kvm.getncpus().expect("a count"), kvm.getmaxcpu().expect("a size")), (2, 4));
    let own = kvm.getpcpu(1).expect("read").expect("a CPU");
    assert_eq!(own.get(..8), Some(built.symbol("t6").to_le_bytes().as_slice()), "gd_curthread");
    assert_eq!(kvm.getpcpu(2).expect("no such CPU"), None);
    assert!(kvm.dpcpu_setcpu(0).is_err(), "DragonFly has no such variables");
    built.poke("ncpus", 0, &i32::MAX.to_le_bytes());
    let error = open(&built).getcptime().expect_err("absurd").to_string();
    assert!(error.ends_with("2147483647 CPUs"), "{error}");
}

#[test]
fn a_ring_of_the_old_kind_counts_only_to_its_size() {
    let Some(mut built) = Compiled::new("dragonfly.c") else { return };
    built.poke("msgbuf", 0, &0x06_3062_u32.to_le_bytes());
    built.poke("msgbuf", 8, &4_u32.to_le_bytes()).poke("msgbuf", 12, &15_u32.to_le_bytes());
    let log = open(&built).log().expect("messages");
    assert_eq!((log.text.as_str(), log.unread.as_str()), ("line\nok\nthe ast ", " ast "));
    built.poke("msgbuf", 4, &0_u32.to_le_bytes());
    let error = open(&built).log().expect_err("absurd").to_string();
    assert!(error.ends_with("its size is 0"), "{error}");
}

#[test]
fn a_tree_that_leads_in_a_circle_loses_no_more_than_it_must() {
    let Some(mut built) = Compiled::new("dragonfly.c") else { return };
    let (w4, w3) = (built.symbol("w4"), built.symbol("w3"));
    built.poke_word("w4", 0, w3);
    // The node w4 is readable, so it is kept; what it leads to is not followed.
    check(&built, &format!("{THREADS}lwp at {w3:#x}: the tree comes back to it"));
    built.poke_word("w4", 0, 0x1000);
    let lost = "lwp: invalid";
    let list = open(&built).threads().expect("threads");
    assert_eq!((list.items.len(), list.problems.len()), (9, 1), "{lost} {:?}", list.problems);
    // A node of another process is not this one's.
    built.poke_word("w4", 0, 0);
    let init = built.symbol("init");
    built.poke_word("w4", 32, init);
    let expected = THREADS.replace("0x32c00004 812 worker\n", "");
    check(&built, &format!("{expected}lwp at {w4:#x}: it belongs to another process"));
}

#[test]
fn absurd_counts_and_absent_types_are_said() {
    let Some(mut built) = Compiled::new("dragonfly.c") else { return };
    built.poke("allproc_hsize", 0, &i32::MAX.to_le_bytes());
    let error = open(&built).threads().expect_err("refused").to_string();
    assert!(error.ends_with("2147483647 process lists"), "{error}");
    built.poke("allproc_hsize", 0, &4_u32.to_le_bytes());
    built.poke("ncpus", 0, &i32::MAX.to_le_bytes());
    assert_eq!(open(&built).threads().expect("threads").items.len(), 7, "no CPU can be believed");
    built.hide_debug_file();
    let error = open(&built).threads().expect_err("no types").to_string();
    assert_eq!(
        error,
        "proc.p_list.le_next is needed, and the kernel has no type information: name its kernel.debug or vmlinux"
    );
}
