//! Kernel modules, through the library and the command.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

mod synth;

use std::process::Command;
use synth::Compiled;

const TABLE: &str = "\
ADDRESS                 SIZE  NAME      PATH
0xffffffff82100000    0x8000  if_em.ko  /boot/modules/if_em.ko
0xffffffff82200000  0x500000  zfs.ko    /boot/kernel/zfs.ko
";

/// The boundary: a command's output, then what it says on stderr.
fn check(built: &Compiled, arguments: &[&str], expected: &str) {
    let (command, rest) = arguments.split_first().expect("a command");
    let mut kgdbserver = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
    kgdbserver.arg(command).arg(built.file("kernel")).arg(built.save()).args(rest);
    let output = kgdbserver.output().expect("run");
    let text = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8_lossy(&text).trim_end(), expected.trim_end());
}

#[test]
fn the_table_and_the_json_have_all_but_the_kernel() {
    let Some(built) = Compiled::new("freebsd.c") else { return };
    check(&built, &["modules"], TABLE);
    let json = r#"{
  "modules": [
    {
      "address": "0xffffffff82100000",
      "build_id": null,
      "name": "if_em.ko",
      "path": "/boot/modules/if_em.ko",
      "sections": [],
      "size": 32768
    },
    {
      "address": "0xffffffff82200000",
      "build_id": null,
      "name": "zfs.ko",
      "path": "/boot/kernel/zfs.ko",
      "sections": [],
      "size": 5242880
    }
  ],
  "schema": 1
}"#;
    check(&built, &["modules", "--json"], json);
}

#[test]
fn without_the_variable_the_kernel_is_known_by_its_name() {
    let Some(mut built) = Compiled::new("freebsd.c") else { return };
    built.poke_word("linker_kernel_file", 0, 0);
    check(&built, &["modules"], TABLE);
}

#[test]
fn a_list_that_leads_in_a_circle_or_nowhere_keeps_what_it_had() {
    let Some(mut built) = Compiled::new("freebsd.c") else { return };
    let em = built.symbol("lf_em");
    let next = 8;
    built.poke_word("lf_zfs", next, em);
    let circle = format!("{TABLE}[WARN ] linker_file at {em:#x}: the list comes back to it");
    check(&built, &["modules"], &circle);
    built.poke_word("lf_zfs", next, 0x1000);
    let nowhere = format!(
        "{TABLE}[WARN ] linker_file at 0x1000: invalid address (0x1008): the image knows no mapping for this part of \
         the address space"
    );
    check(&built, &["modules"], &nowhere);
}

#[test]
fn the_commands_print_what_the_library_finds() {
    let Some(built) = Compiled::new("freebsd.c") else { return };
    let files = "\
PID  COMMAND  FD  TYPE    RW  OFFSET  FILE
 20  sh        0  vnode   rw      42  TTY
 20  sh        2  socket  rw       0  SOCKET
 20  sh        3  99      r        0  ODD
";
    let mut expected = files.to_owned();
    for (word, symbol) in [("TTY", "tty_file"), ("SOCKET", "socket_file"), ("ODD", "odd_file")] {
        expected = expected.replace(word, &format!("{:#x}", built.symbol(symbol)));
    }
    check(&built, &["files", "20"], &expected);
    check(&built, &["args", "20"], "PID  COMMAND  ARGUMENTS\n 20  sh       sh -c sleep 1000");
    check(&built, &["env", "20"], "20 sh\n  HOME=/root\n  PATH=/bin:/usr/bin");
    let all = "\
PID  COMMAND  ARGUMENTS
 20  sh       sh -c sleep 1000
 21  cron     -
  1  init     /sbin/init --
 11  idle     [idle]
 30  true     -
2 processes could not be read; process 21: cannot read user space from dead kernel: invalid address \
(0x7fffffffdfe0): physical address 0x30007f8 is not in the image";
    check(&built, &["args"], all);
    check(&built, &["env", "99"], "kgdbserver: no process has the number 99");
    check(
        &built,
        &["files", "x"],
        "error: x: no such file, and not a process's number\n\nFor more information, try '--help'.",
    );
}

#[test]
fn info_tells_of_load_swap_and_times() {
    let Some(built) = Compiled::new("freebsd.c") else { return };
    let mut info = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
    let output =
        info.args(["info", "--json"]).arg(built.file("kernel")).arg(built.save()).output().expect("run");
    let value: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let expected = serde_json::json!({
        "schema": 1,
        "cpus": 2,
        "loadavg": [0.25, 0.5, 1.5],
        "cptime": { "user": 11, "nice": 22, "system": 33, "interrupt": 44, "idle": 55 },
        "swap": [
            { "device": "ada0p2", "total": 262_144, "used": 321, "flags": 1 },
            { "device": "", "total": 1000, "used": 0, "flags": 0 },
        ],
    });
    for (name, expected) in expected.as_object().expect("members") {
        assert_eq!(value.get(name), Some(expected), "{name}");
    }
}
