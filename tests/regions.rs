//! What is mapped, asked address by address, against a walk over all pages.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod support;
mod synth;

use kgdbserver::Kvm;
use kgdbserver::cells::Access;
use kgdbserver::regions::View;
use kgdbserver_arch::{Rights, Va};
use support::{Saved, open};
use synth::elfcore::{EM_X86_64, ElfCore};
use synth::freebsd::{Full, Kernphys};
use synth::machine::{self, Machine};
use synth::{Endian, System};

/// The lowest and the highest address, and what the pages between them may be used for.
type Mapped = (u64, u64, Rights);

/// Joins what lies side by side.
fn joined(pieces: impl Iterator<Item = Mapped>) -> Vec<Mapped> {
    let mut all: Vec<Mapped> = Vec::new();
    for (first, last, rights) in pieces {
        match all.last_mut() {
            Some((_, end, same)) if end.wrapping_add(1) == first && *same == rights => *end = last,
            _ => all.push((first, last, rights)),
        }
    }
    all
}

/// What the page tables map. A direct map has none.
fn walked(kvm: &Kvm) -> Vec<Mapped> {
    let mut pages = Vec::new();
    kvm.walk_pages(|page| {
        if let (Some(va), Some(rights)) = (page.kmap_vaddr, page.rights) {
            pages.push((va.0, va.0 + (page.len - 1), rights));
        }
        true
    });
    pages.sort_by_key(|(first, ..)| *first);
    joined(pages.into_iter())
}

#[track_caller]
fn check(kvm: &Kvm) {
    let areas = kvm.areas();
    let view = View { kernel: kvm.space(), process: None, areas: &areas };
    let mut next = Some(0);
    let pieces = view.from(Va(0)).inspect(|piece| {
        assert_eq!(Some(piece.first.0), next, "pieces lie side by side");
        next = piece.last.0.checked_add(1);
    });
    let rights = |access| if let Access::Mapped(rights) = access { rights } else { None };
    let pieces = pieces.filter_map(|piece| Some((piece.first.0, piece.last.0, rights(piece.access)?)));
    let (found, expected) = (joined(pieces), walked(kvm));
    assert!(!expected.is_empty(), "nothing is mapped");
    assert_eq!(found, expected);
    assert_eq!(next, None, "the last piece ends where all addresses do");
    // Asked anywhere, the answer lies around the address, and within the whole.
    for (first, last, rights) in &expected {
        for va in [*first, first + (last - first) / 2, *last] {
            let piece = view.at(Va(va));
            assert!(piece.first.0 <= va && va <= piece.last.0, "{va:#x}: {piece:?}");
            assert!(piece.first.0 >= *first && piece.last.0 <= *last, "{va:#x}: {piece:?}");
            assert_eq!(piece.access, Access::Mapped(Some(*rights)), "{va:#x}");
        }
    }
}

#[test]
fn of_minidumps() {
    const MACHINES: &[&Machine] = &[
        &machine::AMD64,
        &machine::ARM64,
        &machine::I386,
        &machine::I386_PAE,
        &machine::RISCV64,
        &machine::ARM,
        &machine::PPC64LE_RADIX,
    ];
    for machine in MACHINES {
        check(&Saved::new(System::on(machine).build()).open().unwrap());
    }
}

#[test]
fn of_page_tables_with_four_and_five_levels() {
    for five_levels in [false, true] {
        let full =
            Full { loaded_at: 0x260_0000, kernphys: Kernphys::Variable, five_levels, high_memory: false };
        let saved = Saved::new(System { full: Some(full), ..System::small() }.build());
        let pages = &saved.built.memory.as_ref().unwrap().pages;
        let core = saved.write("core", &ElfCore::of_pages(EM_X86_64, Endian::Little, true, pages).build());
        check(&open(Some(&saved.kernel), &core, false).unwrap());
    }
}

#[test]
fn of_real_images() {
    for image in [support::real::amd64(), support::real::arm64()].into_iter().flatten() {
        check(&open(Some(&image.kernel), &image.vmcore, true).unwrap());
    }
    support::linux::guests().iter().for_each(|guest| check(&guest.kvm));
}
