//! Runs the server and the debuggers, none of them for longer than a session may last.

use std::fmt::{self, Display, Formatter};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A session takes less than a second, on a busy machine minutes. A debugger that is still there after this hangs.
const PATIENCE: Duration = Duration::from_secs(600);
/// A server that was built without optimisation needs longer for the first answer about a real kernel than gdb waits: on a
/// busy machine more than 40 seconds.
pub(crate) const GDB_WAITS: &str = "set remotetimeout 300";
/// The same for lldb.
pub(crate) const LLDB_WAITS: &str = "settings set plugin.process.gdb-remote.packet-timeout 300";

/// A running server, killed when it goes.
pub(crate) struct Server {
    child: Child,
    /// What `target remote` and `gdb-remote` take.
    pub(crate) port: String,
    folder: TempDir,
}

impl Server {
    /// Serves files on a free port.
    pub(crate) fn start(files: &[&Path]) -> Self {
        Self::start_with(files, &[])
    }

    /// The same, with more options.
    pub(crate) fn start_with(files: &[&Path], options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (child, place) = serve(files, &[&["--listen", ":0"], options].concat(), folder.path());
        let port = place.strip_prefix("port ").unwrap_or_else(|| panic!("no port: {place}")).to_owned();
        Self { child, port, folder }
    }

    /// Serves files on a free port, and what it announces over the connection.
    pub(crate) fn with_files(files: &[&Path]) -> Self {
        let options: Vec<&Path> = files.iter().copied().chain([Path::new("--serve-files")]).collect();
        Self::start(&options)
    }

    /// Serves files on a socket in the file system, whose path is the port.
    pub(crate) fn on_socket(files: &[&Path]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = format!("unix:{}/socket", folder.path().display());
        let (child, port) = serve(files, &["--listen", &socket], folder.path());
        Self { child, port, folder }
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().expect("wait for the server").is_none()
    }

    /// What a command of the server's program prints, with the same cache.
    #[track_caller]
    pub(crate) fn says(&self, arguments: &[&str], files: &[&Path]) -> String {
        let output = server_program(self.folder.path()).args(arguments).args(files).output().expect("run it");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// The symbol files that it has made for debuggers.
    pub(crate) fn symbol_files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path().join("kgdbserver")).into_iter().flatten();
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may be gone
        let _ = self.child.wait();
    }
}

/// The server's program, with a cache folder of its own.
pub(crate) fn server_program(cache: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
    command.env("XDG_CACHE_HOME", cache).env_remove("RUST_LOG");
    command
}

/// Starts the server, with its cache in a folder; returns it and where it listens, in its own words.
fn serve(files: &[&Path], options: &[&str], cache: &Path) -> (Child, String) {
    let mut command = server_program(cache);
    command.args(files).args(options).stdin(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("start the server");
    let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut said = String::new();
    let place = loop {
        let begin = said.len();
        if stderr.read_line(&mut said).expect("a line") == 0 {
            let _ = child.wait(); // it ended by itself
            panic!("the server ended:\n{said}");
        }
        if let Some(place) = said[begin..].strip_prefix("Listening on ") {
            break place.trim().to_owned();
        }
    };
    // Its warnings must not fill the pipe.
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    (child, place)
}

/// What a debugger printed, command by command.
pub(crate) struct Transcript {
    parts: Vec<(String, String)>,
}

impl Transcript {
    /// What the first such command printed.
    #[track_caller]
    pub(crate) fn of(&self, command: &str) -> &str {
        self.nth(command, 0)
    }

    /// What that command printed when it was given again.
    #[track_caller]
    pub(crate) fn nth(&self, command: &str, time: usize) -> &str {
        let mut fitting = self.parts.iter().filter(|(known, _)| known == command);
        &fitting.nth(time).unwrap_or_else(|| panic!("{command:?} was not run in\n{self}")).1
    }

    /// Fails unless the command printed that text somewhere.
    #[track_caller]
    pub(crate) fn has(&self, command: &str, text: &str) {
        assert!(self.of(command).contains(text), "{command:?} does not print {text:?} in\n{self}");
    }

    /// Fails unless all that the command printed is that text, but for white space.
    #[track_caller]
    pub(crate) fn is(&self, command: &str, text: &str) {
        assert_eq!(tidy(self.of(command)), tidy(text), "{command:?} in\n{self}");
    }
}

impl Display for Transcript {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|(command, output)| writeln!(f, "> {command}\n{output}"))
    }
}

/// Lines without indentation, double blanks and empty lines: columns are the debuggers' business.
pub(crate) fn tidy(text: &str) -> String {
    let line = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(line).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

/// gdb, without the user's own settings: `KGDBSERVER_GDB`, or else the system's.
pub(crate) fn gdb_program() -> Command {
    let mut command = program("KGDBSERVER_GDB", &["gdb", "gdb-multiarch"], "gdb-multiarch");
    command.args(["-nx", "-iex", "set debuginfod enabled off", "-iex", "set width 0"]);
    command
}

/// Runs commands in gdb; an error in one does not keep it from the next.
#[track_caller]
pub(crate) fn gdb(commands: &[&str]) -> Transcript {
    gdb_batch(gdb_program(), commands)
}

/// The same in a gdb that knows every machine.
#[track_caller]
pub(crate) fn gdb_multiarch(commands: &[&str]) -> Transcript {
    let mut command = program("KGDBSERVER_GDB", &["gdb-multiarch"], "gdb-multiarch");
    command.args(["-nx", "-iex", "set debuginfod enabled off", "-iex", "set width 0"]);
    gdb_batch(command, commands)
}

#[track_caller]
pub(crate) fn gdb_batch(mut command: Command, commands: &[&str]) -> Transcript {
    command.arg("-batch");
    // What gdb says when it leaves is not the last command's.
    let commands = &[commands, &["echo"]].concat();
    for line in commands {
        command.args(["-ex", &format!("echo \\n(gdb) {}\\n", line.replace('"', "\\\"")), "-ex", line]);
    }
    transcript(&finish(command), "(gdb) ", commands)
}

/// lldb, with nothing on its command line yet: `KGDBSERVER_LLDB`, or else the system's.
pub(crate) fn lldb_program() -> Command {
    program("KGDBSERVER_LLDB", &["lldb-19", "lldb", "lldb-14"], "lldb-19 (or lldb)")
}

/// Runs commands in lldb; an error in one does not keep it from the next.
#[track_caller]
pub(crate) fn lldb(commands: &[&str]) -> Transcript {
    lldb_batch(lldb_program(), commands)
}

#[track_caller]
pub(crate) fn lldb_batch(mut command: Command, commands: &[&str]) -> Transcript {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("commands");
    std::fs::write(&script, commands.join("\n")).expect("write the commands");
    let source = format!("command source -e false -s false {}", script.display());
    command.args(["--no-lldbinit", "--no-use-colors", "-b", "-o", &source]);
    transcript(&finish(command), "(lldb) ", commands)
}

/// The program that a variable of the environment names, or else the first that is there.
fn program(variable: &str, names: &[&str], package: &str) -> Command {
    if let Some(path) = std::env::var_os(variable) {
        return Command::new(path);
    }
    let runs = |name: &&&str| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok();
    let name = names.iter().find(runs);
    Command::new(
        name.unwrap_or_else(|| panic!("no {} here: install the package {package}", names.join(" or "))),
    )
}

/// A debugger's release, by the last word of `--version`'s first line.
pub(crate) fn version(program: &mut Command) -> u32 {
    let output = program.arg("--version").output().expect("run a debugger");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number =
        text.lines().next().and_then(|line| line.rsplit(' ').next()?.split('.').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no version in {text}"))
}

/// Cuts what was printed at the prompts that stand for our commands.
#[track_caller]
fn transcript(output: &str, prompt: &str, commands: &[&str]) -> Transcript {
    let mut parts = vec![(String::new(), String::new())];
    let mut expected = commands.iter().peekable();
    for line in output.lines() {
        match (line.strip_prefix(prompt), expected.peek()) {
            (Some(command), Some(next)) if command == **next => {
                parts.push((command.to_owned(), String::new()));
                expected.next();
            }
            _ => parts.last_mut().expect("a part").1.extend([line, "\n"]),
        }
    }
    assert!(expected.peek().is_none(), "the debugger did not get to {:?}:\n{output}", expected.peek());
    Transcript { parts }
}

/// Runs a program to its end; returns all that it printed.
#[track_caller]
fn finish(command: Command) -> String {
    finish_with(command, "")
}

/// Runs a program that reads `input` to its end; returns all that it printed.
#[track_caller]
pub(crate) fn finish_with(mut command: Command, input: &str) -> String {
    let mut stdin = tempfile::tempfile().expect("a file");
    stdin.write_all(input.as_bytes()).and_then(|()| stdin.rewind()).expect("write the input");
    let home = tempfile::tempdir().expect("a folder");
    // One file for both streams keeps them in order.
    let mut output = tempfile::tempfile().expect("a file");
    let (out, err) = (output.try_clone().expect("a handle"), output.try_clone().expect("a handle"));
    command.env("HOME", home.path()).env("XDG_CACHE_HOME", home.path()).env("TERM", "dumb");
    let child = command.stdin(stdin).stdout(out).stderr(err).spawn();
    let status = wait(&mut child.unwrap_or_else(|error| panic!("{command:?}: {error}")));
    let printed = read(&mut output);
    let begin: String = printed.chars().take(4000).collect(); // one that loops says the same for ever
    assert!(status.is_some(), "{command:?} hangs after\n{begin}");
    printed
}

/// Waits, but not for ever: none if the program had to be killed.
fn wait(child: &mut Child) -> Option<ExitStatus> {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().expect("wait for a program") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("kill a program");
    child.wait().expect("wait for a program");
    None
}

fn read(file: &mut File) -> String {
    let mut bytes = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("read the output");
    String::from_utf8_lossy(&bytes).into_owned()
}
