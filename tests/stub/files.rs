//! `--serve-files`: what was announced, and nothing else, can be read over the connection.

use crate::conversation::check;
use crate::rsp::{Client, GDB, Server, digits, document};
use crate::support::Saved;
use std::net::TcpStream;
use std::path::Path;

fn serve(files: &Saved) -> Server {
    let paths = [&files.kernel, &files.vmcore].map(|path| path.to_str().unwrap());
    Server::start(paths.into_iter().chain(["--listen", ":0", "--serve-files"]))
}

fn open(client: &mut Client<TcpStream>, path: &str) -> String {
    client.ask(&format!("vFile:open:{},0,0", digits(path)))
}

/// The whole of an open file, in pieces of any size.
fn contents(client: &mut Client<TcpStream>, handle: u32, piece: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let reply =
            client.ask_bytes(format!("vFile:pread:{handle:x},{piece:x},{:x}", bytes.len()).as_bytes());
        let semicolon = reply.iter().position(|byte| *byte == b';').expect("a length");
        let length = std::str::from_utf8(&reply[1..semicolon]).unwrap();
        let length = usize::from_str_radix(length, 16).unwrap();
        assert_eq!((reply[0], reply.len() - semicolon - 1), (b'F', length));
        bytes.extend(&reply[semicolon + 1..]);
        if length == 0 {
            return bytes;
        }
    }
}

#[test]
fn an_announced_file_is_read_to_its_end() {
    let files = Saved::small();
    let server = serve(&files);
    let mut client = server.connect();
    client.ask(GDB);
    let path = document(&mut client, "exec-file:read:1", 0xffb);
    let expected = std::fs::read(&path).unwrap();
    check(&mut client, "-> vFile:setfs:0\n<- F0");
    assert_eq!(open(&mut client, &path), "F0");
    assert_eq!(open(&mut client, &path), "F1");
    for piece in [1000, 0x20000] {
        assert!(contents(&mut client, 1, piece) == expected, "pieces of {piece}");
    }
    // Its size stands where gdb expects it, in 8 bytes behind 7 fields of 4.
    for packet in
        ["fstat:0".to_owned(), format!("stat:{}", digits(&path)), format!("lstat:{}", digits(&path))]
    {
        let about = client.ask_bytes(format!("vFile:{packet}").as_bytes());
        let about = about.strip_prefix(b"F40;").expect("64 bytes");
        assert_eq!(about[28..36], (expected.len() as u64).to_be_bytes(), "{packet}");
        assert_eq!(about[8..12], 0o100_444u32.to_be_bytes(), "{packet}");
    }
    check(
        &mut client,
        "-> vFile:close:0
        <- F0
        -> vFile:close:0
        <- F-1,9
        -> vFile:pread:0,10,0
        <- F-1,9
        -> vFile:fstat:0
        <- F-1,9",
    );
    assert_eq!(open(&mut client, &path), "F0");
    // Handles are a connection's own.
    check(&mut server.connect(), "-> vFile:fstat:0\n<- F-1,9");
}

#[test]
fn nothing_else_is_read_however_it_is_spelled() {
    let files = Saved::small();
    let server = serve(&files);
    let mut client = server.connect();
    client.ask(GDB);
    let path = document(&mut client, "exec-file:read:1", 0xffb);
    let (folder, name) = path.rsplit_once('/').unwrap();
    for other in [
        "/etc/passwd",
        "just probing",
        "",
        "/",
        folder,
        name,
        &format!("{folder}/./{name}"),
        &format!("{folder}//{name}"),
        &format!("{folder}/../kgdbserver/{name}"),
        &format!("{path}\0"),
        &format!("{path}/"),
        &format!("//{path}"),
        files.kernel.to_str().unwrap(),
        files.vmcore.to_str().unwrap(),
    ] {
        assert_eq!(open(&mut client, other), "F-1,2", "{other:?}");
        assert_eq!(client.ask(&format!("vFile:stat:{}", digits(other))), "F-1,2", "{other:?}");
    }
    // Nor is anything written.
    for flags in ["1", "2", "8", "200", "400", "601"] {
        assert_eq!(client.ask(&format!("vFile:open:{},{flags},1b6", digits(&path))), "F-1,1e", "{flags}");
    }
    check(
        &mut client,
        "-> vFile:pwrite:0,0,a
        <- F-1,1e
        -> vFile:unlink:2f
        <- F-1,1e
        -> vFile:readlink:2f
        <- F-1,16
        -> vFile:nonsense:1
        <-",
    );
    assert_eq!(open(&mut client, &path), "F0");
    for bad in ["open:zz,0,0", "open:2f2", "pread:0", "pread:0,1", "pread:zz,1,1", "fstat:", "close:"] {
        assert_eq!(client.ask(&format!("vFile:{bad}")), "F-1,16", "{bad}");
    }
    for bad in ["pread:ffffffffffffffff,1,0", "close:7777777", "fstat:1"] {
        assert_eq!(client.ask(&format!("vFile:{bad}")), "F-1,9", "{bad}");
    }
}

#[test]
fn a_client_cannot_open_without_end_nor_read_too_much() {
    let files = Saved::small();
    let server = serve(&files);
    let mut client = server.connect();
    client.ask(GDB);
    let path = document(&mut client, "exec-file:read:1", 0xffb);
    let answers: Vec<String> = (0..5000).map(|_| open(&mut client, &path)).collect();
    assert_eq!(answers[4095..4097], ["Ffff", "F-1,18"]);
    let reply = client.ask_bytes(b"vFile:pread:0,ffffffffffffffff,0");
    assert!(reply.len() < 0x2_0000, "{} bytes", reply.len());
    assert_eq!(client.ask("vFile:pread:0,10,ffffffffffffffff").split(',').next(), Some("F-1"));
}

/// gdb then opens the announced path itself.
#[test]
fn without_the_option_there_is_no_such_packet() {
    let files = Saved::small();
    let server = Server::of(&files);
    let mut client = server.connect();
    let path = document(&mut client, "exec-file:read:1", 0xffb);
    assert!(Path::new(&path).exists());
    for packet in ["setfs:0", &format!("open:{},0,0", digits(&path))] {
        assert_eq!(client.ask(&format!("vFile:{packet}")), "", "{packet}");
    }
}
