//! gdb's `info os`.

use crate::rsp::{Client, GDB, Server, document};
use crate::support::{Saved, shown_name};
use crate::synth::{Compiled, System};
use std::net::TcpStream;

/// The lines of a table, its cells apart by `|`.
fn table(client: &mut Client<TcpStream>, name: &str) -> Vec<String> {
    let xml = document(client, &format!("osdata:read:{name}"), 0xffb);
    assert!(xml.ends_with("</osdata>\n"), "{xml}");
    let cells = |item: &str| {
        let cells = item.split("<column name=\"").skip(1).map(|cell| {
            let (name, rest) = cell.split_once("\">").unwrap();
            format!("{name}={}", rest.split_once("</column>").unwrap().0)
        });
        cells.collect::<Vec<_>>().join("|")
    };
    xml.split("<item>").skip(1).map(cells).collect()
}

#[test]
fn the_table_of_tables() {
    let files = Saved::small();
    let server = Server::of(&files);
    let mut client = server.connect();
    assert!(client.ask(GDB).contains(";qXfer:osdata:read+"));
    let tables = table(&mut client, "");
    assert_eq!(tables[0], "Type=processes|Description=Listing of all processes|Title=processes");
    assert_eq!(tables.len(), 4);
    assert_eq!(table(&mut client, "types"), tables);
    assert_eq!(
        table(&mut client, "sockets"),
        ["error=there is no such table, only processes, threads, files, modules"]
    );
}

#[test]
fn processes_and_threads() {
    let files = Saved::new(System { stopped_cpus: vec![0, 3], ..System::small() }.build());
    let facts = &files.built.facts;
    let server = Server::of(&files);
    let mut client = server.connect();
    let processes = table(&mut client, "processes");
    assert_eq!(processes.len(), facts.pids.len());
    assert!(processes.contains(&"pid=800|user=|command=sysctl|cores=2".to_owned()), "{processes:?}");
    let threads = table(&mut client, "threads");
    for thread in &facts.threads {
        let core = thread.on_cpu.map(|cpu| cpu.to_string()).unwrap_or_default();
        let row = format!("pid={}|command={}|tid={}|core={core}", thread.pid, shown_name(thread), thread.tid);
        assert!(threads.contains(&row), "{row} is not in {threads:?}");
    }
    assert_eq!(threads.len(), facts.threads.len());
}

/// gdb says of a refusal only that it cannot fetch data.
#[test]
fn what_the_kernel_does_not_tell_is_a_table_with_the_reason() {
    let files = Saved::small();
    let server = Server::of(&files);
    let mut client = server.connect();
    let [reason] = &table(&mut client, "files")[..] else { panic!("one row") };
    assert_eq!(
        reason,
        "error=proc.p_fd is needed, and the kernel has no type information: name its kernel.debug or vmlinux"
    );
}

#[test]
fn files_and_modules() {
    let Some(built) = Compiled::new("freebsd.c") else { return };
    let (kernel, vmcore) = (built.file("kernel"), built.save());
    let server = Server::start([kernel.as_os_str(), vmcore.as_os_str(), "-l".as_ref(), ":0".as_ref()]);
    let mut client = server.connect();
    assert_eq!(
        table(&mut client, "modules"),
        [
            "name=if_em.ko|size=32768|address=0xffffffff82100000|path=/boot/modules/if_em.ko",
            "name=zfs.ko|size=5242880|address=0xffffffff82200000|path=/boot/kernel/zfs.ko",
        ]
    );
    let files = table(&mut client, "files");
    assert!(files.len() > 2, "{files:?}");
    assert!(
        files.iter().all(|row| row.starts_with("pid=") && row.contains("|file descriptor=")),
        "{files:?}"
    );
}

/// A table stays what it was when it was begun, and each one is begun at its beginning.
#[test]
fn pieces_of_two_tables_do_not_mix() {
    let files = Saved::small();
    let server = Server::of(&files);
    let mut client = server.connect();
    let whole = document(&mut client, "osdata:read:threads", 0xffb);
    let first = client.ask("qXfer:osdata:read:threads:0,40");
    assert!(client.ask("qXfer:osdata:read:processes:0,40").starts_with("m<?xml"));
    let rest = client.ask(&format!("qXfer:osdata:read:threads:{:x},20000", first.len() - 1));
    assert_eq!(first[1..].to_owned() + &rest[1..], whole);
    for bad in ["", "threads", "threads:", "threads:0", "threads:zz,1"] {
        assert_eq!(client.ask(&format!("qXfer:osdata:read:{bad}")), "E16", "{bad:?}");
    }
}
