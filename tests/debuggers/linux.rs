//! gdb and lldb on images of real Linux kernels, with no file at all: `KGDBSERVER_LINUX_IMAGES` says where the images are.

use crate::driver::{GDB_WAITS, LLDB_WAITS, Server, Transcript, gdb_multiarch, lldb, server_program};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Guests whose kernels can be read without a vmlinux.
const GUESTS: [&str; 5] = ["amd64", "amd64l4", "amd64-new", "amd64panic", "arm64"];

/// A guest's image, and what the guest said of its modules.
struct Guest {
    name: &'static str,
    image: PathBuf,
    /// The kernel's file with debug information, if it was fetched.
    vmlinux: Option<PathBuf>,
    /// Names and addresses of the kernel's symbols.
    symbols: HashMap<String, String>,
    /// Names and the addresses of their code.
    modules: Vec<(String, String)>,
    /// A function of a module: its module, its name and its address.
    function: [String; 3],
    /// Where a function of the kernel's is.
    ret_from_fork: String,
    /// Whether the kernel has names of variables.
    has_data_symbols: bool,
}

/// Frames where the kernel was entered, and those that they called, which were outermost in earlier kernels.
const LAST: [(&str, &str); 4] = [
    ("arm64", " in el0_svc ()"),
    ("arm64", " in el0t_64_sync ()"),
    ("amd64-new", " in ret_from_fork ()"),
    ("amd64-new", " in ret_from_fork_asm ()"),
];

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
    let symbol = |line: &String| {
        let [address, _, name] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        (name.to_owned(), format!("0x{address}"))
    };
    // Linux version 6.1.0-56-cloud-amd64 (debian-kernel@...
    let version = lines("version").into_iter().next().expect("a version");
    let release = version.split(' ').nth(2).expect("a release");
    let vmlinux = folder.with_file_name("debug").join(format!("vmlinux-{release}"));
    Some(Guest {
        name,
        vmlinux: Some(vmlinux).filter(|path| path.exists()),
        symbols: lines("kallsyms").iter().map(symbol).collect(),
        image: folder.join("elf.dump"),
        modules: lines("modules").iter().map(module).collect(),
        ret_from_fork: {
            let is = |line: &&String| line.ends_with(" ret_from_fork");
            let line = lines("kallsyms").iter().find(is).expect("ret_from_fork").clone();
            format!("0x{}", line.split(' ').next().expect("an address"))
        },
        has_data_symbols: lines("kallsyms").iter().any(|line| line.ends_with(" runqueues")),
        function: lines("kallsyms").iter().find_map(function).expect("a function of a module"),
    })
}

fn in_gdb(server: &Server, commands: &[&str]) -> Transcript {
    let connect = format!("target remote :{}", server.port);
    gdb_multiarch(&[&[GDB_WAITS, connect.as_str()], commands].concat())
}

fn in_lldb(server: &Server, commands: &[&str]) -> Transcript {
    let connect = format!("gdb-remote {}", server.port);
    lldb(&[&[LLDB_WAITS, connect.as_str()], commands].concat())
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
        for (_, frame) in LAST.iter().filter(|(name, _)| *name == guest.name) {
            session.has("thread apply all bt", frame);
        }
        // Arm's frame pointers end in zeros, which are no frame of its own.
        assert!(
            !session.of("thread apply all bt").contains("0x0000000000000000 in ?? ()")
                || !guest.name.starts_with("arm")
        );
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

/// Types come from the kernel's BTF, in its own memory.
#[test]
fn gdb_knows_types_variables_and_prototypes() {
    for guest in guests() {
        let server = Server::start(&[&guest.image]);
        let session = in_gdb(
            &server,
            &[
                "print init_task.comm",
                "ptype struct list_head",
                "whatis init_task.sched_class",
                "print &((struct task_struct *)&init_task)->comm == &init_task.comm",
                "print *(struct list_head *)&init_task.tasks",
                "print ((struct task_struct *)((char *)init_task.tasks.next - (long)&((struct task_struct *)0)->tasks))->comm",
                "whatis &runqueues",
                "print linux_banner",
                "print linux_banner[sizeof(linux_banner) - 2]",
                "whatis vfs_write",
                "frame",
                "info frame",
            ],
        );
        session.has("print init_task.comm", "\"swapper/0\\000");
        session.is(
            "ptype struct list_head",
            "type = struct list_head {\nstruct list_head *next;\nstruct list_head *prev;\n}",
        );
        session.is("whatis init_task.sched_class", "type = const struct sched_class *");
        session.has("print &((struct task_struct *)&init_task)->comm == &init_task.comm", "= 1");
        session.has("print *(struct list_head *)&init_task.tasks", "{next = 0xff");
        // The guests' first process.
        session.has(
            "print ((struct task_struct *)((char *)init_task.tasks.next - (long)&((struct task_struct *)0)->tasks))->comm",
            "\"init\"",
        );
        if guest.has_data_symbols {
            session.is("whatis &runqueues", "type = struct rq *");
            session.has("print linux_banner", "= \"Linux version ");
            session.has("print linux_banner[sizeof(linux_banner) - 2]", "= 10 '\\n'");
        }
        session.is("whatis vfs_write", "type = ssize_t (struct file *, const char *, size_t, loff_t *)");
        // It has no values of parameters to show, and does not say so in every frame.
        assert!(!session.of("frame").contains("optimized out"), "{session}");
    }
}

#[test]
fn lldb_knows_types_variables_and_prototypes() {
    for guest in guests() {
        let server = Server::start(&[&guest.image]);
        let commands = [
            "target variable init_task.comm",
            "expression -- (unsigned long)&((struct task_struct *)0)->comm",
            "expression -- (unsigned long)&init_task.comm - (unsigned long)&init_task",
            "image lookup -t list_head",
            "expression -- vfs_write",
        ];
        let session = in_lldb(&server, &commands);
        session.has("target variable init_task.comm", "= \"swapper/0");
        let offset = session.of(commands[1]).split("= ").last().expect("a number").trim();
        assert!(offset.parse::<u64>().expect("a number") > 0, "{session}");
        session.has(commands[2], &format!("= {offset}"));
        session.has("image lookup -t list_head", "list_head *next;");
        session.has("expression -- vfs_write", "(ssize_t (*)(file *, const char *, size_t, loff_t *)) ");
    }
}

/// A module's BTF continues the kernel's. `virtio_ring` is in all guests; a kernel without names of variables does not tell
/// where it keeps the BTF of modules.
#[test]
fn modules_bring_their_types() {
    const OWN: &str = "sizeof(struct vring_virtqueue) > sizeof(struct virtqueue)";
    const KERNELS: &str = "((struct vring_virtqueue *)0)->vq.vdev->dev.init_name";
    for guest in guests().into_iter().filter(|guest| guest.has_data_symbols) {
        let server = Server::start(&[&guest.image]);
        let [own, kernels] = [format!("print {OWN}"), format!("whatis {KERNELS}")];
        let session = in_gdb(&server, &["info sharedlibrary", &own, &kernels, "whatis vring_interrupt"]);
        session.has(&own, "= 1");
        session.is(&kernels, "type = const char *");
        session.is("whatis vring_interrupt", "type = irqreturn_t (int, void *)");
        assert!(!session.of("info sharedlibrary").contains("(*)"), "{session}");
        let session = in_lldb(&server, &[&format!("expression -- {OWN}"), "expression -- vring_interrupt"]);
        session.has(&format!("expression -- {OWN}"), "(bool) $0 = true");
        session.has("expression -- vring_interrupt", "(irqreturn_t (*)(int, void *)) ");
    }
}

/// It has the addresses that the kernel was linked for, and gdb and lldb are told how far it was moved.
#[test]
fn a_saved_symbol_file_is_as_good() {
    for guest in guests() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("symbols.elf");
        let mut save = server_program(folder.path());
        let output = save.arg("symbols").arg(&guest.image).arg("-o").arg(&file).output().expect("run it");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(printed.contains("of the image's own kallsyms\ntypes        BTF\n"), "{output:?}");
        let server = Server::start(&[&guest.image]);
        let (load, print) = (format!("file {}", file.display()), "print (void *)&ret_from_fork");
        let connect = format!("target remote :{}", server.port);
        let commands = [GDB_WAITS, &load, print, &connect, print, "print init_task.comm", "bt 2"];
        let session = gdb_multiarch(&commands);
        assert_ne!(session.nth(print, 0), session.nth(print, 1).replace("$2", "$1"), "KASLR\n{session}");
        assert!(
            session.nth(print, 1).contains(&format!("{} <ret_from_fork>", guest.ret_from_fork)),
            "{session}"
        );
        session.has("print init_task.comm", "\"swapper/0\\000");
        let [target, connect] =
            [format!("target create {}", file.display()), format!("gdb-remote {}", server.port)];
        let session = lldb(&[
            LLDB_WAITS,
            &target,
            &connect,
            "disassemble -n ret_from_fork -c 1",
            "target variable init_task.comm",
        ]);
        session.has("disassemble -n ret_from_fork -c 1", &guest.ret_from_fork);
        session.has("target variable init_task.comm", "\"swapper/0");
    }
}

/// `scripts/make-images --debug` fetches these files. A server that was built without optimisation needs a minute for one.
#[test]
fn gdb_shows_lines_and_variables_with_the_vmlinux() {
    if std::env::var_os("KGDBSERVER_FULL").is_none() {
        return eprintln!("skipped: KGDBSERVER_FULL is not set");
    }
    for guest in guests() {
        let Some(vmlinux) = &guest.vmlinux else {
            eprintln!("skipped: {}: its vmlinux was not fetched", guest.name);
            continue;
        };
        let server = Server::start(&[vmlinux, &guest.image]);
        let [module, name, address] = &guest.function;
        let print = format!("print (void *)&{name}");
        let commands = [
            "print &linux_banner",
            "print &init_task",
            "print init_task.comm",
            "info line schedule",
            "x/2i schedule",
            "find &linux_banner, +32, 'L', 'i', 'n'",
            "info os processes",
            "thread 2",
            "info locals",
            "thread apply all bt -3",
            &print,
        ];
        let session = in_gdb(&server, &commands);
        for (command, name) in [("print &linux_banner", "linux_banner"), ("print &init_task", "init_task")] {
            session.has(command, &format!("{} <{name}>", guest.symbols[name]));
        }
        session.has("print init_task.comm", "\"swapper/0\\000");
        session.has("info line schedule", "kernel/sched/core.c");
        session.has("x/2i schedule", &format!("{} <schedule>:", guest.symbols["schedule"]));
        session.has(commands[5], &format!("{} <linux_banner>", guest.symbols["linux_banner"]));
        session.has("info os processes", "kthreadd");
        session.has("thread apply all bt -3", " in kthreadd (");
        session.has("thread apply all bt -3", "kernel/kthread.c:");
        session.has(&print, &format!("{address} <{name}>"));
        assert!(!session.of("info locals").contains("Cannot access memory"), "{module}\n{session}");
    }
}
