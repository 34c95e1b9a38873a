//! Between the kernel's headers, and on a dump device.

use super::*;

#[test]
fn on_its_dump_device() {
    let bench = Bench::new();
    for (version, block) in [(1, 512), (2, 512), (3, 512), (4, 512), (4, 4096), (3, 4096)] {
        let mut device = kernel_dump();
        device.header.version = version;
        device.header.blocksize = block;
        device.media = device.media.next_multiple_of(block as usize);
        bench.write("disk", &device.build());
        let kvm = bench.check("disk", "dump device");
        let facts = &kvm.image().facts;
        assert_eq!(facts.hostname.as_deref(), Some("beastie.example.org"), "version {version}");
        assert_eq!(facts.dump_time, Some(1_583_020_799));
        assert_eq!(facts.version.as_deref(), Some("FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC"));
        assert_eq!(facts.panic.as_deref(), Some("kdb_sysctl_panic"));
        assert_eq!(facts.architecture.as_deref(), Some("amd64"));
        assert!(kvm.image().warnings.is_empty(), "{:?}", kvm.image().warnings);
    }
}

#[test]
fn dragonflys_header() {
    let bench = Bench::new();
    let mut device = kernel_dump();
    device.header = DumpHeader { magic: "DragonFly Kern Dump", version: 1, blocksize: 0, ..device.header };
    let dump = device.dump.clone();
    let header = device.header.build();
    let mut disk = vec![7; 70_000];
    [&header, &dump, &header].into_iter().for_each(|part| disk.extend(part));
    bench.write("disk", &disk);
    bench.check("disk", "dump device");
}

#[test]
fn behind_its_header() {
    let bench = Bench::new();
    for (version, block) in [(1, 512), (4, 512), (4, 4096)] {
        let mut header =
            DumpHeader { version, blocksize: block, ..DumpHeader::new(SYSTEM.vmcore.len()) }.build();
        header.resize(block as usize, 0);
        header.extend(&SYSTEM.vmcore);
        bench.write("fetched", &header);
        bench.check("fetched", "kernel dump header");
        header.truncate(header.len() - 3 * 4096);
        bench.write("fetched", &header);
        let kvm = bench.open("fetched", bench.settings()).unwrap();
        assert_eq!(kvm.census().cut_off, 3);
    }
}

#[test]
fn compressed_by_the_kernel() {
    let bench = Bench::new();
    for (tool, layer, compression) in [("gzip -c", "gzip", 1), ("zstd -q -c", "zstd", 2)] {
        let Some(packed) = bench.run(&format!("{tool} vmcore")) else { continue };
        let mut device = Device::with(&packed);
        // The extent is the size before compression: the dump lies at its front, far from the header behind it.
        let extent = SYSTEM.vmcore.len();
        device.media = extent + (1 << 20);
        device.header = DumpHeader {
            dumplength: packed.len() as u64,
            dumpextent: extent as u64,
            compression,
            ..device.header
        };
        bench.write("disk", &device.build());
        bench.check("disk", &format!("dump device {layer}"));
        device.header.dumplength = extent as u64 + 1;
        bench.write("disk", &device.build());
        bench.refused("disk", "bytes of dump in an extent of");
    }
}

#[test]
fn cleared_by_savecore() {
    let bench = Bench::new();
    let mut device = kernel_dump();
    device.header.magic = "Cleared Kernel Dump";
    bench.write("disk", &device.build());
    let kvm = bench.check("disk", "dump device");
    assert!(kvm.image().warnings[0].contains("marked this dump as fetched"));
}

/// What is wrong with a device, what the refusal says, and whether --force opens it.
type Damage = (fn(&mut Vec<u8>, [usize; 4]), &'static str, bool);

#[test]
fn damaged_devices_are_refused() {
    let bench = Bench::new();
    let damages: [Damage; 4] = [
        (|disk, [.., trailing]| disk[trailing + 70] ^= 1, "the parity is wrong", true),
        (|disk, [leading, ..]| disk[leading + 70] ^= 1, "the headers before and after the dump differ", true),
        (
            |disk, [leading, ..]| disk[leading..leading + 512].fill(0),
            "the headers before and after the dump differ",
            true,
        ),
        (|disk, _| drop(disk.drain(..disk.len() / 2)), "more than lie before the header", false),
    ];
    for (damage, words, forcible) in damages {
        let device = kernel_dump();
        let mut disk = device.build();
        damage(&mut disk, device.places());
        bench.write("disk", &disk);
        bench.refused("disk", words);
        let options = Options { force: true, image: bench.settings(), ..Options::default() };
        let forced = Kvm::open_with(&bench.path("disk"), options);
        assert_eq!(forced.is_ok(), forcible, "{words}");
        assert!(forced.map_or(true, |kvm| kvm.image().warnings[0].contains("forced")));
    }
}

/// What is changed in a header, and what the refusal says.
type Change = (fn(&mut DumpHeader), &'static str);

#[test]
fn impossible_headers_are_refused() {
    let bench = Bench::new();
    let changes: [Change; 6] = [
        (|header| header.version = 0, "version 0; supported are 1 to 4"),
        (|header| header.version = 5, "version 5; supported are 1 to 4"),
        (|header| header.dumpextent = u64::MAX, "more than lie before the header"),
        (|header| header.dumpextent = 5, "bytes of dump in an extent of 5"),
        (|header| header.dumpkeysize = u32::MAX, "is not plausible"),
        (|header| header.blocksize = 700, "blocks of 700 bytes"),
    ];
    for (change, words) in changes {
        let mut header = DumpHeader::new(SYSTEM.vmcore.len());
        change(&mut header);
        let header = header.build();
        bench.write(
            "disk",
            &[&vec![1; 4096], &header, &SYSTEM.vmcore, &header].map(|part| &part[..]).concat(),
        );
        bench.refused("disk", words);
    }
}
