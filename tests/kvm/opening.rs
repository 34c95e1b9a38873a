//! What an image is opened with.

use super::*;

#[test]
fn by_every_door() {
    let saved = Saved::small();
    let (kernel, vmcore) = (Some(saved.kernel.as_path()), Some(saved.vmcore.as_path()));
    let hz = saved.built.facts.symbol("hz");
    let resolver: kgdbserver::symbols::Resolver = Arc::new(move |name| (name == "hz").then_some(hz));
    for kvm in [
        Kvm::open(kernel, vmcore, None, libc::O_RDONLY, Some("test")),
        Kvm::openfiles(kernel, vmcore, None, libc::O_RDWR),
        Kvm::open2(None, vmcore, libc::O_RDONLY, resolver.clone()),
        Kvm::open2(kernel, vmcore, libc::O_RDONLY, resolver.clone()),
    ] {
        let kvm = kvm.unwrap();
        let mut value = [0; 4];
        assert_eq!(kvm.read2(hz, &mut value).unwrap(), 4);
        assert_eq!(u32::from_le_bytes(value), 100);
        assert_eq!(kvm.symbols().address("hz"), Some(Va(hz)));
        assert_eq!(kvm.geterr(), "");
        kvm.close().unwrap();
    }
}

#[test]
fn with_flags_that_are_no_access_mode() {
    let saved = Saved::small();
    let vmcore = Some(saved.vmcore.as_path());
    for flags in [libc::O_CREAT, libc::O_RDONLY | libc::O_EXCL, -1] {
        assert_eq!(error(Kvm::openfiles(None, vmcore, None, flags)), "bad flags arg");
    }
}

#[test]
fn without_an_image_is_the_running_kernel_or_why_it_is_denied() {
    match Kvm::openfiles(None, None, None, libc::O_RDONLY) {
        Ok(kvm) => assert!(kvm.is_live()),
        Err(error @ Error::Denied { .. }) => {
            let text = error.to_string();
            assert!(text.starts_with("/proc/kcore: ") || text.starts_with("/dev/mem: "), "{text}");
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_resolver_comes_before_the_file_and_no_file_is_needed_for_threads() {
    let saved = Saved::small();
    let symbols = saved.built.facts.symbols.clone();
    let kvm = Kvm::open2(
        None,
        Some(&saved.vmcore),
        libc::O_RDONLY,
        Arc::new(move |name| symbols.get(name).copied()),
    )
    .unwrap();
    assert_eq!(kvm.verdict(), &Verdict::Unverified);
    super::threads::same(&kvm, &saved);
    let lying = Kvm::open2(
        Some(&saved.kernel),
        Some(&saved.vmcore),
        libc::O_RDONLY,
        Arc::new(|name| (name == "hz").then_some(0x1234)),
    );
    let lying = lying.unwrap();
    assert_eq!(lying.symbols().address("hz"), Some(Va(0x1234)));
    assert_eq!(lying.symbols().address("allproc"), saved.built.facts.symbols.get("allproc").copied().map(Va));
}

#[test]
fn without_any_names_memory_is_served_all_the_same() {
    let saved = Saved::small();
    let kvm = open(None, &saved.vmcore, false).unwrap();
    let mut bytes = [0; 4];
    kvm.read2(saved.built.facts.symbol("panic"), &mut bytes).unwrap();
    assert_eq!(bytes, [0x55, 0x48, 0x89, 0xe5]);
    assert_eq!(error(kvm.threads()), "no kernel file was given, so processes and threads cannot be found");
}

#[test]
fn handles_are_independent() {
    let (one, two) = (Saved::small(), Saved::new(System::demo().build()));
    let (first, second) = (one.open().unwrap(), two.open().unwrap());
    assert!(first.read2(0, &mut [0]).is_err());
    assert_ne!(first.geterr(), "");
    assert_eq!(second.geterr(), "");
    assert_ne!(first.threads().unwrap().items.len(), second.threads().unwrap().items.len());
}
