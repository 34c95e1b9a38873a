//! The decisions, on a made-up system.

use super::dragonfly::DRAGONFLY;
use super::freebsd::FREEBSD;
use super::open::open;
use super::system::{self, System};
use super::{Bsd, Flavour, denial};
use crate::image::live::own::{Count, Own};
use crate::image::live::{Device, Live};
use crate::image::{Addr, Unwritten};
use crate::kernel::kinfo::{KinfoProc, Op, Stat};
use crate::kernel::state::{CpuTime, Swap};
use crate::kernel::{Saved, Thread};
use crate::kvm::{Kvm, Nlist, Options};
use kgdbserver_arch::{Fault, Pa, Va};
use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A tree of nodes, and devices.
#[derive(Default)]
struct Fake {
    names: HashMap<&'static str, Vec<i32>>,
    nodes: HashMap<Vec<i32>, Result<Vec<u8>, i32>>,
    /// Bytes by which what is told has grown each time that it is read.
    growing: AtomicUsize,
    symbols: HashMap<&'static str, (u64, u64)>,
    devices: HashMap<&'static str, Result<Vec<u8>, i32>>,
    /// Writing is refused with this.
    no_writing: Option<i32>,
    user: bool,
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

impl Fake {
    /// With a node of a name.
    fn with(mut self, name: &'static str, bytes: impl AsRef<[u8]>) -> Self {
        let mib = vec![1, 1000 + i32::try_from(self.names.len()).unwrap()];
        self.names.insert(name, mib.clone());
        self.nodes.insert(mib, Ok(bytes.as_ref().to_vec()));
        self
    }

    fn int(self, name: &'static str, value: i32) -> Self {
        self.with(name, value.to_ne_bytes())
    }

    fn at(mut self, mib: &[i32], told: Result<Vec<u8>, i32>) -> Self {
        self.nodes.insert(mib.to_vec(), told);
        self
    }

    fn device(mut self, path: &'static str, opened: Result<&[u8], i32>) -> Self {
        self.devices.insert(path, opened.map(<[u8]>::to_vec));
        self
    }

    fn runs(self, flavour: &'static Flavour) -> Bsd {
        Bsd { system: Arc::new(self), flavour }
    }

    fn opened(self, device: Device, write: bool) -> crate::Result<Live> {
        open(Arc::new(self), &FREEBSD, device, write)
    }
}

impl System for Fake {
    fn sysctl(&self, mib: &[i32], buf: &mut [u8]) -> io::Result<usize> {
        let told = self.nodes.get(mib).ok_or_else(|| errno(libc::ENOENT))?;
        let told = told.as_ref().map_err(|number| errno(*number))?;
        if buf.is_empty() {
            return Ok(told.len());
        }
        let grown = told.len() + self.growing.load(Ordering::Relaxed);
        self.growing.store(0, Ordering::Relaxed);
        if buf.len() < grown {
            return Err(errno(libc::ENOMEM));
        }
        buf[..told.len()].copy_from_slice(told);
        Ok(told.len())
    }

    fn mib(&self, name: &str) -> io::Result<Vec<i32>> {
        self.names.get(name).cloned().ok_or_else(|| errno(libc::ENOENT))
    }

    fn kldsym(&self, name: &str) -> Option<(u64, u64)> {
        self.symbols.get(name).copied()
    }

    fn device_name(&self, device: u64) -> Option<String> {
        (device == 0x61).then(|| "ada0p2".into())
    }

    fn open(&self, path: &str, write: bool) -> io::Result<File> {
        let bytes = self.devices.get(path).ok_or_else(|| errno(libc::ENOENT))?;
        let bytes = bytes.as_ref().map_err(|number| errno(*number))?;
        if let Some(number) = self.no_writing.filter(|_| write) {
            return Err(errno(number));
        }
        let file = tempfile::tempfile()?;
        file.write_all_at(bytes, 0)?;
        Ok(file)
    }

    fn is_root(&self) -> bool {
        !self.user
    }
}

/// Bytes at places of a structure that is zeros elsewhere.
fn structure(size: usize, members: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0; size];
    members.iter().for_each(|(at, member)| bytes[*at..*at + member.len()].copy_from_slice(member));
    bytes
}

fn i(value: i32) -> [u8; 4] {
    value.to_ne_bytes()
}

fn q(value: u64) -> [u8; 8] {
    value.to_ne_bytes()
}

/// A `kinfo_proc` of FreeBSD, as FreeBSD 15's sys/user.h lays it out for amd64.
fn freebsd_row(pid: i32, tid: i32, name: &[u8], more: &[(usize, &[u8])]) -> Vec<u8> {
    let fixed: &[(usize, &[u8])] = &[
        (0, &i(1088)),
        (16, &q(0xffff_f800_0300_0000)),
        (72, &i(pid)),
        (76, &i(1)),
        (168, &i(1001)),
        (188, &2_i16.to_ne_bytes()),
        (192, &i(1001)),
        (196, &i(5)),
        (200, &i(77)),
        (256, &q(0x123_4000)),
        (388, &[3]),
        (389, &[0xfb]),
        (394, name),
        (411, b"nanslp"),
        (447, b"sleep"),
        (467, b"FreeBSD ELF64"),
        (560, &q(u64::MAX)),
        (568, &i(-1)),
        (572, &i(2)),
        (596, &i(2)),
        (600, &i(tid)),
        (604, &[3, 120, 121, 122]),
        (608, &q(1)),
        (616, &q(500)),
        (920, &q(0xffff_f800_0400_0000)),
    ];
    structure(1088, &[fixed, more].concat())
}

/// The node of all processes.
fn all_of(flavour: &'static Flavour) -> [i32; 3] {
    if std::ptr::eq(flavour, &FREEBSD) { PROC } else { [1, 14, 0] }
}

const PROC: [i32; 3] = [1, 14, 8];
const PROC_THREADS: [i32; 3] = [1, 14, 0x18];

#[test]
fn a_list_that_grows_is_asked_for_again() {
    let fake = Fake::default().at(&[1, 2], Ok(vec![7; 100]));
    fake.growing.store(11, Ordering::Relaxed);
    assert_eq!(system::read(&fake, &[1, 2]).unwrap(), [7; 100], "one byte more than a tenth");
    assert_eq!(system::read(&fake, &[9]).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    let empty = Fake::default().at(&[1, 2], Ok(Vec::new()));
    assert!(system::read(&empty, &[1, 2]).unwrap().is_empty());
}

/// One that never fits.
struct Endless;

impl System for Endless {
    fn sysctl(&self, _: &[i32], buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() { Ok(100) } else { Err(errno(libc::ENOMEM)) }
    }
    fn mib(&self, _: &str) -> io::Result<Vec<i32>> {
        Ok(vec![1])
    }
    fn kldsym(&self, _: &str) -> Option<(u64, u64)> {
        None
    }
    fn device_name(&self, _: u64) -> Option<String> {
        None
    }
    fn open(&self, _: &str, _: bool) -> io::Result<File> {
        Err(errno(libc::ENOENT))
    }
    fn is_root(&self) -> bool {
        true
    }
}

#[test]
fn a_list_that_never_fits_is_given_up() {
    assert_eq!(system::read(&Endless, &[1]).unwrap_err().raw_os_error(), Some(libc::ENOMEM));
    let error = system::named(&Endless, "kern.file").unwrap_err().to_string();
    assert!(error.starts_with("cannot read sysctl kern.file: "), "{error}");
}

#[test]
fn a_row_of_freebsds_is_read() {
    let bsd = Fake::default().at(&PROC, Ok(freebsd_row(800, 100_100, b"sleep", &[]))).runs(&FREEBSD);
    let rows = bsd.getprocs(Op::Proc, 0, false).unwrap().unwrap();
    assert!(rows.problems.is_empty());
    let expected = KinfoProc {
        paddr: Va(0xffff_f800_0300_0000),
        pid: 800,
        comm: "sleep".into(),
        ppid: Some(1),
        pgid: Some(0),
        sid: Some(0),
        tpgid: Some(0),
        tsid: Some(0),
        login: Some(String::new()),
        kiflag: Some(0),
        uid: Some(1001),
        ruid: Some(0),
        svuid: Some(0),
        rgid: Some(0),
        svgid: Some(0),
        groups: Some(vec![1001, 5]),
        cr_flags: Some(0),
        jid: Some(0),
        sigignore: Some(vec![0; 16]),
        sigcatch: Some(vec![0; 16]),
        size: Some(0x123_4000),
        rssize: Some(0),
        swrss: Some(0),
        tsize: Some(0),
        dsize: Some(0),
        ssize: Some(0),
        emul: Some("FreeBSD ELF64".into()),
        runtime: Some(0),
        utime: Some(1_000_500),
        stime: Some(0),
        xstat: Some(0),
        acflag: Some(0),
        lock: Some(0),
        flag: Some(0),
        traceflag: Some(0),
        numthreads: Some(2),
        nice: Some(-5),
        swtime: Some(0),
        stat: Some(Stat::Sleep),
        tid: Some(100_100),
        tdname: Some("sleep".into()),
        wmesg: Some("nanslp".into()),
        siglist: Some(vec![0; 16]),
        sigmask: Some(vec![0; 16]),
        pri: Some([3, 120, 121, 122]),
        lastcpu: Some(2),
        ..KinfoProc::default()
    };
    assert_eq!(rows.items, [expected]);
    let process = bsd.processes().unwrap().unwrap().items.remove(0);
    assert_eq!((process.pid, process.ppid, process.state), (800, Some(1), Some('S')));
}

#[test]
fn threads_have_their_own_names_and_no_registers() {
    let names = freebsd_row(800, 100_100, b"a-name-of-nineteen", &[(410, &[0]), (502, b"teen")]);
    let running = freebsd_row(800, 100_101, b"sleep", &[(568, &i(1))]);
    let dead = freebsd_row(801, 0, b"", &[(388, &[5])]);
    let rows = [names, running, dead].concat();
    let bsd = Fake::default().at(&PROC_THREADS, Ok(rows)).runs(&FREEBSD);
    let threads: Vec<Thread> = bsd.threads().unwrap().unwrap().items;
    let shown: Vec<_> = threads.iter().map(|thread| (thread.tid, &*thread.name, thread.state)).collect();
    assert_eq!(shown, [(100_100, "sleep/a-name-of-nineteteen", Some('S')), (100_101, "sleep", Some('R'))]);
    assert_eq!(threads[1].on_cpu, Some(1));
    assert!(matches!(threads[0].saved, Saved::Nowhere(_)));
}

#[test]
fn another_kinfo_proc_is_an_error_in_libkvms_words() {
    let told = |bytes: Vec<u8>, flavour: &'static Flavour| {
        let bsd = Fake::default().at(&all_of(flavour), Ok(bytes)).runs(flavour);
        bsd.getprocs(Op::Proc, 0, false).unwrap().unwrap_err().to_string()
    };
    assert_eq!(
        told(structure(768, &[(0, &i(768))]), &FREEBSD),
        "kinfo_proc size mismatch (expected 1088, got 768)"
    );
    assert_eq!(
        told(freebsd_row(1, 1, b"", &[])[..1000].to_vec(), &FREEBSD),
        "proc size mismatch (1000 total, 1088 chunks)"
    );
    assert_eq!(told(vec![0; 1000], &DRAGONFLY), "proc size mismatch (1000 total, 992 chunks)");
}

#[test]
fn a_selection_is_the_kernels_own_where_it_has_one() {
    let row = || Ok(freebsd_row(800, 100_100, b"", &[]));
    let bsd = Fake::default().at(&[1, 14, 1, 800], row()).at(&[1, 14, 0x15, 1001], row()).runs(&FREEBSD);
    let count = |op, arg, threads| bsd.getprocs(op, arg, threads).unwrap().map(|rows| rows.items.len()).ok();
    assert_eq!(count(Op::Pid, 800, false), Some(1));
    assert_eq!(count(Op::Uid, 1001, true), Some(1), "KERN_PROC_UID | KERN_PROC_INC_THREAD");
    assert_eq!(count(Op::Gid, 1001, false), None, "another node, which this tree lacks");
    let gone = Fake::default().at(&[1, 14, 1, 9], Err(libc::ESRCH)).runs(&FREEBSD);
    assert!(gone.getprocs(Op::Pid, 9, false).unwrap().unwrap().items.is_empty());
}

/// A `kinfo_proc` of DragonFly, as its sys/kinfo.h lays it out.
fn dragonfly_row(pid: i32, tid: i32, more: &[(usize, &[u8])]) -> Vec<u8> {
    let fixed: &[(usize, &[u8])] = &[
        (0, &q(0xffff_f800_1000_0000)),
        (12, &i(2)),
        (112, b"init"),
        (132, &i(1001)),
        (136, &1_i16.to_ne_bytes()),
        (140, &i(20)),
        (220, &i(pid)),
        (280, &i(-1)),
        (296, &i(1)),
        (368, &q(2)),
        (664 + 4, &i(tid)),
        (664 + 12, &i(3)),
        (664 + 88, &i(3)),
        (664 + 280, b"wait"),
    ];
    structure(992, &[fixed, more].concat())
}

#[test]
fn rows_of_dragonflys_are_read() {
    let running = dragonfly_row(7, 2, &[(664 + 12, &i(1)), (664 + 20, &i(1)), (664 + 289, b"worker")]);
    let dead = dragonfly_row(8, 0, &[(12, &i(4)), (296, &i(0))]);
    let kernels = dragonfly_row(-1, -1, &[]);
    let all = [dragonfly_row(1, 1, &[]), running, dead, kernels].concat();
    // KERN_PROC_FLAG_LWP; and 8 is no selection of processes there.
    let bsd = Fake::default().at(&[1, 14, 0x10], Ok(all.clone())).at(&[1, 14, 0], Ok(all)).runs(&DRAGONFLY);
    let rows = bsd.getprocs(Op::Gid, 20, false).unwrap().unwrap().items;
    let shown: Vec<_> = rows.iter().map(|row| (row.pid, row.stat, row.tid, row.oncpu)).collect();
    assert_eq!(
        shown,
        [
            (1, Some(Stat::Sleep), Some(1), None),
            (7, Some(Stat::Run), Some(2), Some(3)),
            (8, Some(Stat::Zombie), None, None),
        ]
    );
    assert_eq!(
        (rows[0].uid, rows[0].tdev, rows[0].utime, rows[0].wmesg.as_deref()),
        (Some(1001), None, Some(2_000_000), Some("wait"))
    );
    let threads = bsd.threads().unwrap().unwrap().items;
    let shown: Vec<_> = threads.iter().map(|thread| (thread.tid, &*thread.name)).collect();
    assert_eq!(shown, [(1 << 20 | 1, "init"), (7 << 20 | 2, "init/worker")]);
}

#[test]
fn that_processes_are_hidden_is_said() {
    let problem = |fake: Fake, flavour: &'static Flavour| {
        let bsd = fake.at(&all_of(flavour), Ok(Vec::new())).runs(flavour);
        bsd.processes().unwrap().unwrap().problems.first().map(ToString::to_string)
    };
    let user = || Fake { user: true, ..Fake::default() };
    assert_eq!(problem(user().int("security.bsd.see_other_uids", 1), &FREEBSD), None);
    assert_eq!(
        problem(Fake::default().int("security.bsd.see_other_uids", 0), &FREEBSD),
        None,
        "root sees all"
    );
    let said = problem(user().int("security.bsd.see_other_uids", 0), &FREEBSD).unwrap();
    assert_eq!(said, "security.bsd.see_other_uids is 0, so some processes are not shown: run this as root");
    let said = problem(Fake::default().int("security.jail.jailed", 1), &FREEBSD).unwrap();
    assert!(said.ends_with("run this on the host"), "{said}");
    let said = problem(user().int("kern.ps_showallprocs", 0), &DRAGONFLY).unwrap();
    assert!(said.starts_with("kern.ps_showallprocs is 0"), "{said}");
}

fn proc(pid: u32, flag: u32) -> KinfoProc {
    KinfoProc { pid, flag: Some(flag), ..KinfoProc::default() }
}

#[test]
fn arguments_and_environments_are_split() {
    let bsd = Fake::default()
        .at(&[1, 14, 7, 800], Ok(b"sleep\x001000\0".to_vec()))
        .at(&[1, 14, 35, 800], Ok(b"A=1\0B=\0".to_vec()))
        .at(&[1, 14, 7, 2], Ok(Vec::new()))
        .runs(&FREEBSD);
    assert_eq!(bsd.args(&proc(800, 0), 0).unwrap().unwrap(), ["sleep", "1000"]);
    assert_eq!(bsd.args(&proc(800, 0), 7).unwrap().unwrap(), ["sleep", "1"]);
    assert_eq!(bsd.env(&proc(800, 0), 0).unwrap().unwrap(), ["A=1", "B="]);
    assert_eq!(bsd.args(&proc(2, 0x200), 0).unwrap().unwrap(), [""; 0], "a kernel process has none");
    assert!(bsd.args(&proc(2, 0), 0).is_none(), "of any other that is no answer");
    assert!(Fake::default().runs(&DRAGONFLY).env(&proc(800, 0), 0).is_none());
}

#[test]
fn why_a_process_is_closed_is_said() {
    let said = |fake: &Fake, number| denial::of_process(fake, 800, &errno(number)).to_string();
    let user = Fake { user: true, ..Fake::default() };
    assert_eq!(
        said(&user, libc::EPERM),
        "the process is another user's, or was: run this as root (with --live also --user root)"
    );
    let closed = user.int("security.bsd.unprivileged_proc_debug", 0);
    assert!(said(&closed, libc::EPERM).contains("unprivileged_proc_debug is 0"));
    assert!(said(&closed, libc::ESRCH).contains("no process has the number 800"));
}

#[test]
fn open_files_have_their_owners_names() {
    let file = |size: usize, flag_at: usize, pid: i32| {
        let members: &[(usize, &[u8])] = &[
            (0, &q(size as u64)),
            (8, &i(pid)),
            (16, &i(3)),
            (24, &q(0xffff_f800_0000_1000)),
            (32, &2_i16.to_ne_bytes()),
            (36, &i(1)),
            (48, &q(77)),
            (56, &q(0xffff_f800_0000_2000)),
            (flag_at, &i(3)),
        ];
        structure(size, members)
    };
    let bsd = |flavour, node, row, size, flag_at| {
        let files = [file(size, flag_at, 800), file(size, flag_at, 9)].concat();
        Fake::default().at(&[1, 14, node], Ok(row)).with("kern.file", files).runs(flavour)
    };
    for bsd in [
        bsd(&FREEBSD, 8, freebsd_row(800, 1, b"", &[]), 128, 72),
        bsd(&DRAGONFLY, 0, dragonfly_row(800, 1, &[(112, b"sleep")]), 72, 64),
    ] {
        let files = bsd.files(None).unwrap().unwrap().items;
        assert_eq!(files.len(), 2);
        let file = &files[0];
        assert_eq!((file.pid, &*file.comm, file.fd, file.kind.as_deref()), (800, "sleep", 3, Some("socket")));
        assert_eq!((file.flag, file.count, file.offset), (Some(3), Some(1), Some(77)));
        assert_eq!(bsd.files(Some(800)).unwrap().unwrap().items.len(), 1);
        assert!(bsd.files(Some(9)).unwrap().is_err(), "no process");
    }
    let cut = Fake::default().at(&PROC, Ok(Vec::new())).with("kern.file", [1; 60]).runs(&FREEBSD);
    assert!(cut.files(None).unwrap().unwrap_err().to_string().contains("60 bytes of unknown structures"));
}

#[test]
fn the_state_of_the_machine_is_read() {
    let load = structure(24, &[(0, &i(2048)), (4, &i(1024)), (8, &i(512)), (16, &q(2048))]);
    let times: Vec<u8> = [1, 2, 3, 4, 5].into_iter().flat_map(q).collect();
    let bsd = Fake::default()
        .with("vm.loadavg", load)
        .with("kern.cp_time", times)
        .int("hw.ncpu", 4)
        .int("kern.smp.maxcpus", 1024)
        .with("kern.msgbuf", b"Copyright\nhello\n\0")
        .runs(&FREEBSD);
    assert_eq!(bsd.loadavg().unwrap().unwrap(), [1.0, 0.5, 0.25]);
    let expected = CpuTime { user: 1, nice: 2, system: 3, interrupt: 4, idle: 5 };
    assert_eq!(bsd.cptime().unwrap().unwrap(), expected);
    assert_eq!(bsd.cpus().unwrap().unwrap(), Count { count: 4, max: 1024 });
    assert_eq!(bsd.log().unwrap().unwrap().text, "Copyright\nhello\n");
}

#[test]
fn what_cannot_be_believed_is_said() {
    let bsd = Fake::default().with("vm.loadavg", [0; 24]).with("kern.cp_time", [0; 20]).runs(&FREEBSD);
    assert!(bsd.loadavg().unwrap().unwrap_err().to_string().contains("cannot be believed"));
    assert!(bsd.cptime().unwrap().unwrap_err().to_string().contains("20 bytes and not 40"));
    assert!(bsd.cpus().is_none());
    assert!(bsd.swap().unwrap().unwrap_err().to_string().contains("vm.swap_info"));
}

#[test]
fn swap_devices_are_listed() {
    let version_2 = structure(32, &[(0, &i(2)), (8, &q(0x61)), (16, &i(7)), (20, &i(1000)), (24, &i(10))]);
    let version_1 = structure(20, &[(0, &i(1)), (4, &i(-1)), (8, &i(7)), (12, &i(500)), (16, &i(5))]);
    let numbered = || Fake::default().with("vm.swap_info", []).int("vm.dmmax", 32);
    let node = |number| [1, 1000, number];
    let bsd = numbered().at(&node(0), Ok(version_2)).at(&node(1), Ok(version_1)).runs(&FREEBSD);
    let swap = |name: &str, used, total| Swap { name: name.into(), used, total, flags: 7 };
    let expected = [swap("ada0p2", 10, 968), swap("[NFS swap]", 5, 468)];
    assert_eq!(bsd.swap().unwrap().unwrap().items, expected);
    let newer = numbered().at(&node(0), Ok(structure(40, &[(0, &i(3))]))).runs(&FREEBSD);
    let error = newer.swap().unwrap().unwrap_err().to_string();
    assert_eq!(error, "struct xswdev version mismatch: version 3, 40 bytes");

    let device = |dev: i32, blocks, used| {
        structure(
            48,
            &[
                (0, &q(48)),
                (8, &i(1)),
                (12, &i(7)),
                (16, &i(dev)),
                (24, &q(4096)),
                (32, &q(blocks)),
                (40, &q(used)),
            ],
        )
    };
    let array = [device(0x61, 1032, 10), device(0, 0, 0), device(-1, 532, 5)].concat();
    let bsd = Fake::default().with("vm.swap_info_array", array).int("vm.dmmax", 32).runs(&DRAGONFLY);
    let expected = [swap("ada0p2", 10, 1000), swap("[NFS swap]", 5, 500)];
    assert_eq!(bsd.swap().unwrap().unwrap().items, expected);
}

fn machine() -> Fake {
    let file = "/boot/kernel/kernel\0";
    Fake::default()
        .int("hw.pagesize", 4096)
        .with("kern.bootfile", file)
        .with("kern.hostname", "beastie\0")
        .with("kern.base_address", q(0x10_0100))
        .with("kern.relbase_address", q(0x20_0100))
        .device("/dev/mem", Ok(b"physical"))
        .device("/dev/kmem", Ok(b"virtual."))
}

#[test]
fn a_running_kernel_is_opened_by_both_devices() {
    let mut fake = machine();
    fake.symbols.insert("allproc", (0x8000, 8));
    let live = fake.opened(Device::Mem, false).unwrap();
    let read = |at| live.image.memory.read(at, &mut [0; 8]);
    assert_eq!((read(Addr::Virt(Va(0))), read(Addr::Phys(Pa(0)))), (Ok(8), Ok(8)));
    assert!(live.image.memory.is_live() && !live.writable);
    assert_eq!(live.file.as_deref(), Some(Path::new("/boot/kernel/kernel")));
    assert_eq!((live.slide, live.image.facts.hostname.as_deref()), (0x10_0000, Some("beastie")));
    let resolver = live.resolver.unwrap();
    assert_eq!((resolver("allproc"), resolver("nothing")), (Some(0x8000), None));
    assert_eq!(live.own.unwrap().symbol("allproc").unwrap().size, 8);
}

#[test]
fn without_memory_nothing_is_opened_and_all_reads_fail() {
    let live = Fake::default().opened(Device::Null, true).unwrap();
    assert_eq!(live.image.memory.read(Addr::Virt(Va(0)), &mut [0]), Err(Fault::NoMemory));
    assert!(live.image.memory.is_live() && !live.writable && live.file.is_none() && live.own.is_some());
    let linux = Fake::default().opened(Device::Kcore, false).err().unwrap().to_string();
    assert!(linux.contains("that is Linux's; here it is /dev/mem"), "{linux}");
}

#[test]
fn memory_is_written_only_where_it_was_opened_for_it() {
    let write = |write| {
        let live = machine().opened(Device::Mem, write).unwrap();
        assert_eq!(live.writable, write);
        live.image.memory.write(Addr::Virt(Va(0)), b"V", Va(0))
    };
    assert!(matches!(write(false), Err(Unwritten::ReadOnly)));
    assert_eq!(write(true).unwrap(), 1);
}

#[test]
fn each_denial_has_its_reason() {
    let said = |fake: Fake, write| fake.opened(Device::Mem, write).err().unwrap().to_string();
    let denied = || machine().device("/dev/mem", Err(libc::EACCES));
    let user = said(Fake { user: true, ..denied() }, false);
    assert!(user.starts_with("/dev/mem: only root and the group kmem may open it"), "{user}");
    assert!(user.ends_with("(-c /dev/null)"), "{user}");
    let jail = said(Fake::default().int("security.jail.jailed", 1), false);
    assert!(jail.contains("there is none in a jail: run this on the host"), "{jail}");
    assert!(said(denied().int("security.jail.jailed", 1), false).contains("a jail may not read it"));
    assert!(said(Fake::default(), false).contains("kldload mem"));
    let secure = Fake { no_writing: Some(libc::EPERM), ..machine().int("kern.securelevel", 1) };
    assert!(said(secure, true).contains("kern.securelevel is 1"));
    let insecure = Fake { no_writing: Some(libc::EPERM), ..machine().int("kern.securelevel", -1) };
    assert!(said(insecure, true).contains("mac(4)"));
    let half = said(machine().device("/dev/kmem", Err(libc::EIO)), false);
    assert!(half.starts_with("/dev/kmem: "), "{half}");
}

/// What the facade makes of a system without memory.
fn kvm(fake: Fake) -> Kvm {
    let live = fake.opened(Device::Null, false).unwrap();
    Kvm::of_live(live, Path::new("/dev/null"), Options::default()).unwrap()
}

#[test]
fn kvms_functions_need_no_memory_where_the_system_tells() {
    let load = structure(24, &[(0, &i(2048)), (16, &q(2048))]);
    let kvm = kvm(Fake::default()
        .with("vm.loadavg", load)
        .at(&PROC, Ok(freebsd_row(800, 100_100, b"sleep", &[])))
        .at(&PROC_THREADS, Ok(freebsd_row(800, 100_100, b"sleep", &[])))
        .at(&[1, 14, 1, 800], Ok(freebsd_row(800, 100_100, b"sleep", &[])))
        .at(&[1, 14, 7, 800], Ok(b"sleep\x001000\0".to_vec())));
    assert_eq!(kvm.getloadavg().unwrap(), [1.0, 0.0, 0.0]);
    assert_eq!(kvm.getprocs(Op::Proc as i32, 0).unwrap().items.len(), 1);
    assert_eq!(kvm.processes().unwrap().items[0].pid, 800);
    let threads = kvm.threads().unwrap().items;
    assert_eq!(threads[0].tid, 100_100);
    assert_eq!(kvm.getargv(&kvm.proc(800).unwrap(), 0).unwrap().items, ["sleep", "1000"]);
    assert!(kvm.is_live() && kvm.native() && !kvm.is_writable());
}

#[test]
fn what_the_system_denies_is_looked_for_in_memory_and_then_its_reason_counts() {
    let kvm = kvm(Fake::default().with("kern.cp_time", [0; 8]));
    let told = "kern.cp_time: 8 bytes and not 40";
    assert_eq!(kvm.getcptime().unwrap_err().to_string(), told);
    assert_eq!(kvm.geterr(), told);
    assert_eq!(kvm.modules().unwrap_err().to_string(), "this image holds no memory");
    assert_eq!(kvm.again().geterr(), "", "another handle");
    assert!(kvm.again().getcptime().unwrap_err().to_string().contains("8 bytes"), "of the same system");
}

#[test]
fn names_that_nothing_else_knows_are_the_systems() {
    let mut fake = Fake::default();
    fake.symbols.insert("if_em_load", (0x1000, 8));
    let kvm = kvm(fake);
    assert_eq!(kvm.evaluate("if_em_load+8").unwrap(), Va(0x1008));
    let mut list = [Nlist::new("_if_em_load"), Nlist::new("nothing")];
    assert_eq!(kvm.nlist(&mut list).unwrap(), 1);
    assert_eq!((list[0].n_value, list[1].n_type), (0x1000, 0));
}

#[test]
fn a_kernel_file_that_cannot_be_used_leaves_the_systems_names() {
    let mut fake = machine().with("kern.version", "FreeBSD 15.0\n\0");
    fake.names.remove("kern.bootfile");
    let mut fake = fake.with("kern.bootfile", "/nonexistent/kernel\0");
    fake.symbols.insert("hz", (0x8000_0000_0000_0000, 4));
    let live = fake.opened(Device::Mem, true).unwrap();
    let kvm = Kvm::of_live(live, Path::new("/dev/mem"), Options::default()).unwrap();
    assert_eq!(kvm.symbols().address("hz"), Some(Va(1 << 63)));
    assert!(kvm.image().warnings[0].contains("/nonexistent/kernel"), "{:?}", kvm.image().warnings);
    assert!(kvm.is_writable());
}
