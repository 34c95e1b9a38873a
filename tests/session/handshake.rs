use super::*;

#[test]
fn gdbs() {
    let files = files();
    let server = Server::of(&files);
    check(
        &mut server.connect(),
        "-> GDB
        <- PacketSize=20000;...
        -> vMustReplyEmpty
        <-
        -> QStartNoAckMode
        <- OK
        -> Hgp0.0
        <- OK
        -> qXfer:features:read:target.xml:0,15
        <- m<?xml version=\"1.0\"?>
        -> qTStatus
        <-
        -> ?
        <- T05thread:1893e;
        -> qC
        <- QC1893e
        -> qOffsets
        <- Text=00;Data=00;Bss=00
        -> Hc-1
        <- OK
        -> qAttached
        <- 1
        -> T1893e
        <- OK
        -> T1
        <- E03
        -> vCont?
        <-
        -> qSymbol::
        <- OK
        -> D
        <- OK",
    );
}

#[test]
fn lldbs() {
    let files = files();
    let facts = &files.built.facts;
    let crashed = facts.thread(CRASHED);
    let word = |name| digits(crashed.register(name).unwrap().to_le_bytes());
    let expedited = format!("10:{};07:{};06:{};", word("rip"), word("rsp"), word("rbp"));
    let triple = digits("x86_64-unknown-freebsd");
    let tids: Vec<String> = crashed_first(facts).iter().map(|thread| format!("{:x}", thread.tid)).collect();
    let tids = tids.join(",");
    // Those that have no reason of their own to stop are not in it.
    let stopped = serde_json::json!([{
        "tid": CRASHED, "name": "sysctl", "reason": "exception", "signal": 5,
        "description": "panic: kdb_sysctl_panic",
        "registers": { "16": word("rip"), "7": word("rsp"), "6": word("rbp") },
    }]);
    let server = Server::of(&files);
    check(
        &mut server.connect(),
        &format!(
            "-> QStartNoAckMode
            <- OK
            -> LLDB
            <- PacketSize=20000;...
            -> QEnableErrorStrings
            <- OK
            -> QThreadSuffixSupported
            <- OK
            -> QListThreadsInStopReply
            <- OK
            -> qHostInfo
            <- triple:{triple};endian:little;ptrsize:8;vm-page-size:4096;
            -> vCont?
            <-
            -> qVAttachOrWaitSupported
            <-
            -> qProcessInfo
            <- pid:1;triple:{triple};endian:little;ptrsize:8;
            -> qC
            <- QCp1.1893e
            -> ?
            <- T05thread:1893e;hexname:{};reason:exception;description:{};{expedited}threads:{tids};jstopinfo:{};library:;
            -> qOffsets
            <- Text=00;Data=00;Bss=00
            -> qfThreadInfo
            <- m...
            -> qsThreadInfo
            <- l
            -> qThreadStopInfo186a2
            <- T00thread:186a2;hexname:{};10:...
            -> qThreadStopInfo186a4
            <- T00thread:186a4;hexname:{};
            -> qThreadStopInfo1
            <- E03;{}
            -> jThreadExtendedInfo:{{\"thread\":100670}}
            <-",
            digits("sysctl"),
            digits("panic: kdb_sysctl_panic"),
            digits(stopped.to_string()),
            digits("init"),
            digits("idle/idle: cpu1"),
            digits("there is no such thread"),
        ),
    );
}

#[test]
fn what_is_announced() {
    let files = files();
    let server = Server::of(&files);
    for hello in [GDB, LLDB] {
        let reply = server.connect().ask(hello);
        let features: Vec<&str> = reply.split(';').collect();
        for feature in [
            "PacketSize=20000",
            "QStartNoAckMode+",
            "qXfer:features:read+",
            "qXfer:exec-file:read+",
            "qXfer:threads:read+",
            "qXfer:libraries:read+",
            "qXfer:libraries-svr4:read+",
            "binary-upload+",
        ] {
            let name = |feature: &str| feature.split(['=', '+']).next().map(str::to_owned);
            let of_name: Vec<_> = features.iter().filter(|other| name(other) == name(feature)).collect();
            assert_eq!(of_name, [&feature], "{reply}");
        }
        assert!(!reply.contains("multiprocess") && !reply.contains("vContSupported"), "{reply}");
    }
}
