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
    let listed: Vec<u32> = list[1..].split(',').map(|tid| u32::from_str_radix(tid, 16).unwrap()).collect();
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
    let names: Vec<&str> = xml.split("name=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
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
