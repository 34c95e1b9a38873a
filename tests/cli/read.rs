//! `read`.

use super::*;

#[test]
fn a_hex_dump() {
    let saved = files();
    let version = saved.built.facts.symbol("version");
    let lines = format!(
        "{version:016x}  46 72 65 65 42 53 44 20 31 35 2e 30 2d 52 45 4c  |FreeBSD 15.0-REL|
        {:016x}  45 41 53 45                                      |EASE|",
        version + 16
    );
    for address in ["version".into(), "_version".into(), format!("{version:#x}"), version.to_string()] {
        check(&saved, &format!("read kernel vmcore {address} 20"), &lines);
    }
    check(
        &saved,
        "read vmcore kernel version+0x8 0x4",
        &format!("{:016x}  31 35 2e 30                                      |15.0|", version + 8),
    );
    check(
        &saved,
        "read kernel vmcore version+8 1",
        &format!("{:016x}  31                                               |1|", version + 8),
    );
    check(&saved, "read kernel vmcore version 0", "");
}

#[test]
fn just_the_bytes() {
    let saved = files();
    let output = run(&saved, "read --raw kernel vmcore version 20");
    assert_eq!(
        (output.stdout.as_slice(), output.status.code()),
        (b"FreeBSD 15.0-RELEASE".as_slice(), Some(0))
    );
}

#[test]
fn physical_addresses() {
    let saved = files();
    let version = saved.built.facts.symbol("version");
    let pa = saved.built.layout.physical(version).unwrap();
    check(
        &saved,
        &format!("read --physical vmcore {pa:#x} 8"),
        &format!("{pa:016x}  46 72 65 65 42 53 44 20                          |FreeBSD |"),
    );
    check(
        &saved,
        "read --physical vmcore 0xa0000 8",
        "! kgdbserver: 0xa0000: physical address 0xa0000 is not in the image
        status 1",
    );
}

#[test]
fn a_hole_prints_what_comes_before_it_and_fails() {
    let saved = files();
    let edge = stack_top(&saved.built);
    let zeros = "00 ".repeat(16);
    check(
        &saved,
        &format!("read kernel vmcore {:#x} 64", edge - 16),
        &format!(
            "{:016x}  {zeros} |................|
            ! kgdbserver: {edge:#x}: the kernel's page tables map nothing here
            status 1",
            edge - 16
        ),
    );
    let output = run(&saved, &format!("read --raw vmcore {:#x} 64", edge - 16));
    assert_eq!((output.stdout, output.status.code()), (vec![0; 16], Some(1)));
    // A length beyond all memory is no more than a hole at its end.
    check(
        &saved,
        &format!("read vmcore {:#x} 0xffffffffffffffff", edge - 1),
        &format!(
            "{:016x}  00                                               |.|
            ! kgdbserver: {edge:#x}: the kernel's page tables map nothing here
            status 1",
            edge - 1
        ),
    );
    check(
        &saved,
        "read kernel vmcore 0xffffffffffffffff 16",
        "! kgdbserver: 0xffffffffffffffff: the image knows no mapping for this part of the address space
        status 1",
    );
}

#[test]
fn the_last_two_arguments_are_address_and_length() {
    let saved = files();
    let takes = usage("read takes [KERNEL] IMAGE ADDRESS LENGTH");
    check(&saved, "read vmcore hz", &usage("name the image to open (and its kernel, if you have it)"));
    check(&saved, "read kernel vmcore hz 4 4", &takes);
    check(&saved, "read kernel vmcore hz four", &usage("four: not a number of bytes"));
    check(&saved, "read kernel vmcore hz+x 4", &usage("x: not an offset"));
    check(
        &saved,
        "read kernel vmcore nonsense 4",
        "! kgdbserver: nonsense: no such symbol
        status 1",
    );
    check(&saved, "read vmcore hz 4", "! kgdbserver: hz: no such symbol\nstatus 1");
    // Files that happen to be called like an address and a length.
    saved.write("hz", b"x");
    saved.write("4", b"x");
    check(
        &saved,
        "read kernel vmcore hz 4",
        &format!(
            "{:016x}  64 00 00 00                                      |d...|",
            saved.built.facts.symbol("hz")
        ),
    );
}
