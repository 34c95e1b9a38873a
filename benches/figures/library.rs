//! The library beside a reader that maps the file and knows where everything is.

use super::files::{self, FILLED, Files, GIB, KIB, MIB, PHYSICAL};
use super::measure::{Times, in_turn};
use super::table::{Row, time};
use kgdbserver::kvm::{Kvm, Options};
use memmap2::Mmap;
use std::fs::File;
use std::hint::black_box;
use std::path::Path;

pub(crate) const DIRECT_MAP: u64 = 0xffff_f800_0000_0000;
/// The first kernel stack's first page: mapped by a page table, 4 KiB at a time.
const STACK: u64 = 0xffff_fe00_1000_1000;
const PAGE: usize = 4 * KIB as usize;
const BLOCK: usize = MIB as usize;

pub(crate) fn open(files: &Files) -> Kvm {
    let options = Options { kernel: Some(files.kernel.clone()), ..Options::default() };
    Kvm::open_with(&files.vmcore, options).unwrap()
}

#[allow(unsafe_code, reason = "the peer is a plain reader of a mapped file")]
fn map(path: &Path) -> Mmap {
    // SAFETY: nobody changes the file in the cache folder while it is measured.
    unsafe { Mmap::map(&File::open(path).unwrap()) }.unwrap()
}

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = open_rows();
    rows.extend(read_rows());
    rows.push(private_memory());
    rows.push(threads());
    rows
}

fn open_rows() -> Vec<Row> {
    let [small, medium, huge] = files::SIZES.map(|(name, _)| files::sized(name));
    let copied = |path: &Path| {
        let mut buf = [0; 64];
        buf.copy_from_slice(&map(path)[..64]);
        black_box(buf);
    };
    let [of_small, of_medium, of_huge, of_peer] = in_turn(
        15,
        20,
        [&mut || drop(open(&small)), &mut || drop(open(&medium)), &mut || drop(open(&huge)), &mut || {
            [&medium.vmcore, &medium.kernel].into_iter().for_each(|path| copied(path))
        }],
    );
    let slowest = of_medium.ratio(&of_small).max(of_huge.ratio(&of_small));
    let sizes = [&of_small, &of_medium, &of_huge].map(|times| time(times.best())).join(", ");
    vec![
        Row::new("open kernel and 4 GiB", time(of_medium.best()))
            .wanted("0.3 ms", of_medium.best() <= 0.3e-3)
            .beside("mmap", time(of_peer.best()), of_medium.ratio(&of_peer)),
        Row::new("open 1 GiB, 4 GiB, 1 TiB", sizes).wanted("flat, 0.3 ms", of_huge.best() <= 0.3e-3).beside(
            "1 GiB",
            time(of_small.best()),
            slowest,
        ),
        first_name(&medium),
    ]
}

fn first_name(files: &Files) -> Row {
    let found = |_| {
        let kvm = open(files);
        let start = std::time::Instant::now();
        black_box(kvm.symbols().by_name("subr_30000_handler").unwrap());
        start.elapsed().as_secs_f64()
    };
    let first = Times::of((0..15).map(found).collect());
    let kvm = open(files);
    let [next] = in_turn(16, 1000, [&mut || drop(kvm.symbols().by_name(black_box("subr_30000_handler")))]);
    Row::new("a name: first, later", format!("{}, {}", time(first.best()), time(next.best())))
}

fn read_rows() -> Vec<Row> {
    let files = files::sized("4GiB");
    let (kvm, mapped) = (open(&files), map(&files.vmcore));
    let in_file = |va: u64| {
        let at = kvm.space().translate(kgdbserver_arch::Va(va)).unwrap().at;
        let kgdbserver::image::Addr::Phys(pa) = at else { panic!("{va:#x} is not in memory") };
        kvm.image().memory.locate(pa).unwrap() as usize
    };
    let first = DIRECT_MAP + PHYSICAL;
    let noise = in_file(first);
    let ours = |va: u64, buf: &mut [u8]| assert_eq!(kvm.read2(black_box(va), buf).unwrap(), buf.len());
    let theirs = |at: usize, buf: &mut [u8]| buf.copy_from_slice(&mapped[black_box(at)..][..buf.len()]);

    let hot = |figure, va: u64| {
        let (mut a, mut b) = ([0; 64], [0; 64]);
        let at = in_file(va);
        let [kvm, peer] =
            in_turn(15, 20_000, [&mut || ours(va, black_box(&mut a)), &mut || theirs(at, black_box(&mut b))]);
        assert_eq!(a, b);
        Row::new(figure, time(kvm.best())).wanted("0.2 us", kvm.best() <= 0.2e-6).beside(
            "mmap",
            time(peer.best()),
            kvm.ratio(&peer),
        )
    };
    let mut rows = vec![hot("read 64 B, direct map", first), hot("read 64 B, page tables", STACK)];

    let mut buf = vec![0; BLOCK];
    let mut other = vec![0; BLOCK];
    let (mut at, mut peer_at) = (0, FILLED as usize / 2);
    let [sequential, peer] = in_turn(
        7,
        FILLED as usize / BLOCK,
        [
            &mut || {
                ours(first + at, &mut buf);
                at = (at + MIB) % FILLED;
            },
            &mut || {
                theirs(noise + peer_at, &mut other);
                peer_at = (peer_at + BLOCK) % FILLED as usize;
            },
        ],
    );
    let rate = |times: &Times| MIB as f64 / GIB as f64 / times.best();
    let speed = |times: &Times| format!("{:.1} GiB/s", rate(times));
    let sequential_row = Row::new("read in sequence, warm", speed(&sequential))
        .wanted("6 GiB/s", rate(&sequential) >= 6.0)
        .beside("mmap", speed(&peer), 1.0 / sequential.ratio(&peer));

    // Every page has been touched by now. A golden step: no page follows its neighbour. The peer is half a tour ahead,
    // or it would find in the processor's caches what we have just read.
    const STEP: u64 = 0x9_e377_9000;
    let next = |at: u64| (at + STEP) % FILLED;
    let (mut at, mut peer_at) = (0, FILLED / 2 / PAGE as u64 * STEP % FILLED);
    let [random, peer] = in_turn(
        15,
        20_000,
        [
            &mut || {
                at = next(at);
                ours(first + at, &mut buf[..PAGE]);
            },
            &mut || {
                peer_at = next(peer_at);
                theirs(noise + peer_at as usize, &mut other[..PAGE]);
            },
        ],
    );
    rows.push(
        Row::new("read 4 KiB at random, warm", time(random.best()))
            .wanted("0.7 us", random.best() <= 0.7e-6)
            .beside("mmap", time(peer.best()), random.ratio(&peer)),
    );
    rows.push(sequential_row);
    rows
}

/// MiB of a process's own: memory that no file backs and that is no changed page of a program's file.
pub(crate) fn private_memory_of(pid: &str) -> f64 {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).unwrap();
    let mut of_program = false;
    let mut kib = 0.0;
    for line in maps.lines() {
        match line.split_ascii_whitespace().collect::<Vec<_>>()[..] {
            ["Anonymous:", size, "kB"] if !of_program => kib += size.parse::<f64>().unwrap(),
            [range, rights, ..] if range.contains('-') && rights.len() == 4 => {
                of_program = line.contains('/')
            }
            _ => {}
        }
    }
    kib / 1024.0
}

fn private_memory() -> Row {
    let output = std::process::Command::new(std::env::current_exe().unwrap()).arg("memory").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let used: f64 = text.trim().parse().unwrap();
    Row::new("private memory, library", format!("{used:.1} MiB")).wanted("4 MB", used <= 4.0 / 1.048_576)
}

/// Uses a dump as a session does, and prints how many MiB that took.
pub(crate) fn use_memory() {
    let files = files::sized("4GiB");
    let before = private_memory_of("self");
    let kvm = open(&files);
    for name in 0..10 {
        kvm.symbols().by_name(&format!("subr_{name}_handler"));
    }
    kvm.symbol_at(kgdbserver_arch::Va(0xffff_ffff_8020_1000));
    black_box(kvm.threads().unwrap());
    let mut buf = [0; PAGE];
    for at in (0..64 * MIB).step_by(PAGE) {
        kvm.read2(DIRECT_MAP + PHYSICAL + at, &mut buf).unwrap();
    }
    println!("{}", private_memory_of("self") - before);
}

fn threads() -> Row {
    let kvm = open(&files::crowded());
    let [list] = in_turn(9, 3, [&mut || drop(black_box(kvm.threads().unwrap()))]);
    let count = kvm.threads().unwrap().items.len() as f64;
    Row::new("list 10,000 threads", format!("{}, {} each", time(list.best()), time(list.best() / count)))
}
