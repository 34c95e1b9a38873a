//! The page walk.

use super::*;

#[test]
fn a_page_names_its_own_address() {
    let built = built(MOVED, Kernphys::Variable);
    let mut memory = memory(&built).clone();
    for pa in [0x5000, 0x9e000, 0x3ff_f000] {
        memory.name_page(pa);
    }
    let dump = ElfCore::of_pages(EM_X86_64, Endian::Little, true, &memory.pages).build();
    let kvm = Case::new(&built.kernel, &dump).open().unwrap();
    let dmap = 0xffff_f800_0000_0000;
    for pa in [0x5000_u64, 0x9e000, 0x3ff_f000] {
        let mut page = vec![0; 4096];
        assert_eq!(kvm.read2(dmap + pa, &mut page).unwrap(), 4096);
        assert_eq!(page[4088..], (pa + 4088).to_le_bytes(), "{pa:#x}");
    }
    // The hole of the VGA memory is mapped by the direct map, and is not in the image.
    let error = kvm.read2(dmap + 0xa_0000, &mut [0; 8]).unwrap_err();
    assert!(error.to_string().contains("physical address 0xa0000 is not in the image"), "{error}");
}

/// All pages: how many rows, and that no mapping is reported twice.
fn walk(kvm: &Kvm) -> (Vec<Page>, bool) {
    let mut rows = Vec::new();
    let ended = kvm.walk_pages(|page| {
        rows.push(*page);
        true
    });
    let mut seen = HashSet::new();
    assert!(rows.iter().all(|row| seen.insert((row.kmap_vaddr, row.paddr))), "a page twice");
    (rows, ended)
}

#[test]
fn every_mapped_page_is_walked_once() {
    let mut built = built(MOVED, Kernphys::Variable);
    // The direct map's large pages go, so that the rows are few; one small mapping takes their place.
    let memory = built.memory.as_mut().unwrap();
    let root = word(memory, 0x300_0000 + 0x1fb * 8);
    assert_eq!(root, 0, "the kernel map is not the direct map");
    memory.write(0x300_0000 + 0x1f0 * 8, &[0; 8]);
    memory.name_page(0x9000);
    memory.pages.remove(&0x260_0000);
    let dump = core(&built).with_delta(KERNBASE, MOVED, SUPERPAGE).build();
    let kvm = Case::new(&built.kernel, &dump).open().unwrap();
    let started = std::time::Instant::now();
    let (rows, ended) = walk(&kvm);
    assert!(ended && started.elapsed().as_secs() < 20);
    let mapped: Vec<&Page> = rows.iter().filter(|row| row.kmap_vaddr.is_some()).collect();
    assert!(mapped.is_sorted_by_key(|row| row.kmap_vaddr));
    let stacks = 4 * built.facts.threads.len();
    assert!(mapped.len() >= 2 * 512 + stacks, "{} rows", mapped.len());
    for row in &mapped {
        let place = kvm.space().translate(row.kmap_vaddr.unwrap()).unwrap();
        assert_eq!((place.at, place.rights), (kgdbserver::image::Addr::Phys(row.paddr), row.rights));
    }
    let at = |va: u64| **mapped.iter().find(|row| row.kmap_vaddr == Some(Va(va))).unwrap();
    assert_eq!(at(KERNBASE + SUPERPAGE).offset, None, "mapped, and not in the image");
    let version = built.facts.symbol("version");
    let row = at(version & !0xfff);
    let offset = usize::try_from(row.offset.unwrap() + version % 4096).unwrap();
    assert_eq!(&dump[offset..offset + 7], b"FreeBSD");
    let unmapped = rows.iter().find(|row| row.paddr == Pa(0x9000)).unwrap();
    assert_eq!((unmapped.kmap_vaddr, unmapped.rights), (None, None));
    let mut pages = built.memory.as_ref().unwrap().pages.keys();
    assert!(pages.all(|pa| rows.iter().any(|row| row.paddr.0 == *pa)), "every page has a row");
}

#[test]
fn a_wide_direct_map_is_walked_too() {
    let built =
        amd64(Full { loaded_at: MOVED, kernphys: Kernphys::Variable, five_levels: true, high_memory: true });
    let kvm = Case::new(&built.kernel, &core(&built).build()).open().unwrap();
    let mut first = None;
    assert!(!kvm.walk_pages(|page| {
        first = Some(*page);
        false
    }));
    let first = first.unwrap();
    assert_eq!((first.kmap_vaddr, first.paddr), (Some(Va(0xff01_0000_0000_0000)), Pa(0)));
}

#[test]
fn page_tables_in_a_circle_end_no_later_than_the_caller_wants() {
    let built = built(NOT_MOVED, Kernphys::Absolute);
    // An entry of the top table leads back to it: what FreeBSD's recursive map is, at another place.
    let dump = patched(&built, &[(0x300_0000 + 256 * 8, 0x300_0003)]);
    let kvm = Case::new(&built.kernel, &dump).open().unwrap();
    let mut rows = 0;
    kvm.walk_pages(|_| {
        rows += 1;
        rows < 100
    });
    assert_eq!(rows, 100);
    check_system(&kvm, &built);
}
