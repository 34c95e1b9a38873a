//! Where the kernel lies.

use super::*;

#[test]
fn a_kernel_that_cannot_move_lies_at_2_mib() {
    for kernphys in [Kernphys::Missing, Kernphys::Absolute] {
        let built = built(NOT_MOVED, kernphys);
        let kvm = check(
            &built,
            &core(&built).build(),
            None,
            "physical 0x200000, where this kernel is always loaded",
        );
        assert!(kvm.image().warnings.is_empty(), "{:?}", kvm.image().warnings);
        assert_eq!(info(&kvm, "format"), "ELF core");
        assert_eq!(info(&kvm, "segments"), core(&built).headers.len().to_string());
        assert!(info(&kvm, "kernel file").contains("verified by the build id"));
    }
}

#[test]
fn the_dump_says_where_the_kernel_lies() {
    for at in [NOT_MOVED, MOVED] {
        let built = built(at, Kernphys::Variable);
        let dump = core(&built).with_delta(KERNBASE, at, SUPERPAGE).build();
        check(&built, &dump, None, &format!("physical {at:#x}, as the dump says"));
    }
}

#[test]
fn a_moved_kernel_is_found_by_its_page_tables() {
    for at in [NOT_MOVED, MOVED] {
        let built = built(at, Kernphys::Variable);
        let kvm = check(
            &built,
            &core(&built).build(),
            None,
            &format!("physical {at:#x}, found by its page tables"),
        );
        assert_eq!(kvm.image().warnings, [""; 0], "what is proved is not odd");
    }
}

#[test]
fn a_dump_that_says_something_wrong_is_not_believed() {
    let built = built(MOVED, Kernphys::Variable);
    for (paddr, align) in [(MOVED + SUPERPAGE, SUPERPAGE), (MOVED, 0), (0, SUPERPAGE), (u64::MAX, 0)] {
        let dump = core(&built).with_delta(KERNBASE, paddr, align).build();
        check(&built, &dump, None, &format!("physical {MOVED:#x}, found by its page tables"));
    }
}

#[test]
fn what_an_earlier_kernel_left_is_not_taken_for_this_one() {
    let built = built(MOVED, Kernphys::Variable);
    let root = word(memory(&built), physical(&built, "KPML4phys", MOVED));
    // A copy of the variable further down: the page tables map it elsewhere.
    let decoy = physical(&built, "KPML4phys", 0x60_0000);
    let dump = patched(&built, &[(decoy, root)]);
    check(&built, &dump, None, &format!("physical {MOVED:#x}, found by its page tables"));
}

#[test]
fn two_kernels_that_both_prove_themselves_are_named() {
    let built = built(MOVED, Kernphys::Variable);
    let mut memory = memory(&built).clone();
    let here = physical(&built, "KPML4phys", MOVED);
    let there = 0x360_0000;
    let copy = physical(&built, "KPML4phys", there);
    // The other kernel's tables map just the page of the variable.
    let mut tables = synth::tables::Tables::amd64(4, 0x3f0_0000, 0x3f1_0000);
    tables.map(&mut memory, built.facts.symbol("KPML4phys") & !0xfff, copy & !0xfff, 3);
    memory.write(copy, &0x3f0_0000_u64.to_le_bytes());
    assert_ne!(word(&memory, here), word(&memory, copy));
    let dump = ElfCore::of_pages(EM_X86_64, Endian::Little, true, &memory.pages).build();
    let expected = format!("physical {MOVED:#x}, found by its page tables, and others at {there:#x}");
    let kvm = check(&built, &dump, None, &expected);
    assert!(kvm.image().warnings[0].contains("there is another one at 0x3600000"));
}

#[test]
fn page_tables_that_do_not_lead_back_are_not_believed() {
    let built = built(NOT_MOVED, Kernphys::Absolute);
    let variable = physical(&built, "KPML4phys", NOT_MOVED);
    for root in [0, 0x1000, 0x300_0001, u64::MAX, 1 << 51] {
        check_lost(&built, &patched(&built, &[(variable, root)]), "KPML4phys");
    }
    let mut without = memory(&built).clone();
    without.pages.remove(&(variable & !0xfff));
    let dump = ElfCore::of_pages(EM_X86_64, Endian::Little, true, &without.pages).build();
    check_lost(&built, &dump, "KPML4phys cannot be read: physical address");
}

#[test]
fn without_a_kernel_file_physical_memory_is_served() {
    let built = built(NOT_MOVED, Kernphys::Absolute);
    let case = Case::new(&built.kernel, &core(&built).build());
    let kvm = Kvm::open_with(&case.image, Options::default()).unwrap();
    assert!(kvm.image().warnings[0].contains("without its symbol KPML4phys: give the kernel file"));
    let symbols = built.facts.symbols.clone();
    let kvm = kvm.with_resolver(std::sync::Arc::new(move |name| symbols.get(name).copied()));
    check_system(&kvm, &built);
}

#[test]
fn five_level_paging_reaches_the_direct_map() {
    let built =
        amd64(Full { loaded_at: MOVED, kernphys: Kernphys::Variable, five_levels: true, high_memory: true });
    let dump = core(&built).with_delta(KERNBASE, MOVED, SUPERPAGE).build();
    let kvm = check(&built, &dump, None, &format!("physical {MOVED:#x}, as the dump says"));
    let heap = kvm.threads().unwrap().items[0].va;
    assert_eq!(heap.0 >> 48, 0xff01, "the direct map lies where only five levels reach");

    // The twin: without a top table that proves itself nothing is mapped there.
    let top = physical(&built, "KPML5phys", MOVED);
    let dump = patched(&built, &[(top, 0x1000)]);
    let kvm = Case::new(&built.kernel, &dump).open().unwrap();
    assert!(kvm.read2(built.facts.symbol("version"), &mut [0; 8]).is_ok());
    assert!(kvm.read2(heap.0, &mut [0; 8]).unwrap_err().to_string().contains("knows no mapping"));
}
