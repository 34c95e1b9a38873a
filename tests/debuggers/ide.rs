//! IDEs: the launch.json that is printed for each is given to what it drives, which then gets the requests that an IDE
//! sends: breakpoints before all else, all threads with all frames, all registers, code around and in holes; after each
//! stop all of it again.

use crate::dap::Adapter;
use crate::driver::{Server, gdb_program, lldb, lldb_program, version};
use crate::expected::{Machine, Thread};
use crate::ready::awkward;
use crate::scene::Scene;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// The only configuration that `launch-json` prints.
#[track_caller]
pub(crate) fn configuration(server: &Server, ide: &str, kernel: &Path, vmcore: &Path) -> Value {
    let listen = format!(":{}", server.port);
    let file = server.says(&["launch-json", "--ide", ide, "--listen", &listen], &[kernel, vmcore]);
    let mut file: Value = serde_json::from_str(&file).expect("JSON");
    file["configurations"][0].take()
}

/// What adapters do differently.
struct Manner {
    /// The adapter's number for the crashed thread.
    crashed: u64,
    /// How many of a thread's outermost frames it does not show.
    left_out: usize,
}

/// A session from the start to the first stop, and then some.
fn session(mut adapter: Adapter, configuration: &Value, machine: &Machine, manner: &Manner) {
    let client =
        json!({ "adapterID": "test", "pathFormat": "path", "linesStartAt1": true, "columnsStartAt1": true });
    let capabilities = adapter.ask("initialize", client);
    let attach = adapter.send(configuration["request"].as_str().expect("attach"), configuration.clone());
    adapter.event("initialized");
    adapter.ask("setFunctionBreakpoints", json!({ "breakpoints": [{ "name": "panic" }] }));
    adapter.ask("setExceptionBreakpoints", json!({ "filters": [] }));
    adapter.ask("configurationDone", json!({}));
    assert_eq!(adapter.response(attach)["success"], true);
    looks(&mut adapter, &capabilities, machine, manner);
    for command in ["continue", "next", "stepIn", "stepOut", "continue"] {
        adapter.ask(command, json!({ "threadId": manner.crashed }));
        looks(&mut adapter, &capabilities, machine, manner);
    }
    // What does not run cannot be paused. An adapter may say so, or stop once more.
    let pause = adapter.send("pause", json!({ "threadId": manner.crashed }));
    adapter.response(pause);
    for event in ["terminated", "exited"] {
        assert_eq!(adapter.events(event), Vec::<&Value>::new());
    }
    let said = |output: &&Value| output["output"].as_str().is_some_and(|text| text.contains("nothing runs"));
    assert!(
        adapter.events("output").into_iter().any(|output| said(&output)),
        "nobody says that nothing runs"
    );
    adapter.ask("disconnect", json!({}));
}

/// What an IDE shows when the target has stopped.
fn looks(adapter: &mut Adapter, capabilities: &Value, machine: &Machine, manner: &Manner) {
    assert_eq!(adapter.event("stopped")["threadId"], manner.crashed);
    let listed = threads(adapter);
    assert_eq!(listed.len(), machine.threads.len());
    for thread in &machine.threads {
        // lldb 14 puts a number before the name.
        let named = |row: &&Value| row["name"].as_str().is_some_and(|name| name.ends_with(&thread.name));
        let row = listed.iter().find(named).unwrap_or_else(|| panic!("{} is not in {listed:?}", thread.name));
        let frames = frames(adapter, &row["id"], machine, thread, manner);
        if row["id"] == manner.crashed {
            registers(adapter, &frames[0], thread);
            let frame = &frames[0]["id"];
            let hz = json!({ "expression": "*(int *)&hz", "context": "watch", "frameId": frame });
            assert_eq!(adapter.ask("evaluate", hz)["result"], "100");
        }
    }
    if capabilities["supportsReadMemoryRequest"] == true {
        let memory = json!({ "memoryReference": format!("{:#x}", machine.hz), "count": 4 });
        assert_eq!(adapter.ask("readMemory", memory)["data"], "ZAAAAA==");
    }
    if capabilities["supportsDisassembleRequest"] == true {
        code(adapter, machine);
    }
}

/// All threads. lldb's adapters sometimes tell of a stop a moment before they know it themselves: 22 then has no threads,
/// others lack names (`Thread 2` with 19, `Thread #2` with 14), of some threads or of all.
fn threads(adapter: &mut Adapter) -> Vec<Value> {
    for _ in 0..100 {
        let number = adapter.send("threads", json!({}));
        let mut response = adapter.response(number);
        let listed = response["body"]["threads"].as_array_mut().map(std::mem::take).unwrap_or_default();
        if response["success"] == true && listed.iter().all(|thread| !unnamed(thread)) {
            return listed;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("no threads, or no names")
}

fn unnamed(thread: &Value) -> bool {
    thread["name"].as_str().is_some_and(|name| name.starts_with("Thread "))
}

/// All frames of a thread, as the adapter tells them.
fn frames(
    adapter: &mut Adapter,
    id: &Value,
    machine: &Machine,
    thread: &Thread,
    manner: &Manner,
) -> Vec<Value> {
    let mut stack = adapter.ask("stackTrace", json!({ "threadId": id, "startFrame": 0, "levels": 20 }));
    let frames = stack["stackFrames"].as_array_mut().map(std::mem::take).expect("frames");
    let names: Vec<&str> = frames.iter().map(|frame| frame["name"].as_str().expect("a name")).collect();
    let expected = &thread.frames[..thread.frames.len() - manner.left_out];
    let expected: Vec<&str> =
        expected.iter().map(|va| machine.function(*va).expect("a function").0).collect();
    assert_eq!(names, expected, "{}", thread.name);
    frames
}

/// All registers of a frame: numbers where they were saved, and something else where not.
fn registers(adapter: &mut Adapter, frame: &Value, thread: &Thread) {
    let scopes = adapter.ask("scopes", json!({ "frameId": frame["id"] }));
    let scopes = scopes["scopes"].as_array().expect("scopes");
    let scope = scopes.iter().find(|scope| scope["name"] == "Registers").expect("registers");
    // lldb's are in groups.
    let mut found = children(adapter, scope);
    let groups: Vec<Value> = found.iter().filter(|one| one["value"] == "").cloned().collect();
    found.extend(groups.iter().flat_map(|group| children(adapter, group)));
    for (name, _) in thread.gdb_registers() {
        // lldb writes eflags as rflags, and knows no bases of segments.
        let Some(shown) = found.iter().find(|register| register["name"] == name) else { continue };
        let value = number(shown["value"].as_str().expect("a value"));
        assert_eq!(value, thread.register(name).filter(|_| name != "eflags"), "{name}: {shown}");
    }
    assert!(found.len() >= 24, "{found:?}");
}

fn children(adapter: &mut Adapter, of: &Value) -> Vec<Value> {
    let mut children = adapter.ask("variables", json!({ "variablesReference": of["variablesReference"] }));
    children["variables"].as_array_mut().map(std::mem::take).expect("variables")
}

/// `0xffffffff80200d83 <kdb_enter+51>`, or decimal digits.
fn number(text: &str) -> Option<u64> {
    let first = text.split(' ').next()?;
    match first.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => first.parse::<i64>().ok().map(i64::cast_unsigned),
    }
}

/// Code from an address on, from before it on, and where there is none.
fn code(adapter: &mut Adapter, machine: &Machine) {
    let ask = |at: u64, before: i64, count: u64| {
        let at = format!("{at:#x}");
        json!({ "memoryReference": at, "instructionOffset": -before, "instructionCount": count })
    };
    let first = adapter.ask("disassemble", ask(machine.panic, 0, 2));
    assert!(first["instructions"][0]["instruction"].as_str().expect("text").contains("%rbp"), "{first}");
    for (at, before) in
        [(machine.panic, 20), (machine.panic & !0xfff, 20), (0xffff_ffff_8c00_0000, 0), (0, 8)]
    {
        // The answer may be an error, but it must come.
        let number = adapter.send("disassemble", ask(at, before, 40));
        adapter.response(number);
    }
}

/// The adapter that belongs to lldb: `lldb-dap`, before release 18 `lldb-vscode`.
fn lldb_adapter() -> Command {
    let lldb = lldb_program();
    let path = Path::new(lldb.get_program());
    let release = path.file_name().and_then(|name| name.to_str()?.strip_prefix("lldb")).expect("lldb's name");
    let named = |kind: &str| path.with_file_name(format!("{kind}{release}"));
    let programs = [named("lldb-dap"), named("lldb-vscode")];
    let runs = |program: &&std::path::PathBuf| Command::new(program).arg("--help").output().is_ok();
    Command::new(programs.iter().find(runs).unwrap_or_else(|| panic!("none of {programs:?} is here")))
}

/// The printed configuration; for adapters that do not know `gdb-remote-port`, as `docs/ide.md` says.
fn for_lldb(server: &Server, kernel: &Path, vmcore: &Path) -> Value {
    let mut configuration = configuration(server, "lldb-dap", kernel, vmcore);
    if version(&mut lldb_program()) < 19 {
        configuration["attachCommands"] = json!([format!("gdb-remote 127.0.0.1:{}", server.port)]);
    }
    configuration
}

#[test]
fn lldbs_adapter() {
    let (scene, kernel, vmcore) = awkward();
    let server = Server::start(&[&kernel, &vmcore]);
    let configuration = for_lldb(&server, &kernel, &vmcore);
    let manner = Manner { crashed: scene.machine.crashed().tid, left_out: 1 };
    session(Adapter::start(lldb_adapter()), &configuration, &scene.machine, &manner);
}

/// gdb has an adapter since release 14.
#[test]
fn gdbs_adapter() {
    let release = version(&mut gdb_program());
    if release < 14 {
        return eprintln!("skipped: gdb {release} has no debug adapter");
    }
    let (scene, kernel, vmcore) = awkward();
    let server = Server::start(&[&kernel, &vmcore]);
    let configuration = configuration(&server, "gdb-dap", &kernel, &vmcore);
    let mut gdb = gdb_program();
    gdb.args(["-q", "-i", "dap"]);
    session(Adapter::start(gdb), &configuration, &scene.machine, &Manner { crashed: 1, left_out: 0 });
}

/// CodeLLDB runs these commands of its configuration in lldb, one list behind the other.
#[test]
fn codelldbs_commands() {
    let (scene, kernel, vmcore) = awkward();
    let server = Server::start(&[&kernel, &vmcore]);
    let configuration = configuration(&server, "codelldb", &kernel, &vmcore);
    let lists = ["initCommands", "targetCreateCommands", "processCreateCommands"];
    let commands = lists.iter().flat_map(|list| configuration[list].as_array().expect("commands"));
    let mut commands: Vec<&str> = commands.map(|command| command.as_str().expect("a command")).collect();
    commands.push("bt");
    let session = lldb(&commands);
    session.has("bt", &scene.machine.lldb_place(scene.machine.crashed().frames[0], "kernel"));
}

#[test]
fn lldbs_adapter_needs_no_kernel_file() {
    let scene = Scene::small();
    let server = scene.serve();
    let mut configuration = for_lldb(&server, &scene.kernel, &scene.vmcore);
    configuration.as_object_mut().expect("fields").remove("program");
    let manner = Manner { crashed: scene.machine.crashed().tid, left_out: 1 };
    session(Adapter::start(lldb_adapter()), &configuration, &scene.machine, &manner);
}
