use super::*;

const MESSAGE: &str = "This is a kernel image: nothing runs, and nothing can be stepped or continued.\n";

#[test]
fn resuming_is_answered_with_a_message_and_a_stop() {
    let files = files();
    let server = Server::of(&files);
    let mut client = server.connect();
    client.ask(GDB);
    client.ask(&format!("Hg{SLEEPING:x}"));
    let stop = |tid: u32| format!("O{}\nT00thread:{tid:x};", digits(MESSAGE));
    for packet in ["s", "S05"] {
        assert_eq!(client.ask(packet), stop(SLEEPING), "{packet}");
    }
    client.write(b"\x03");
    assert_eq!(client.ask("qC"), format!("QC{SLEEPING:x}"));
    // To go on leads to the crashed thread, and a step stays in the thread that it is asked of.
    for packet in ["c", "C05", "cffffffff80200000", "vCont;c", "vCont;s:186a2;c", "vCont;c:p1.-1"] {
        client.ask(&format!("Hg{SLEEPING:x}"));
        assert_eq!(client.ask(packet), stop(CRASHED), "{packet}");
        assert_eq!(client.ask("qC"), format!("QC{CRASHED:x}"));
    }
    client.ask(&format!("Hc{SLEEPING:x}"));
    assert_eq!(client.ask("s"), stop(SLEEPING));
    client.ask("Hc-1");
    client.ask(&format!("Hg{CRASHED:x}"));
    assert_eq!(client.ask("s"), stop(CRASHED));
}

#[test]
fn breakpoints_are_accepted_and_forgotten() {
    let files = files();
    let server = Server::of(&files);
    check(
        &mut server.connect(),
        "-> Z0,ffffffff80200000,1
        <- OK
        -> Z1,ffffffff80200000,1
        <- OK
        -> Z2,ffffffff80400000,4
        <- OK
        -> z0,ffffffff80200000,1
        <- OK
        -> mffffffff80200000,1
        <- 55
        -> Z
        <- E16
        -> Zx,1,1
        <- E16
        -> z0
        <- E16",
    );
}

#[test]
fn every_write_is_refused() {
    let files = files();
    let g = g_packet(files.built.facts.thread(CRASHED));
    let server = Server::of(&files);
    let mut client = server.connect();
    for packet in [
        "Mffffffff80200000,1:cc",
        "Xffffffff80200000,0:",
        "Xffffffff80200000,1:a",
        "P10=0000000000000000",
        "P10=0000000000000000;thread:1893e;",
        &format!("G{}", "0".repeat(g.len())),
    ] {
        assert_eq!(client.ask(packet), "E1e", "{packet}");
    }
    assert_eq!(client.ask("mffffffff80200000,4"), "554889e5");
    assert_eq!(client.ask("g"), g);
}
