//! Memory of Linux images beside drgn, which reads the same addresses of the same files in the same order.

use super::drgn::Drgn;
use super::files::linux::pages;
use super::files::{self, Noise};
use super::linux::{Images, open};
use super::measure::{Times, Watch};
use super::table::{Row, time};
use flate2::Crc;
use kgdbserver::kvm::Kvm;
use kgdbserver_arch::Va;
use std::io::Write;
use std::path::Path;
use tempfile::NamedTempFile;

const PAGE: usize = 4096;

pub(super) fn rows(images: &Images, mut drgn: Option<&mut Drgn>) -> Vec<Row> {
    let elf = images.file("elf.dump");
    let mut rows = vec![
        compare("ELF: 8 B in turn", &elf, &in_turn, 1.5, drgn.as_deref_mut()),
        compare("ELF: 8 B at random", &elf, &at_random, 1.5, drgn.as_deref_mut()),
    ];
    for (figure, image) in [
        ("kdump, zlib: 4 KiB at random", images.file("md-zlib-d31.dump")),
        ("kdump, lzo: 4 KiB at random", images.file("md-lzo-d31.dump")),
        ("kdump, zstd: 4 KiB at random", images.file("md-zstd-d31.dump")),
        ("kdump, snappy: 4 KiB at random", files::linux::snappy(&images.file("md-elf-d31.dump"))),
        ("kdump, stored: 4 KiB at random", images.file("md-none-d0.dump")),
    ] {
        // Not every makedumpfile knows every codec.
        if image.exists() {
            rows.push(compare(figure, &image, &whole_pages, 2.0, drgn.as_deref_mut()));
        }
    }
    rows
}

/// All pages, in an order in which nothing is near what came before; the same in every run.
fn shuffled(kvm: &Kvm) -> Vec<u64> {
    let mut pages: Vec<u64> = pages(kvm).map(|va| va.0).collect();
    let mut noise = Noise::new();
    for last in (1..pages.len()).rev() {
        pages.swap(last, (noise.next() % (last as u64 + 1)) as usize);
    }
    pages
}

/// What is read: so many bytes at each of these addresses.
type Reads = (Vec<u64>, usize);

fn in_turn(kvm: &Kvm) -> Reads {
    (pages(kvm).take(128).flat_map(|Va(page)| (page..page + PAGE as u64).step_by(8)).collect(), 8)
}

fn at_random(kvm: &Kvm) -> Reads {
    let mut noise = Noise::new();
    (shuffled(kvm).into_iter().map(|page| page + noise.next() % (PAGE as u64 / 8) * 8).collect(), 8)
}

fn whole_pages(kvm: &Kvm) -> Reads {
    (shuffled(kvm), PAGE)
}

/// Reads at all addresses, round after round: more pages than either side keeps unpacked.
fn compare(
    figure: &'static str,
    image: &Path,
    reads: &dyn Fn(&Kvm) -> Reads,
    wanted: f64,
    mut drgn: Option<&mut Drgn>,
) -> Row {
    let kvm = open(image, None).unwrap();
    let (addresses, length) = reads(&kvm);
    let mut buf = vec![0; length];
    let mut read = |address: u64, each: &mut dyn FnMut(&[u8])| {
        assert_eq!(kvm.read2(address, &mut buf).unwrap(), length, "{address:#x}");
        each(&buf);
    };
    let mut checksum = Crc::new();
    addresses.iter().for_each(|address| read(*address, &mut |bytes| checksum.update(bytes)));
    let mut list = NamedTempFile::new().unwrap();
    list.write_all(&addresses.iter().flat_map(|address| address.to_ne_bytes()).collect::<Vec<_>>()).unwrap();
    if let Some(drgn) = drgn.as_deref_mut() {
        assert_eq!(drgn.reader(image, list.path(), length), u64::from(checksum.sum()), "other bytes");
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..7 {
        let start = Watch::start();
        addresses.iter().for_each(|address| read(*address, &mut |_| ()));
        ours.push(start.seconds() / addresses.len() as f64);
        theirs.extend(drgn.as_deref_mut().map(Drgn::seconds));
    }
    let (ours, theirs) = (Times::of(ours), Times::of(theirs));
    let row = Row::new(figure, time(ours.best()));
    if drgn.is_none() {
        return row;
    }
    let ratio = ours.ratio(&theirs);
    row.wanted(format!("drgn / {wanted}"), ratio * wanted <= 1.0).beside("drgn", time(theirs.best()), ratio)
}
