//! Textdumps.

use super::*;

impl Bench {
    fn textdump(&self) -> Option<Vec<u8>> {
        self.write("version.txt", b"FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC\n");
        self.write("panic.txt", b"kdb_sysctl_panic\n");
        self.write("msgbuf.txt", b"---<<BOOT>>---\nCopyright (c)\npanic: kdb_sysctl_panic\n\0");
        self.write("config.txt", b"options\tSMP\nident\tGENERIC\nmachine\tamd64\ncpu\tHAMMER\n");
        self.write("ddb.txt", b"db:0:kdb.enter.panic>  bt\n");
        self.run(
            "tar --format=ustar -b 1 -cf textdump.tar.4 ddb.txt config.txt msgbuf.txt panic.txt version.txt",
        )?;
        Some(fs::read(self.path("textdump.tar.4")).unwrap())
    }
}

#[test]
fn textdumps_show_their_texts() {
    let bench = Bench::new();
    let Some(archive) = bench.textdump() else { return };
    let mut device = Device::with(&archive);
    device.header = DumpHeader { magic: "FreeBSD Text Dump", ..DumpHeader::new(archive.len()) };
    device.dump = backwards(&archive);
    bench.write("disk", &device.build());
    device.header.magic = "Cleared Kernel Dump";
    bench.write("cleared", &device.build());
    bench.run("gzip -k textdump.tar.4").unwrap();
    for (name, layers) in [
        ("textdump.tar.4", ""),
        ("textdump.tar.4.gz", "gzip"),
        ("disk", "dump device"),
        ("cleared", "dump device"),
    ] {
        let kvm = bench.open(name, bench.settings()).unwrap();
        let (image, facts) = (kvm.image(), &kvm.image().facts);
        assert_eq!((image.format, facts.layers.join(" ").as_str()), ("FreeBSD textdump", layers));
        assert_eq!(facts.version.as_deref(), Some("FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC"));
        assert_eq!(facts.panic.as_deref(), Some("kdb_sysctl_panic"));
        assert_eq!(facts.log.as_deref(), Some("---<<BOOT>>---\nCopyright (c)\npanic: kdb_sysctl_panic"));
        let error = kvm.read2(0xffff_ffff_8100_0000, &mut [0; 8]).unwrap_err().to_string();
        assert!(error.contains("holds no memory"), "{error}");
        assert!(kvm.walk_pages(|_| panic!("a textdump has no pages")));
        let way = Translation::of(&kvm, kvm.space(), Va(0xffff_ffff_8100_0000)).text();
        assert_eq!(way, "address   0xffffffff81000000\nfault     this image holds no memory\n");
    }
}

#[test]
fn damaged_textdumps() {
    let bench = Bench::new();
    let Some(archive) = bench.textdump() else { return };
    bench.write("cut", &archive[..archive.len() / 2 - 500]);
    let kvm = bench.open("cut", bench.settings()).unwrap();
    assert!(kvm.image().warnings[1].contains("damaged or cut off"), "{:?}", kvm.image().warnings);
    assert_eq!(kvm.image().facts.version, None);
    let mut checksum = archive.clone();
    checksum[150] ^= 1;
    bench.write("checksum", &checksum);
    bench.refused("checksum", "corrupt FreeBSD textdump");
    bench.run("tar --format=ustar -cf other.tar kernel").unwrap();
    bench.refused("other.tar", "an archive with none of a textdump's files");
}
