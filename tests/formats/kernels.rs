//! Kernel files that are broken.

use super::*;

/// Opens a good image with a kernel file whose section header of `section` has another value in one of its fields.
fn with_kernel(section: &str, field: usize, value: u64) -> Result<Kvm> {
    let mut built = System::small().build();
    let at = section_header(&built.kernel, section) + field;
    let bytes = if matches!(field, 16 | 24 | 32 | 56) { 8 } else { 4 };
    put(&mut built.kernel, at, &value.to_le_bytes()[..bytes]);
    support::Saved::new(built).open()
}

/// The offset of a section's header: the sections of the builder's kernel have a fixed order.
fn section_header(kernel: &[u8], section: &str) -> usize {
    let order = ["", ".text", ".data", ".bss", ".note.gnu.build-id", ".symtab", ".strtab", ".shstrtab"];
    let headers = u64::from_le_bytes(kernel[40..48].try_into().unwrap()) as usize;
    headers + 64 * order.iter().position(|name| *name == section).unwrap()
}

const SH_OFFSET: usize = 24;

const SH_SIZE: usize = 32;

const SH_LINK: usize = 40;

const SH_ENTSIZE: usize = 56;

#[test]
fn case_15_and_16_broken_symbol_tables() {
    let outside = "the symbol table does not lie in the file";
    for (section, field, value, expected) in [
        (".symtab", SH_ENTSIZE, 0, "symbols of 0 bytes"),
        (".symtab", SH_ENTSIZE, 23, "symbols of 23 bytes"),
        (".symtab", SH_LINK, 0xffff_ffff, "the symbol table has no names"),
        (".symtab", SH_SIZE, u64::MAX, outside),
        (".symtab", SH_OFFSET, u64::MAX - 8, outside),
        (".strtab", SH_OFFSET, 1 << 40, outside),
        (".strtab", SH_SIZE, u64::MAX, outside),
    ] {
        let error = with_kernel(section, field, value).err().map(|error| error.to_string());
        let error = error.unwrap_or_else(|| panic!("{section}: {expected}: was opened"));
        assert!(error.starts_with("corrupt ELF kernel file at byte "), "{error}");
        assert!(error.ends_with(expected), "{error}");
    }
}

#[test]
fn case_16_names_that_do_not_lie_among_the_names() {
    let mut built = System::small().build();
    let header = section_header(&built.kernel, ".symtab");
    let symtab = u64::from_le_bytes(built.kernel[header + 24..header + 32].try_into().unwrap()) as usize;
    put(&mut built.kernel, symtab + 24, &u32::MAX.to_le_bytes()); // the first symbol is kernbase
    let hz = built.facts.symbol("hz");
    let saved = support::Saved::new(built);
    let kvm = saved.open().unwrap();
    let names = kvm.symbols();
    assert_eq!(names.address("kernbase"), None);
    assert_eq!(names.address("hz"), Some(Va(hz)));
    for _ in 0..10 {
        assert_eq!(names.address("no_such_name"), None); // the index, built after some look-ups, survives it too
    }
    assert_eq!(names.by_address(Va(hz + 1)).unwrap().0.name, "hz");
}

#[test]
fn kernels_that_are_not() {
    let saved = support::Saved::small();
    let mut relocatable = saved.built.kernel.clone();
    relocatable[16] = 1;
    let mut cut = saved.built.kernel.clone();
    cut.truncate(100);
    for (name, contents, expected) in [
        ("text", b"Dear diary,\n".to_vec(), "kernel is not an ELF file"),
        ("object", relocatable, "an ELF file of type 1, not a kernel"),
        ("cut", cut, "the section headers do not lie in the file"),
        ("short", b"\x7fELF".to_vec(), "corrupt ELF kernel file"),
    ] {
        let path = saved.write(name, &contents);
        let error = open(Some(&path), &saved.vmcore, false).err().expect(name).to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
    let error = open(Some(&saved.path("nowhere")), &saved.vmcore, false).err().unwrap().to_string();
    assert!(error.ends_with("nowhere: No such file or directory (os error 2)"), "{error}");
}
