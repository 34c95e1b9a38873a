//! Segments of ELF cores.

use super::*;

/// What a broken ELF core is answered with.
fn refused(core: &ElfCore, kernel: &[u8]) -> String {
    Case::new(kernel, &core.build()).open().err().unwrap().to_string()
}

#[test]
fn a_segment_that_cannot_be_is_refused_by_its_number() {
    let built = built(NOT_MOVED, Kernphys::Absolute);
    let good = core(&built);
    let broken = |change: &dyn Fn(&mut ProgramHeader)| {
        let mut core = good.clone();
        change(&mut core.headers[1]);
        refused(&core, &built.kernel)
    };
    // Case 18: a negative offset.
    let error = broken(&|header| header.offset = Some(u64::MAX - 4095));
    assert!(error.contains("segment 1 lies where no file reaches"), "{error}");
    let error = broken(&|header| header.paddr = u64::MAX - 4094);
    assert!(error.contains("segment 1 goes beyond the end of the address space"), "{error}");
    let mut empty = good.clone();
    empty.headers.iter_mut().for_each(|header| header.filesz = Some(0));
    assert!(refused(&empty, &built.kernel).contains("no segment holds memory"));
    let mut unknown = good.clone();
    unknown.machine = 0xfeed;
    assert!(refused(&unknown, &built.kernel).contains("a machine that this build does not know"));
    let mut far = good.build();
    synth::put(&mut far, 32, &u64::MAX.to_le_bytes());
    let error = Case::new(&built.kernel, &far).open().err().unwrap().to_string();
    assert!(error.contains("the program headers do not lie in the file"), "{error}");
    let mut narrow = good.build();
    synth::put(&mut narrow, 54, &[32]);
    let error = Case::new(&built.kernel, &narrow).open().err().unwrap().to_string();
    assert!(error.contains("program headers of 32 bytes"), "{error}");
}

#[test]
fn memory_that_the_file_lacks_is_not_zeros() {
    let built = built(NOT_MOVED, Kernphys::Absolute);
    let mut core = core(&built);
    // Case 17: more memory than bytes, and absurdly so.
    core.headers
        .push(ProgramHeader { memsz: Some(u64::MAX), ..ProgramHeader::load(0x1_8000_0000, &[7; 4096]) });
    core.headers
        .push(ProgramHeader { filesz: Some(0x1_0000), ..ProgramHeader::load(0x1_9000_0000, &[7; 4096]) });
    let kvm = check(&built, &core.build(), None, "physical 0x200000, where this kernel is always loaded");
    let read = |pa| kvm.image().memory.locate(Pa(pa)).map_err(kgdbserver::describe);
    assert!(read(0x1_8000_0fff).is_ok());
    assert_eq!(read(0x1_8000_1000).unwrap_err(), "physical address 0x180001000 is not in the image");
    assert_eq!(read(0x1_9000_1000).unwrap_err(), "physical address 0x190001000 is not in the image");
}

#[test]
fn a_file_cut_off_says_how_much_is_missing() {
    let built = built(NOT_MOVED, Kernphys::Absolute);
    let dump = core(&built).build();
    let kvm = Case::new(&built.kernel, &dump[..dump.len() - 3 * 4096 - 1]).open().unwrap();
    assert_eq!(kvm.census().cut_off, 4);
    let pages = memory(&built).pages.len();
    assert_eq!(kvm.image().warnings, [format!("the file is cut off: 4 of {pages} pages are missing")]);
    let last = *memory(&built).pages.last_key_value().unwrap().0;
    let why = kvm.image().memory.locate(Pa(last)).unwrap_err();
    assert!(kgdbserver::describe(why).contains("cut off before it"));
}

#[test]
fn program_headers_stand_anywhere_and_in_any_number() {
    let built = built(NOT_MOVED, Kernphys::Absolute);
    let how = "physical 0x200000, where this kernel is always loaded";
    let mut core = core(&built);
    core.headers_at = Some(192);
    check(&built, &core.build(), None, how);
    core.many = true;
    check(&built, &core.build(), None, how);
    // 100000 segments of 16 bytes each, in reverse order.
    let far = |i: u64| ProgramHeader {
        filesz: Some(16),
        memsz: Some(16),
        offset: Some(i % 64),
        paddr: (1 << 40) - i * 32,
        kind: elfcore::PT_LOAD,
        ..ProgramHeader::default()
    };
    core.headers.extend((0..100_000).map(far));
    let kvm = check(&built, &core.build(), None, how);
    assert!(info(&kvm, "segments").parse::<usize>().unwrap() > 100_000);
    // Twin: the count is nowhere.
    let mut file = core.build();
    synth::put(&mut file, 40, &[0; 8]);
    let error = Case::new(&built.kernel, &file).open().err().unwrap().to_string();
    assert!(error.contains("the number of program headers"), "{error}");
}

#[test]
fn the_first_of_overlapping_segments_counts() {
    let built = built(NOT_MOVED, Kernphys::Absolute);
    let mut core = core(&built);
    let version = physical(&built, "version", NOT_MOVED) & !0xfff;
    let other = ProgramHeader::load(version, &[0xee; 4096]);
    core.headers.push(other);
    check(&built, &core.build(), None, "physical 0x200000, where this kernel is always loaded");
    core.headers.rotate_right(1);
    let error = Case::new(&built.kernel, &core.build()).open().err().unwrap();
    assert!(matches!(error, Error::Mismatch { .. }), "{error}");
}

#[test]
fn a_segment_of_more_than_2_gib_is_read_in_one_piece() {
    // Case 24: the run of bytes does not fit 31 bits.
    let built = built(NOT_MOVED, Kernphys::Absolute);
    let mut core = core(&built);
    let at = core.build().len() as u64;
    core.headers.push(ProgramHeader {
        kind: elfcore::PT_LOAD,
        paddr: 1 << 40,
        offset: Some(at),
        filesz: Some(3 << 30),
        memsz: Some(3 << 30),
        ..ProgramHeader::default()
    });
    let case = Case::new(&built.kernel, &core.build());
    grow(&case.image, at + (3 << 30));
    let kvm = case.open().unwrap();
    let mut bytes = vec![1; 8192];
    let read = |pa, bytes: &mut [u8]| kvm.image().memory.read(kgdbserver::image::Addr::Phys(Pa(pa)), bytes);
    assert_eq!(read((1 << 40) + (2 << 30) + 5, &mut bytes), Ok(8192));
    assert_eq!(read((1 << 40) + (3 << 30) - 5, &mut bytes), Ok(5));
}
