use super::*;

fn monitor<S: Read + Write>(client: &mut Client<S>, command: &str) -> String {
    let reply = client.ask(&format!("qRcmd,{}", digits(command)));
    let mut lines: Vec<&str> = reply.split('\n').collect();
    assert_eq!(lines.pop(), Some("OK"), "{reply}");
    lines.iter().map(|line| undigits(line.strip_prefix('O').unwrap())).collect()
}

#[test]
fn every_command() {
    let files = files();
    let facts = &files.built.facts;
    let server = Server::of(&files);
    let mut client = server.connect();
    let help = monitor(&mut client, "help");
    for command in ["help", "info", "ps", "threads", "bt", "nlist"] {
        assert!(help.contains(&format!("monitor {command}")), "{help}");
    }
    assert_eq!(monitor(&mut client, ""), help);
    assert_eq!(monitor(&mut client, "frobnicate"), format!("frobnicate: no such command\n{help}"));
    assert!(monitor(&mut client, "info").contains("panic        kdb_sysctl_panic\n"));
    let ps = monitor(&mut client, "ps");
    assert_eq!(ps.lines().count(), facts.pids.len() + 1, "{ps}");
    assert_eq!(monitor(&mut client, "threads").lines().count(), facts.threads.len() + 1);
    assert_eq!(
        monitor(&mut client, "nlist hz nonsense"),
        format!("{:016x} B hz\nnonsense: no such symbol\n", facts.symbol("hz"))
    );
}

/// The text of console output, and the reply behind it.
fn rest<S: Read + Write>(client: &mut Client<S>) -> (String, String) {
    let mut text = String::new();
    loop {
        let packet = String::from_utf8(client.packet()).unwrap();
        match packet.strip_prefix('O').filter(|output| *output != "K") {
            Some(output) => text += &undigits(output),
            None => return (text, packet),
        }
    }
}

/// So many threads that their backtraces do not fit in what the line holds.
fn crowd() -> Saved {
    Saved::new(System::crowded(1_000).build())
}

#[test]
fn an_interrupt_stops_a_long_command() {
    let files = crowd();
    let server = Server::of(&files);
    let mut client = server.connect();
    client.write(&framed(format!("qRcmd,{}", digits("bt all")).as_bytes()));
    assert!(client.packet().starts_with(b"O"));
    client.write(b"\x03");
    let (text, reply) = rest(&mut client);
    assert_eq!((text.lines().last(), reply.as_str()), (Some("interrupted"), "OK"));
    assert!(!text.contains("worker 999"), "it went on");
    assert_eq!(client.ask("qC"), "QC1893e");
}

/// gdb sends none of it after ^C: it waits no longer, and tells nobody. What it is sent then, it takes for answers.
#[test]
fn the_next_packet_ends_the_connection_of_whoever_does_not_wait() {
    let files = crowd();
    let server = Server::of(&files);
    let mut client = server.connect();
    client.write(&framed(format!("qRcmd,{}", digits("bt all")).as_bytes()));
    assert!(client.packet().starts_with(b"O"));
    client.write(&framed(b"qC"));
    let mut left = Vec::new();
    let _ = client.stream.read_to_end(&mut left); // what was sent before may end in a reset
    let left = String::from_utf8_lossy(&left);
    assert!(!left.contains("$OK") && !left.contains("$QC"), "{left}");
    assert_eq!(server.connect().ask("qC"), "QC1893e");
}

#[test]
fn backtraces() {
    let files = files();
    let facts = &files.built.facts;
    let server = Server::of(&files);
    let mut client = server.connect();
    let addresses = |text: &str| -> Vec<u64> {
        let frames = text.lines().filter(|line| line.starts_with('#'));
        frames.map(|line| text::hex(line.split_whitespace().nth(1).unwrap())).collect()
    };
    let crashed = monitor(&mut client, "bt");
    assert_eq!(addresses(&crashed), facts.thread(CRASHED).backtrace);
    assert!(crashed.starts_with("thread 100670 (pid 800) sysctl\n#0 "), "{crashed}");
    assert!(crashed.contains(" in panic+0x43\n"), "{crashed}");
    for thread in &facts.threads {
        let text = monitor(&mut client, &format!("bt {}", thread.tid));
        assert_eq!(addresses(&text), thread.backtrace, "{text}");
    }
    let running = monitor(&mut client, &format!("bt {RUNNING}"));
    assert!(running.ends_with("  no registers: it was running, and its CPU did not stop\n"), "{running}");
    assert_eq!(
        addresses(&monitor(&mut client, "bt all")).len(),
        facts.threads.iter().map(|thread| thread.backtrace.len()).sum::<usize>()
    );
    assert_eq!(monitor(&mut client, "bt 1"), "1: no such thread\n");
    assert_eq!(monitor(&mut client, "bt x"), "x: not a thread id\n");
}
