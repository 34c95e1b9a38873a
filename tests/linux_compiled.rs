//! Linux kernels that the host's compiler lays out, with the shapes of new and of old releases: what the real ones at hand
//! do not have, and each way to fail.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod synth;

use kgdbserver::kernel::Listing;
use kgdbserver::kernel::kinfo::{KinfoProc, Op, Stat};
use kgdbserver::kernel::linux::Origin;
use kgdbserver::kvm::{Kvm, Options, SWIF_DEV_PREFIX};
use kgdbserver_arch::Va;
use std::fmt::Debug;
use synth::linux::{Linux, Shapes};

const BOTH: [Shapes; 2] = [Shapes::New, Shapes::Old];

fn open(built: &Linux) -> Kvm {
    let options = Options { kernel: Some(built.kernel()), ..Options::default() };
    Kvm::open_with(&built.save(), options).expect("open")
}

/// A kernel with new shapes, changed.
fn changed(change: impl FnOnce(&mut Linux)) -> Option<Kvm> {
    let mut built = Linux::new(Shapes::New)?;
    change(&mut built);
    Some(open(&built))
}

/// What a question answers, or the text of its error.
fn said<T: Debug>(answer: kgdbserver::Result<T>) -> String {
    answer.map_or_else(|error| format!("error: {error}"), |value| format!("{value:?}"))
}

/// What a list has, and what it lost.
fn listed<T: Debug>(answer: kgdbserver::Result<Listing<T>>) -> (Vec<T>, Vec<String>) {
    let list = answer.expect("a list");
    (list.items, list.problems.iter().map(ToString::to_string).collect())
}

fn row(kvm: &Kvm, pid: u32) -> KinfoProc {
    kvm.proc(pid).expect("the process")
}

fn strings(kvm: &Kvm, pid: u32, limit: usize) -> [String; 2] {
    let row = row(kvm, pid);
    let items = |list: Listing<String>| (list.items, list.problems.len());
    [said(kvm.getargv(&row, limit).map(items)), said(kvm.getenvv(&row, limit).map(items))]
}

#[test]
fn rows_have_what_the_kernel_knows() {
    for shapes in BOTH {
        let Some(built) = Linux::new(shapes) else { return };
        let kvm = open(&built);
        let symbol = |name| Some(Va(built.symbol(name)));
        let expected = KinfoProc {
            paddr: symbol("sh").unwrap(),
            pid: 20,
            comm: "sh".into(),
            fd: symbol("sh_files"),
            vmspace: symbol("sh_mm"),
            ppid: Some(1),
            pgid: Some(20),
            sid: Some(1),
            tpgid: Some(20),
            tsid: Some(1),
            tdev: Some(136 << 8 | 3 | 0x10_0000),
            kiflag: Some(3),
            uid: Some(1001),
            ruid: Some(1000),
            svuid: Some(1002),
            rgid: Some(2000),
            svgid: Some(2002),
            groups: Some(vec![2001, 5, 27]),
            sigignore: Some(vec![2, 0, 0, 0, 0, 0, 0, 0]),
            sigcatch: Some(vec![0, 0, 1, 0, 0, 0, 0, 0]),
            size: Some(1000 * 4096),
            // Files and anonymous pages; what two CPUs have not yet added; a count below 0 counts as none.
            rssize: Some(match shapes {
                Shapes::New => 30 + 40 + 2 * (2 + 2),
                Shapes::Old => 30 + 40,
            }),
            tsize: Some(2),
            dsize: Some(300),
            ssize: Some(33),
            runtime: Some(10_000),
            utime: Some(2500),
            stime: Some(7500),
            start: Some(12_345),
            xstat: Some(0),
            acflag: Some(2),
            flag: Some(0),
            traceflag: Some(0),
            numthreads: Some(2),
            nice: Some(0),
            stat: Some(Stat::Run),
            tid: Some(20),
            tdname: Some("sh".into()),
            siglist: Some(vec![0; 8]),
            sigmask: Some(vec![0, 0, 1, 0, 0, 0, 0, 0]),
            pri: Some([1, 120, 120, 120]),
            lastcpu: Some(0),
            oncpu: Some(2),
            ..KinfoProc::default()
        };
        assert_eq!(row(&kvm, 20), expected, "{shapes:?}");

        let (threads, problems) = listed(kvm.getprocs(Op::Pid as i32 | Op::INC_THREAD, 20));
        assert!(problems.is_empty(), "{problems:?}");
        let worker = threads.iter().find(|row| row.tid == Some(21)).expect("the other thread");
        assert_eq!((worker.pid, worker.tdname.as_deref(), worker.oncpu), (20, Some("worker"), None));
        assert_eq!(
            (worker.siglist.as_deref(), worker.pri),
            (Some(&[0, 0x40, 0, 0, 0, 0, 0, 0][..]), Some([0, 0, 125, 0]))
        );

        let zombie = row(&kvm, 40);
        assert_eq!(
            (zombie.stat, zombie.xstat, zombie.vmspace, zombie.fd),
            (Some(Stat::Zombie), Some(0x300), None, None)
        );
        assert_eq!(row(&kvm, 2).vmspace, None, "a kernel thread has no memory");
        let on_terminal = kvm.getprocs(Op::Tty as i32, 136 << 8 | 3 | 0x10_0000).expect("rows").items;
        assert_eq!(on_terminal.iter().map(|row| row.pid).collect::<Vec<_>>(), [20]);
    }
}

#[test]
fn arguments_and_environments() {
    let none = ["([], 0)"; 2];
    let environment = r#"(["HOME=/root", "EMPTY="], 0)"#;
    for shapes in BOTH {
        let Some(built) = Linux::new(shapes) else { return };
        let kvm = open(&built);
        assert_eq!(strings(&kvm, 20, 0), [r#"(["sh", "-c", "", "sleep 1000"], 0)"#, environment]);
        assert_eq!(strings(&kvm, 20, 9), [r#"(["sh", "-c", "", "sl"], 0)"#, r#"(["HOME=/roo"], 0)"#]);
        assert_eq!(strings(&kvm, 30, 0), [r#"(["sshd: a title over arguments, and on"], 0)"#, environment]);
        assert_eq!(strings(&kvm, 2, 0), none, "a kernel thread");
        assert_eq!(strings(&kvm, 40, 0), ["error: the process has no memory: it is exiting"; 2]);
    }
}

#[test]
fn a_process_that_lost_its_first_thread_keeps_its_memory_and_files() {
    for shapes in BOTH {
        let Some(mut built) = Linux::new(shapes) else { return };
        let (mm, files) = (built.symbol("sh_mm"), built.symbol("sh_files"));
        built.replace_word("sh", mm, 0).replace_word("sh", files, 0);
        let kvm = open(&built);
        assert_eq!(strings(&kvm, 20, 2)[0], r#"(["sh"], 0)"#);
        assert_eq!(kvm.getfiles(Some(20)).expect("files").items.len(), 10);
    }
}

#[test]
fn strings_end_where_memory_does() {
    // The environment begins on the page, and goes on behind it.
    let Some(kvm) = changed(|built| {
        built.replace_word("sh_mm", 0x8000_0000_0000, 0x8000_0000_0000 + 4096);
    }) else {
        return;
    };
    let env = kvm.getenvv(&row(&kvm, 20), 0);
    let problem =
        "invalid address (0x800000000000): the image knows no mapping for this part of the address space";
    assert_eq!(listed(env), (vec!["HOME=/root".into(), "EMPTY=".into()], vec![problem.into()]));

    let absent = changed(|built| {
        built.omit("user_stack");
    });
    let [args, env] = strings(&absent.unwrap(), 20, 0);
    assert!(args.starts_with("error: invalid address (0x7ffffffff000): physical address"), "{args}");
    assert!(env.starts_with("error: invalid address (0x7fff"), "{env}");

    for (end, said) in [(0x7fff_0000_0000_u64, "0x7fff00000000"), (u64::MAX, "0xffffffffffffffff")] {
        let kvm = changed(|built| {
            built.replace_word("sh_mm", 0x8000_0000_0000, end);
        });
        let env = strings(&kvm.unwrap(), 20, 0)[1].clone();
        assert!(env.ends_with(&format!("env_end is {said}")), "{env}");
    }
}

#[test]
fn the_memory_of_32_bit_programs_has_narrow_pointers() {
    let Some(kvm) = changed(|_| {}) else { return };
    let threads = kvm.threads().expect("threads").items;
    let space = |pid| kvm.thread_space(threads.iter().find(|thread| thread.pid == pid).expect("a thread"));
    assert_eq!(space(20).expect("memory").machine.ptr_bytes, 8);
    assert_eq!(space(30).expect("memory").machine.ptr_bytes, 4);
    assert_eq!(said(space(2).map(|_| ())), "error: a kernel thread has no memory of its own");
    assert_eq!(said(space(40).map(|_| ())), "error: the process has no memory: it is exiting");

    let mut lent = Linux::new(Shapes::New).unwrap();
    let mm = lent.symbol("sh_mm");
    // Behind the pointer to its own memory is the one to what it uses.
    let own = (0..256).step_by(8).find(|at| lent.word("sh", *at) == mm).expect("mm");
    let kvm = open(lent.poke_word("kthreadd", own + 8, mm));
    let kthreadd = kvm.threads().expect("threads").items.into_iter().find(|thread| thread.pid == 2).unwrap();
    let space = kvm.thread_space(&kthreadd).expect("the memory of another process");
    assert_eq!(space.string(Va(0x7fff_ffff_f000), 16).expect("a string"), b"sh");
}

#[test]
fn open_files() {
    for shapes in BOTH {
        let Some(built) = Linux::new(shapes) else { return };
        let kvm = open(&built);
        let (files, problems) = listed(kvm.getfiles(None));
        assert!(problems.is_empty(), "{problems:?}");
        let seen: Vec<String> = files
            .iter()
            .map(|file| {
                let [kind, path] = [&file.kind, &file.path].map(|text| text.as_deref().unwrap_or("-"));
                let [flag, count] = [file.flag.unwrap(), file.count.unwrap()];
                format!("{} {} {kind} {flag:o} {count} {} {path}", file.pid, file.fd, file.offset.unwrap())
            })
            .collect();
        let expected = [
            "20 0 directory 200001 1 0 /",
            "20 1 regular 2003 2 4321 /mnt/data/a file",
            "20 3 regular 2 1 0 /mnt/data/gone (deleted)",
            "20 4 pipe 1 1 0 pipe:[14]",
            "20 5 socket 3 1 0 socket:[15]",
            "20 6 anonymous 3 1 0 anon_inode:[eventpoll]",
            "20 7 anonymous 3 1 0 anon_inode:[pidfd]",
            "20 8 regular 1 1 0 net:[17]",
            "20 9 regular 3 1 0 /memfd:x (deleted)",
            "20 10 regular 2003 2 4321 /mnt/data/a file",
        ];
        assert_eq!(seen, expected, "{shapes:?}");
        assert_eq!(files[1].data, Some(Va(built.symbol("regular"))));
    }
}

#[test]
fn a_path_that_leads_in_a_circle_loses_only_itself() {
    let lost = |change: &dyn Fn(&mut Linux)| {
        let kvm = changed(|built| change(built))?;
        let files = kvm.getfiles(Some(20)).expect("files").items;
        Some(files.iter().filter(|file| file.path.is_none()).map(|file| file.fd).collect::<Vec<_>>())
    };
    let in_circle = |built: &mut Linux| {
        let (top, a_file) = (built.symbol("top"), built.symbol("a_file"));
        built.replace_word("data", top, a_file);
    };
    let Some(fds) = lost(&in_circle) else { return };
    assert_eq!(fds, [1, 3, 10], "directories");
    let mounted_on_itself = |built: &mut Linux| {
        let (rootfs, mounted) = (built.symbol("rootfs"), built.symbol("mounted"));
        let (mnt, data) = (built.symbol("mnt"), built.symbol("data"));
        built.replace_word("mounted", mnt, data);
        built.replace_word("rootfs", rootfs, mounted);
    };
    // A mount that is its own parent's parent: only the root's own file goes up through it.
    assert_eq!(lost(&mounted_on_itself).unwrap(), [0, 1, 3, 10], "mounts");
    let long_name = |built: &mut Linux| {
        built.replace_word("a_file", 6 << 32, 0xffff_ffff << 32);
    };
    assert_eq!(lost(&long_name).unwrap(), [1, 10], "a name that cannot be");
}

#[test]
fn tables_of_files_that_cannot_be_believed() {
    let Some(kvm) = changed(|built| {
        built.poke("sh_table", 0, &u32::MAX.to_le_bytes());
    }) else {
        return;
    };
    let (files, problems) = listed(kvm.getfiles(None));
    assert!(files.is_empty() && problems[0].ends_with("it has 4294967295 files"), "{problems:?}");
    assert_eq!(said(kvm.getfiles(Some(7)).map(|_| ())), "error: no process has the number 7");
    let kvm = changed(|built| {
        let files = built.symbol("open_files");
        built.replace_word("sh_table", files, 0x1000);
    });
    let (files, problems) = listed(kvm.unwrap().getfiles(None));
    assert!(files.is_empty() && problems[0].starts_with("invalid address (0x1000)"), "{problems:?}");
}

#[test]
fn modules() {
    for shapes in BOTH {
        for named in [true, false] {
            let Some(built) = Linux::new(shapes) else { return };
            if !named {
                built.forget("modules");
            }
            let (modules, problems) = listed(open(&built).modules());
            assert!(problems.is_empty(), "{problems:?}");
            let [module, other] = &modules[..] else { panic!("{shapes:?}: {modules:?}") };
            assert_eq!(
                (module.name.as_str(), module.address, module.size),
                ("loop", Va(0xffff_ffff_c000_1000), Some(0x4000))
            );
            assert_eq!(module.build_id.as_deref(), Some("abcdef0000000000000000000000000000000000"));
            let note = Va(built.symbol("note"));
            assert_eq!(
                module.sections,
                [(".text".into(), module.address), (".note.gnu.build-id".into(), note)]
            );
            assert_eq!((other.name.as_str(), other.size, other.sections.len()), ("dummy", Some(0x1000), 0));
        }
    }
}

#[test]
fn what_modules_say_is_not_believed_blindly() {
    let Some(mut built) = Linux::new(Shapes::New) else { return };
    let (coming, modules) = (built.symbol("coming"), built.symbol("modules"));
    built.poke("note", 4, &1000_u32.to_le_bytes());
    let (list, _) = listed(open(&built).modules());
    assert_eq!(list[0].build_id, None, "a build id of 1000 bytes");

    // The list goes back to its second element, and its head is no more found from there.
    built.replace_word("dummy", modules, coming + 8);
    let (list, problems) = listed(open(&built).modules());
    assert_eq!(list.len(), 2);
    assert!(problems[0].ends_with("the list comes back to it"), "{problems:?}");

    // Without its symbol the list is found only if all that it leads through are modules.
    let mut built = Linux::new(Shapes::New).unwrap();
    built.replace_word("dummy", u64::from_le_bytes(*b"dummy\0\0\0"), 0xff).forget("modules");
    assert_eq!(said(open(&built).modules().map(|_| ())), "error: modules: no such symbol");

    let mut built = Linux::new(Shapes::Old).unwrap();
    built.replace_word("loop_sections", 2, u64::from(u32::MAX));
    let (list, _) = listed(open(&built).modules());
    assert_eq!((list.len(), list[0].sections.len(), list[0].name.as_str()), (2, 0, "loop"));
}

#[test]
fn the_machines_state() {
    for shapes in BOTH {
        let Some(mut built) = Linux::new(shapes) else { return };
        let kvm = open(&built);
        let swap = listed(kvm.getswapinfo(SWIF_DEV_PREFIX));
        let files: Vec<_> =
            swap.0.iter().map(|file| (file.name.as_str(), file.used, file.total, file.flags)).collect();
        assert_eq!(files, [("/dev/loop0", 12, 5000, 3), ("/mnt/data/a file", 77, 77, 3)]);
        assert_eq!(said(kvm.getloadavg()), "[0.25, 0.5, 1.5]");
        let time = kvm.getcptime().expect("times");
        let unit = match shapes {
            Shapes::New => 1,
            Shapes::Old => 10_000_000, // ticks of the kernel's own
        };
        let times = [time.user, time.nice, time.system, time.interrupt, time.idle];
        assert_eq!(times, [20, 40, 60, 6, 110].map(|ticks| ticks * unit), "two CPUs");

        assert_eq!((said(kvm.getncpus()), said(kvm.getmaxcpu())), ("1".into(), "3".into()));
        assert_eq!(said(kvm.dpcpu_setcpu(1)), "error: CPU 1 not found");
        assert_eq!(said(kvm.dpcpu_setcpu(3)), "error: CPU 3 too big");
        assert_eq!(kvm.getpcpu(1).expect("none"), None);
        kvm.dpcpu_setcpu(2).expect("a CPU");
        let [start, areas, late] =
            ["__per_cpu_start", "cpu_areas", "late_pages"].map(|name| built.symbol(name));
        let copy = areas + 2 * 4096 + (late - start);
        assert_eq!(kvm.symbol("late_pages").expect("a variable").va, Va(copy));
        let mut bytes = [0; 4];
        kvm.read_zpcpu(late, &mut bytes, 2).expect("a CPU's copy");
        assert_eq!(u32::from_le_bytes(bytes), 2);
        assert_eq!(kvm.symbol("avenrun").expect("a variable").va, Va(built.symbol("avenrun")));

        built.poke("nr_swapfiles", 0, &1000_u32.to_le_bytes()).poke("nr_cpu_ids", 0, &u32::MAX.to_le_bytes());
        let kvm = open(&built);
        assert!(said(kvm.getswapinfo(0).map(|_| ())).ends_with("1000 swap files"));
        assert_eq!(said(kvm.getcptime()), "error: nr_cpu_ids is 4294967295: not a number of CPUs");
        assert_eq!(said(kvm.getncpus()), "error: nr_cpu_ids is 4294967295: not a number of CPUs");
    }
}

#[test]
fn the_last_words() {
    let panic = |kvm: &Kvm| kvm.kernel().expect("a kernel").panic_message(kvm.space());
    let Some(old) = Linux::new(Shapes::Old) else { return };
    let kvm = open(&old);
    assert_eq!(
        kvm.log().expect("messages").text,
        "[    0.001000] Kernel panic - not syncing: oops\n[    0.002000] end\n"
    );
    assert_eq!(panic(&kvm).as_deref(), Some("oops"));

    let mut new = Linux::new(Shapes::New).unwrap();
    let kvm = open(&new);
    let text = "[    0.000001] BUG: an older\n[    0.000002] BUG: null at 0\n[    0.000002] and so on\n\
                [    0.000003] Oops: 0002 [#1] SMP\n";
    assert_eq!(kvm.log().expect("messages").text, text);
    assert_eq!(panic(&kvm), None, "it went on after these errors");
    let kvm = open(new.poke("panic_cpu", 0, &0_u32.to_le_bytes()));
    assert_eq!(panic(&kvm).as_deref(), Some("BUG: null at 0"));
}

#[test]
fn a_kernel_that_tells_nothing_is_found_by_the_registers_of_a_cpu() {
    let Some(mut built) = Linux::new(Shapes::New) else { return };
    let names =
        |kvm: &Kvm| listed(kvm.threads()).0.iter().map(|thread| thread.name.clone()).collect::<Vec<_>>();
    let expected = names(&open(&built));
    built.info.clear();
    let why = |kvm: &Kvm| kvm.located().expect("physical memory").expect_err("nothing tells").to_string();
    assert!(why(&open(&built)).contains("name a text with its VMCOREINFO"), "{}", why(&open(&built)));

    built.qemu = true;
    let kvm = open(&built);
    let told = kvm.linux().expect("Linux");
    assert_eq!((told.info.release(), &told.origin), ("4.99.0-test", &Origin::Registers(0)));
    assert_eq!(names(&kvm), expected);

    // Code that is not Linux's, or nobody's.
    let kvm = open(built.poke("linux_banner", 0, b"Minix"));
    assert!(kvm.linux().is_none() && why(&kvm).contains("name a text"), "{}", why(&kvm));
}
