//! Large images, and packed ones. The peer of large ones is FreeBSD's libkvm made portable, libfbsdvmcore; it was
//! measured elsewhere: on another machine of two CPUs, with a warm cache.

use super::files::spread::{self, KERNEL_MAP};
use super::files::{self, FILLED, Files, KIB, MIB, PACKED, PHYSICAL};
use super::library::{DIRECT_MAP, open};
use super::measure::{Times, in_turn};
use super::table::{Row, time};
use kgdbserver::image::Settings;
use kgdbserver::kvm::{Kvm, Options};
use std::process::Command;

const PEER: &str = "libfbsdvmcore, from the reference";
const PAGE: u64 = 4 * KIB;

pub(crate) fn rows() -> Vec<Row> {
    let files = files::spread();
    let mut rows = vec![opened(&files)];
    rows.extend(read(&open(&files)));
    rows.push(unpacked());
    rows
}

/// A row of a figure that is to be so many times better than the peer's.
fn row(figure: &'static str, measured: f64, wanted: f64, peer: f64) -> Row {
    let row = Row::new(figure, time(measured)).wanted(time(wanted), measured <= wanted);
    row.beside(PEER, time(peer), measured / peer)
}

fn opened(files: &Files) -> Row {
    let [times] = in_turn(15, 20, [&mut || drop(open(files))]);
    row("open kernel and 8 GiB", times.best(), 0.5e-3, 4.0e-3)
}

/// An address of the direct map for a byte of the kernel map.
fn direct(at: u64) -> u64 {
    DIRECT_MAP + PHYSICAL + spread::place(at)
}

fn mapped(at: u64) -> u64 {
    KERNEL_MAP + at
}

fn read(kvm: &Kvm) -> [Row; 4] {
    let mut pages = [vec![0; PAGE as usize], vec![0; PAGE as usize]];
    // Touches every page; and the two maps show the same.
    for at in (0..FILLED).step_by(PAGE as usize) {
        [direct, mapped].iter().zip(&mut pages).for_each(|(map, page)| fetch(kvm, map(at), page));
        assert_eq!(pages[0], pages[1]);
    }
    // The reference has the direct map for a dump of 4 GiB only.
    [
        row("8 GiB: 64 B random, kernel map", random(kvm, mapped), 4.64e-6 / 4.0, 4.64e-6),
        row("8 GiB: 64 B random, direct map", random(kvm, direct), 1.32e-6 / 4.0, 1.32e-6),
        row("8 GiB: 4 KiB in turn, kernel map", in_turn_by_page(kvm, mapped), 3.63e-6 / 1.5, 3.63e-6),
        row("8 GiB: 4 KiB in turn, direct map", in_turn_by_page(kvm, direct), 0.88e-6 / 1.5, 0.88e-6),
    ]
}

fn fetch(kvm: &Kvm, va: u64, buf: &mut [u8]) {
    assert_eq!(kvm.read2(va, buf).unwrap(), buf.len());
}

/// Seconds for 64 bytes anywhere in what is filled.
fn random(kvm: &Kvm, map: fn(u64) -> u64) -> f64 {
    let (mut buf, mut at) = ([0; 64], 0);
    let [times] = in_turn(
        15,
        100_000,
        [&mut || {
            at = (at + 0x9_e377_9040) % FILLED; // a golden step: no page follows its neighbour
            fetch(kvm, map(at), &mut buf);
        }],
    );
    times.best()
}

/// Seconds for 4 KiB, in a walk through all that is filled.
fn in_turn_by_page(kvm: &Kvm, map: fn(u64) -> u64) -> f64 {
    let (mut buf, mut at) = ([0; PAGE as usize], 0);
    let [times] = in_turn(
        5,
        (FILLED / PAGE) as usize,
        [&mut || {
            fetch(kvm, map(at), &mut buf);
            at = (at + PAGE) % FILLED;
        }],
    );
    times.best()
}

/// Opens a compressed dump with nothing in the cache folder, and lets zstd write the same file. Short rounds and many:
/// what fresh memory costs the page cache varies more than anything else here.
fn unpacked() -> Row {
    let files = files::packed();
    let folder = || tempfile::tempdir_in(files::cache()).unwrap();
    let [ours, theirs] = in_turn(
        15,
        1,
        [
            &mut || {
                let folder = folder();
                let image = Settings { cache: Some(folder.path().into()), ..Settings::default() };
                let options = Options { kernel: Some(files.kernel.clone()), image, ..Options::default() };
                drop(Kvm::open_with(&files.vmcore, options).unwrap());
            },
            &mut || {
                let folder = folder();
                let mut zstd = Command::new("zstd");
                zstd.args(["-q", "-d", "-o"]).arg(folder.path().join("vmcore")).arg(&files.vmcore);
                assert!(zstd.status().unwrap().success());
            },
        ],
    );
    let speed = |times: &Times| format!("{:.0} MiB/s", (PACKED / MIB) as f64 / times.best());
    let ratio = 1.0 / ours.ratio(&theirs);
    let row = Row::new("open 128 MiB packed by zstd", speed(&ours)).wanted("zstd's own", ratio >= 0.95);
    row.beside("zstd -d", speed(&theirs), ratio)
}
