//! gdb and lldb on images of real Linux kernels, with no file at all: `KGDBSERVER_LINUX_IMAGES` says where the images are.

use crate::driver::{Server, Transcript, gdb_multiarch, lldb};
use std::path::{Path, PathBuf};

/// Guests whose kernels can be read without a vmlinux.
const GUESTS: [&str; 4] = ["amd64", "amd64-new", "amd64panic", "arm64"];

/// A guest's image, and what the guest said of its modules.
struct Guest {
    name: &'static str,
    image: PathBuf,
    /// Names and the addresses of their code.
    modules: Vec<(String, String)>,
    /// A function of a module: its module, its name and its address.
    function: [String; 3],
}

fn guests() -> Vec<Guest> {
    let root = std::env::var_os("KGDBSERVER_LINUX_IMAGES").map(PathBuf::from).unwrap_or_default();
    let found: Vec<Guest> = GUESTS.iter().filter_map(|name| guest(name, &root.join(name))).collect();
    if found.is_empty() {
        eprintln!("skipped: no image with a report in KGDBSERVER_LINUX_IMAGES ({})", root.display());
    }
    found
}

fn guest(name: &'static str, folder: &Path) -> Option<Guest> {
    let report = std::fs::read_to_string(folder.join("report.txt")).ok()?;
    let lines = |section: &str| {
        let lines = report.lines().skip_while(move |line| *line != format!("@@ {section}")).skip(1);
        lines.take_while(|line| !line.starts_with("@@ ")).map(str::to_owned).collect::<Vec<_>>()
    };
    // NAME SIZE REFERENCES USERS STATE ADDRESS
    let module = |line: &String| {
        let words: Vec<&str> = line.split(' ').collect();
        (words[0].to_owned(), words[5].to_owned())
    };
    // ADDRESS LETTER NAME, and the module behind a tab; one that gdb and lldb take for a name.
    let function = |line: &String| {
        let [address, letter, rest] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (name, module) = rest.split_once("\t[")?;
        let plain = !name.contains('.') && letter.eq_ignore_ascii_case("t");
        plain.then(|| [module.trim_end_matches(']').to_owned(), name.to_owned(), format!("0x{address}")])
    };
    Some(Guest {
        name,
        image: folder.join("elf.dump"),
        modules: lines("modules").iter().map(module).collect(),
        function: lines("kallsyms").iter().find_map(function).expect("a function of a module"),
    })
}

/// A server built without optimisation needs longer for the first answer than debuggers wait.
fn in_gdb(server: &Server, commands: &[&str]) -> Transcript {
    let connect = format!("target remote :{}", server.port);
    gdb_multiarch(&[&["set remotetimeout 40", connect.as_str()], commands].concat())
}

fn in_lldb(server: &Server, commands: &[&str]) -> Transcript {
    let connect = format!("gdb-remote {}", server.port);
    lldb(
        &[&["settings set plugin.process.gdb-remote.packet-timeout 40", connect.as_str()], commands].concat(),
    )
}

#[test]
fn gdb_lists_the_modules_and_knows_their_names() {
    for guest in guests() {
        let [module, name, address] = &guest.function;
        let server = Server::start(&[&guest.image]);
        let (print, symbol) = (format!("print (void *)&{name}"), format!("info symbol {address}"));
        let session = in_gdb(&server, &["info sharedlibrary", &print, &symbol, "thread apply all bt"]);
        for (module, address) in &guest.modules {
            let row = |line: &&str| line.starts_with(address) && line.ends_with(&format!("/{module}.ko"));
            let rows = session.of("info sharedlibrary").lines();
            let row = rows.clone().find(row).unwrap_or_else(|| panic!("{}: {module}\n{session}", guest.name));
            assert!(row.contains("Yes"), "{}: {row}", guest.name);
        }
        session.has(&print, &format!("{address} <{name}>"));
        session.has(&symbol, &format!("{name} in section "));
        session.has(&symbol, &format!("/{module}.ko"));
        session.has("thread apply all bt", " in kthreadd ()");
    }
}

#[test]
fn lldb_needs_no_file() {
    for guest in guests() {
        let [module, name, address] = &guest.function;
        let server = Server::start(&[&guest.image]);
        let lookup = format!("image lookup -a {address}");
        let commands = ["image list", &lookup, "thread backtrace all"];
        // What it found out about one connection it forgets with the next.
        for _ in 0..2 {
            let session = in_lldb(&server, &commands);
            for (module, _) in &guest.modules {
                session.has("image list", &format!("/{module}.ko"));
            }
            session.has(&lookup, &format!("{module}.ko`{name}"));
            session.has("thread backtrace all", "`kthreadd + ");
        }
    }
}
