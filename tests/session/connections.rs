use super::*;

#[test]
fn two_clients_at_once_do_not_disturb_each_other() {
    let files = files();
    let server = Server::of(&files);
    let (mut gdb, mut lldb) = (server.connect(), server.connect());
    check(&mut gdb, &format!("-> GDB\n<- ...\n-> Hg{SLEEPING:x}\n<- OK"));
    check(&mut lldb, "-> LLDB\n<- ...\n-> QStartNoAckMode\n<- OK\n-> qC\n<- QCp1.1893e\n-> x0,0\n<- OK");
    check(&mut gdb, "-> qC\n<- QC186a2\n-> x0,0\n<- b\n-> D\n<- OK");
    check(&mut lldb, "-> qC\n<- QCp1.1893e");
}

#[test]
fn a_client_that_left_may_come_back() {
    let files = files();
    let server = Server::of(&files);
    for good_bye in ["D", "k"] {
        let mut client = server.connect();
        client.ask(&format!("Hg{SLEEPING:x}"));
        client.write(&framed(good_bye.as_bytes()));
        if good_bye == "D" {
            assert_eq!(client.packet(), b"OK");
        }
        assert!(client.is_closed());
    }
    check(&mut server.connect(), "-> qC\n<- QC1893e");
}

#[test]
fn once_means_one_client() {
    let files = files();
    let arguments = [files.kernel.to_str().unwrap(), files.vmcore.to_str().unwrap(), "--once", "-l", ":0"];
    let mut server = Server::start(arguments);
    let mut client = server.connect();
    check(&mut client, "-> ?\n<- T05thread:1893e;");
    drop(client);
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn the_demo_needs_no_files() {
    let server = Server::start(["demo", "--listen", ":0"]);
    let mut client = server.connect();
    client.ask(GDB);
    assert_eq!(threads::threads_of(&mut client), threads::document(&System::demo().build().facts));
}

#[test]
fn a_socket_in_the_file_system_is_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixStream;
    let files = files();
    let socket = files.path("gdb.sock");
    let listen = format!("unix:{}", socket.display());
    let arguments =
        [files.kernel.to_str().unwrap(), files.vmcore.to_str().unwrap(), "--once", "--listen", &listen];
    let mut server = Server::start(arguments);
    assert_eq!(server.banner, format!("Listening on {}", socket.display()));
    assert_eq!(socket.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let mut second = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
    let refused = second.args(arguments).output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "the place is taken");
    let mut client = Client::new(UnixStream::connect(&socket).unwrap());
    check(&mut client, "-> ?\n<- T05thread:1893e;\n-> D\n<- OK");
    assert_eq!(server.wait(), Some(0));
    assert!(!socket.exists(), "it stayed behind");
}

/// A process's standard input and output.
struct Pipes(std::process::Child);

impl Read for Pipes {
    fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
        self.0.stdout.as_mut().unwrap().read(buf)
    }
}

impl Write for Pipes {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.stdin.as_mut().unwrap().write(buf)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.stdin.as_mut().unwrap().flush()
    }
}

#[test]
fn standard_input_and_output_are_a_connection_too() {
    let files = files();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
    command.arg("--stdio").arg(&files.kernel).arg(&files.vmcore);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut client = Client::new(Pipes(child));
    check(
        &mut client,
        "-> GDB
        <- ...
        -> QStartNoAckMode
        <- OK
        -> ?
        <- T05thread:1893e;
        -> mffffffff80200000,4
        <- 554889e5",
    );
    drop(client.stream.0.stdin.take());
    let output = client.stream.0.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(0), &[][..]));
    assert!(said.starts_with("Unread portion of the kernel message buffer:\n"), "{said}");
    assert!(said.ends_with("Panic: kdb_sysctl_panic\n"), "{said}");
}

#[test]
fn an_address_that_others_can_reach_must_be_allowed() {
    let files = files();
    let (kernel, vmcore) = (files.kernel.to_str().unwrap(), files.vmcore.to_str().unwrap());
    for address in ["0.0.0.0:0", "[::]:0"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
        let output = command.args([kernel, vmcore, "--listen", address]).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains("can be reached from other machines"), "{text}");
        assert!(text.contains("--allow-remote"), "{text}");
    }
    let server = Server::start([kernel, vmcore, "--listen", "0.0.0.0:0", "--allow-remote"]);
    check(&mut server.connect(), "-> ?\n<- T05thread:1893e;");
}

#[test]
fn the_banner_says_what_to_type() {
    let files = files();
    let mut server = Server::of(&files);
    let port = server.port();
    assert!(server.line_with("gdb -ex").ends_with(&format!("gdb -ex 'target remote :{port}'")));
    assert!(server.line_with("lldb").ends_with(&format!("-o 'gdb-remote {port}'")));
    let own = server.line_with("set osabi none");
    let (osabi, file) = (own.find("set osabi none").unwrap(), own.find("-ex 'file ").unwrap());
    assert!(osabi < file, "{own}");
}
