//! Names and addresses.

use super::*;

fn list(names: &[&str]) -> Vec<Nlist> {
    names.iter().map(|name| Nlist::new(*name)).collect()
}

const N_EXT: u8 = 1;
const N_ABS: u8 = 2;
const N_TEXT: u8 = 4;
const N_DATA: u8 = 6;
const N_BSS: u8 = 8;

#[test]
fn nlist_finds_addresses_and_types_and_counts_the_rest() {
    find_names(&System::small());
}

#[test]
fn a_kernel_files_hash_table_finds_the_same() {
    let hashed = System { hashed: true, more_functions: 3000, ..System::small() };
    find_names(&hashed);
    let saved = Saved::new(hashed.build());
    let kvm = saved.open().unwrap();
    for (name, address) in &saved.built.facts.symbols {
        assert_eq!(kvm.symbols().address(name).map(|va| va.0), Some(*address), "{name}");
    }
}

#[test]
fn a_broken_hash_table_is_passed_over() {
    let mut built = System { hashed: true, ..System::small() }.build();
    let symbols = built.facts.symbols.len() as u32 + 1;
    let buckets = symbols.div_ceil(2);
    let head = [buckets.to_le_bytes(), symbols.to_le_bytes()].concat();
    let at = built.kernel.windows(8).position(|bytes| bytes == head).unwrap();
    let words = built.kernel[at + 8..][..(symbols + buckets) as usize * 4].chunks_exact_mut(4);
    words.for_each(|word| word.copy_from_slice(&[7, 0, 0, 0])); // every chain goes round and round
    find_names_in(&Saved::new(built));
}

fn find_names(system: &System) {
    find_names_in(&Saved::new(system.build()));
}

fn find_names_in(saved: &Saved) {
    let kvm = saved.open().unwrap();
    let rows = [
        ("panic", "panic", N_TEXT | N_EXT),
        ("_panic", "panic", N_TEXT | N_EXT),  // as a.out wrote it
        ("_sleep", "_sleep", N_TEXT | N_EXT), // an underscore of its own
        ("__sleep", "_sleep", N_TEXT | N_EXT),
        ("osreldate", "osreldate", N_DATA | N_EXT),
        ("hz", "hz", N_BSS | N_EXT),
        ("kernbase", "kernbase", N_ABS | N_EXT),
    ];
    let mut names = list(&rows.map(|(name, ..)| name));
    names.extend(list(&["__panic", "nonsense", "", "panic"]));
    assert_eq!(kvm.nlist2(&mut names).unwrap(), 2);
    for ((name, real, n_type), entry) in rows.iter().zip(&names) {
        let address = saved.built.facts.symbol(real);
        assert_eq!((entry.n_value, entry.n_type), (address, *n_type), "{name}");
    }
    let [.., unknown, nonsense, end, after] = names.as_slice() else { panic!("too few") };
    for entry in [unknown, nonsense, end, after] {
        assert_eq!((entry.n_value, entry.n_type), (0, 0), "{}", entry.n_name);
    }
    assert_eq!(kvm.geterr(), "");
}

#[test]
fn nlist_is_nlist2_for_a_native_image() {
    let kvm = Saved::small().open().unwrap();
    let (mut one, mut two) = (list(&["_nprocs", "nonsense"]), list(&["_nprocs", "nonsense"]));
    assert_eq!(kvm.nlist2(&mut two).unwrap(), 1);
    if kvm.native() {
        assert_eq!(kvm.nlist(&mut one).unwrap(), 1);
        assert_eq!(one, two);
    } else {
        assert_eq!(error(kvm.nlist(&mut one)), "kvm_nlist of non-native vmcore");
    }
}

#[test]
fn nothing_is_unresolved_in_an_empty_list() {
    let kvm = Saved::small().open().unwrap();
    assert_eq!(kvm.nlist2(&mut []).unwrap(), 0);
    assert_eq!(kvm.nlist2(&mut list(&[""])).unwrap(), 0);
}

#[test]
fn what_a_resolver_finds_is_external_data() {
    let saved = Saved::small();
    let resolver: kgdbserver::symbols::Resolver = Arc::new(|name| (name == "panic").then_some(42));
    let kvm = Kvm::open2(None, Some(&saved.vmcore), libc::O_RDONLY, resolver).unwrap();
    let mut names = list(&["_panic", "hz"]);
    assert_eq!(kvm.nlist2(&mut names).unwrap(), 1);
    assert_eq!((names[0].n_value, names[0].n_type), (42, N_DATA | N_EXT));
}

#[test]
fn the_nearest_symbol_is_found_by_address() {
    let saved = Saved::small();
    let kvm = saved.open().unwrap();
    let panic = saved.built.facts.symbol("panic");
    let at = |va| kvm.symbol_at(Va(va)).map(|(symbol, distance)| (symbol.name, distance));
    assert_eq!(at(panic), Some(("panic".into(), 0)));
    assert_eq!(at(panic + 0x43), Some(("panic".into(), 0x43)));
    assert_eq!(at(panic - 1).map(|(name, _)| name), Some("nmi_calltrap".into()));
    assert_eq!(at(0x1000), None);
    assert_eq!(at(u64::MAX), None);
}
