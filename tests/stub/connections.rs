//! Who connects, how often and how many, and what is no debugger.

use crate::conversation::check;
use crate::rsp::{Client, Server, framed};
use crate::support::Saved;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const HELLO: &str = "-> qC\n<- QC1893e";

fn serve(files: &Saved, options: &[&str]) -> Server {
    let paths = [&files.kernel, &files.vmcore].map(|path| path.to_str().unwrap());
    Server::start(paths.iter().chain(options))
}

#[test]
fn what_is_no_debugger_is_hung_up_on_with_a_word_of_what_it_said() {
    let files = Saved::small();
    let mut server = Server::of(&files);
    for (hello, shown) in [
        ("GET / HTTP/1.0\r\n\r\n", r#"no debugger begins with "GET / HTTP/1.0\r\n""#),
        ("\x16\x03\x01\x02\x00", r#"no debugger begins with "\x16\x03\x01\x02\x00""#),
        ("SSH-2.0-OpenSSH_9.2\r\n", r#"no debugger begins with "SSH-2.0-OpenSSH_""#),
        ("\0", r#"no debugger begins with "\x00""#),
    ] {
        let mut client = server.connect();
        client.write(hello.as_bytes());
        assert!(client.is_closed(), "{hello:?}");
        server.line_with(shown);
    }
    check(&mut server.connect(), HELLO);
}

#[test]
fn the_only_one_to_be_served_is_a_debugger() {
    let files = Saved::small();
    let mut server = serve(&files, &["--once", "--listen", ":0"]);
    let mut browser = server.connect();
    browser.write(b"GET / HTTP/1.0\r\n\r\n");
    assert!(browser.is_closed());
    let mut client = server.connect();
    check(&mut client, HELLO);
    drop(client);
    assert_eq!(server.wait(), Some(0));
}

/// Nor are they for ever: see the unit tests.
#[test]
fn connections_that_say_nothing_keep_nobody_out() {
    let files = Saved::small();
    let server = Server::of(&files);
    let silent: Vec<Client<TcpStream>> = (0..200).map(|_| server.connect()).collect();
    let begun = Instant::now();
    check(&mut server.connect(), HELLO);
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(silent);
    check(&mut server.connect(), HELLO);
}

#[test]
fn debuggers_are_as_many_as_there_are_places() {
    let files = Saved::small();
    let mut server = Server::of(&files);
    let mut debuggers: Vec<Client<TcpStream>> = (0..64).map(|_| server.connect()).collect();
    debuggers.iter_mut().for_each(|client| check(client, HELLO));
    let mut next = server.connect();
    next.write(&framed(b"qC"));
    assert!(next.is_closed());
    server.line_with("64 debuggers are connected already");
    check(&mut debuggers[63], HELLO);
    debuggers.pop();
    let begun = Instant::now();
    loop {
        let mut client = server.connect();
        client.write(&framed(b"qC"));
        if client.byte() == Some(b'+') {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "no place became free");
    }
}

#[test]
fn many_at_once_and_one_after_the_other() {
    let files = Saved::small();
    let server = Server::of(&files);
    std::thread::scope(|scope| {
        for number in 0..8u32 {
            let server = &server;
            scope.spawn(move || {
                for time in 0..10 {
                    let mut client = server.connect();
                    check(&mut client, "-> GDB\n<- ...\n-> Hg186a2\n<- OK\n-> qC\n<- QC186a2");
                    // Some say good-bye, some do not.
                    if (number + time) % 2 == 0 {
                        check(&mut client, "-> D\n<- OK");
                    }
                }
            });
        }
    });
    check(&mut server.connect(), HELLO);
}

#[test]
fn the_port_is_in_a_file_as_soon_as_it_is_open() {
    let files = Saved::small();
    let path = files.path("port");
    let mut command = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
    command.args([&files.kernel, &files.vmcore]).args(["--listen", ":0", "--once", "--port-file"]).arg(&path);
    let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    let port = loop {
        match std::fs::read_to_string(&path) {
            Ok(text) => break text.strip_suffix('\n').expect("all of it").parse::<u16>().unwrap(),
            Err(_) => assert!(begun.elapsed() < Duration::from_secs(20), "no file"),
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let mut client = Client::new(TcpStream::connect(("127.0.0.1", port)).expect("it listens"));
    check(&mut client, HELLO);
    drop(client);
    assert!(child.wait().unwrap().success());
    assert!(!path.exists(), "it stayed behind");
    let names: Vec<_> =
        files.folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn a_port_file_that_cannot_be_is_an_error() {
    let files = Saved::small();
    let socket = format!("unix:{}", files.path("socket").display());
    for (options, text) in [
        (["--listen", &socket, "--port-file", "port"], "a unix socket has no port"),
        (["--listen", ":0", "--port-file", "/nonexistent/port"], "/nonexistent/port: No such file"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
        let output = command.args([&files.kernel, &files.vmcore]).args(options).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(text), "{said}");
    }
}

#[test]
fn a_unix_socket_takes_several_and_again() {
    let files = Saved::small();
    let socket = files.path("gdb.sock");
    let _server = serve(&files, &["--listen", &format!("unix:{}", socket.display())]);
    let connect = || Client::new(UnixStream::connect(&socket).unwrap());
    let (mut one, mut other) = (connect(), connect());
    check(&mut one, HELLO);
    check(&mut other, HELLO);
    drop(one);
    other.stream.write_all(b"$q").unwrap();
    drop(other);
    check(&mut connect(), HELLO);
}
