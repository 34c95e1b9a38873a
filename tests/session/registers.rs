use super::*;

#[test]
fn as_gdb_reads_them_with_x_for_what_was_not_saved() {
    let files = files();
    let server = Server::of(&files);
    let mut client = server.connect();
    client.ask(GDB);
    let g = |tid| g_packet(files.built.facts.thread(tid));
    check(
        &mut client,
        &format!(
            "-> g
            <- {}
            -> Hg{SLEEPING:x}
            <- OK
            -> g
            <- {}
            -> qC
            <- QC186a2
            -> Hgp1.{RUNNING:x}
            <- OK
            -> g
            <- {}
            -> Hg0
            <- OK
            -> Hg7777
            <- E03
            -> qC
            <- QC1893e",
            g(CRASHED),
            g(SLEEPING),
            g(RUNNING),
        ),
    );
}

#[test]
fn one_by_one_where_what_was_not_saved_is_an_error() {
    let files = files();
    let facts = files.built.facts.thread(SLEEPING);
    let word = |name| digits(facts.register(name).unwrap().to_le_bytes());
    let server = Server::of(&files);
    let mut client = server.connect();
    client.ask(GDB);
    check(
        &mut client,
        &format!(
            "-> Hg{SLEEPING:x}
            <- OK
            -> p10
            <- {}
            -> p7
            <- {}
            -> p0
            <- E3d
            -> p28
            <- E3d
            -> p11
            <- E3d
            -> p2a
            <- E3d
            -> pffff
            <- E3d",
            word("rip"),
            word("rsp"),
        ),
    );
}

#[test]
fn of_the_thread_that_lldbs_suffix_names() {
    let files = files();
    let word = |tid, name| digits(files.built.facts.thread(tid).register(name).unwrap().to_le_bytes());
    let server = Server::of(&files);
    let mut client = server.connect();
    client.ask(LLDB);
    check(
        &mut client,
        &format!(
            "-> QThreadSuffixSupported
            <- OK
            // the probe whether p is supported: an error would mean that it is not
            -> p0;thread:1893e;
            <- xxxxxxxxxxxxxxxx
            -> p0;thread:1893e;
            <- E3d
            -> p10;thread:1893e;
            <- {}
            -> p10;thread:186a2;
            <- {}
            -> p10;thread:186a4;
            <- E3d
            -> p10;thread:7777;
            <- E03
            -> p10;thread:zz;
            <- E03
            -> g;thread:186a2;
            <- {}",
            word(CRASHED, "rip"),
            word(SLEEPING, "rip"),
            g_packet(files.built.facts.thread(SLEEPING)),
        ),
    );
}
