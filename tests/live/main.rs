//! A kernel that runs, looked at by the server in its own guest and from outside, on each machine that has a server
//! (`guest.rs`).
//!
//! As few guests as will do: each takes half a minute to boot.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod answers;
#[allow(dead_code, reason = "other test programs use it too")]
#[path = "../debuggers/driver.rs"]
mod driver;
mod dumped;
mod guest;
mod outside;
#[path = "../debuggers/page.rs"]
mod page;
mod pages;
#[path = "../rsp/mod.rs"]
mod rsp;
mod sessions;
#[path = "../support/mod.rs"]
mod support;
#[path = "../synth/mod.rs"]
mod synth;
mod writing;

use guest::{Guest, guests};

/// Players of the guest's cast who do nothing, but the last, who is always on a CPU.
const STEADY: [&str; 7] = ["sleeper", "crew", "reader", "listener", "memory", "stopped", "spinner"];

/// What a guest is asked about, one question after the other.
#[test]
fn a_running_kernel() {
    for mut guest in guests("") {
        answers::are_those_of_proc(&mut guest);
        what_is_denied_says_why(&mut guest);
        if std::env::var_os("KGDBSERVER_FULL").is_some() {
            dumped::dumps_answer_as_the_kernel_does(&mut guest); // a minute for each
        }
        outside::the_same_is_seen_from_outside(&mut guest);
        pages::show_the_outside(&mut guest);
        pages::show_the_start(&mut guest);
        sessions::debuggers_see_it_run(&mut guest);
    }
}

/// A kernel that lets nobody read its memory, and one that lets nobody write it.
#[test]
fn a_kernel_that_is_locked_down() {
    for mut guest in guests("lockdown=confidentiality") {
        let said = guest.run("kgdbserver ps --live 2>&1");
        assert!(said.contains("/proc/kcore: the kernel is locked down (confidentiality)"), "{said}");
    }
    for mut guest in guests("lockdown=integrity") {
        let said = guest.run("kgdbserver --live --write 2>&1");
        assert!(said.contains("/dev/mem: the kernel is locked down (integrity), so that not even"), "{said}");
        let said = guest.run("kgdbserver ps --live 2>&1");
        assert!(said.contains(STEADY[0]), "{said}");
    }
}

fn what_is_denied_says_why(guest: &mut Guest) {
    let said = guest.run("su rig -c 'kgdbserver ps --live' 2>&1");
    assert!(said.contains("/proc/kcore: only root may open it: run this with sudo"), "{said}");
    let said = guest.run("kgdbserver info -c /dev/mem 2>&1");
    assert!(said.contains("/dev/mem: the kernel keeps its memory out of /dev/mem"), "{said}");
    let said = guest.run("kgdbserver --live --write 2>&1");
    assert!(
        said.contains("/dev/mem: the kernel keeps its memory out of /dev/mem (CONFIG_STRICT_DEVMEM), as"),
        "{said}"
    );
    let passed = "su rig -c 'kgdbserver ps --kcore-fd 3' 3</proc/kcore 2>&1 | grep sleeper";
    assert!(guest.run(passed).contains("sleeper"), "a descriptor from a privileged parent is enough");
    let hidden =
        "echo 2 >/proc/sys/kernel/kptr_restrict; head -1 /proc/kallsyms; kgdbserver nlist --live vfs_read";
    let said = guest.run(hidden);
    assert!(said.starts_with("0000000000000000 "), "{said}");
    assert!(said.contains("T vfs_read"), "the symbols in memory are not hidden: {said}");
    guest.run("echo 0 >/proc/sys/kernel/kptr_restrict");
    let masked = "mount --bind /dev/null /proc/kcore; kgdbserver ps --live 2>&1; umount /proc/kcore";
    let said = guest.run(masked);
    assert!(said.contains("a container's runtime"), "{said}");
}
