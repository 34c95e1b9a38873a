//! The protocol, without a debugger: what a client sends, and what comes back.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod conversation;
mod rsp;
mod support;
mod synth;
mod text;

use conversation::check;
use rsp::{Client, GDB, LLDB, Server, digits, document as document_of, framed, undigits};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use support::{Saved, known_registers, shown_name, stack_top};
use synth::System;
use synth::freebsd::{Facts, ThreadFacts};

/// A machine on which one CPU did not stop: its idle thread has no registers.
fn files() -> Saved {
    Saved::new(System { stopped_cpus: vec![0, 3], ..System::small() }.build())
}

/// A thread's registers as the packet `g` has them: 8 bytes each up to rip, then 24 of 4 or 10 bytes that no image
/// holds, then the bases of segments and what controls the CPU.
fn g_packet(thread: &ThreadFacts) -> String {
    const NAMES: [&str; 17] = [
        "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15", "rip",
    ];
    const CONTROL: [&str; 7] = ["fs_base", "gs_base", "k_gs_base", "cr0", "cr2", "cr3", "cr4"];
    let known = known_registers(thread);
    let word = |name: &str| {
        let value = known.iter().find(|(known, _)| *known == name);
        value.map_or("x".repeat(16), |(_, value)| digits(value.to_le_bytes()))
    };
    let rest = 2 * (7 * 4 + 8 * 10 + 8 * 4);
    NAMES.map(word).concat() + &"x".repeat(rest) + &CONTROL.map(word).concat()
}

/// All threads in the order in which they are listed.
fn crashed_first(facts: &Facts) -> Vec<&ThreadFacts> {
    let mut threads: Vec<&ThreadFacts> = facts.threads.iter().collect();
    threads.sort_by_key(|thread| !thread.crashed);
    threads
}

const CRASHED: u32 = 100_670;
/// Sleeps, so its registers were saved by a switch.
const SLEEPING: u32 = 100_002;
/// Ran on the CPU that did not stop.
const RUNNING: u32 = 100_004;

mod handshake {
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
        let tids: Vec<String> =
            crashed_first(facts).iter().map(|thread| format!("{:x}", thread.tid)).collect();
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
}

mod threads {
    use super::*;

    /// The list of threads that gdb reads.
    pub(super) fn document(facts: &Facts) -> String {
        let mut xml = String::from("<?xml version=\"1.0\"?>\n<threads>\n");
        for thread in crashed_first(facts) {
            let core = thread.on_cpu.map(|cpu| format!(" core=\"{cpu}\"")).unwrap_or_default();
            let name = shown_name(thread);
            let state = if thread.on_cpu.is_some() { " [R]" } else { "" };
            let crashed = if thread.crashed { " crashed" } else { "" };
            let (tid, pid) = (thread.tid, thread.pid);
            writeln!(xml, "<thread id=\"{tid:x}\"{core} name=\"{name}\">pid {pid}{state}{crashed}</thread>")
                .unwrap();
        }
        xml + "</threads>\n"
    }

    pub(super) fn threads_of<S: Read + Write>(client: &mut Client<S>) -> String {
        document_of(client, "threads:read:", 0xffb)
    }

    #[test]
    fn all_with_names_in_pieces_of_any_size() {
        let files = files();
        let server = Server::of(&files);
        let mut client = server.connect();
        client.ask(GDB);
        let expected = document(&files.built.facts);
        for piece in [1, 7, 0xffb, 0x20_0000] {
            assert_eq!(document_of(&mut client, "threads:read:", piece), expected, "pieces of {piece}");
        }
        check(
            &mut client,
            "-> qXfer:threads:read::10000,100
            <- l
            -> qXfer:threads:read::ffffffffffffffff,ffffffffffffffff
            <- l
            -> qXfer:threads:read::zz,1
            <- E16
            -> qXfer:threads:read::
            <- E16",
        );
    }

    #[test]
    fn one_by_one_as_older_clients_ask() {
        let files = files();
        let server = Server::of(&files);
        let mut client = server.connect();
        let list = client.ask("qfThreadInfo");
        let mut tids: Vec<u32> = files.built.facts.threads.iter().map(|thread| thread.tid).collect();
        tids.sort_by_key(|tid| *tid != CRASHED);
        // gdbstub writes whole bytes: 01893e.
        let listed: Vec<u32> =
            list[1..].split(',').map(|tid| u32::from_str_radix(tid, 16).unwrap()).collect();
        assert_eq!(listed, tids);
        assert_eq!(undigits(&client.ask("qThreadExtraInfo,1893e")), "pid 800 [R] crashed");
        assert_eq!(undigits(&client.ask("qThreadExtraInfo,186a2")), "pid 1");
    }

    #[test]
    fn all_at_once_as_lldb_asks() {
        let files = files();
        let server = Server::of(&files);
        let mut client = server.connect();
        client.ask(LLDB);
        let reply = client.ask_bytes(b"jThreadsInfo");
        let found: serde_json::Value = serde_json::from_slice(&reply).unwrap();
        let found = found.as_array().unwrap();
        assert_eq!(found.len(), files.built.facts.threads.len());
        for thread in found {
            let tid = u32::try_from(thread["tid"].as_u64().unwrap()).unwrap();
            let facts = files.built.facts.thread(tid);
            for (name, number) in [("rip", "16"), ("rsp", "7"), ("rbp", "6")] {
                let expected = facts.register(name).map(|value| digits(value.to_le_bytes()));
                assert_eq!(thread["registers"][number].as_str(), expected.as_deref(), "{tid} {name}");
            }
            let reason = facts.crashed.then_some("panic: kdb_sysctl_panic");
            assert_eq!(thread["description"].as_str(), reason);
        }
    }

    #[test]
    fn the_target_description_and_the_symbol_file() {
        let files = files();
        let server = Server::of(&files);
        let mut client = server.connect();
        client.ask(GDB);
        let xml = document_of(&mut client, "features:read:target.xml", 0xffb);
        for text in ["<architecture>i386:x86-64</architecture>", "\"gs_base\"", "\"st7\"", "</target>"] {
            assert!(xml.contains(text), "{text} is not in {xml}");
        }
        assert_eq!(client.ask("qXfer:features:read:other.xml:0,100"), "E02");
        let path = document_of(&mut client, "exec-file:read:1", 0xffb);
        assert!(std::fs::read(&path).unwrap().starts_with(b"\x7fELF"), "{path}");
    }

    /// lldb asks for `qOffsets` when it has seen that there are no libraries, if it has a kernel file; if not, the kernel is one
    /// of the libraries then: a shared object, and otherwise the file that gdb gets.
    #[test]
    fn lldb_is_told_of_the_kernel_unless_it_has_it() {
        const E_TYPE: usize = 16;
        let files = files();
        let server = Server::of(&files);
        let mut client = server.connect();
        client.ask(LLDB);
        let first = document_of(&mut client, "libraries-svr4:read:", 0xffb);
        assert!(!first.contains("name="), "{first}");
        let xml = document_of(&mut client, "libraries-svr4:read:", 0xffb);
        let names: Vec<&str> =
            xml.split("name=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
        let [path] = names[..] else { panic!("{xml}") };
        assert!(xml.contains("l_addr=\"0x0\""), "{xml}");
        let mut shared = std::fs::read(path).unwrap();
        let program = std::fs::read(document_of(&mut client, "exec-file:read:1", 0xffb)).unwrap();
        assert_eq!((program[E_TYPE], shared[E_TYPE]), (2, 3));
        shared[E_TYPE] = 2;
        assert!(shared == program, "the files differ");
        let mut client = server.connect();
        client.ask(LLDB);
        document_of(&mut client, "libraries-svr4:read:", 0xffb);
        client.ask("qOffsets");
        let xml = document_of(&mut client, "libraries-svr4:read:", 0xffb);
        assert!(!xml.contains("name=") && xml.ends_with("</library-list-svr4>\n"), "{xml}");
        assert_eq!(document_of(&mut client, "libraries:read:", 0xffb), "<library-list>\n</library-list>\n");
    }
}

mod registers {
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
}

mod memory {
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
        assert_eq!(
            text,
            "invalid address (0x10): the image knows no mapping for this part of the address space"
        );
        assert_eq!(
            undigits(client.ask("m10").strip_prefix("E16;").unwrap()),
            "malformed packet: expected ADDRESS,LENGTH"
        );
    }
}

mod nothing_runs {
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
}

mod monitor {
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
}

mod rude_clients {
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
}

mod connections {
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
        let arguments =
            [files.kernel.to_str().unwrap(), files.vmcore.to_str().unwrap(), "--once", "-l", ":0"];
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
        let child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
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
}

mod without_a_kernel_file {
    use super::*;

    fn serve(files: &Saved) -> Server {
        Server::start([files.vmcore.as_os_str(), "--listen".as_ref(), ":0".as_ref()])
    }

    /// Answers the server's questions for names, as a debugger with the kernel's symbols does.
    fn dance<S: Read + Write>(client: &mut Client<S>, facts: &Facts) -> Vec<String> {
        let mut asked = Vec::new();
        let mut reply = client.ask("qSymbol::");
        while let Some(name) = reply.strip_prefix("qSymbol:") {
            assert!(asked.len() < 500, "it goes on asking: {asked:?}");
            let value =
                facts.symbols.get(&undigits(name)).map(|value| format!("{value:x}")).unwrap_or_default();
            asked.push(undigits(name));
            reply = client.ask(&format!("qSymbol:{value}:{name}"));
        }
        assert_eq!(reply, "OK");
        asked
    }

    /// gdb does not connect without a program counter, so the stand-in has one in the stop reply.
    const STAND_IN: &str = "T05thread:1;10:0000000000000000;";

    #[test]
    fn there_is_one_thread_that_stands_for_the_image() {
        let files = files();
        let server = serve(&files);
        let mut client = server.connect();
        check(&mut client, &format!("-> ?\n<- {STAND_IN}\n-> mffffffff80200000,4\n<- 554889e5"));
        assert!(client.ask("g").bytes().all(|byte| byte == b'x'));
        assert!(threads::threads_of(&mut client).contains("name=\"image (threads not found)\""));
    }

    #[test]
    fn the_debuggers_symbols_find_the_threads() {
        for hello in [GDB, LLDB] {
            let files = files();
            let server = serve(&files);
            let mut client = server.connect();
            client.ask(hello);
            let asked = dance(&mut client, &files.built.facts);
            let unique: std::collections::HashSet<&String> = asked.iter().collect();
            assert_eq!(asked.len(), unique.len(), "asked twice: {asked:?}");
            assert!(unique.contains(&"allproc".to_owned()));
            assert_eq!(threads::threads_of(&mut client), threads::document(&files.built.facts));
            // gdb still has the stand-in selected, and must not get another thread's registers for it.
            assert!(client.ask("g").bytes().all(|byte| byte == b'x'));
            assert_eq!(client.ask(&format!("Hg{CRASHED:x}")), "OK");
            assert_eq!(client.ask("g"), g_packet(files.built.facts.thread(CRASHED)));
            assert!(client.ask("?").starts_with("T05thread:1893e;"));
        }
    }

    #[test]
    fn a_debugger_that_knows_no_names_changes_nothing() {
        let mut files = files();
        let server = serve(&files);
        files.built.facts.symbols.clear();
        let mut client = server.connect();
        dance(&mut client, &files.built.facts);
        check(&mut client, &format!("-> ?\n<- {STAND_IN}"));
    }

    #[test]
    fn answers_that_lie_do_no_harm() {
        let mut files = files();
        let server = serve(&files);
        files.built.facts.symbols.values_mut().for_each(|value| *value = u64::MAX);
        let mut client = server.connect();
        dance(&mut client, &files.built.facts);
        let garbage = "-> qSymbol:zz:zz\n<- ...\n-> qSymbol:1:\n<- ...";
        check(&mut client, &format!("-> ?\n<- {STAND_IN}\n{garbage}"));
        check(&mut client, "-> mffffffff80200000,4\n<- 554889e5");
    }
}
