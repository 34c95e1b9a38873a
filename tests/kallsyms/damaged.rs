//! Tables that are not what they should be: each is refused with the reason, and in little time.

use crate::kernel::Kernel;
use crate::synth::Endian;
use crate::synth::kallsyms::{Addresses, LINUX_5_10, LINUX_6_4, LINUX_7_0, Release};
use kgdbserver::symbols::kallsyms::find;
use std::time::{Duration, Instant};

/// The boundary: damage, and what is said of it where VMCOREINFO tells where the table is.
#[track_caller]
fn check(damage: impl FnOnce(&mut Kernel), expected: &str) {
    let release = Release { addresses: Addresses::Offsets, ..LINUX_6_4 };
    let mut kernel = Kernel::new(release, 8, Endian::Little);
    damage(&mut kernel);
    let error = kernel.find_told().expect_err(expected).to_string();
    assert!(error.contains(expected), "\n     got: {error}\nexpected: {expected}");
}

fn put(kernel: &mut Kernel, label: &str, offset: usize, bytes: &[u8]) {
    let at = kernel.at(label) + offset;
    kernel.memory[at..][..bytes.len()].copy_from_slice(bytes);
}

fn move_label(kernel: &mut Kernel, label: &'static str, address: u64) {
    kernel.built.labels.insert(label, address);
}

#[test]
fn an_implausible_number_of_symbols() {
    for count in [0, u32::MAX, 4_000_001] {
        let count = count.to_le_bytes();
        check(|kernel| put(kernel, "kallsyms_num_syms", 0, &count), "an implausible number of symbols");
    }
}

#[test]
fn more_names_than_there_are() {
    check(|kernel| put(kernel, "kallsyms_num_syms", 0, &[0xff, 0xff, 1, 0]), "there are no 131071 names");
}

#[test]
fn one_name_more_or_less_than_there_are() {
    let count = Kernel::new(LINUX_6_4, 8, Endian::Little).kallsyms.symbols.len() as u32;
    for wrong in [count - 1, count + 1] {
        check(|kernel| put(kernel, "kallsyms_num_syms", 0, &wrong.to_le_bytes()), "there are no");
    }
}

#[test]
fn a_name_of_no_length() {
    check(|kernel| put(kernel, "kallsyms_names", 0, &[0]), "there are no");
}

#[test]
fn markers_that_disagree() {
    check(|kernel| put(kernel, "kallsyms_markers", 4, &[0, 0]), "there are no");
}

#[test]
fn a_name_of_nothing_but_its_letter() {
    // The byte 1 stands for nothing.
    check(|kernel| put(kernel, "kallsyms_names", 0, &[7, b'T', 1, 1, 1, 1, 1, 1]), "name 0 is no symbol's");
}

#[test]
fn a_name_without_a_letter() {
    check(|kernel| put(kernel, "kallsyms_names", 1, &[1]), "name 0 is no symbol's");
}

#[test]
fn tokens_that_do_not_begin_where_their_index_says() {
    check(
        |kernel| put(kernel, "kallsyms_token_index", 2 * 100, &[7, 0]),
        "token 100 does not begin where its index says",
    );
    check(
        |kernel| put(kernel, "kallsyms_token_index", 2 * 255, &[0xff, 0xff]),
        "token 255 does not begin where its index says",
    );
    check(|kernel| put(kernel, "kallsyms_token_index", 0, &[1, 0]), "token 0 does not begin");
}

#[test]
fn tokens_without_an_end() {
    let damage = |kernel: &mut Kernel| {
        let (from, to) = (kernel.at("kallsyms_token_table"), kernel.at("kallsyms_token_index"));
        kernel.memory[from + 300..to].fill(b'x');
    };
    check(damage, "does not begin where its index says");
}

#[test]
fn tokens_that_are_no_text() {
    let damage = |kernel: &mut Kernel| {
        let (from, to) = (kernel.at("kallsyms_token_table"), kernel.at("kallsyms_token_index"));
        let seven = kernel.memory[from..to].iter().position(|byte| *byte == b'7').unwrap();
        kernel.memory[from + seven] = 7;
    };
    check(damage, "token 55 is no text");
}

#[test]
fn names_that_would_fill_all_memory() {
    // 16,000 times a token of 2,000 bytes.
    let damage = |kernel: &mut Kernel| {
        kernel.kallsyms.symbols[5].name = "__x64_sys_".repeat(300);
        *kernel = Kernel::with(kernel.base, kernel.kallsyms.clone());
    };
    check(damage, "name 5 is no symbol's");
}

#[test]
fn parts_in_an_impossible_order() {
    check(
        |kernel| move_label(kernel, "kallsyms_names", kernel.built.labels["kallsyms_token_index"]),
        "the names do not lie in front of the tokens",
    );
    check(
        |kernel| move_label(kernel, "kallsyms_token_index", kernel.built.labels["kallsyms_names"]),
        "the tokens do not lie in front of their index",
    );
    check(|kernel| move_label(kernel, "kallsyms_names", 0), "the names do not lie in front of the tokens");
}

#[test]
fn addresses_out_of_order() {
    check(
        |kernel| put(kernel, "kallsyms_offsets", 400, &[0xff, 0xff, 0xff, 0x7f]),
        "the addresses are not in order",
    );
    check(|kernel| put(kernel, "kallsyms_offsets", 0, &[1]), "the offsets do not begin at the base");
}

#[test]
fn addresses_that_disagree_with_what_is_known() {
    check(|kernel| put(kernel, "kallsyms_relative_base", 2, &[1]), "init_uts_ns is here, and should be at");
}

#[test]
fn pages_that_the_image_lacks() {
    for (label, offset, what) in [
        ("kallsyms_num_syms", 0, "its number of symbols cannot be read"),
        ("kallsyms_names", 512, "its names cannot be read"),
        ("kallsyms_token_table", 64, "its tokens cannot be read"),
        ("kallsyms_token_index", 256, "its index of tokens cannot be read"),
        ("kallsyms_offsets", 64, "its addresses cannot be read"),
        ("kallsyms_relative_base", 0, "its base cannot be read"),
    ] {
        check(|kernel| kernel.lose(kernel.at(label) + offset), what);
        check(|kernel| kernel.lose(kernel.at(label) + offset), "is not in the image");
    }
}

/// What is said where nothing tells where the table is.
#[track_caller]
fn check_search(kernel: &Kernel, expected: &str) {
    let start = Instant::now();
    let error = kernel.find_untold(&kernel.anchors()).expect_err(expected).to_string();
    assert!(error.contains(expected), "\n     got: {error}\nexpected: {expected}");
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

#[test]
fn no_table_at_all() {
    let mut kernel = Kernel::new(LINUX_5_10, 8, Endian::Little);
    kernel.memory.fill(0);
    check_search(&kernel, "holds none (is CONFIG_KALLSYMS off?); give the kernel's vmlinux or System.map");
    let nowhere = find(&kernel.space(), 0..0, &[], &|_| None).expect_err("nowhere to search").to_string();
    assert!(nowhere.contains("no memory was searched for it"), "{nowhere}");
    let unmapped = find(&kernel.space(), 0..1 << 40, &[], &|_| None).expect_err("unmapped").to_string();
    assert!(unmapped.contains("holds none"), "{unmapped}");
}

#[test]
fn a_table_whose_pages_are_missing() {
    for label in ["kallsyms_names", "kallsyms_offsets", "kallsyms_token_table", "kallsyms_token_index"] {
        let mut kernel = Kernel::new(LINUX_5_10, 8, Endian::Little);
        kernel.lose(kernel.at(label) + 64);
        check_search(&kernel, "of which pages are missing (first 0xffffffff8108");
    }
}

#[test]
fn a_table_that_cannot_be_understood() {
    let mut kernel = Kernel::new(LINUX_7_0, 8, Endian::Little);
    let at = kernel.at("kallsyms_offsets");
    kernel.memory[at..][..4000].fill(0x5a);
    check_search(&kernel, "holds 1 that cannot be understood");
}

#[test]
fn a_table_that_disagrees_with_what_is_known() {
    let kernel = Kernel::new(LINUX_5_10, 8, Endian::Little);
    let error = kernel.find_untold(&[("_stext", 0x1000)]).expect_err("another address").to_string();
    assert!(error.contains("holds 1 that cannot be understood"), "{error}");
}

#[test]
fn memory_made_of_tables_and_numbers_ends() {
    let mut kernel = Kernel::new(LINUX_5_10, 8, Endian::Little);
    let (from, to) = (kernel.at("kallsyms_token_table"), kernel.at("kallsyms_token_index") + 512);
    let tokens = kernel.memory[from..to].to_vec();
    // Every word is a plausible number, and what follows it plausible names.
    kernel.memory.chunks_exact_mut(4).for_each(|word| word.copy_from_slice(&[2, 0x54, 1, 0]));
    let half = kernel.memory.len() / 2;
    kernel.memory[half..].chunks_exact_mut(tokens.len()).for_each(|chunk| chunk.copy_from_slice(&tokens));
    check_search(&kernel, "that cannot be understood");
}

#[test]
fn any_damage_gives_an_error_or_a_table() {
    let mut random = 1u64;
    let mut next = |limit: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (random >> 33) as usize % limit
    };
    let mut kernel = Kernel::new(LINUX_7_0, 8, Endian::Little);
    let (sound, at, len) = (kernel.memory.clone(), kernel.at("kallsyms_num_syms"), kernel.built.bytes.len());
    for _ in 0..100 {
        kernel.memory.copy_from_slice(&sound);
        for _ in 0..1 + next(8) {
            kernel.memory[at + next(len)] = next(256) as u8;
        }
        for table in [kernel.find_told(), kernel.find_untold(&[])].into_iter().flatten() {
            assert_eq!(table.symbols().count(), table.len());
        }
    }
}
