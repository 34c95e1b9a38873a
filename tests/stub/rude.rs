//! Clients that behave badly harm only their own connection.

use crate::conversation::check;
use crate::rsp::{GDB, Server, framed};
use crate::support::Saved;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

const HELLO: &str = "-> qC\n<- QC1893e";

/// What a client does to the server while another one works.
fn while_another_works(rude: impl Fn(&Server)) {
    let files = Saved::small();
    let server = Server::of(&files);
    let mut other = server.connect();
    check(&mut other, HELLO);
    rude(&server);
    check(&mut other, HELLO);
    check(&mut server.connect(), HELLO);
}

#[test]
fn a_megabyte_of_dollars() {
    while_another_works(|server| {
        let mut client = server.connect();
        client.write(&vec![b'$'; 1 << 20]);
        check(&mut client, HELLO);
    });
}

#[test]
fn a_packet_that_never_ends() {
    while_another_works(|server| {
        let before = memory(server);
        let mut client = server.connect();
        client.write(b"$");
        for _ in 0..64 {
            client.write(&vec![b'a'; 1 << 20]);
        }
        assert!(memory(server) < before + (16 << 20), "it keeps what it will not use");
        // It gives up, and goes on.
        check(&mut client, HELLO);
    });
}

#[test]
fn interrupts_without_end() {
    while_another_works(|server| {
        let mut client = server.connect();
        client.write(&vec![3; 4 << 20]);
        check(&mut client, HELLO);
    });
}

#[test]
fn checksums_that_are_wrong_again_and_again() {
    while_another_works(|server| {
        let mut client = server.connect();
        for _ in 0..10_000 {
            client.write(b"$qC#00");
        }
        let mut answers = vec![0; 10_000];
        client.stream.read_exact(&mut answers).unwrap();
        assert!(answers.iter().all(|byte| *byte == b'-'));
        check(&mut client, HELLO);
    });
}

/// Neither are replies asked for again without end.
#[test]
fn acknowledgements_that_never_come() {
    while_another_works(|server| {
        let mut client = server.connect();
        for _ in 0..1000 {
            client.write(&framed(b"qC"));
            client.packet();
        }
        client.write(&[b'-'; 1000]);
        for _ in 0..1000 {
            assert_eq!(client.packet(), b"QC1893e");
        }
        check(&mut client, HELLO);
    });
}

/// Then our writes wait, and with them this client's thread.
#[test]
fn replies_that_nobody_reads() {
    while_another_works(|server| {
        let before = memory(server);
        let mut client = server.connect();
        client.ask(GDB);
        client.stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let request = framed(b"mffffffff80200000,4000").repeat(1000);
        let stuck = (0..10_000).find_map(|_| client.stream.write_all(&request).err());
        assert_eq!(stuck.map(|error| error.kind()), Some(ErrorKind::WouldBlock));
        assert!(memory(server) < before + (16 << 20), "it heaps up replies");
    });
}

/// Bytes of memory that the server uses.
fn memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() << 10
}
