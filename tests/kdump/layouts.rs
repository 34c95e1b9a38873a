//! What the headers tell, of every version and of every writer.

use super::synth::kdump::{Layout, Writer};
use super::synth::{Endian, Kdump, put};
use super::{check_pages, dump, open};
use kgdbserver::image::{Addr, Image};
use std::ops::Range;

const WRITERS: [Writer; 3] = [Writer::Lp64, Writer::I386, Writer::Arm];
const ORDERS: [Endian; 2] = [Endian::Little, Endian::Big];

/// A dump, in every order, of every writer and version.
fn each(mut change: impl FnMut(&mut Kdump), mut check: impl FnMut(&Kdump, &Layout, Image)) {
    for writer in WRITERS {
        for endian in ORDERS {
            for version in 0..=6 {
                let mut dump = Kdump { writer, endian, version, ..dump() };
                change(&mut dump);
                let (file, layout) = dump.build();
                let image =
                    open(&file).unwrap_or_else(|error| panic!("{writer:?} {endian:?} {version}: {error}"));
                assert_eq!(image.warnings, [""; 0], "{writer:?} {endian:?} {version}");
                check(&dump, &layout, image);
            }
        }
    }
}

#[test]
fn every_writer_order_and_version() {
    each(
        |_| {},
        |dump, _, image| {
            assert_eq!((image.format, image.version), ("kdump-compressed dump", Some(dump.version)));
            check_pages(&image);
        },
    );
}

#[test]
fn old_diskdumps() {
    each(
        |dump| (dump.signature, dump.status) = (b"DISKDUMP", 0),
        |_, _, image| {
            check_pages(&image);
            assert_eq!(image.facts.dump_level, None);
            let plain = image.plain.unwrap();
            assert!(plain.notes.is_empty() && plain.vmcoreinfo.is_none());
        },
    );
}

/// Its bits mean something else in a diskdump.
#[test]
fn the_status_of_old_diskdumps() {
    for (status, incomplete) in [(0, false), (8, false), (1, true), (9, true)] {
        let image = open(&Kdump { signature: b"DISKDUMP", status, ..dump() }.build().0).unwrap();
        assert_eq!(image.warnings.len(), usize::from(incomplete), "{status}: {:?}", image.warnings);
    }
}

/// The bytes of a range, through the image.
fn read(image: &Image, range: Range<u64>) -> Vec<u8> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    assert_eq!(image.memory.read(Addr::File(range.start), &mut bytes), Ok(bytes.len()));
    bytes
}

#[test]
fn notes_and_vmcoreinfo_since_the_version_that_has_them() {
    each(
        |_| {},
        |dump, layout, image| {
            let plain = image.plain.clone().unwrap();
            let since = |version, range: &Range<u64>| Some(range.clone()).filter(|_| dump.version >= version);
            assert_eq!(plain.vmcoreinfo, since(3, &layout.vmcoreinfo));
            assert_eq!(plain.notes, Vec::from_iter(since(4, &layout.notes)));
            for (range, bytes) in [(&layout.vmcoreinfo, &dump.vmcoreinfo), (&layout.notes, &dump.notes)] {
                assert_eq!(&read(&image, range.clone()), bytes);
            }
            assert_eq!(image.facts.dump_level, Some(31).filter(|_| dump.version >= 1));
        },
    );
}

#[test]
fn without_notes_the_width_is_seen_by_the_number_of_pages() {
    each(
        |dump| {
            dump.notes.clear();
            dump.vmcoreinfo.clear();
        },
        |_, _, image| check_pages(&image),
    );
}

#[test]
fn what_was_erased() {
    each(
        |dump| dump.eraseinfo = b"erase init_task.comm 16\nerase jiffies 8\n\0".to_vec(),
        |dump, _, image| {
            let told = Some("erase init_task.comm 16\nerase jiffies 8".to_owned());
            assert_eq!(image.facts.erased, told.filter(|_| dump.version >= 5));
        },
    );
}

#[test]
fn what_the_kernel_said_of_itself() {
    let image = open(&dump().build().0).unwrap();
    assert_eq!(image.facts.hostname.as_deref(), Some("rig"));
    assert_eq!(image.facts.version.as_deref(), Some("Linux 6.1.0 #1 SMP"));
    assert_eq!(image.facts.dump_time, Some(1_700_000_000));
    // QEMU knows the machine only.
    let utsname = ["", "", "", "", "x86_64", ""];
    let image = open(&Kdump { utsname, seconds: 0, ..dump() }.build().0).unwrap();
    assert_eq!((image.facts.hostname, image.facts.version, image.facts.dump_time), (None, None, None));
    assert_eq!(image.machine.unwrap().arch.name, "x86_64");
}

#[test]
fn the_machine() {
    use Endian::{Big, Little};
    use Writer::{Arm, I386, Lp64};
    for (name, writer, endian, expected) in [
        ("x86_64", Lp64, Little, Some("x86_64")),
        ("i686", I386, Little, Some("i386")),
        ("x86_64", I386, Little, Some("i386")), // QEMU's x86_64, running a kernel of 32 bits
        ("aarch64", Lp64, Little, Some("aarch64")),
        ("aarch64", I386, Little, Some("arm")),
        ("armv7l", Arm, Little, Some("arm")),
        ("ppc64", Lp64, Big, Some("powerpc64")),
        ("ppc64le", Lp64, Little, Some("powerpc64")),
        ("ppc", Arm, Big, Some("powerpc")),
        ("riscv64", Lp64, Little, Some("riscv64")),
        ("", Lp64, Little, None),
        ("vax", Lp64, Little, None),
    ] {
        let mut dump = Kdump { writer, endian, ..dump() };
        dump.utsname[4] = name;
        let machine = open(&dump.build().0).unwrap().machine;
        assert_eq!(machine.map(|machine| machine.arch.name), expected, "{name}");
        if let Some(machine) = machine {
            let pointer = if writer == Lp64 { 8 } else { 4 };
            assert_eq!((machine.big_endian, machine.ptr_bytes), (endian == Big, pointer), "{name}");
        }
    }
}

/// A CPU's note of registers, as far as it tells the machine.
fn registers(endian: Endian, size: u32) -> Vec<u8> {
    let numbers = [5, size, 1].map(|number| endian.u32(number));
    [&numbers.concat()[..], b"CORE\0\0\0\0", &vec![0; size as usize]].concat()
}

/// QEMU calls most machines `Unknown`, and a PC x86_64 whatever it runs; its headers may be of 64 bits on a PC of 32 bits.
#[test]
fn the_machine_by_its_notes() {
    use Endian::{Big, Little};
    use Writer::{I386, Lp64};
    for (name, writer, endian, size, expected) in [
        ("x86_64", Lp64, Little, 336, "x86_64"),
        ("x86_64", Lp64, Little, 144, "i386"),
        ("x86_64", I386, Little, 144, "i386"),
        ("Unknown", Lp64, Little, 392, "aarch64"),
        ("Unknown", Lp64, Big, 392, "aarch64"),
        ("Unknown", I386, Little, 148, "arm"),
        ("Unknown", Lp64, Big, 504, "powerpc64"),
        ("Unknown", Lp64, Little, 504, "powerpc64"),
        ("Unknown", I386, Big, 268, "powerpc"),
        ("Unknown", Lp64, Little, 376, "riscv64"),
        ("S390X", Lp64, Big, 336, "s390x"),
        ("Unknown", Lp64, Big, 336, "s390x"),
        ("aarch64", Lp64, Little, 335, "aarch64"),
    ] {
        let notes = registers(endian, size);
        let mut dump = Kdump { writer, endian, notes, utsname: [""; 6], ..dump() };
        dump.utsname[4] = name;
        let machine = open(&dump.build().0).unwrap().machine.unwrap();
        assert_eq!(machine.arch.name, expected, "{name} {size}");
        let pointer = if ["i386", "arm", "powerpc"].contains(&expected) { 4 } else { 8 };
        assert_eq!((machine.big_endian, machine.ptr_bytes), (endian == Big, pointer), "{name} {size}");
    }
}

/// On 32-bit ARM makedumpfile counts pages from where memory begins.
#[test]
fn the_first_page_of_32_bit_arm() {
    let arm = |sysname| {
        let mut dump = Kdump { writer: Writer::Arm, phys_base: 0x4000_0000, ..dump() };
        dump.utsname[0] = sysname;
        dump.utsname[4] = "armv7l";
        let image = open(&dump.build().0).unwrap();
        image.memory.pages().next().unwrap().0
    };
    assert_eq!(arm("Linux"), 0x4000_3000);
    assert_eq!(arm(""), 0x3000, "QEMU counts from 0");
}

#[test]
fn one_bitmap_says_both() {
    let mut dump = Kdump { signature: b"DISKDUMP", one_bitmap: true, version: 1, ..dump() };
    dump.excluded.clear();
    let image = open(&dump.build().0).unwrap();
    assert_eq!(super::at(&image, 9000), "page 2328");
    assert_eq!(super::at(&image, 8), super::NOWHERE);
}

/// Of a machine with more than 2^32 pages the number of 32 bits is all ones, and only the other one counts.
#[test]
fn the_number_of_pages_may_need_64_bits() {
    for (writer, at) in [(Writer::Lp64, 440), (Writer::I386, 428), (Writer::Arm, 428)] {
        let (mut file, _) = Kdump { writer, ..dump() }.build();
        put(&mut file, at, &[0xff; 4]);
        check_pages(&open(&file).unwrap());
    }
}
