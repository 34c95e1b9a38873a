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
        let value = facts.symbols.get(&undigits(name)).map(|value| format!("{value:x}")).unwrap_or_default();
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
