//! Searches, several ranges at once, physical addresses.

use crate::conversation::check;
use crate::rsp::{Client, GDB, LLDB_22, Server, digits};
use crate::support::{Saved, stack_top};
use crate::synth::System;
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn find(client: &mut Client<TcpStream>, start: u64, length: u64, pattern: &str) -> String {
    client.ask(&format!("qSearch:memory:{start:x};{length:x};{pattern}"))
}

#[test]
fn a_pattern_is_found_where_it_lies_within_the_range() {
    let files = Saved::small();
    let version = files.built.facts.symbol("version");
    let server = Server::of(&files);
    let mut client = server.connect();
    let found = format!("1,{version:x}");
    assert_eq!(find(&mut client, version - 0x10, 0x100, "FreeBSD"), found);
    assert_eq!(find(&mut client, version, 7, "FreeBSD"), found);
    assert_eq!(find(&mut client, version, 6, "FreeBSD"), "0");
    assert_eq!(find(&mut client, version + 1, 0x10, "FreeBSD"), "0");
    // Where nothing is mapped there is nothing to be found, nor is it missed.
    let below = 0xffff_ffff_8000_0000;
    assert_eq!(find(&mut client, below, version - below + 10, "FreeBSD 15"), found);
}

#[test]
fn a_pattern_is_found_across_pieces_and_with_awkward_bytes() {
    const AWKWARD: &str = "a#b$c}d*e";
    let files = Saved::new(System { panic: Some(AWKWARD.into()), ..System::small() }.build());
    let facts = &files.built.facts;
    let pointer = files.built.layout.offset(facts.symbol("panicstr")).unwrap();
    let message = u64::from_le_bytes(files.built.vmcore[pointer..pointer + 8].try_into().unwrap());
    let server = Server::of(&files);
    let mut client = server.connect();
    // As a client escapes it.
    let escaped =
        AWKWARD.replace('}', "}]").replace('#', "}\x03").replace('$', "}\x04").replace('*', "}\x0a");
    assert_eq!(find(&mut client, message & !0xfff, 0x1000, &escaped), format!("1,{message:x}"));
}

/// gdb tells its user nothing of an error, but prints a reply that it does not know.
#[test]
fn what_is_not_in_the_image_is_not_silently_passed_over() {
    let files = Saved::small();
    let edge = stack_top(&files.built);
    let server = Server::of(&files);
    let mut client = server.connect();
    assert_eq!(
        find(&mut client, 0x10, 0x1000, "x"),
        "not found, but 0x1000 bytes could not be read: invalid address (0x10): the image knows no mapping for this part \
         of the address space"
    );
    let text = files.built.facts.symbol("btext");
    let missing = find(&mut client, text, 0x10_0000, "no such text");
    assert!(
        missing.starts_with("not found, but 0x") && missing.ends_with(" is not in the image"),
        "{missing}"
    );
    // After something was found, gdb goes on behind it, and the end of that search is no news.
    let first = find(&mut client, text, 0x10_0000, "\u{55}");
    let next = u64::from_str_radix(first.strip_prefix("1,").unwrap(), 16).unwrap() + 1;
    assert_eq!(find(&mut client, next, 0x10_0000, "no such text"), "0");
    assert!(find(&mut client, next, 0x10_0000, "no such text").starts_with("not found"));
    assert!(find(&mut client, edge - 8, 0x1000, "no such text").starts_with("0"), "nothing is mapped above");
}

/// gdb waits two seconds.
#[test]
fn a_search_of_everything_ends_in_time_and_says_where() {
    let files = Saved::small();
    let server = Server::of(&files);
    let mut client = server.connect();
    for (start, length) in [(0, u64::MAX), (0xffff_f800_0000_0000, 1 << 42), (u64::MAX, u64::MAX)] {
        let begun = Instant::now();
        let reply = find(&mut client, start, length, "no such text");
        assert!(begun.elapsed() < Duration::from_secs(10), "{reply}");
        assert!(reply.starts_with("not found") || reply.starts_with("the search takes long"), "{reply}");
    }
    for bad in ["", "0", "0;1", "0;1;", "x;1;a", "0;x;a", "0;1;a}"] {
        assert_eq!(client.ask(&format!("qSearch:memory:{bad}")), "E16", "{bad:?}");
    }
}

#[test]
fn several_ranges_in_one_packet() {
    let files = Saved::small();
    let (version, edge) = (files.built.facts.symbol("version"), stack_top(&files.built));
    let server = Server::of(&files);
    let mut client = server.connect();
    assert!(client.ask(LLDB_22).contains(";MultiMemRead+"));
    check(
        &mut client,
        &format!(
            "-> MultiMemRead:ranges:{version:x},4,10,8,{:x},40,{version:x},0,{version:x},7;
            <- 4,0,8,0,7;Free\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00FreeBSD
            -> MultiMemRead:ranges:{version:x},2,;
            <- 2;Fr",
            edge - 8
        ),
    );
    for bad in
        ["", "ranges:", "ranges:;", "ranges:,;", "ranges:10;", "ranges:10,2", "ranges:10,2,3;", "blah:10,2;"]
    {
        assert!(client.ask(&format!("MultiMemRead:{bad}")).starts_with("E16"), "{bad:?}");
    }
    // Not more than fits into a packet.
    let text = files.built.facts.symbol("btext");
    let many = format!("MultiMemRead:ranges:{};", vec![format!("{text:x},ffffffffffffffff"); 1000].join(","));
    let reply = client.ask_bytes(many.as_bytes());
    assert!((0x1000..0x2_0000).contains(&reply.len()), "{} bytes", reply.len());
}

/// As QEMU's users know it.
#[test]
fn addresses_can_be_physical_ones_for_one_connection() {
    let files = Saved::small();
    let server = Server::of(&files);
    let (mut client, mut other) = (server.connect(), server.connect());
    client.ask(GDB);
    check(
        &mut client,
        "-> qqemu.Supported
        <- PhyMemMode
        -> qqemu.PhyMemMode
        <- 0
        -> mffffffff80200000,4
        <- 554889e5
        -> Qqemu.PhyMemMode:1
        <- OK
        -> qqemu.PhyMemMode
        <- 1
        -> m200000,4
        <- 554889e5
        -> mffffffff80200000,4
        <- E0e
        -> qSearch:memory:0;300000;\u{55}\u{48}
        <- 1,200000
        -> m0,4
        <- E0e
        -> mffffffffffffffff,4
        <- E0e
        -> Qqemu.PhyMemMode:
        <- E16",
    );
    check(&mut other, "-> mffffffff80200000,4\n<- 554889e5");
    client.ask("QEnableErrorStrings");
    let why = digits("invalid address (0x0): physical address 0x0 is not in the image");
    check(
        &mut client,
        &format!("-> m0,4\n<- E0e;{why}\n-> Qqemu.PhyMemMode:0\n<- OK\n-> mffffffff80200000,4\n<- 554889e5"),
    );
}

/// lldb unwinds no further from a function whose memory is not executable, and page tables may be among what is missing.
#[test]
fn of_a_file_that_is_cut_off_nobody_says_what_is_not_mapped() {
    let files = Saved::small();
    let unmapped = "qMemoryRegionInfo:ffffffff8c000000";
    let said = Server::of(&files).connect().ask(unmapped);
    assert!(said.starts_with("start:") && !said.contains("permissions"), "{said}");
    let vmcore = &files.built.vmcore;
    let cut = files.write("cut", &vmcore[..vmcore.len() - 0x1000]);
    let server = Server::start([files.kernel.as_os_str(), cut.as_os_str(), "-l".as_ref(), ":0".as_ref()]);
    let mut client = server.connect();
    check(&mut client, &format!("-> {unmapped}\n<- E0e"));
    // Of what is mapped, and of what no kernel maps, it is certain.
    assert!(client.ask("qMemoryRegionInfo:ffffffff80200000").contains("permissions:r"));
    assert!(client.ask("qMemoryRegionInfo:0").starts_with("start:0;"));
}
