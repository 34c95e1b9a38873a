use super::super::tests::build::Builder;
use super::super::tests::{ORDERS, parse_all, sample};
use super::*;
use crate::image::ram::Ram;
use kgdbserver_arch::{Machine, Pa, Region, Via, ppc64, x86_64};
use std::sync::Arc;

const KERNEL: Va = Va(0xffff_8000_0000_0000);

/// A kernel's memory of 1 MiB with some bytes in it, and without the pages `holes`.
fn memory(big: bool, parts: &[(usize, &[u8])], holes: &[u64]) -> Space {
    let arch = if big { &ppc64::ARCH } else { &x86_64::ARCH };
    let mut bytes = vec![0; 1 << 20];
    for (at, part) in parts {
        bytes[*at..at + part.len()].copy_from_slice(part);
    }
    let last = Va(KERNEL.0 + bytes.len() as u64 - 1);
    let region = Region { first: KERNEL, last, via: Via::Linear(Pa(0)) };
    let machine = Machine { arch, big_endian: big, ptr_bytes: 8 };
    let pages = (0..).zip(bytes.chunks(PAGE as usize)).filter(|(page, _)| !holes.contains(page));
    let ram: Ram = pages.map(|(page, bytes)| (page * PAGE, bytes.to_vec())).collect();
    Space::new(machine, vec![region], Arc::new(ram))
}

fn found(space: &Space, first: u64, end: u64) -> Option<u64> {
    let (va, len) = find(space, Va(KERNEL.0 + first), Va(KERNEL.0 + end))?;
    let bytes = read(space, va, len).unwrap();
    assert!(parse_all(bytes).unwrap().size_of("task").is_some());
    Some(va.0 - KERNEL.0)
}

#[test]
fn it_is_found_in_memory_at_any_place() {
    const ALL: u64 = 1 << 20;
    const CHUNK: usize = 256 << 10;
    for big in ORDERS {
        let btf = sample(big).build();
        for at in [0, 1, 4096, 0x9f70, CHUNK - 1, CHUNK - 4, CHUNK, ALL as usize - btf.len()] {
            let space = memory(big, &[(at, &btf)], &[]);
            assert_eq!(found(&space, 0, ALL), Some(at as u64), "{at:#x}");
            assert_eq!(found(&space, at as u64, (at + btf.len()) as u64), Some(at as u64), "{at:#x}");
            assert_eq!(found(&space, at as u64 + 1, ALL), None, "{at:#x}");
            assert_eq!(found(&space, 0, (at + btf.len() - 1) as u64), None, "{at:#x}");
        }
        let space = memory(big, &[(0x2ffe, &btf)], &[0, 1, 9, 100]);
        assert_eq!(found(&space, 0, ALL), Some(0x2ffe), "behind missing pages");
        let space = memory(!big, &[(0, &btf)], &[]);
        assert_eq!(found(&space, 0, ALL), None, "of the other byte order");
    }
}

/// Memory is full of what looks like it: code has the magic number, `struct btf` the header, and modules have their own.
#[test]
fn what_only_looks_like_it_is_passed_over() {
    for big in ORDERS {
        let sample = sample(big);
        let btf = sample.build();
        let header = &btf[..24];
        let mut module = sample.module();
        module.composite("inode", 4, 104, &[("pid", 7, 768)]);
        let empty = Builder::new(big).header(24, &[0, 0, 0, 1]);
        let parts: [&[u8]; 4] = [&header[..4], header, &module.build(), &empty];
        let mut places: Vec<_> = (1..).map(|page| page * 0x1000).zip(parts).collect();
        assert_eq!(found(&memory(big, &places, &[]), 0, 1 << 20), None);
        places.push((0x8110, &btf));
        assert_eq!(found(&memory(big, &places, &[]), 0, 1 << 20), Some(0x8110));
    }
}

#[test]
fn what_is_missing_or_too_large_is_not_read() {
    let btf = sample(false).build();
    let space = memory(false, &[(0xff0, &btf)], &[1]);
    let error = read(&space, Va(KERNEL.0 + 0xff0), btf.len() as u64).unwrap_err();
    assert!(matches!(error, Error::Fault { va, .. } if va.0 == KERNEL.0 + 0x1000));
    assert!(read(&space, KERNEL, 1 << 40).is_err());
}
