use super::{PATIENCE, Ready, lldb_patience, lldb_word};
use crate::cli::debugger::{self, Debugger};
use crate::cli::files::Files;
use crate::cli::{Failure, Named, Outcome};
use clap::Args;
use clap::builder::PossibleValuesParser;
use kgdbserver::stub::serve::Address;
use kgdbserver::symbols::served::SymbolFile;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Print a launch.json, by which an IDE connects to the server.
#[derive(Args)]
pub(crate) struct LaunchJson {
    #[command(flatten)]
    named: Named,
    /// Which IDE, or which extension of it, is to read the file.
    #[arg(long, value_name = "NAME", default_value = "vscode-cppdbg")]
    #[arg(value_parser = PossibleValuesParser::new(IDES.iter().map(|ide| ide.name)))]
    ide: String,
    /// Where the server listens, or will.
    #[arg(short, long, value_name = "ADDRESS", default_value = ":1234")]
    listen: Address,
    /// The kernel file and the image, in any order.
    #[arg(value_name = "[KERNEL] IMAGE", required_unless_present_any = ["core", "dump"])]
    arguments: Vec<OsString>,
}

/// What reads a launch.json.
struct Ide {
    name: &'static str,
    /// What is its own of a configuration.
    fields: fn(&Ready) -> Result<Fields, Failure>,
}

/// In the order that a person reads them. Those without a value are left out.
type Fields = Vec<(&'static str, Value)>;

static IDES: &[Ide] = &[
    Ide { name: "vscode-cppdbg", fields: cppdbg },
    Ide { name: "codelldb", fields: codelldb },
    Ide { name: "lldb-dap", fields: lldb_dap },
    Ide { name: "gdb-dap", fields: gdb_dap },
];

impl LaunchJson {
    pub(crate) fn run(self) -> Outcome {
        let files = Files::only(&self.named, &self.arguments)?;
        let ready = Ready::new(&self.named, &files, &self.listen)?;
        let ide = IDES.iter().find(|ide| ide.name == self.ide);
        let unknown = || Failure::Usage(format!("{}: no such IDE", self.ide));
        let own = (ide.ok_or_else(unknown)?.fields)(&ready)?;
        let image = ready.image.file_name().unwrap_or_default().to_string_lossy();
        let name = ("name", format!("kgdbserver: {image}").into());
        let configuration = Configuration(std::iter::once(name).chain(own).collect());
        let file = LaunchFile { version: "0.2.0", configurations: [configuration] };
        let mut out = std::io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &file).map_err(std::io::Error::from)?;
        writeln!(out)?;
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Serialize)]
struct LaunchFile {
    version: &'static str,
    configurations: [Configuration; 1],
}

struct Configuration(Fields);

impl Serialize for Configuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(
            self.0.iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name, value)),
        )
    }
}

/// Microsoft's C/C++ extension, which speaks gdb/MI. It loads `program` before all else, and a FreeBSD kernel file would
/// mislead gdb then, so it gets the file that the server announces. Without `stopAtConnect` it begins with a `continue`.
fn cppdbg(ready: &Ready) -> Result<Fields, Failure> {
    let symbols = SymbolFile::new(ready.kvm.clone());
    let nameless = || Failure::Usage("the image tells no names: name its kernel file as well".into());
    let gdb = Debugger::Gdb.find();
    let patience = format!("set remotetimeout {PATIENCE}");
    let setup = [patience.as_str()].into_iter().chain(debugger::before(&ready.kvm));
    let setup = setup.map(|command| json!({ "text": format!("-interpreter-exec console \"{command}\"") }));
    Ok(vec![
        ("type", "cppdbg".into()),
        ("request", "launch".into()),
        ("program", text(symbols.path().ok_or_else(nameless)?)?.into()),
        ("cwd", text(ready.image.parent().unwrap_or(Path::new("/")))?.into()),
        ("MIMode", "gdb".into()),
        ("miDebuggerPath", gdb.as_deref().map(text).transpose()?.into()),
        ("miDebuggerServerAddress", ready.server.remote.as_str().into()),
        ("setupCommands", setup.collect::<Vec<_>>().into()),
        ("stopAtConnect", true.into()),
    ])
}

/// The extension CodeLLDB. Without `stopOnEntry` it continues what it attached to.
fn codelldb(ready: &Ready) -> Result<Fields, Failure> {
    let create = ready.kernel.iter().map(|kernel| format!("target create {}", lldb_word(kernel)));
    Ok(vec![
        ("type", "lldb".into()),
        ("request", "attach".into()),
        ("initCommands", json!([lldb_patience()])),
        ("targetCreateCommands", create.collect::<Vec<_>>().into()),
        ("processCreateCommands", json!([ready.server.lldb])),
        ("stopOnEntry", true.into()),
    ])
}

/// LLVM's own adapter. `attachCommands` would do in all releases, but 19 then fails where it is faster than lldb ("process
/// unloaded during launch or attach", once in twelve times); release 19 is the first that has `gdb-remote-port`.
fn lldb_dap(ready: &Ready) -> Result<Fields, Failure> {
    let server = &ready.server;
    let (host, port) = server.tcp.clone().unzip();
    let commands = server.tcp.is_none().then(|| json!([server.lldb]));
    Ok(vec![
        ("type", "lldb-dap".into()),
        ("request", "attach".into()),
        ("program", ready.kernel.as_deref().map(text).transpose()?.into()),
        ("initCommands", json!([lldb_patience()])),
        ("gdb-remote-hostname", host.into()),
        ("gdb-remote-port", port.into()),
        ("attachCommands", commands.into()),
        ("stopOnEntry", true.into()),
    ])
}

/// gdb's own adapter (`gdb -i dap`, since gdb 14). The server announces the kernel file.
fn gdb_dap(ready: &Ready) -> Result<Fields, Failure> {
    let target = ready.server.remote.as_str().into();
    Ok(vec![("type", "gdb".into()), ("request", "attach".into()), ("target", target)])
}

fn text(path: &Path) -> Result<&str, Failure> {
    let not_unicode = || Failure::Usage(format!("{}: JSON cannot hold this name", path.display()));
    path.to_str().ok_or_else(not_unicode)
}
