//! A kernel that runs, and its memory written: in guests whose kernels permit it, which `scripts/make-images` builds.

use crate::driver::gdb_multiarch;
use crate::guest::{Guest, built};
use crate::rsp::{Client, digits, undigits};
use crate::sessions::connect;
use std::net::TcpStream;

/// What `/proc/sys/kernel/panic` shows.
const SYSCTL: &str = "panic_timeout";
const READ_ONLY: &str = "E1e";
const FAULT: &str = "E0e";

#[test]
fn a_sysctl_is_written() {
    for mut guest in built("devmem") {
        dev_mem_is_read_too(&mut guest);
        it_is_refused_without_the_flag(&mut guest);
        let said = guest.serve("--live --write");
        assert!(said.contains("Listening on port 1234"), "{said}");
        let mut client = connect(&guest);
        it_needs_a_second_step_and_is_logged(&mut guest, &mut client);
        what_cannot_be_written_is_an_error(&mut guest, &mut client);
        a_debugger_writes_it(&mut guest);
    }
}

/// Where a symbol lies by the guest's own word.
fn place(guest: &mut Guest, name: &str) -> u64 {
    let line = guest.run(&format!("grep ' {name}$' /proc/kallsyms"));
    let digits = line.split(' ').next().unwrap();
    u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("no {name}: {line}"))
}

fn sysctl(guest: &mut Guest) -> String {
    guest.run("cat /proc/sys/kernel/panic").trim().to_owned()
}

fn write(client: &mut Client<TcpStream>, va: u64, data: &[u8]) -> String {
    client.ask(&format!("M{va:x},{:x}:{}", data.len(), digits(data)))
}

fn read(client: &mut Client<TcpStream>, va: u64, len: usize) -> String {
    client.ask(&format!("m{va:x},{len:x}"))
}

fn monitor(client: &mut Client<TcpStream>, command: &str) -> String {
    let reply = client.ask(&format!("qRcmd,{}", digits(command)));
    let text = reply.lines().filter_map(|line| line.strip_prefix('O').filter(|line| *line != "K"));
    text.map(undigits).collect()
}

/// Where it is named, and where there is no /proc/kcore. VMCOREINFO is where /sys/kernel/vmcoreinfo says.
fn dev_mem_is_read_too(guest: &mut Guest) {
    let told = guest.run("kgdbserver ps -c /dev/mem 2>&1");
    guest.run("mkdir /tmp/proc; cat /proc/iomem >/tmp/proc/iomem; mount --bind /tmp/proc /proc");
    let found = guest.run("kgdbserver ps --live 2>&1");
    guest.run("rm /tmp/proc/iomem");
    let nothing = guest.run("kgdbserver ps --live 2>&1; umount /proc");
    for name in crate::STEADY {
        assert!([&told, &found].iter().all(|said| said.contains(name)), "no {name}:\n{told}\n{found}");
    }
    assert!(nothing.contains("/proc/kcore: there is none"), "{nothing}");
}

fn it_is_refused_without_the_flag(guest: &mut Guest) {
    let va = place(guest, SYSCTL);
    let before = sysctl(guest);
    guest.serve("--live");
    let mut client = connect(guest);
    assert_eq!(write(&mut client, va, &[77, 0, 0, 0]), READ_ONLY);
    let said = guest.run("killall kgdbserver; cat /tmp/said");
    assert!(
        said.contains("not written: memory is only read: --overlay") && said.contains("--write"),
        "{said}"
    );
    assert_eq!(sysctl(guest), before);
    let said = guest.run("su rig -c 'kgdbserver --kcore-fd 3 --write' 3</proc/kcore 2>&1");
    assert!(said.contains("/dev/mem: only root may write it"), "{said}");
}

fn it_needs_a_second_step_and_is_logged(guest: &mut Guest, client: &mut Client<TcpStream>) {
    let va = place(guest, SYSCTL);
    let before = sysctl(guest);
    assert_eq!(write(client, va, &[30, 0, 0, 0]), READ_ONLY);
    assert_eq!(sysctl(guest), before);
    assert!(monitor(client, "write on").contains("writing is on"));
    let was = read(client, va, 4);
    assert_eq!(write(client, va, &[30, 0, 0, 0]), "OK");
    assert_eq!((sysctl(guest).as_str(), read(client, va, 4).as_str()), ("30", "1e000000"));
    assert_eq!(write(client, va + 1, &[1]), "OK");
    assert_eq!(sysctl(guest), "286", "a byte in the middle of a word");
    guest.run("echo 5 >/proc/sys/kernel/panic");
    assert_eq!(read(client, va, 4), "05000000");
    let said = guest.run("cat /tmp/said");
    let line = "written by 10.0.2.2:";
    assert!(said.contains(line) && said.contains(&format!("{va:#x}: {was} -> 1e000000")), "{said}");
    // What is read after a write is the value, and nobody else's change: whoever ran the server has no part in it.
    let user = guest.run("ps -o user,comm | grep kgdbserver | head -1");
    assert!(user.contains("65534"), "privileges were not dropped: {user}");
}

fn what_cannot_be_written_is_an_error(guest: &mut Guest, client: &mut Client<TcpStream>) {
    // Read-only data, and code.
    for name in ["linux_banner", "panic"] {
        let va = place(guest, name);
        let was = read(client, va, 8);
        assert_eq!(write(client, va, &[0xcc]), FAULT, "{name}");
        assert_eq!(read(client, va, 8), was);
    }
    assert_eq!(write(client, 0xffff_8000_0000_1000, &[1]), FAULT);
    // Across the end of a page, and as it was.
    let va = (place(guest, "__log_buf") | 0xfff) - 5;
    let was = read(client, va, 16);
    assert_eq!(client.ask(&format!("M{va:x},10:{was}")), "OK");
    let va = place(guest, SYSCTL);
    client.ask(&format!("Z0,{va:x},1"));
    assert_eq!(write(client, va, &[9]), READ_ONLY, "a breakpoint is set there");
    client.ask(&format!("z0,{va:x},1"));
    assert_eq!(write(client, va, &[9]), "OK");
    assert_eq!(sysctl(guest), "9");
    assert_eq!(client.ask("Qqemu.PhyMemMode:1"), "OK");
    assert_eq!(write(client, 0x10_0000, &[1]), FAULT, "whether it is protected is not known");
    assert_eq!(client.ask("Qqemu.PhyMemMode:0"), "OK");
}

fn a_debugger_writes_it(guest: &mut Guest) {
    let connect = format!("target remote :{}", guest.port);
    let print = format!("print *(int *)&{SYSCTL}");
    let set = format!("set var *(int *)&{SYSCTL} = 42");
    let session = gdb_multiarch(&["set remotetimeout 250", &connect, &set, "monitor write on", &set, &print]);
    session.has(&print, "= 42");
    assert_eq!(sysctl(guest), "42");
}
