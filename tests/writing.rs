//! Memory that is written: each debugger's own overlay over an image, and raw memory itself.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test"
)]

mod rsp;
mod support;
mod synth;

use kgdbserver::image::overlay::LIMIT;
use kgdbserver::kvm::{Kvm, Options};
use kgdbserver::patch::Patch;
use kgdbserver::{Error, Result};
use kgdbserver_arch::{Pa, Va};
use rsp::{Client, GDB, LLDB, Server, digits, undigits};
use std::io::{Read, Write};
use std::path::Path;
use support::{Saved, stack_top};
use synth::System;
use synth::freebsd::{Full, Kernphys};

/// Sleeps, so its registers were saved by a switch.
const SLEEPING: u32 = 100_002;

fn serve(saved: &Saved, image: &Path, options: &[&str]) -> Server {
    let files = [saved.kernel.to_str().unwrap(), image.to_str().unwrap(), "--listen", ":0"];
    Server::start(files.iter().chain(options))
}

fn monitor<S: Read + Write>(client: &mut Client<S>, command: &str) -> String {
    let reply = client.ask(&format!("qRcmd,{}", digits(command)));
    let text = reply.lines().filter_map(|line| line.strip_prefix('O').filter(|line| *line != "K"));
    text.map(undigits).collect()
}

fn write<S: Read + Write>(client: &mut Client<S>, va: u64, data: &[u8]) -> String {
    client.ask(&format!("M{va:x},{:x}:{}", data.len(), digits(data)))
}

fn read<S: Read + Write>(client: &mut Client<S>, va: u64, len: usize) -> String {
    client.ask(&format!("m{va:x},{len:x}"))
}

/// Raw memory of a machine with 16 MiB and some, and its kernel.
fn raw() -> (Saved, std::path::PathBuf) {
    let full =
        Full { loaded_at: 2 << 20, kernphys: Kernphys::Missing, five_levels: false, high_memory: false };
    let saved = Saved::new(System { full: Some(full), ..System::small() }.build());
    let image = saved.write("raw", &synth::tables::raw(saved.built.memory.as_ref().unwrap()));
    (saved, image)
}

fn open(saved: &Saved, image: &Path, write: bool) -> Kvm {
    Kvm::open_with(image, Options { kernel: Some(saved.kernel.clone()), write, ..Options::default() })
        .unwrap()
}

#[track_caller]
fn says<T>(result: Result<T>, text: &str) {
    let said = result.err().expect("an error").to_string();
    assert!(said.contains(text), "{said}");
}

mod overlay {
    use super::*;

    #[test]
    fn changes_are_one_debuggers_own() {
        let saved = Saved::small();
        let hz = saved.built.facts.symbol("hz");
        let before = std::fs::read(&saved.vmcore).unwrap();
        let server = serve(&saved, &saved.vmcore, &["--overlay"]);
        let (mut one, mut other) = (server.connect(), server.connect());
        assert_eq!(write(&mut one, hz, &[0xe8, 3, 0, 0]), "OK");
        assert_eq!(read(&mut one, hz, 4), "e8030000");
        assert_eq!(read(&mut other, hz, 4), "64000000");
        assert_eq!(read(&mut server.connect(), hz, 4), "64000000");
        assert!(std::fs::read(&saved.vmcore).unwrap() == before, "the file has changed");
    }

    #[test]
    fn without_it_writes_are_refused_and_the_flag_is_named() {
        let saved = Saved::small();
        let mut server = Server::of(&saved);
        let mut client = server.connect();
        client.ask("QEnableErrorStrings");
        let hz = saved.built.facts.symbol("hz");
        let why =
            "an image is only read: start the server with --overlay to change this debugger's view of it";
        assert_eq!(write(&mut client, hz, &[1]), format!("E1e;{}", digits(why)));
        assert_eq!(read(&mut client, hz, 4), "64000000");
        assert!(server.line_with("not written").contains("--overlay"));
        assert!(monitor(&mut client, "overlay").contains("start the server with --overlay"));
    }

    #[test]
    fn binary_data_comes_escaped() {
        let saved = Saved::small();
        let hz = saved.built.facts.symbol("hz");
        let server = serve(&saved, &saved.vmcore, &["--overlay"]);
        let mut client = server.connect();
        client.ask(GDB);
        assert_eq!(client.ask(&format!("X{hz:x},0:")), "OK");
        let packet = [format!("X{hz:x},4:").as_bytes(), b"}\x03a}]\0"].concat();
        assert_eq!(client.ask_bytes(&packet), b"OK");
        assert_eq!(read(&mut client, hz, 4), "23617d00");
        for bad in
            ["M", "Mzz,1:00", "M1000", "M1000,2:00", "M1000,1:0", "M1000,1:zz", "X1000,2:a", "X1000,1:}"]
        {
            assert_eq!(client.ask(bad), "E16", "{bad}");
        }
    }

    #[test]
    fn a_write_that_meets_a_hole_is_an_error_and_what_came_before_is_written() {
        let saved = Saved::small();
        let end = stack_top(&saved.built);
        let server = serve(&saved, &saved.vmcore, &["--overlay"]);
        let mut client = server.connect();
        client.ask("QEnableErrorStrings");
        let error = write(&mut client, end - 2, b"abcd");
        let text = undigits(error.strip_prefix("E0e;").unwrap());
        assert!(
            text.contains(&format!("{end:#x}")) && text.ends_with("(2 bytes before it were written)"),
            "{text}"
        );
        assert_eq!(read(&mut client, end - 2, 4), digits("ab"));
        assert!(write(&mut client, end, b"a").starts_with("E0e;"));
        assert_eq!(write(&mut client, end - 4097, b"over"), "OK");
        assert_eq!(read(&mut client, end - 4098, 6)[2..10], *digits("over"));
    }

    #[test]
    fn all_addresses_of_a_page_agree() {
        let saved = Saved::small();
        let hz = saved.built.facts.symbol("hz");
        let direct = 0xffff_f800_0000_0000 + saved.built.layout.physical(hz).unwrap();
        let kvm = saved.open().unwrap().with_overlay(LIMIT);
        assert_eq!(kvm.write(hz as usize, &[7]).unwrap(), 1);
        assert_eq!(kvm.space().uint(Va(direct), 4).unwrap(), 7);
        kvm.write(direct as usize + 1, &[1]).unwrap();
        assert_eq!(kvm.space().uint(Va(hz), 4).unwrap(), 0x107);
        assert_eq!(saved.open().unwrap().space().uint(Va(hz), 4).unwrap(), 100);
    }

    #[test]
    fn physical_addresses_are_written_in_their_mode() {
        let saved = Saved::small();
        let hz = saved.built.facts.symbol("hz");
        let physical = saved.built.layout.physical(hz).unwrap();
        let server = serve(&saved, &saved.vmcore, &["--overlay"]);
        let mut client = server.connect();
        assert_eq!(client.ask("Qqemu.PhyMemMode:1"), "OK");
        assert_eq!(write(&mut client, physical, &[7]), "OK");
        assert_eq!(write(&mut client, u64::MAX, &[7]), "E0e");
        assert_eq!(client.ask("Qqemu.PhyMemMode:0"), "OK");
        assert_eq!(read(&mut client, hz, 4), "07000000");
    }

    #[test]
    fn page_tables_that_are_written_translate_as_written() {
        let (saved, image) = raw();
        let hz = saved.built.facts.symbol("hz");
        let kvm = open(&saved, &image, false).with_overlay(LIMIT);
        let physical = kvm.space().physical();
        assert_eq!(kvm.space().uint(Va(hz), 4).unwrap(), 100);
        let kgdbserver::image::Addr::Phys(Pa(pa)) = kvm.space().translate(Va(hz)).unwrap().at else {
            panic!("stored")
        };
        // Every entry that may map it, of a page or of a large one.
        let memory = saved.built.memory.as_ref().unwrap();
        for (page, bytes) in &memory.pages {
            for (entry, at) in bytes.chunks(8).zip((*page..).step_by(8)) {
                let entry = u64::from_le_bytes(entry.try_into().unwrap());
                let frame = entry & 0x000f_ffff_ffff_f000;
                if entry & 1 != 0 && [pa & !0xfff, pa & !0x1f_ffff].contains(&frame) {
                    physical.write(Va(at), &[0; 8]).unwrap();
                }
            }
        }
        says(kvm.space().uint(Va(hz), 4), "map nothing here");
        kvm.overlay().unwrap().revert_all();
        assert_eq!(kvm.space().uint(Va(hz), 4).unwrap(), 100);
    }

    /// A thread's name and its saved registers are what they were changed to, at once; the selected thread stays.
    #[test]
    fn threads_are_listed_as_they_were_changed() {
        let saved = Saved::small();
        let facts = saved.built.facts.thread(SLEEPING);
        let server = serve(&saved, &saved.vmcore, &["--overlay"]);
        let mut client = server.connect();
        client.ask(GDB);
        client.ask(&format!("Hg{SLEEPING:x}"));
        let structure = read(&mut client, facts.address, 0x600);
        let name = structure.find(&digits(&facts.name)).expect("its name") as u64 / 2;
        assert_eq!(write(&mut client, facts.address + name, b"changed\0"), "OK");
        let threads = client.ask("qXfer:threads:read::0,20000");
        assert!(threads.contains("/changed\""), "{threads}");
        assert_eq!(client.ask("qC"), format!("QC{SLEEPING:x}"));
        let (rsp, pcb) = (facts.register("rsp").unwrap(), facts.pcb.unwrap());
        let saved_at = read(&mut client, pcb, 0x100);
        let at = saved_at.find(&digits(rsp.to_le_bytes())).expect("its rsp") as u64 / 2;
        write(&mut client, pcb + at, &0x1234_5678_u64.to_le_bytes());
        let g = client.ask("g");
        assert_eq!(g[7 * 16..8 * 16], *digits(0x1234_5678_u64.to_le_bytes()));
        assert!(monitor(&mut client, "overlay revert").contains("bytes are as in the image again"));
        assert_eq!(client.ask("g")[7 * 16..8 * 16], *digits(rsp.to_le_bytes()));
    }

    #[test]
    fn breakpoints_and_registers_are_not_written() {
        let saved = Saved::small();
        let panic = saved.built.facts.symbol("panic");
        let server = serve(&saved, &saved.vmcore, &["--overlay"]);
        let mut client = server.connect();
        client.ask(LLDB);
        assert_eq!(client.ask(&format!("Z0,{panic:x},1")), "OK");
        assert_eq!(client.ask(&format!("Z2,{:x},1", panic + 1)), "OK");
        let code = read(&mut client, panic, 2);
        assert_eq!(write(&mut client, panic, &[0xcc]), "E1e");
        assert_eq!(write(&mut client, panic - 1, &[0xcc, 0xcc]), "E1e");
        assert_eq!(read(&mut client, panic, 2), code);
        assert_eq!(write(&mut client, panic + 1, &[0xcc]), "OK");
        assert_eq!(client.ask(&format!("z0,{panic:x},1")), "OK");
        assert_eq!(write(&mut client, panic, &[0x90]), "OK");
        for packet in ["P10=0000000000000000", "G00"] {
            assert_eq!(client.ask(packet), "E1e", "{packet}");
        }
    }

    #[test]
    fn a_session_is_saved_and_goes_on() {
        let saved = Saved::small();
        let hz = saved.built.facts.symbol("hz");
        let physical = saved.built.layout.physical(hz).unwrap();
        let image = std::path::absolute(&saved.vmcore).unwrap();
        let patch = saved.path("patch.json");
        {
            let kvm = saved.open().unwrap().with_overlay(LIMIT);
            kvm.write(hz as usize, &[1, 2]).unwrap();
            kvm.patch().unwrap().save(&patch).unwrap();
        }
        let server = serve(&saved, &image, &[&format!("--overlay={}", patch.display())]);
        let mut client = server.connect();
        assert_eq!(read(&mut client, hz, 4), "01020000");
        let line = format!("{hz:016x} hz  2 bytes at physical {physical:#x}: 6400 -> 0102\n");
        assert_eq!(monitor(&mut client, "overlay"), line);
        assert_eq!(monitor(&mut client, "overlay revert hz"), format!("reverted: {line}"));
        assert_eq!(read(&mut client, hz, 4), "64000000");
        assert_eq!(monitor(&mut client, "overlay"), "nothing is changed\n");
        assert_eq!(monitor(&mut client, "overlay revert 0x10"), format!("{}: not mapped\n", Va(0x10)));
        assert_eq!(
            monitor(&mut client, "overlay revert nonsense"),
            "nonsense: neither an address (0x..) nor a symbol\n"
        );
        for bad in ["save /tmp/a", "load ../a", "save ..", "frob"] {
            let said = monitor(&mut client, &format!("overlay {bad}"));
            assert!(
                said.contains("a name without a folder") || said.starts_with("monitor overlay ["),
                "{said}"
            );
        }
        assert!(monitor(&mut client, "overlay load no-such-file").contains("No such file"));
    }

    #[test]
    fn a_patch_is_made_for_one_image() {
        let saved = Saved::small();
        let hz = saved.built.facts.symbol("hz") as usize;
        let kvm = saved.open().unwrap().with_overlay(LIMIT);
        kvm.write(hz, &[1]).unwrap();
        let path = saved.path("patch");
        kvm.patch().unwrap().save(&path).unwrap();
        kvm.patch().unwrap().save(&path).unwrap(); // a patch may be replaced
        let patch = Patch::load(&path).unwrap();
        let fresh = || saved.open().unwrap().with_overlay(LIMIT);
        let again = fresh();
        assert_eq!(again.apply(&patch).unwrap(), 1);
        assert_eq!(again.patch().unwrap(), patch);

        let other = Saved::new(System { stopped_cpus: vec![0], ..System::small() }.build());
        says(other.open().unwrap().with_overlay(LIMIT).apply(&patch), "another image's");
        says(saved.open().unwrap().apply(&patch), "there is no overlay");
        let text = std::fs::read_to_string(&path).unwrap();
        let changed = |from: &str, to: &str| {
            assert!(text.contains(from), "{text}");
            Patch::load(&saved.write("changed", text.replace(from, to).as_bytes()))
        };
        says(
            changed("\"was\": \"64\"", "\"was\": \"65\"").and_then(|patch| fresh().apply(&patch)),
            "something else",
        );
        says(
            changed("\"now\": \"01\"", "\"now\": \"0102\"").and_then(|patch| fresh().apply(&patch)),
            "no sense",
        );
        says(changed("\"kgdbserver-patch\": 1", "\"kgdbserver-patch\": 2"), "version 2");
        says(changed("\"image\"", "\"picture\""), "not a patch");
        says(Patch::load(saved.folder.path()), "not a file");
        says(patch.save(&saved.vmcore), "is no patch");
    }

    #[test]
    fn a_full_overlay_says_so() {
        let saved = Saved::small();
        let hz = saved.built.facts.symbol("hz") as usize;
        let kvm = saved.open().unwrap().with_overlay(1);
        kvm.write(hz, &[1]).unwrap();
        let error = kvm.write(saved.built.facts.symbol("panic") as usize, &[1]).unwrap_err();
        assert!(matches!(error, Error::OverlayFull { limit: 4096 }), "{error}");
        assert_eq!(kvm.geterr(), error.to_string());
    }
}

mod raw_memory {
    use super::*;

    #[test]
    fn kvm_write_needs_a_handle_for_writing() {
        let (saved, image) = raw();
        let hz = saved.built.facts.symbol("hz");
        let text = "kvm_write not implemented for dead kernels";
        says(open(&saved, &image, false).write(hz as usize, &[1]), text);
        says(open(&saved, &saved.vmcore, true).write(hz as usize, &[1]), text);
        let kvm = open(&saved, &image, true);
        assert!(kvm.is_writable());
        assert_eq!(kvm.write(hz as usize, &[1, 2]).unwrap(), 2);
        assert_eq!(kvm.space().uint(Va(hz), 4).unwrap(), 0x201);
        assert_eq!(open(&saved, &image, false).space().uint(Va(hz), 4).unwrap(), 0x201);
        says(kvm.write(0xffff_ffff_8c00_0000, &[1]), "invalid address");
        let over = kvm.with_overlay(LIMIT);
        over.write(hz as usize, &[9]).unwrap();
        assert_eq!(kvm.space().uint(Va(hz), 4).unwrap(), 0x201);
        assert!(!over.is_writable());
    }

    #[test]
    fn a_debugger_confirms_it_and_the_log_tells_all() {
        let (saved, image) = raw();
        let hz = saved.built.facts.symbol("hz");
        let length = std::fs::metadata(&image).unwrap().len();
        let mut server = serve(&saved, &image, &["--write"]);
        let mut client = server.connect();
        assert_eq!(write(&mut client, hz, &[1]), "E1e");
        assert!(server.line_with("not written").contains("monitor write on"));
        assert!(monitor(&mut client, "write").contains("writing is off"));
        assert!(monitor(&mut client, "write on").contains("writing is on"));
        assert_eq!(write(&mut client, hz, &[0xe8, 3]), "OK");
        assert_eq!(read(&mut server.connect(), hz, 4), "e8030000", "all see it");
        let logged = server.line_with("written by");
        assert!(logged.contains("127.0.0.1:") && logged.ends_with(": 6400 -> e803"), "{logged}");
        monitor(&mut client, "write off");
        assert_eq!(write(&mut client, hz, &[1]), "E1e");
        assert_eq!(write(&mut server.connect(), hz, &[1]), "E1e", "each confirms for itself");
        assert_eq!(std::fs::metadata(&image).unwrap().len(), length);

        let server = serve(&saved, &image, &["--write", "--yes"]);
        assert_eq!(write(&mut server.connect(), hz, &[5]), "OK");
    }

    #[test]
    fn a_dump_is_not_for_writing() {
        let saved = Saved::small();
        for (options, expected) in [
            (
                ["--write", "-q"],
                "no raw memory but a dump (FreeBSD minidump), which is only read; use --overlay",
            ),
            (["--write", "--overlay"], "cannot be used with"),
            (["--yes", "-q"], "--write"),
        ] {
            let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
            let output = command.args([&saved.kernel, &saved.vmcore]).args(options).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(!output.status.success() && said.contains(expected), "{said}");
        }
    }
}
