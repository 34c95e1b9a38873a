//! Memory of processes in dumps of real Linux kernels, by their page tables and in a debugger's session.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod rsp;
mod support;
mod synth;

use kgdbserver_arch::Va;
use rsp::{GDB, Server, digits};
use support::linux::{Guest, guests, unescaped};

/// What a player published: `NAME=VALUE`, a number in either notation.
fn published(guest: &Guest, player: &str, name: &str) -> u64 {
    let line = guest.lines("cast").iter().find(|line| line.starts_with(&format!("{player} ")));
    let mut words = line.expect("a player").split(' ');
    let value = words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).expect("a word");
    match value.strip_prefix("0x") {
        Some(hexadecimal) => u64::from_str_radix(hexadecimal, 16).expect("a number"),
        None => value.parse().expect("a number"),
    }
}

#[test]
fn every_page_of_a_process_is_right_or_an_error() {
    for guest in guests() {
        let pid = guest.player("memory");
        let threads = guest.kvm.threads().expect("threads").items;
        let thread = threads.iter().find(|thread| thread.pid == pid).expect("the player's thread");
        let space = guest.kvm.thread_space(thread).expect("its memory");
        let [start, bytes, factor, paged_out] =
            ["address", "bytes", "factor", "paged_out"].map(|name| published(guest, "memory", name));
        let (mut right, mut absent) = (0, 0);
        for offset in (0..bytes).step_by(4096).map(|page| page + 0xff8) {
            match space.uint(Va(start + offset), 8) {
                Ok(value) => {
                    assert_eq!(value, offset.wrapping_mul(factor), "{}: {offset:#x}", guest.name);
                    right += 1;
                }
                Err(why) => {
                    assert!(start + offset >= paged_out, "{}: {offset:#x}: {why}", guest.name);
                    absent += 1;
                }
            }
        }
        // The kernel may keep some pages that were sent to swap.
        assert!(right >= bytes / 4096 / 2 && absent > 1000, "{}: {right} and {absent}", guest.name);
    }
}

#[test]
fn in_gdb_addresses_are_those_of_the_selected_task() {
    for guest in guests() {
        let image = guest.folder.join("elf.dump");
        let files = guest.vmlinux.iter().chain([&image]).map(|file| file.as_os_str());
        let server = Server::start(files.chain(["--listen".as_ref(), ":0".as_ref()]));
        let mut gdb = server.connect();
        gdb.ask(GDB);
        let (cmdline, stat) = (guest.by_process("cmdline"), guest.by_process("stat"));
        let mut seen = Vec::new();
        for player in ["sleeper", "a-name-longer-than-fits", "crew", "spinner", "stopped"] {
            let pid = guest.player(player);
            let arguments = unescaped(cmdline[&pid][0]);
            // Behind the name in brackets; arg_start is the 48th field of stat(5).
            let fields = stat[&pid][0].rsplit_once(") ").expect("a name in brackets").1;
            let start: u64 = fields.split(' ').nth(48 - 3).expect("arg_start").parse().expect("a number");
            gdb.ask(&format!("Hg{pid:x}"));
            let what = format!("{}: {player}", guest.name);
            assert_eq!(gdb.ask(&format!("m{start:x},{:x}", arguments.len())), digits(&arguments), "{what}");
            seen.push((start, arguments));
        }
        // The last one's memory is not the first one's.
        let (start, arguments) = &seen[0];
        let packet = format!("m{start:x},{:x}", arguments.len());
        assert_ne!(gdb.ask(&packet), digits(arguments), "{}", guest.name);
        gdb.ask("Hg2");
        assert!(gdb.ask(&packet).starts_with('E'), "{}: a kernel thread has no memory", guest.name);
    }
}
