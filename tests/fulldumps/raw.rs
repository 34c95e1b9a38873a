//! Raw memory.

use super::*;

#[test]
fn raw_memory_is_recognised_by_the_kernel_in_it() {
    for (at, kernphys, how) in [
        (NOT_MOVED, Kernphys::Absolute, "where this kernel is always loaded"),
        (NOT_MOVED, Kernphys::Variable, "found by its page tables"),
        (MOVED, Kernphys::Variable, "found by its page tables"),
    ] {
        let built = low(at, kernphys);
        let raw = synth::tables::raw(memory(&built));
        for flag in [None, Some("0"), Some("0:64M")] {
            let kvm = check(&built, &raw, flag, &format!("physical {at:#x}, {how}"));
            assert_eq!(info(&kvm, "format"), "raw memory");
            assert_eq!(info(&kvm, "pages"), format!("{} of 4096 bytes", raw.len() / 4096));
        }
    }
}

/// A system whose memory ends at 64 MiB.
fn low(loaded_at: u64, kernphys: Kernphys) -> Built {
    amd64(Full { loaded_at, kernphys, five_levels: false, high_memory: false })
}

#[test]
fn raw_memory_without_a_kernel_is_an_unknown_format() {
    let built = low(MOVED, Kernphys::Variable);
    let mut broken = memory(&built).clone();
    broken.write(physical(&built, "KPML4phys", MOVED), &[0; 8]);
    let raw = synth::tables::raw(&broken);
    let case = Case::new(&built.kernel, &raw);
    let error = case.open().err().unwrap();
    assert!(matches!(&error, Error::UnknownFormat { .. }), "{error}");
    assert!(error.to_string().contains("raw memory: the kernel's page tables were not found"), "{error}");
    // Told that it is raw memory, it serves what there is.
    let kvm = case.open_as(Some("0")).unwrap();
    assert_eq!(info(&kvm, "kernel at"), "not found: only physical memory can be read");
    assert!(kvm.image().memory.locate(Pa(0x20_0000)).is_ok());
    // Without a kernel file nothing is guessed.
    let error = Kvm::open_with(&case.image, Options::default()).err().unwrap();
    assert!(matches!(error, Error::UnknownFormat { .. }), "{error}");
}

#[test]
fn a_vkernels_memory_image_says_what_it_lacks() {
    let built = low(MOVED, Kernphys::Variable);
    let raw = synth::tables::raw(memory(&built));
    let variable =
        |name: &str, address| Symbol { name: name.into(), address, size: 8, kind: 1, section: None };
    let mut vkernel = Elf::amd64();
    vkernel.symbols = vec![variable("KPML4phys", 0x81_0000), variable("MemImageFd", 0x81_0008)];
    let case = Case::new(&vkernel.build(), &raw);
    let reason = "the kernel file is a vkernel, whose variables are in the process that ran it";
    let error = case.open().err().unwrap();
    assert!(matches!(&error, Error::UnknownFormat { .. }), "{error}");
    assert!(error.to_string().contains(reason), "{error}");
    let kvm = case.open_as(Some("0")).unwrap();
    assert!(kvm.located().unwrap().unwrap_err().to_string().contains(reason));
    assert!(kvm.image().memory.locate(Pa(0x20_0000)).is_ok(), "physical memory is served");
    // The same image with a kernel that is no vkernel is searched.
    vkernel.symbols.truncate(1);
    let error = Case::new(&vkernel.build(), &raw).open().err().unwrap();
    assert!(error.to_string().contains("page tables"), "{error}");
}

#[test]
fn raw_memory_with_a_hole_is_put_in_its_place() {
    let built = built(MOVED, Kernphys::Variable);
    let split = |from: u64, to: u64| {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        for (pa, page) in memory(&built).pages.range(from..to) {
            synth::put(&mut bytes, usize::try_from(pa - from).unwrap(), page);
        }
        bytes
    };
    let raw = [split(0, 64 << 20), split(1 << 32, (1 << 32) + (16 << 20))].concat();
    let expected = format!("physical {MOVED:#x}, found by its page tables");
    for layout in ["0:64M,4G", "4G:16M@64M,0:0x4000000@0", "0,4G@64M"] {
        check(&built, &raw, Some(layout), &expected);
    }
    // Twin: with the upper part elsewhere, what lies there is not in the image.
    let kvm = Case::new(&built.kernel, &raw).open_as(Some("0:64M,5G")).unwrap();
    let rsp = built.facts.threads.iter().find_map(|thread| thread.register("rsp")).unwrap();
    let error = kvm.read2(rsp, &mut [0; 8]).unwrap_err().to_string();
    assert!(error.contains("page tables") || error.contains("not in the image"), "{error}");
    let short = Case::new(&built.kernel, &raw[..raw.len() - 4096]).open_as(Some("0:64M,4G:16M")).unwrap();
    assert!(short.image().warnings.iter().any(|text| text.contains("cut off: 1 of 20480 pages")));
}

#[test]
fn ranges_that_cannot_be_are_refused() {
    let built = low(NOT_MOVED, Kernphys::Absolute);
    let case = Case::new(&built.kernel, &synth::tables::raw(memory(&built)));
    for (layout, text) in
        [("0:8M,4M:8M", "lies in another one"), ("0,4G", "needs a length"), ("0@1T", "is empty")]
    {
        let error = case.open_as(Some(layout)).err().unwrap().to_string();
        assert!(error.contains(text), "{layout}: {error}");
    }
}
