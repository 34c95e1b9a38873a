//! Tables of every release, told by VMCOREINFO and searched for.

use crate::kernel::Kernel;
use crate::synth::Endian;
use crate::synth::kallsyms::{
    Addresses, LINUX_3_2, LINUX_4_4, LINUX_4_9, LINUX_5_10, LINUX_6_1, LINUX_6_2, LINUX_6_4, LINUX_7_0,
    Release,
};
use kgdbserver::Result;
use kgdbserver::symbols::kallsyms::Table;
use std::fmt::Write;

const RELEASES: &[Release] =
    &[LINUX_3_2, LINUX_4_4, LINUX_4_9, LINUX_5_10, LINUX_6_1, LINUX_6_2, LINUX_6_4, LINUX_7_0];

/// Addresses and names, one a line.
fn show(table: Result<Table>) -> String {
    match table {
        Err(error) => error.to_string(),
        Ok(table) => table.symbols().fold(String::new(), |mut text, symbol| {
            writeln!(text, "{:x} {}", symbol.va.0, symbol.name).unwrap();
            text
        }),
    }
}

/// The boundary: all symbols come back, wherever the table's parts are known from.
#[track_caller]
fn check(kernel: &Kernel) {
    let expected = kernel.kallsyms.symbols.iter().fold(String::new(), |mut text, symbol| {
        writeln!(text, "{:x} {}", symbol.address, symbol.name).unwrap();
        text
    });
    let what =
        format!("{:?}, {}-byte {:?}", kernel.kallsyms.release, kernel.kallsyms.word, kernel.kallsyms.endian);
    assert!(show(kernel.find_told()) == expected, "told: {what}: {:.300}", show(kernel.find_told()));
    for anchors in [kernel.anchors(), Vec::new()] {
        let found = show(kernel.find_untold(&anchors));
        assert!(found == expected, "searched with {anchors:x?}: {what}: {found:.300}");
    }
}

#[test]
fn every_release_is_read_in_both_orders_and_widths() {
    for release in RELEASES {
        for word in [4, 8] {
            for endian in [Endian::Little, Endian::Big] {
                check(&Kernel::new(*release, word, endian));
            }
        }
    }
}

#[test]
fn percpu_variables_that_begin_at_0_stay_there() {
    for release in [LINUX_4_9, LINUX_6_1, LINUX_6_4] {
        check(&Kernel::new(Release { addresses: Addresses::AbsolutePercpu, ..release }, 8, Endian::Little));
    }
}

#[test]
fn kernels_without_relative_addresses_have_pointers_in_any_release() {
    for release in [LINUX_5_10, LINUX_6_4] {
        check(&Kernel::new(Release { addresses: Addresses::Pointers, ..release }, 8, Endian::Little));
    }
}

#[test]
fn small_kernels_that_cannot_be_moved_have_values() {
    for endian in [Endian::Little, Endian::Big] {
        check(&Kernel::new(Release { addresses: Addresses::Values, ..LINUX_7_0 }, 4, endian));
    }
}

#[test]
fn names_of_more_than_127_bytes_are_those_of_their_release() {
    let mut kernel = Kernel::new(LINUX_5_10, 8, Endian::Little);
    let mut kallsyms = kernel.kallsyms.clone();
    // In an old kernel the length 200 is one byte; in a new one that byte would say that another follows.
    let long = kallsyms.symbols.iter_mut().find(|symbol| symbol.name.starts_with("rrr")).unwrap();
    long.name = "r".repeat(200);
    kernel = Kernel::with(kernel.base, kallsyms);
    check(&kernel);
}

#[test]
fn vmcoreinfo_that_misleads_is_searched_for_the_truth() {
    let kernel = Kernel::new(LINUX_6_4, 8, Endian::Little);
    let wrong = |name: &str| kernel.told(name).map(|address| address + 16);
    let found =
        kgdbserver::symbols::kallsyms::find(&kernel.space(), kernel.range(), &kernel.anchors(), &wrong);
    assert_eq!(found.unwrap().len(), kernel.kallsyms.symbols.len());
}

#[test]
fn a_table_of_tokens_without_names_is_passed_over() {
    let mut kernel = Kernel::new(LINUX_5_10, 8, Endian::Little);
    let (from, to) = (kernel.at("kallsyms_token_table"), kernel.at("kallsyms_token_index") + 512);
    let decoy = kernel.memory[from..to].to_vec();
    kernel.memory[0x1000..][..decoy.len()].copy_from_slice(&decoy);
    check(&kernel);
}

#[test]
fn missing_pages_elsewhere_do_not_matter() {
    let mut kernel = Kernel::new(LINUX_6_4, 8, Endian::Little);
    for offset in [0, 0x3000, kernel.at("kallsyms_num_syms") - 1] {
        kernel.lose(offset);
    }
    check(&kernel);
}
