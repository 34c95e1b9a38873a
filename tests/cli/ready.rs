//! Files for IDEs and debuggers. That they do what they are for is tested with the programs themselves.

use super::*;

/// The only configuration that `launch-json` prints, without its name.
fn configuration(saved: &Saved, line: &str) -> Value {
    let mut file = json_of(saved, line);
    assert_eq!(file["version"], "0.2.0");
    assert_eq!(file["configurations"].as_array().map(Vec::len), Some(1));
    let mut configuration = file["configurations"][0].take();
    let fields = configuration.as_object_mut().unwrap();
    assert_eq!(fields.remove("name"), Some("kgdbserver: vmcore".into()));
    fields.remove("miDebuggerPath"); // which gdb there is
    configuration
}

#[test]
fn each_ide_has_a_configuration_of_its_own() {
    let saved = files();
    let kernel = saved.kernel.to_str().unwrap();
    let patience = "settings set plugin.process.gdb-remote.packet-timeout 60";
    let lldb_dap = json!({
        "type": "lldb-dap", "request": "attach", "stopOnEntry": true, "program": kernel,
        "initCommands": [patience], "gdb-remote-hostname": "127.0.0.1", "gdb-remote-port": 1234,
    });
    assert_eq!(configuration(&saved, "launch-json --ide lldb-dap kernel vmcore"), lldb_dap);
    let codelldb = json!({
        "type": "lldb", "request": "attach", "stopOnEntry": true, "initCommands": [patience],
        "targetCreateCommands": [format!("target create \"{kernel}\"")],
        "processCreateCommands": ["gdb-remote [::1]:99"],
    });
    let line = "launch-json --ide codelldb vmcore kernel --listen [::1]:99";
    assert_eq!(configuration(&saved, line), codelldb);
    let gdb_dap = json!({ "type": "gdb", "request": "attach", "target": "127.0.0.1:1234" });
    assert_eq!(configuration(&saved, "launch-json --ide gdb-dap vmcore"), gdb_dap);
    for line in ["launch-json kernel vmcore", "launch-json --ide vscode-cppdbg kernel vmcore"] {
        let mut cppdbg = configuration(&saved, line);
        let program = cppdbg.as_object_mut().unwrap().remove("program").unwrap();
        assert!(std::fs::read(program.as_str().unwrap()).unwrap().starts_with(b"\x7fELF\x02\x01\x01\0"));
        let expected = json!({
            "type": "cppdbg", "request": "launch", "MIMode": "gdb", "stopAtConnect": true,
            "cwd": saved.folder.path().to_str().unwrap(), "miDebuggerServerAddress": "127.0.0.1:1234",
            "setupCommands": [{ "text": "-interpreter-exec console \"set remotetimeout 60\"" }],
        });
        assert_eq!(cppdbg, expected);
    }
}

#[test]
fn sockets_have_a_command_of_their_own_in_lldb() {
    let saved = files();
    let line = "launch-json --ide lldb-dap vmcore -l unix:/tmp/socket";
    let commands = &configuration(&saved, line)["attachCommands"];
    assert_eq!(commands, &json!(["process connect unix-connect:///tmp/socket"]));
    let image = saved.path("vmcore").display().to_string();
    check(
        &saved,
        "--emit-gdbinit vmcore -l unix:socket",
        &format!(
            "# gdb -x THIS-FILE, while kgdbserver serves {image}
            set remotetimeout 60
            target remote {}",
            saved.path("socket").display()
        ),
    );
    check(
        &saved,
        "serve --emit-lldbinit kernel vmcore -l :4",
        &format!(
            "# lldb -s THIS-FILE, while kgdbserver serves {image}
            settings set plugin.process.gdb-remote.packet-timeout 60
            command regex monitor 's/^(.*)$/process plugin packet monitor %1/'
            target create \"{}\"
            gdb-remote 127.0.0.1:4",
            saved.kernel.display()
        ),
    );
}

/// gdb 16 finds no return addresses there otherwise.
#[test]
fn gdb_is_prepared_for_a_powerpc() {
    let saved = Saved::new(System::on(&synth::machine::PPC64).build());
    let emitted = text(&run(&saved, "--emit-gdbinit kernel vmcore").stdout);
    assert!(emitted.contains("\nset osabi none\ntarget remote "), "{emitted}");
    let cppdbg = configuration(&saved, "launch-json kernel vmcore");
    assert_eq!(cppdbg["setupCommands"][1]["text"], "-interpreter-exec console \"set osabi none\"");
}

#[test]
fn what_cannot_be_written_is_said() {
    let saved = files();
    let port = "name the port that the server listens on: 0 is any";
    check(&saved, "launch-json kernel vmcore --listen :0", &usage(port));
    check(&saved, "--emit-gdbinit kernel vmcore --listen :0", &usage(port));
    check(&saved, "launch-json vmcore", &usage("the image tells no names: name its kernel file as well"));
    let image = saved.path("a\nshell b");
    std::fs::copy(&saved.vmcore, &image).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_kgdbserver")).arg("--emit-gdbinit").arg(image).output();
    let said = text(&output.unwrap().stderr);
    assert!(said.contains("a\\nshell b\": no command can hold this name"), "{said}");
    let output = run(&saved, "launch-json --ide emacs vmcore");
    assert_eq!(output.status.code(), Some(2));
    let known = "[possible values: vscode-cppdbg, codelldb, lldb-dap, gdb-dap]";
    assert!(text(&output.stderr).contains(known), "{}", text(&output.stderr));
}

/// Every command of `docs/ide.md` that prints something, and all that it prints.
#[test]
fn the_page_about_ides_shows_what_is_printed() {
    let saved = Saved::small();
    let page = include_str!("../../docs/ide.md");
    let blocks = page.split("```\n").skip(1).step_by(2);
    let shown = blocks.filter_map(|block| block.strip_prefix("$ kgdbserver ")?.split_once('\n'));
    let mut compared = 0;
    for (line, expected) in shown.filter(|(_, expected)| !expected.starts_with("$ ")) {
        let printed = text(&run(&saved, line).stdout);
        let printed = printed.replace(saved.folder.path().to_str().unwrap(), "/home/me/crash");
        let printed = printed.replace("/home/me/crash/.cache", "/home/me/.cache");
        // The name of a symbol file tells its content; which gdb there is, the machine.
        let plain = |text: &str| -> Vec<String> {
            let kept = text.lines().filter(|line| !line.contains("miDebuggerPath"));
            let named =
                |line: &str| line.split_once("/kernel-").map_or(line.to_owned(), |(path, _)| path.into());
            kept.map(named).collect()
        };
        assert_eq!(plain(&printed), plain(expected), "{line}");
        compared += 1;
    }
    assert_eq!(compared, 6);
}
