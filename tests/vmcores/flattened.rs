use super::synth::elfcore::{EM_X86_64, ElfCore, ProgramHeader};
use super::synth::{Endian, Flattened};
use super::*;

fn core() -> Vec<u8> {
    let pattern: Vec<u8> = (0..0x4_0000_u32).map(|at| (at / 7 % 251) as u8).collect();
    let filtered = ProgramHeader { memsz: Some(0x2000), ..ProgramHeader::load(0x9000, &[]) };
    let loads = vec![
        ProgramHeader::load(0x1000, &pages("first")),
        filtered,
        ProgramHeader::load(0x10_0000, &pattern),
    ];
    ElfCore::linux(EM_X86_64, Endian::Little, loads).build()
}

#[test]
fn a_flattened_core_is_the_core() {
    let plain = open(&core()).unwrap();
    let image = open(&Flattened::of(&core()).build()).unwrap();
    assert_eq!((image.facts.layers.as_slice(), image.format), (["flattened"].as_slice(), "ELF core"));
    assert_eq!(image.warnings, [""; 0]);
    assert_eq!(everything(&image), everything(&plain));
    assert_eq!((read(&image, 0x9000), read(&image, 0xb000)), (left_out(0x9000), absent(0xb000)));
    // Across all records at once.
    let mut bytes = vec![0; 0x4_0000];
    assert_eq!(image.memory.read(Addr::Phys(Pa(0x10_0000)), &mut bytes), Ok(0x4_0000));
    assert!(bytes == core()[0x3000..]);
}

#[test]
fn flattened_twice_it_is_still_the_core() {
    let twice = Flattened::of(&Flattened::of(&core()).build()).build();
    let image = open(&twice).unwrap();
    assert_eq!(image.facts.layers, ["flattened", "flattened"]);
    assert_eq!(everything(&image), everything(&open(&core()).unwrap()));
}

#[test]
fn a_flattened_core_cut_off_anywhere_is_used_up_to_there() {
    // In the order of the file, as a core is flattened; the end is that of the last segment.
    let pieces =
        core().chunks(5000).zip((0..).step_by(5000)).map(|(piece, at)| (at, piece.to_vec())).collect();
    let file = Flattened { kind: [1, 1], pieces, ended: true }.build();
    let whole = everything(&open(&core()).unwrap());
    for len in (4096 + 16 + 5000..file.len()).step_by(9973) {
        let image = open(&file[..len]).unwrap();
        let said = &image.warnings;
        assert_eq!(said[0], "the flattened dump is cut off, it can be used up to there");
        let mut lost = 0;
        for ((pa, got), (_, expected)) in everything(&image).iter().zip(&whole) {
            match got == &cut_off(*pa) {
                true => lost += 1,
                false => assert!(expected.starts_with(got.trim_end_matches(']')), "{pa:#x}"),
            }
        }
        assert!(lost == 0 || said[1].contains("pages are missing"), "{said:?}");
    }
}

#[test]
fn a_core_whose_headers_were_not_written_yet_says_so() {
    // The ELF header and the memory are there; makedumpfile writes the program headers last.
    let file = core();
    let pieces = vec![(0, file[..64].to_vec()), (0x1000, file[0x1000..].to_vec())];
    let flattened = Flattened { kind: [1, 1], pieces, ended: false };
    assert!(
        refused(&flattened.build()).contains("program headers are empty"),
        "{}",
        refused(&flattened.build())
    );
}

#[test]
fn what_is_in_it_is_named_where_it_is_no_image() {
    let refused = refused(&Flattened::of(&vec![7; 10_000]).build());
    assert!(refused.contains("what is wrapped in it (flattened) is not a kernel image"), "{refused}");
    let nothing = Flattened { kind: [1, 1], pieces: Vec::new(), ended: true };
    assert!(super::refused(&nothing.build()).contains("(flattened) is not a kernel image"));
    let newer = Flattened { kind: [1, 2], ..nothing };
    assert!(super::refused(&newer.build()).contains("type 1, version 2; this build knows type 1, version 1"));
}

#[test]
fn a_hole_is_not_worth_memory() {
    // A million million program headers, at no cost.
    let mut file = core();
    file[56..58].copy_from_slice(&[0xff; 2]);
    file[40..48].copy_from_slice(&0x2000_u64.to_le_bytes());
    file[0x2000 + 44..0x2000 + 48].copy_from_slice(&(1_u32 << 22).to_le_bytes());
    let mut flattened = Flattened::of(&file);
    flattened.pieces.push((i64::MAX - 1, vec![1]));
    assert!(refused(&flattened.build()).contains("the program headers do not lie in the file"));
}
