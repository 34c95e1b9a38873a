use super::*;

/// A good packet is answered as always.
#[track_caller]
fn alive<S: Read + Write>(client: &mut Client<S>) {
    assert_eq!(client.ask("mffffffff80200000,4"), "554889e5");
    assert_eq!(client.ask("qC"), "QC1893e");
}

#[test]
fn malformed_packets_leave_the_session_alive() {
    let files = files();
    let server = Server::of(&files);
    let mut client = server.connect();
    client.ask(GDB);
    let long = "a".repeat(5000);
    let long_command = format!("qRcmd,{}", "61".repeat(3000));
    // `...`: any answer will do.
    for (packet, reply) in [
        ("m", "E16"),
        ("m10", "E16"),
        ("mzz,4", "E16"),
        ("m,", "E16"),
        ("m1,2,3", "E16"),
        ("m10000000000000000,4", "E16"),
        ("m-1,4", "E16"),
        ("x", "E16"),
        ("xzz,4", "E16"),
        ("T", "E16"),
        ("T0", "E16"),
        ("Tzz", "E16"),
        ("H", "E16"),
        ("Hx1", "E16"),
        ("Hg", "E16"),
        ("Hgzz", "E16"),
        ("Hg-1", "OK"),
        ("qXfer:features:read", "E16"),
        ("qXfer:features:read:target.xml:", "E16"),
        ("qXfer:features:read:target.xml:zz,1", "E16"),
        ("qThreadExtraInfo", "E16"),
        ("qThreadExtraInfo,", "E16"),
        ("qThreadExtraInfo,zz", "E16"),
        ("qThreadStopInfo", "E03"),
        ("qRcmd,zz", "E16"),
        ("qRcmd,6", "..."),
        ("qRcmd", "..."),
        ("?x", "E16"),
        ("g1", "E16"),
        ("p", "E16"),
        ("pzz", "E16"),
        ("p10000000000000000", "E16"),
        ("kxyz", "E16"),
        ("qSymbol:", "OK"),
        ("vCont", "..."),
        ("vNonsense;x", ""),
        ("qNonsense", ""),
        ("!", ""),
        ("", ""),
        ("\u{7f}", ""),
        (&long, "E16"),
        (&long_command, "E16"),
    ] {
        let found = client.ask(packet);
        assert!(found == reply || reply == "...", "{packet}: {found}, not {reply}");
        alive(&mut client);
    }
    // Without its colon it still says hello.
    assert!(client.ask("qSupported").starts_with("PacketSize="));
    alive(&mut client);
    assert_eq!(client.ask("qAttached"), "1");
}

/// Which gdbstub would fail over, when it is built anew.
#[test]
fn a_client_need_not_say_what_it_supports() {
    let files = files();
    let server = Server::of(&files);
    let mut client = server.connect();
    check(&mut client, "-> g1\n<- E16\n-> g1\n<- E16\n-> qAttached\n<- 1");
}

#[test]
fn a_packet_of_any_bytes_at_all() {
    let files = files();
    let server = Server::of(&files);
    let mut client = server.connect();
    // Not those that frame a packet, nor the ones that end a session.
    for byte in (0..=255u8).filter(|byte| !b"#$Dk".contains(byte)) {
        client.ask_bytes(&[byte]);
        client.ask_bytes(&[b'q', byte, byte]);
        client.ask_bytes(&[b'v', byte, 0xff]);
    }
    alive(&mut client);
}

#[test]
fn a_packet_longer_than_any_is_refused() {
    let files = files();
    let server = Server::of(&files);
    let mut client = server.connect();
    assert_eq!(client.ask(&"m".repeat(300 << 10)), "E16");
    alive(&mut client);
}

#[test]
fn interrupts_are_passed_over_however_many() {
    let files = files();
    let server = Server::of(&files);
    let mut client = server.connect();
    client.write(&vec![3; 1 << 20]);
    alive(&mut client);
}

#[test]
fn acknowledgements_and_what_is_sent_again() {
    let files = files();
    let server = Server::of(&files);
    let mut client = server.connect();
    let mut next = |send: &[u8], expect: &[u8]| {
        client.write(send);
        let mut got = vec![0; expect.len()];
        client.stream.read_exact(&mut got).unwrap();
        assert_eq!(String::from_utf8_lossy(&got), String::from_utf8_lossy(expect));
    };
    let answer = framed(b"QC1893e");
    next(b"+$qC#b4", &[b"+", answer.as_slice()].concat());
    next(b"-", &answer);
    next(b"---", &answer.repeat(3));
    next(b"+$qC#00", b"-");
    next(b"$qC#b4", &[b"+", answer.as_slice()].concat());
    next(b"+$QStartNoAckMode#b0", b"+$OK#9a");
    // From here on nothing is acknowledged, not even what is damaged.
    next(b"+$qC#b4", &answer);
    next(b"-$qC#b4", &answer);
    next(b"$qC#00", b"$E16#ac");
    next(b"$qC#b4", &answer);
}

#[test]
fn half_a_packet_ends_with_its_connection() {
    let files = files();
    let server = Server::of(&files);
    for half in ["$", "$qC", "$qC#", "$qC#b", "+", ""] {
        let mut client = server.connect();
        client.write(half.as_bytes());
        client.stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(client.is_closed(), "{half:?}");
    }
    alive(&mut server.connect());
}
