//! The library's costs one by one, for whoever changes it. The table with what is wanted of them is `figures`.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a benchmark that cannot measure should stop"
)]

mod files;

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use files::{FILLED, Files, KIB, MIB, PHYSICAL};
use kgdbserver::kvm::{Kvm, Options};

/// Where the direct map begins.
const DIRECT_MAP: u64 = 0xffff_f800_0000_0000;
/// The first kernel stack's first page: mapped by a page table, 4 KiB at a time.
const STACK: u64 = 0xffff_fe00_1000_1000;

fn main() {
    divan::main();
}

fn open(files: &Files) -> Kvm {
    let options = Options { kernel: Some(files.kernel.clone()), ..Options::default() };
    Kvm::open_with(&files.vmcore, options).unwrap()
}

#[divan::bench(args = ["1GiB", "4GiB", "1TiB"])]
fn open_dump(bencher: Bencher, size: &str) {
    let files = files::sized(size);
    bencher.bench_local(|| open(&files));
}

#[divan::bench(args = ["1GiB", "4GiB", "1TiB"])]
fn open_dump_alone(bencher: Bencher, size: &str) {
    let files = files::sized(size);
    bencher.bench_local(|| Kvm::open_with(&files.vmcore, Options::default()).unwrap());
}

#[divan::bench(args = ["1GiB", "4GiB", "1TiB"])]
fn first_read_of_the_last_page(bencher: Bencher, size: &str) {
    let files = files::sized(size);
    let last = DIRECT_MAP + PHYSICAL + files::SIZES.iter().find(|(name, _)| *name == size).unwrap().1 - 4096;
    bencher.with_inputs(|| open(&files)).bench_local_values(|kvm| kvm.read2(last, &mut [0; 64]).unwrap());
}

#[divan::bench(args = [DIRECT_MAP + PHYSICAL, STACK])]
fn read_64_bytes(bencher: Bencher, va: u64) {
    let kvm = open(&files::sized("4GiB"));
    let mut buf = [0; 64];
    bencher.bench_local(|| kvm.read2(black_box(va), &mut buf).unwrap());
}

#[divan::bench]
fn read_random_pages(bencher: Bencher) {
    let kvm = open(&files::sized("4GiB"));
    let mut buf = [0; 4 * KIB as usize];
    for at in (0..FILLED).step_by(buf.len()) {
        kvm.read2(DIRECT_MAP + PHYSICAL + at, &mut buf).unwrap();
    }
    let mut at = 0;
    bencher.counter(BytesCount::new(buf.len())).bench_local(|| {
        at = (at + 0x9_e377_9000) % FILLED; // a golden step: no page follows its neighbour
        kvm.read2(DIRECT_MAP + PHYSICAL + at, &mut buf).unwrap()
    });
}

#[divan::bench]
fn read_in_sequence(bencher: Bencher) {
    let kvm = open(&files::sized("4GiB"));
    let mut buf = vec![0; MIB as usize];
    let mut at = 0;
    bencher.counter(BytesCount::new(buf.len())).bench_local(|| {
        at = (at + MIB) % FILLED;
        kvm.read2(DIRECT_MAP + PHYSICAL + at, &mut buf).unwrap()
    });
}

#[divan::bench]
fn first_name(bencher: Bencher) {
    let files = files::sized("4GiB");
    bencher
        .with_inputs(|| open(&files))
        .bench_local_values(|kvm| kvm.symbols().by_name(black_box("subr_30000_handler")).unwrap());
}

#[divan::bench]
fn name_by_index(bencher: Bencher) {
    let kvm = open(&files::sized("4GiB"));
    for _ in 0..10 {
        kvm.symbols().by_name("hz");
    }
    bencher.bench_local(|| kvm.symbols().by_name(black_box("subr_30000_handler")).unwrap());
}

#[divan::bench]
fn list_10000_threads(bencher: Bencher) {
    let kvm = open(&files::crowded());
    bencher.bench_local(|| kvm.threads().unwrap());
}
