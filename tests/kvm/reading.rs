//! Memory.

use super::*;

#[test]
fn gives_the_readable_prefix_or_in_strict_mode_nothing() {
    let saved = Saved::small();
    let kvm = saved.open().unwrap();
    let (top, mut buf) = (stack_top(&saved.built), [0xaa; 32]);
    assert_eq!(kvm.read2(top - 8, &mut buf).unwrap(), 8);
    assert_eq!(buf[8..], [0xaa; 24]);
    assert_eq!(kvm.geterr(), "");
    kvm.set_strict(true);
    let text = format!("invalid address ({top:#x}): the kernel's page tables map nothing here");
    assert_eq!(error(kvm.read2(top - 8, &mut buf)), text);
    assert_eq!(kvm.geterr(), text);
    assert_eq!(kvm.read2(top - 32, &mut buf).unwrap(), 32);
    assert_eq!(kvm.geterr(), text, "kept until the next failure");
    kvm.set_strict(false);
    assert_eq!(kvm.read(usize::try_from(top - 8).unwrap(), &mut buf).unwrap(), 8);
    assert_eq!(error(kvm.read2(top, &mut buf)), text);
    assert_eq!(kvm.read2(top, &mut []).unwrap(), 0, "nothing is asked, nothing is wrong");
}

#[test]
fn crosses_pages_that_do_not_lie_side_by_side() {
    let saved = Saved::small();
    let kvm = saved.open().unwrap();
    let (start, mut stack) = (stack_top(&saved.built) - 0x4000, vec![0xaa; 0x4000]);
    assert_eq!(kvm.read2(start, &mut stack).unwrap(), stack.len());
    for (i, byte) in stack.iter().enumerate() {
        let offset = saved.built.layout.offset(start + i as u64).unwrap();
        assert_eq!(*byte, saved.built.vmcore[offset], "{i:#x}");
    }
}

#[test]
fn writing_is_refused_in_libkvms_words() {
    let saved = Saved::small();
    let kvm = saved.open().unwrap();
    let hz = usize::try_from(saved.built.facts.symbol("hz")).unwrap();
    assert_eq!(error(kvm.write(hz, &[1])), "kvm_write not implemented for dead kernels");
    assert_eq!(kvm.geterr(), "kvm_write not implemented for dead kernels");
}

#[test]
fn native_is_the_hosts_own_architecture() {
    let native = cfg!(all(target_arch = "x86_64", target_pointer_width = "64"));
    assert_eq!(Saved::small().open().unwrap().native(), native);
}
