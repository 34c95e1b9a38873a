//! Whether a kernel file belongs to an image.

use super::*;

/// Where the builder's kernel has its build id.
const BUILD_ID: u64 = 0xffff_ffff_803f_f000;

/// A good image, and a kernel file with other bytes.
fn changed(find: &[u8], by: &[u8]) -> Saved {
    let mut built = System::small().build();
    replace(&mut built.kernel, find, by);
    Saved::new(built)
}

fn verdict(saved: &Saved) -> Verdict {
    saved.open().unwrap().verdict().clone()
}

/// Refused, and opened when forced.
#[track_caller]
fn mismatch(saved: &Saved, expected: &str) {
    let found = saved.open().err().unwrap();
    assert!(matches!(found, Error::Mismatch { .. }), "{found}");
    let text = format!(
        "the kernel file does not belong to this image: {expected} (find the kernel that wrote the image, or \
         override with --force)"
    );
    assert_eq!(found.to_string(), text);
    let forced = open(Some(&saved.kernel), &saved.vmcore, true).unwrap();
    assert_eq!(forced.verdict(), &Verdict::Forced(text));
}

#[test]
fn the_right_kernel_is_verified_by_all_that_can_be_compared() {
    let Verdict::Verified(agreed) = verdict(&Saved::small()) else { panic!("not verified") };
    for what in ["the build id", "version", "osreldate", "pcb_size", "proc_off_p_pid"] {
        assert!(agreed.iter().any(|agreed| agreed == what), "{what} is not in {agreed:?}");
    }
}

#[test]
fn another_version_is_refused() {
    let other = changed(b"SYNTHETIC GENERIC", b"SYNTHETIC MINIMAL");
    mismatch(
        &other,
        "version is \"FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC MINIMAL\" in the kernel file and \
         \"FreeBSD 15.0-RELEASE releng/15.0 SYNTHETIC GENERIC\" in the image",
    );
}

#[test]
fn another_build_id_is_refused() {
    let other = changed(b"a synthetic kernel..", b"a synthetic colonel.");
    mismatch(
        &other,
        "the build id is 612073796e74686574696320636f6c6f6e656c2e in the kernel file and \
         612073796e746865746963206b65726e656c2e2e in the image",
    );
}

#[test]
fn another_machine_is_refused() {
    let mut built = System::small().build();
    put(&mut built.kernel, 18, &183u16.to_le_bytes());
    let saved = Saved::new(built);
    let found = saved.open().err().unwrap();
    assert!(matches!(found, Error::Mismatch { .. }), "{found}");
    assert!(found.to_string().contains("the machine is "), "{found}");
    assert!(found.to_string().contains(" in the kernel file and x86_64 in the image"), "{found}");
    assert!(open(Some(&saved.kernel), &saved.vmcore, true).is_ok());
}

#[test]
fn pages_of_zeros_leave_it_unverified() {
    let mut built = System::small().build();
    for va in [built.facts.symbol("version"), BUILD_ID] {
        let page = built.layout.offset(va).unwrap() / 4096 * 4096;
        built.vmcore[page..page + 4096].fill(0);
    }
    let saved = Saved::new(built);
    assert_eq!(verdict(&saved), Verdict::Unverified);
}

#[test]
fn missing_pages_leave_it_unverified_and_the_file_tells_the_offsets() {
    // The dump is cut off before the data pages, which come after those of the text.
    let mut built = System::small().build();
    let data = built.layout.offset(built.facts.symbol("version")).unwrap() / 4096 * 4096;
    let note = built.layout.offset(BUILD_ID).unwrap() / 4096 * 4096;
    built.vmcore.truncate(data.min(note));
    assert_eq!(verdict(&Saved::new(built)), Verdict::Unverified);
}

#[test]
fn a_kernel_file_of_symbols_only_leaves_it_unverified() {
    // Every section is turned into one without contents.
    const SHT_PROGBITS: u32 = 1;
    const SHT_NOTE: u32 = 7;
    let mut built = System::small().build();
    let headers = u64::from_le_bytes(built.kernel[40..48].try_into().unwrap()) as usize;
    for kind in (headers + 4..built.kernel.len()).step_by(64) {
        let old = u32::from_le_bytes(built.kernel[kind..kind + 4].try_into().unwrap());
        if matches!(old, SHT_PROGBITS | SHT_NOTE) {
            put(&mut built.kernel, kind, &8u32.to_le_bytes());
        }
    }
    let saved = Saved::new(built);
    assert_eq!(verdict(&saved), Verdict::Unverified);
    super::threads::same(&saved.open().unwrap(), &saved);
}
