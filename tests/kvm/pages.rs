//! The page walk.

use super::*;

fn walk(kvm: &Kvm) -> Vec<Page> {
    let mut pages = Vec::new();
    assert!(kvm.walk_pages(|page| {
        pages.push(*page);
        true
    }));
    pages
}

#[test]
fn every_mapping_once_then_every_dumped_page_that_is_not_mapped() {
    for version in 1..=3 {
        let saved = Saved::new(System { dump_version: version, ..System::small() }.build());
        let kvm = saved.open().unwrap();
        let pages = walk(&kvm);
        let mapped: Vec<&Page> = pages.iter().take_while(|page| page.kmap_vaddr.is_some()).collect();
        // Text and data lie in pages of 2 MiB; each thread with frames has a stack of four.
        let stacks = saved.built.facts.threads.iter().filter(|thread| !thread.registers.is_empty());
        assert_eq!(mapped.len(), 2 * 512 + stacks.count() * 4, "v{version}");
        assert!(mapped.is_sorted_by(|one, other| one.kmap_vaddr < other.kmap_vaddr));
        let rest = &pages[mapped.len()..];
        assert!(rest.iter().all(|page| page.kmap_vaddr.is_none() && page.rights.is_none()));
        // Together they are the dumped pages, each once, and the mapped ones that were not dumped.
        let held: Vec<u64> =
            pages.iter().filter(|page| page.offset.is_some()).map(|page| page.paddr.0).collect();
        let unique: HashSet<u64> = held.iter().copied().collect();
        assert_eq!(held.len(), unique.len(), "v{version}: a page twice");
        assert_eq!(unique, saved.built.layout.pages.keys().copied().collect(), "v{version}");
    }
}

#[test]
fn a_page_says_where_it_is_and_what_it_allows() {
    let saved = Saved::small();
    let kvm = saved.open().unwrap();
    for page in walk(&kvm) {
        let offset = saved.built.layout.pages.get(&page.paddr.0).map(|offset| *offset as u64);
        assert_eq!(page.offset, offset, "{page:?}");
        assert_eq!(page.dmap_vaddr.unwrap().0, 0xffff_f800_0000_0000 + page.paddr.0);
        assert_eq!(page.len, 4096);
        if let Some(va) = page.kmap_vaddr {
            assert_eq!(saved.built.layout.physical(va.0), Some(page.paddr.0));
            let rights = page.rights.unwrap();
            let text = (0xffff_ffff_8020_0000..0xffff_ffff_8040_0000).contains(&va.0);
            assert_eq!((rights.write, rights.execute), (!text, text), "{page:?}");
        }
    }
}

#[test]
fn a_walk_ends_when_it_is_told_to() {
    let kvm = Saved::small().open().unwrap();
    let all = walk(&kvm).len();
    for limit in [1, 10, all] {
        let mut seen = 0;
        let whole = kvm.walk_pages(|_| {
            seen += 1;
            seen < limit
        });
        assert_eq!((whole, seen), (false, limit));
    }
}
