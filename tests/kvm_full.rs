//! kvm(3) on a compiled FreeBSD kernel: every function right, and each way it can fail.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

mod synth;

use kgdbserver::kernel::kinfo::{KinfoProc, Op, Stat};
use kgdbserver::kvm::{Kvm, Nlist, Options, SWIF_DEV_PREFIX};
use kgdbserver_arch::Va;
use std::fmt::Debug;
use std::path::Path;
use std::process::Command;
use synth::Compiled;

fn compiled() -> Option<Compiled> {
    Compiled::new("freebsd.c")
}

fn open(kernel: &Path, vmcore: &Path) -> Kvm {
    let options = Options { kernel: Some(kernel.to_owned()), ..Options::default() };
    Kvm::open_with(vmcore, options).expect("open")
}

impl Compiled {
    fn open(&self) -> Kvm {
        open(&self.file("kernel"), &self.save())
    }
}

/// The boundary: what a question answers, or the text of its error.
fn check<T: Debug>(answer: kgdbserver::Result<T>, expected: &str) {
    let got = match answer {
        Ok(value) => format!("{value:?}"),
        Err(error) => format!("error: {error}"),
    };
    assert!(
        got == expected || expected.strip_suffix("...").is_some_and(|start| got.starts_with(start)),
        "\n     got: {got}\nexpected: {expected}"
    );
}

fn argv(kvm: &Kvm, proc: &KinfoProc, limit: usize) -> kgdbserver::Result<Vec<String>> {
    kvm.getargv(proc, limit).map(|strings| strings.items)
}

fn envv(kvm: &Kvm, proc: &KinfoProc, limit: usize) -> kgdbserver::Result<Vec<String>> {
    kvm.getenvv(proc, limit).map(|strings| strings.items)
}

fn proc(kvm: &Kvm, pid: u32) -> KinfoProc {
    kvm.proc(pid).expect("the process")
}

#[test]
fn processes_are_complete() {
    let Some(built) = compiled() else { return };
    let kvm = built.open();
    let rows = kvm.getprocs(Op::Proc as i32, 0).expect("getprocs");
    assert!(rows.problems.is_empty(), "{:?}", rows.problems);
    let pids: Vec<u32> = rows.items.iter().map(|row| row.pid).collect();
    assert_eq!(pids, [20, 21, 1, 11, 30]);

    let sh = proc(&kvm, 20);
    assert_eq!(sh.comm, "sh");
    assert_eq!((sh.uid, sh.pgid, sh.sid), (Some(0), Some(20), Some(20)));
    assert_eq!((sh.tpgid, sh.tsid, sh.kiflag), (Some(21), Some(20), Some(1)));
    assert_eq!(sh.groups, Some(vec![0, 5, 20]));
    assert_eq!(sh.login.as_deref(), Some("root"));
    assert_eq!((sh.size, sh.rssize, sh.swrss), (Some(0x12_3000), Some(345), Some(7)));
    assert_eq!((sh.ppid, sh.oncpu, sh.stat), (Some(1), Some(1), Some(Stat::Run)));
    assert_eq!(sh.emul.as_deref(), Some("FreeBSD ELF64"));

    let cron = proc(&kvm, 21);
    assert_eq!((cron.stat, cron.lockname.as_deref()), (Some(Stat::Lock), Some("vnode")));
    assert_eq!(cron.kiflag, Some(4), "blocked on a lock");
    assert_eq!(proc(&kvm, 1).wmesg.as_deref(), Some("wait"));

    let zombie = proc(&kvm, 30);
    assert_eq!((zombie.stat, zombie.tid, zombie.xstat), (Some(Stat::Zombie), None, Some(3 << 8)));
}

#[test]
fn more_groups_than_there_is_room_for_are_said_to_be_left_out() {
    let Some(mut built) = compiled() else { return };
    let cr_ngroups = 28;
    built.poke("root", cr_ngroups, &16_u32.to_le_bytes());
    let sh = proc(&built.open(), 20);
    assert_eq!(sh.groups.map(|groups| groups.len()), Some(16));
    assert_eq!(sh.cr_flags, Some(0x8000_0000));
}

#[test]
fn a_hash_table_that_cannot_be_believed_costs_nothing_else() {
    let Some(mut built) = compiled() else { return };
    for (table, mask) in [(8, u64::MAX), (u64::MAX, 3), (built.symbol("buckets"), u64::MAX)] {
        built.poke_word("pidhashtbl", 0, table).poke_word("pidhash", 0, mask);
        let pids: Vec<u32> = built.open().processes().expect("list").items.iter().map(|p| p.pid).collect();
        assert_eq!(pids.get(..4), Some([20, 21, 1, 11].as_slice()), "table {table:#x}, mask {mask:#x}");
    }
    // A bucket that leads in a circle ends.
    let (buckets, zombie) = (built.symbol("buckets"), built.symbol("zombie"));
    built.poke_word("pidhashtbl", 0, buckets).poke_word("pidhash", 0, 3);
    built.poke_word("zombie", offset_of(&built, "proc", "p_hash.le_next"), zombie);
    assert_eq!(built.open().processes().expect("list").items.len(), 5);
}

fn offset_of(built: &Compiled, structure: &str, member: &str) -> u64 {
    let kvm = built.open();
    kvm.symbols().types().member(structure, member).expect("the member").offset
}

#[test]
fn what_a_cpu_saved_is_of_the_thread_that_it_says_it_runs() {
    let Some(mut built) = compiled() else { return };
    let (of_cpu, switched) = (Some(0xffff_ffff_8020_3333), Some(0xffff_ffff_8020_2222));
    let pcs = |built: &Compiled| {
        let kvm = built.open();
        let threads = kvm.threads().expect("threads").items;
        [100_011, 100_021].map(|tid| {
            let thread = threads.iter().find(|thread| thread.tid == tid).expect("the thread");
            kvm.registers(thread).expect("registers").pc()
        })
    };
    // CPU 0 was stopped on its way from the idle thread, which says that it is on no CPU already, to cron's.
    let on_cpu = offset_of(&built, "thread", "td_oncpu");
    built.poke("td_cron", on_cpu, &0_u32.to_le_bytes());
    assert_eq!(pcs(&built), [of_cpu, switched]);
    // Where the CPU does not say, the threads are believed.
    built.poke_word("cpuid_to_pcpu", 0, 0);
    assert_eq!(pcs(&built), [switched, of_cpu]);
    built.poke("mp_maxid", 0, &i32::MAX.to_le_bytes());
    assert_eq!(pcs(&built), [switched, of_cpu], "an absurd number of CPUs is no number");
}

#[test]
fn arguments_come_from_the_kernels_copy_or_from_the_process() {
    let Some(built) = compiled() else { return };
    let kvm = built.open();
    check(argv(&kvm, &proc(&kvm, 1), 0), r#"["/sbin/init", "--"]"#);
    check(argv(&kvm, &proc(&kvm, 20), 0), r#"["sh", "-c", "sleep 1000"]"#);
    check(envv(&kvm, &proc(&kvm, 20), 0), r#"["HOME=/root", "PATH=/bin:/usr/bin"]"#);
    check(argv(&kvm, &proc(&kvm, 11), 0), "[]");
    check(argv(&kvm, &proc(&kvm, 20), 6), r#"["sh", "-c"]"#);
    check(argv(&kvm, &proc(&kvm, 20), 10), r#"["sh", "-c", "slee"]"#);
    check(argv(&kvm, &proc(&kvm, 1), 5), r#"["/sbin"]"#);
}

#[test]
fn a_process_that_is_not_in_the_image_says_so() {
    let Some(mut built) = compiled() else { return };
    let kvm = built.open();
    let cron = proc(&kvm, 21);
    let absent = |at: &str| {
        format!(
            "error: cannot read user space from dead kernel: invalid address ({at}): physical address 0x30007f8 is not in \
             the image"
        )
    };
    check(argv(&kvm, &cron, 0), &absent("0x7fffffffdfe0"));
    check(envv(&kvm, &cron, 0), &absent("0x7fffffffdff0"));
    let exiting = "error: cannot read user space from dead kernel: the process has none: it is exiting";
    check(argv(&kvm, &proc(&kvm, 30), 0), exiting);

    built.omit("user_stack");
    let kvm = built.open();
    check(
        argv(&kvm, &proc(&kvm, 20), 0),
        "error: cannot read user space from dead kernel: invalid address...",
    );
    check(argv(&kvm, &proc(&kvm, 1), 0), r#"["/sbin/init", "--"]"#);
}

#[test]
fn strings_that_memory_ends_before_are_not_cut_short_silently() {
    let Some(mut built) = compiled() else { return };
    let second_variable = 40;
    built.poke_word("user_stack", second_variable, 0x7fff_ffd9_0ffc);
    let kvm = built.open();
    check(
        envv(&kvm, &proc(&kvm, 20), 0),
        "error: cannot read user space from dead kernel: invalid address (0x7fffffd91000)...",
    );
}

#[test]
fn absurd_counts_of_strings_are_refused() {
    let Some(mut built) = compiled() else { return };
    built.poke("user_stack", 4096 - 24, &u32::MAX.to_le_bytes());
    let kvm = built.open();
    check(
        argv(&kvm, &proc(&kvm, 20), 0),
        "error: cannot read user space from dead kernel: ps_strings at 0x7fffffffdfe0: it counts 4294967295 strings",
    );
    built.poke("init_args", 4, &u32::MAX.to_le_bytes());
    let kvm = built.open();
    check(
        argv(&kvm, &proc(&kvm, 1), 0),
        &format!("error: pargs at {:#x}: its length is 4294967295", built.symbol("init_args")),
    );
}

#[test]
fn user_memory_is_read_by_the_process() {
    let Some(built) = compiled() else { return };
    let kvm = built.open();
    let mut bytes = [0; 10];
    check(kvm.uread(20, 0x7fff_ffff_d070, &mut bytes), "10");
    assert_eq!(&bytes, b"HOME=/root");
    check(
        kvm.uread(20, 0x1000, &mut bytes),
        "error: invalid address (0x1000): the kernel's page tables map nothing here",
    );
    check(kvm.uread(20, 0xffff_ffff_8020_0000, &mut bytes), "error: invalid address...");
    check(kvm.uread(99, 0x1000, &mut bytes), "error: no process has the number 99");
}

#[test]
fn files_are_found() {
    let Some(mut built) = compiled() else { return };
    let kvm = built.open();
    let files = kvm.getfiles(None).expect("files");
    assert!(files.problems.is_empty());
    let seen: Vec<_> =
        files.items.iter().map(|file| (file.pid, file.fd, file.kind.clone(), file.offset)).collect();
    let kind = |kind: &str| Some(kind.to_owned());
    let expected =
        [(20, 0, kind("vnode"), Some(42)), (20, 2, kind("socket"), Some(0)), (20, 3, kind("99"), Some(0))];
    assert_eq!(seen, expected);
    assert_eq!(files.items.first().map(|file| (file.flag, file.count)), Some((Some(3), Some(3))));
    assert_eq!(files.items.get(1).and_then(|file| file.data), Some(Va(0xffff_f800_0012_3400)));
    check(kvm.getfiles(Some(1)).map(|files| files.items.len()), "0");
    check(kvm.getfiles(Some(99)).map(|files| files.items), "error: no process has the number 99");

    // An absurd count loses that process, a table that ends in a hole its rest.
    built.poke("sh_table", 0, &i32::MAX.to_le_bytes());
    let files = built.open().getfiles(None).expect("files");
    assert_eq!((files.items.len(), files.problems.len()), (0, 1));
    built.poke("sh_table", 0, &1_000_000_u32.to_le_bytes());
    let files = built.open().getfiles(None).expect("files");
    assert!(files.items.len() >= 3 && files.problems.len() == 1, "{:?}", files.problems);
}

#[test]
fn the_machines_state() {
    let Some(mut built) = compiled() else { return };
    let kvm = built.open();
    check(kvm.getloadavg(), "[0.25, 0.5, 1.5]");
    check(kvm.getcptime(), "CpuTime { user: 11, nice: 22, system: 33, interrupt: 44, idle: 55 }");
    check(kvm.getncpus(), "2");
    check(kvm.getmaxcpu(), "4");
    assert_eq!(kvm.kerndisp(), 0);
    let swap = kvm.getswapinfo(SWIF_DEV_PREFIX).expect("swap");
    let rows: Vec<_> = swap.items.iter().map(|d| (d.name.as_str(), d.used, d.total, d.flags)).collect();
    assert_eq!(rows, [("/dev/ada0p2", 321, 262_144, 1), ("", 0, 1000, 0)]);
    assert_eq!(
        kvm.getswapinfo(0).expect("swap").items.first().map(|d| d.name.clone()),
        Some("ada0p2".into())
    );
    let total = Kvm::swap_total(&swap.items);
    assert_eq!((total.used, total.total), (321, 263_144));

    built.poke_word("averunnable", 16, 0);
    check(built.open().getloadavg(), "error: fscale: no such symbol");
    let swap2 = built.symbol("swap2");
    built.poke_word("swap2", offset_of(&built, "swdevt", "sw_list.tqe_next"), swap2);
    let swap = built.open().getswapinfo(0).expect("swap");
    assert_eq!((swap.items.len(), swap.problems.len()), (2, 1), "a list that leads in a circle");
    built.poke("mp_maxcpus", 0, &u32::MAX.to_le_bytes());
    check(built.open().getmaxcpu(), "error: variable at...");
    built.poke("mp_maxcpus", 0, &0x7fff_ffff_u32.to_le_bytes());
    check(built.open().getcptime(), "error: variable at...");
}

#[test]
fn per_cpu_data() {
    let Some(built) = compiled() else { return };
    let kvm = built.open();
    let pcpu = kvm.getpcpu(1).expect("pcpu").expect("CPU 1");
    assert_eq!(pcpu.len(), 4096);
    assert_eq!(pcpu.get(8..12), Some([1, 0, 0, 0].as_slice()), "pc_cpuid");
    check(kvm.getpcpu(2), "None");
    check(kvm.getpcpu(4_000_000_000), "None");
    // amd64 counts from the first struct pcpu.
    let base = (built.symbol("counters") + 16).wrapping_sub(built.symbol("cpus"));
    check(kvm.counter_u64_fetch(base), "1234");
    let mut copy = [0; 8];
    check(kvm.read_zpcpu(base, &mut copy, 1), "8");
    assert_eq!(u64::from_le_bytes(copy), 234);
    check(kvm.counter_u64_fetch(0x1234_0000_0000), "error: invalid address...");
}

fn value(kvm: &Kvm, name: &str) -> u64 {
    let mut list = [Nlist::new(name)];
    let unresolved = kvm.nlist2(&mut list).expect("nlist2");
    let [found] = list;
    assert_eq!((unresolved, found.n_type), (0, 7), "{name}");
    found.n_value
}

#[test]
fn names_with_copies_are_moved_to_the_copy() {
    let Some(mut built) = compiled() else { return };
    let moved = |from: &str, to: &str| built.symbol(to).wrapping_sub(built.symbol(from));
    let vnet = moved("vnet_entry_ipforwarding", "vnet_copy");
    let cpu = moved("pcpu_entry_cpu_time", "pcpu_copies");
    let data_base = offset_of(&built, "vnet", "vnet_data_base");
    built.poke_word("vnet0", data_base, vnet);
    built.poke_word("dpcpu_off", 0, cpu).poke_word("dpcpu_off", 8, cpu + 8);
    let kvm = built.open();
    for name in ["ipforwarding", "_ipforwarding"] {
        assert_eq!(value(&kvm, name), built.symbol("vnet_copy"));
    }
    assert_eq!(value(&kvm, "cpu_time"), built.symbol("pcpu_copies"));
    check(kvm.dpcpu_setcpu(1), "()");
    assert_eq!(value(&kvm, "cpu_time"), built.symbol("pcpu_copies") + 8);
    check(kvm.dpcpu_setcpu(2), "error: CPU 2 not found");
    check(kvm.dpcpu_setcpu(4), "error: CPU 4 too big");
    assert_eq!(kvm.geterr(), "CPU 4 too big");
    assert_eq!(value(&kvm, "cpu_time"), built.symbol("pcpu_copies") + 8, "a failure changes nothing");
    assert_eq!(
        value(&built.open(), "cpu_time"),
        built.symbol("pcpu_copies"),
        "another handle has its own CPU"
    );
    assert_eq!(value(&kvm, "vnet_entry_ipforwarding"), built.symbol("vnet_entry_ipforwarding"));

    // A network stack with another release's magic number is used all the same, one that is not there is not.
    let magic = offset_of(&built, "vnet", "vnet_magic_n");
    built.poke("vnet0", magic, &[1]);
    assert_eq!(value(&built.open(), "ipforwarding"), built.symbol("vnet_copy"));
    let pr_vnet = offset_of(&built, "prison", "pr_vnet");
    built.poke_word("prison0", pr_vnet, 0);
    let kvm = built.open();
    let mut list = [Nlist::new("ipforwarding"), Nlist::new("hz")];
    check(kvm.nlist2(&mut list), "1");
    assert_eq!(list.map(|entry| entry.n_value), [0, built.symbol("hz")]);
    assert!(kvm.geterr().ends_with("it has no network stack"), "{}", kvm.geterr());
}

#[test]
fn strings_of_the_kernel() {
    let Some(mut built) = compiled() else { return };
    let kvm = built.open();
    let text = kvm.readstr(built.symbol("panicstr"));
    assert!(text.is_ok());
    let at = kvm.space().pointer(Va(built.symbol("panicstr"))).expect("the pointer").0;
    check(kvm.readstr(at).map(|text| String::from_utf8_lossy(&text).into_owned()), r#""a compiled panic""#);
    check(
        kvm.readstr(0x1000),
        "error: invalid address (0x1000): the image knows no mapping for this part of the address space",
    );
    // 4096 times x up to a page that is not in the image.
    built.omit("user_pt");
    check(built.open().readstr(built.symbol("lonely") + 1), "error: invalid address...");
}

#[test]
fn without_types_what_is_missing_is_named() {
    let Some(built) = compiled() else { return };
    built.hide_debug_file();
    // Without exported offsets there are no processes either: one error names the first member.
    let kvm = built.open();
    check(
        kvm.getprocs(0, 0).map(drop),
        "error: cannot find proc.p_list: the kernel exports no proc_off_p_list...",
    );
    check(kvm.getloadavg(), "error: cannot find proc.p_list...");
}

#[test]
fn a_debug_file_is_found_in_the_usual_places() {
    let Some(built) = compiled() else { return };
    let vmcore = built.save();
    let opens = |kernel: &Path| open(kernel, &vmcore).symbols().types().source() == "DWARF";
    let folder = built.file("root/boot/kernel");
    let debug = built.file("root/usr/lib/debug/boot/kernel");
    for folder in [&folder, &debug] {
        std::fs::create_dir_all(folder).expect("a folder");
    }
    let kernel = folder.join("kernel");
    std::fs::copy(built.file("kernel"), &kernel).expect("copy");
    assert!(!opens(&kernel), "nothing there yet");
    std::fs::copy(built.file("kernel.debug"), debug.join("kernel.debug")).expect("copy");
    assert!(opens(&kernel), "ROOT/usr/lib/debug");
    let link = built.file("link");
    std::os::unix::fs::symlink(&kernel, &link).expect("a link");
    assert!(opens(&link), "by way of a link");
    assert!(opens(&built.file("kernel")), "beside it");

    // The file of another build is not used.
    let stranger =
        Compiled::new("freebsd.c").map(|other| std::fs::read(other.file("kernel.debug")).expect("read"));
    let mut stranger = stranger.expect("a compiler");
    let id = stranger.windows(4).position(|bytes| bytes == b"GNU\0").expect("a build id") + 4;
    if let Some(byte) = stranger.get_mut(id) {
        *byte ^= 1;
    }
    std::fs::write(debug.join("kernel.debug"), stranger).expect("write");
    assert!(!opens(&kernel), "another build");
}

#[test]
fn a_debug_link_names_the_file_and_its_checksum() {
    let Some(built) = compiled() else { return };
    built.hide_debug_file();
    let named = built.file("symbols.dbg");
    std::fs::rename(built.file("elsewhere"), &named).expect("rename");
    let strip = |file: &Path| {
        let status =
            Command::new("objcopy").args(["--remove-section", ".note.gnu.build-id"]).arg(file).status();
        assert!(status.expect("objcopy").success());
    };
    let (kernel, vmcore) = (built.file("kernel"), built.save());
    strip(&kernel);
    let link = format!("--add-gnu-debuglink={}", named.display());
    assert!(Command::new("objcopy").arg(link).arg(&kernel).status().expect("objcopy").success());
    assert_eq!(open(&kernel, &vmcore).symbols().types().source(), "DWARF");
    let mut bytes = std::fs::read(&named).expect("read");
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    std::fs::write(&named, bytes).expect("write");
    assert_eq!(open(&kernel, &vmcore).symbols().types().source(), "none", "the checksum differs");
}
