use super::synth::elfcore::{EM_386, EM_AARCH64, EM_PPC64, EM_X86_64, ElfCore, PT_NOTE, ProgramHeader};
use super::synth::{Endian, put};
use super::*;

const KERNEL: u64 = 0xffff_ffff_8100_0000;

fn load(vaddr: u64, paddr: u64, text: &str) -> ProgramHeader {
    ProgramHeader { vaddr, ..ProgramHeader::load(paddr, &pages(text)) }
}

fn core(headers: &[ProgramHeader]) -> ElfCore {
    ElfCore::linux(EM_X86_64, Endian::Little, headers.to_vec())
}

fn note() -> ProgramHeader {
    ProgramHeader { kind: PT_NOTE, bytes: b"notes".to_vec(), memsz: Some(0), ..ProgramHeader::default() }
}

#[test]
fn the_capture_kernels_core_is_read_where_its_first_segment_says() {
    // The kernel's text, and the same memory once more among all the rest.
    let image = open(
        &core(&[
            note(),
            load(KERNEL, 0x1000_0000, "text"),
            ProgramHeader::load(0xfff_f000, &[pages("before"), pages("hidden")].concat()),
        ])
        .build(),
    )
    .unwrap();
    assert_eq!(read(&image, 0x1000_0000), "text");
    assert_eq!(read(&image, 0xfff_f000), "before");
    assert_eq!(read(&image, 0x1000_1ffc), "end.");
    assert_eq!(read(&image, 0x1000_2000 + 0xffc), "end.");
    assert_eq!(read(&image, 0x1000_3000), absent(0x1000_3000));
    assert_eq!(image.memory.census().dumped, 4);
    let [range] = &image.plain.as_ref().unwrap().notes[..] else { panic!("one note segment") };
    let mut bytes = [0; 5];
    assert_eq!(image.memory.read(Addr::File(range.start), &mut bytes), Ok(5));
    assert_eq!((&bytes, range.end - range.start), (b"notes", 5));
}

#[test]
fn qemus_core_is_read_wherever_its_headers_stand() {
    // With paging, several segments show one place of the file; virtual addresses are the current process's.
    let core =
        core(&[note(), load(0xffff_8880_0000_0000, 0, "low"), load(0x40_0000, 0xfffc_0000, "firmware")]);
    let device = ProgramHeader {
        offset: Some(u64::MAX),
        filesz: Some(0),
        memsz: Some(0x1000),
        ..ProgramHeader::load(0xfd00_0000, &[])
    };
    for mut core in [core.clone(), core.clone().qemu(), ElfCore { many: true, ..core }] {
        core.headers.push(device.clone());
        let image = open(&core.build()).unwrap();
        assert_eq!(image.warnings, [""; 0]);
        assert_eq!(read(&image, 0), "low");
        assert_eq!(read(&image, 0xfffc_0000), "firmware");
        assert_eq!(read(&image, 0xfd00_0000), absent(0xfd00_0000));
        assert_eq!(image.plain.as_ref().unwrap().segments, 2);
    }
}

#[test]
fn a_number_of_headers_that_no_dump_has_is_refused() {
    let mut file = ElfCore { many: true, ..core(&[load(KERNEL, 0, "")]) }.build();
    let count = file.len() - 64 + 44;
    for (number, why) in [(1 << 22, "do not lie in the file"), (1 << 22 | 1, "4194305 program headers")] {
        put(&mut file, count, &u32::to_le_bytes(number));
        assert!(refused(&file).contains(why), "{}", refused(&file));
    }
}

#[test]
fn pages_that_makedumpfile_left_out_say_so() {
    let filtered = ProgramHeader { memsz: Some(0x10_0000), ..load(KERNEL, 0x10_0000, "kept") };
    let nothing_kept = ProgramHeader { memsz: Some(0x1000), ..ProgramHeader::load(0x20_0000, &[]) };
    let also_here = load(0, 0x14_0000, "elsewhere");
    let whole = core(&[filtered, nothing_kept, also_here]);
    let image = open(&whole.build()).unwrap();
    assert_eq!(read(&image, 0x10_0000), "kept");
    assert_eq!(read(&image, 0x14_0000), "elsewhere");
    for pa in [0x10_2000, 0x13_ffff, 0x14_2000, 0x1f_ffff, 0x20_0fff] {
        assert_eq!(read(&image, pa), left_out(pa));
        assert_eq!(image.memory.locate(Pa(pa)).map_err(describe), Err(left_out(pa)));
    }
    assert_eq!((read(&image, 0xf_ffff), read(&image, 0x20_1000)), (absent(0xf_ffff), absent(0x20_1000)));
    assert_eq!((image.memory.census().dumped, image.memory.pages().count()), (4, 4));
    // FreeBSD leaves nothing out.
    let image = open(&ElfCore { brand: 255, ..whole }.build()).unwrap();
    assert_eq!((read(&image, 0x10_0000), read(&image, 0x10_2000)), ("kept".into(), absent(0x10_2000)));
}

#[test]
fn what_is_left_out_beyond_all_memory_is_nowhere() {
    let mut headers = vec![load(KERNEL, 0x10_0000, "kept")];
    for (paddr, memsz) in [(u64::MAX - 0x1fff, u64::MAX), (1 << 63, u64::MAX), (0x20_0000, 0)] {
        headers.push(ProgramHeader { memsz: Some(memsz), ..ProgramHeader::load(paddr, &[]) });
    }
    let image = open(&core(&headers).build()).unwrap();
    for pa in [0x20_0000, 1 << 63, u64::MAX - 1, u64::MAX] {
        assert_eq!(read(&image, pa), absent(pa));
    }
}

#[test]
fn segments_without_a_physical_address_are_passed_over() {
    // A copy of /proc/kcore: vmalloc's area and the modules have none.
    let nowhere = load(0xffff_c900_0000_0000, u64::MAX, "vmalloc");
    let image = open(&core(&[nowhere, load(0xffff_8880_0000_0000, 0x1000, "memory")]).build()).unwrap();
    assert_eq!((read(&image, 0x1000), image.regions.len()), ("memory".into(), 0));
    assert_eq!(read(&image, u64::MAX), absent(u64::MAX));
}

#[test]
fn of_the_running_kernel_memory_counts_and_not_its_own_mapping() {
    // The kernel's first pages are others' now, and no longer in its mapping, which comes first.
    let nowhere = load(0xffff_c900_0000_0000, u64::MAX, "vmalloc");
    let memory = [pages("before"), pages("arguments")].concat();
    let memory = ProgramHeader { vaddr: 0xffff_8880_0fff_f000, ..ProgramHeader::load(0xfff_f000, &memory) };
    let image = open(&core(&[load(KERNEL, 0x1000_1000, ""), nowhere, memory]).build()).unwrap();
    assert_eq!(read(&image, 0x1000_1000), "arguments");
}

#[test]
fn a_segment_may_begin_and_end_within_a_page() {
    // Two that lie side by side, and in the file the other way round.
    let second = ProgramHeader::load(0x32cd, b"second");
    let first = ProgramHeader::load(0x1388, &pages("first")[..0x1f45]);
    let image = open(&core(&[second, first]).build()).unwrap();
    assert_eq!((read(&image, 0x1388), read(&image, 0x1387)), ("first".into(), absent(0x1387)));
    assert_eq!((read(&image, 0x32cb), read(&image, 0x32d3)), ("\0\0second".into(), absent(0x32d3)));
    let pages: Vec<u64> = image.memory.pages().map(|pa| pa.0).collect();
    assert_eq!((pages, image.memory.census().dumped), (vec![0x1000, 0x2000, 0x3000], 3));
}

#[test]
fn a_core_cut_off_anywhere_is_used_up_to_there() {
    let file = core(&[load(KERNEL, 0x1000, "first"), load(KERNEL, 0x10_0000, "second")]).build();
    for len in (0x1000..file.len()).step_by(0x800) {
        let image = open(&file[..len]).unwrap();
        let missing = (file.len() - len).div_ceil(4096);
        assert_eq!(image.warnings, [format!("the file is cut off: {missing} of 4 pages are missing")]);
        let second = if len > 0x3000 { "second".into() } else { cut_off(0x10_0000) };
        assert_eq!(read(&image, 0x10_0000), second, "{len:#x}");
        let mut byte = [0];
        assert_eq!(image.memory.read(Addr::File(len as u64 - 1), &mut byte), Ok(1));
        assert_eq!(
            image.memory.read(Addr::File(len as u64), &mut byte).map_err(describe),
            Err(cut_off(len as u64))
        );
    }
}

#[test]
fn the_machine_is_what_the_header_says_and_not_the_files_class() {
    for (machine, endian, name, ptr_bytes) in [
        (EM_X86_64, Endian::Little, "x86_64", 8),
        (EM_AARCH64, Endian::Little, "aarch64", 8),
        (EM_PPC64, Endian::Big, "powerpc64", 8),
        (EM_PPC64, Endian::Little, "powerpc64", 8),
        (EM_386, Endian::Little, "i386", 4), // with PAE
    ] {
        let core = ElfCore::linux(machine, endian, vec![load(0xc000_0000, 5 << 30, "here")]);
        for core in [core.clone(), core.qemu()] {
            let image = open(&core.build()).unwrap();
            let machine = image.machine.unwrap();
            assert_eq!((machine.arch.name, machine.ptr_bytes), (name, ptr_bytes));
            assert_eq!(machine.big_endian, endian == Endian::Big);
            assert_eq!(read(&image, 5 << 30), "here");
        }
    }
}
