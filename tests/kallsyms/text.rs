//! `/proc/kallsyms` and `System.map`.

use kgdbserver::symbols::kallsyms::{is_text, parse};

/// The boundary: a text's symbols, as nm(1) would print them.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let found: Vec<_> = match parse(text.as_bytes()) {
        Err(error) => vec![error.to_string()],
        Ok(table) => {
            let line = |symbol: kgdbserver::symbols::Symbol| {
                format!("{:x} {} {}", symbol.va.0, symbol.letter(), symbol.name)
            };
            table.symbols().map(line).collect()
        }
    };
    assert_eq!(found, expected);
}

#[test]
fn proc_kallsyms_has_modules_too_and_is_in_no_order() {
    check(
        "0000000000000000 A fixed_percpu_data\n\
         ffffffff81000040 T main\n\
         ffffffff81000000 T _text\n\
         ffffffffc0401000 t open\t[loop]\n\
         ffffffffc0400000 d data\t[loop]\n\
         ffffffffc0500000 t bpf_prog_6deef7357e7b4530\t[bpf]\n",
        &["0 A fixed_percpu_data", "ffffffff81000000 T _text", "ffffffff81000040 T main"],
    );
}

#[test]
fn labels_that_the_assembler_made_up_are_left_out() {
    check(
        "ffff800009384820 d .L14472\x021\nffff800009384820 T _text\nffff800009384844 d $1\x01\n",
        &["ffff800009384820 T _text"],
    );
}

#[test]
fn system_map_calls_percpu_variables_data_and_we_do_not() {
    check(
        "0000000000000000 D __per_cpu_start\n\
         0000000000031980 D runqueues\n\
         0000000000032000 D __per_cpu_end\n\
         0000000000099999 A __crc_foo\n\
         ffffffff81000000 T _text\n",
        &[
            "0 A __per_cpu_start",
            "31980 A runqueues",
            "32000 A __per_cpu_end",
            "99999 A __crc_foo",
            "ffffffff81000000 T _text",
        ],
    );
}

#[test]
fn where_percpu_variables_are_ordinary_they_stay_data() {
    check(
        "c0008000 T _text\r\nc0100000 D __per_cpu_start\r\nc0200000 D __per_cpu_end\r\n",
        &["c0008000 T _text", "c0100000 D __per_cpu_start", "c0200000 D __per_cpu_end"],
    );
}

#[test]
fn a_long_name_stays_whole() {
    let name = "n".repeat(300);
    check(&format!("ffffffff81000000 T {name}\n"), &[&format!("ffffffff81000000 T {name}")]);
}

#[test]
fn a_name_that_is_cut_off_is_left_out() {
    check("ffffffff81000000 T _text\nffffffff81000040 T start_ker", &["ffffffff81000000 T _text"]);
}

#[test]
fn hidden_addresses_are_refused() {
    check(
        "0000000000000000 T _text\n0000000000000000 T _stext\n",
        &["all addresses are 0: Linux hides them from who may not see them \
            (copy /proc/kallsyms as root, with kernel.kptr_restrict below 2)"],
    );
}

#[test]
fn what_is_no_symbol_is_named_by_its_place() {
    let start = "ffffffff81000000 T _text\n";
    for bad in [
        "ffffffff81000040 T",
        "ffffffff81000040 TT name",
        "ffffffff8100004 T name",
        "gfffffff81000040 T name",
        "ffffffff81000040 T name module",
        "ffffffff81000040 T name [module] more",
        "ffffffff81000040 T na\x03me",
        "+fffffff81000040 T name",
        "",
    ] {
        let expected = "corrupt kallsyms text at byte 0x19: not an address, a letter and a name";
        check(&format!("{start}{bad}\n{start}"), &[expected]);
    }
    let long = "n".repeat(1 << 14);
    let expected = "corrupt kallsyms text at byte 0x0: not an address, a letter and a name";
    check(&format!("ffffffff81000040 T {long}\n"), &[expected]);
}

#[test]
fn nothing_is_no_text() {
    for text in ["", "\n", "ffffffff81000000 T _text"] {
        assert!(!is_text(text.as_bytes()), "{text:?}");
        check(text, &["corrupt kallsyms text at byte 0x0: no symbols"]);
    }
}

#[test]
fn a_text_is_recognised_by_its_first_lines() {
    assert!(is_text(b"0000000000000000 A fixed_percpu_data\n0000000000000000 A __per_cpu_st"));
    assert!(is_text(b"c0008000 T _text\n"));
    // System.map of Debian's image package.
    assert!(!is_text(
        b"ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n"
    ));
    assert!(!is_text(b"\x7fELF\x02\x01\x01\n"));
    assert!(!is_text(b"c0008000 T _text\nand more\n"));
}
