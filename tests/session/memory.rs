use super::*;

#[test]
fn as_digits() {
    let files = files();
    let (version, edge) = (files.built.facts.symbol("version"), stack_top(&files.built));
    let server = Server::of(&files);
    check(
        &mut server.connect(),
        &format!(
            "-> m{version:x},7
            <- {}
            -> m{version:x},0
            <-
            // into a hole: what comes before it; at the hole: an error
            -> m{:x},40
            <- 0000000000000000
            -> m{edge:x},8
            <- E0e
            -> m0,1
            <- E0e
            -> mffffffffffffffff,10
            <- E0e",
            digits("FreeBSD"),
            edge - 8,
        ),
    );
}

#[test]
fn a_huge_length_is_cut_to_what_fits_a_packet() {
    let files = files();
    let text = files.built.facts.symbol("btext");
    let server = Server::of(&files);
    let mut client = server.connect();
    for (packet, least) in [("m", 0x1000), ("x", 0x1000)] {
        for length in ["100000000", "ffffffffffffffff"] {
            let reply = client.ask_bytes(format!("{packet}{text:x},{length}").as_bytes());
            assert!((least..=0x20000).contains(&reply.len()), "{packet}: {} bytes", reply.len());
        }
    }
    assert!(client.ask(&format!("m{text:x},4")) == "554889e5");
}

/// Bytes among which are all that the protocol escapes.
const AWKWARD: &[u8] = b"a#b$c}d*e\x03\x00\xff";

/// A system whose panic message is awkward, and the message's address.
fn awkward() -> (Saved, u64) {
    let text: String =
        AWKWARD.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect();
    let files = Saved::new(System { panic: Some(text), ..System::small() }.build());
    let pointer = files.built.layout.offset(files.built.facts.symbol("panicstr")).unwrap();
    let message = u64::from_le_bytes(files.built.vmcore[pointer..pointer + 8].try_into().unwrap());
    (files, message)
}

#[test]
fn as_bytes_in_both_dialects() {
    let (files, at) = awkward();
    let server = Server::of(&files);
    let shown = "a#b$c}d*e\\x03\\x00";
    for hello in ["GDB", "GDB_16", "LLDB_22"] {
        check(
            &mut server.connect(),
            &format!(
                "-> {hello}
                <- ...
                -> x{at:x},b
                <- b{shown}
                -> x0,8
                <- E0e"
            ),
        );
    }
    // lldb before 20 probes, and then wants the bytes alone.
    check(
        &mut server.connect(),
        &format!(
            "-> LLDB
            <- ...
            -> x0,0
            <- OK
            -> x{at:x},b
            <- {shown}
            -> x0,8
            <- E0e"
        ),
    );
}

#[test]
fn errors_have_a_text_for_those_who_asked_for_it() {
    let files = files();
    let server = Server::of(&files);
    let mut client = server.connect();
    client.ask("QEnableErrorStrings");
    let reply = client.ask("m10,4");
    let text = undigits(reply.strip_prefix("E0e;").unwrap());
    assert_eq!(text, "invalid address (0x10): the image knows no mapping for this part of the address space");
    assert_eq!(
        undigits(client.ask("m10").strip_prefix("E16;").unwrap()),
        "malformed packet: expected ADDRESS,LENGTH"
    );
}
