use super::connect::Connect;
use super::debugger::Debugger;
use super::files::Files;
use super::port_file::PortFile;
use super::ready::Ready;
use super::writing::WritingArgs;
use super::{Failure, Named, Outcome, ending};
use clap::Args;
use kgdbserver::Kvm;
use kgdbserver::stub::serve::{Address, Listener, Server};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, mpsc};

/// Serve an image to debuggers (the default command).
#[derive(Args)]
pub(super) struct Serve {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    how: How,
    /// Serve nothing; print the commands that connect gdb, for gdb -x.
    #[arg(long, conflicts_with_all = ["stdio", "gdb", "lldb", "emit_lldbinit"])]
    emit_gdbinit: bool,
    /// Serve nothing; print the commands that connect lldb, for lldb -s.
    #[arg(long, conflicts_with_all = ["stdio", "gdb", "lldb"])]
    emit_lldbinit: bool,
    /// The kernel file and the image, in any order.
    #[arg(value_name = "[KERNEL] IMAGE", required_unless_present_any = ["core", "dump", "live", "kcore_fd"])]
    arguments: Vec<OsString>,
}

/// How debuggers reach the server.
#[derive(Args)]
pub(super) struct How {
    /// HOST:PORT, :PORT (of this machine only; 0 is any free port), or unix:PATH.
    #[arg(short, long, value_name = "ADDRESS", default_value = ":1234")]
    listen: Address,
    /// Serve one debugger on standard input and output: target remote | kgdbserver --stdio KERNEL IMAGE.
    #[arg(long, conflicts_with = "listen")]
    stdio: bool,
    /// Start gdb (PROGRAM, if it is not called gdb), connected; end when it ends.
    #[arg(long, value_name = "PROGRAM", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    #[arg(conflicts_with_all = ["stdio", "listen", "lldb"])]
    gdb: Option<String>,
    /// Start lldb, connected; end when it ends.
    #[arg(long, value_name = "PROGRAM", num_args = 0..=1, require_equals = true, default_missing_value = "")]
    #[arg(conflicts_with_all = ["stdio", "listen"])]
    lldb: Option<String>,
    /// Write the TCP port into FILE once debuggers can connect; it is removed at the end.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["stdio", "gdb", "lldb"])]
    port_file: Option<PathBuf>,
    /// Let gdb read the kernel's and the modules' symbol files over the connection: for a gdb on another machine.
    #[arg(long)]
    serve_files: bool,
    /// Serve one debugger, then exit.
    #[arg(long)]
    once: bool,
    /// Allow an address that other machines can reach. There is no password.
    #[arg(long)]
    allow_remote: bool,
    #[command(flatten)]
    writing: WritingArgs,
}

impl Serve {
    pub(super) fn run(self) -> Outcome {
        let files = Files::only(&self.named, &self.arguments)?;
        let emit = match (self.emit_gdbinit, self.emit_lldbinit) {
            (false, false) => return self.how.serve(files.open_as(&self.named, self.how.writing.write)?),
            (true, _) => Ready::gdb,
            (false, true) => Ready::lldb,
        };
        let ready = Ready::new(&self.named, &files, &self.how.listen)?;
        write!(std::io::stdout(), "{}", emit(&ready))?;
        Ok(ExitCode::SUCCESS)
    }
}

impl How {
    /// Serves an image until the process is told to end.
    pub(super) fn serve(&self, kvm: Kvm) -> Outcome {
        let guest = kvm.guest().cloned();
        let ended = self.serve_it(kvm);
        // A debugger's question may still hold it.
        if let Some(guest) = guest {
            guest.let_go();
        }
        ended
    }

    fn serve_it(&self, kvm: Kvm) -> Outcome {
        let kvm = Arc::new(kvm);
        let writing = self.writing.allowed(&kvm)?;
        let server = Server::new(kvm.clone()).serve_files(self.serve_files).with_writing(writing)?;
        // Said here and not to the debugger: a console packet before the answer to `?` ends the connection in gdb 13, and
        // lldb 19 takes it for a state that it does not know.
        eprint!("{}", kgdbserver::report::farewell(&kvm));
        if self.stdio {
            server.stdio();
            return Ok(ExitCode::SUCCESS);
        }
        let gdb = self.gdb.as_ref().map(|program| (Debugger::Gdb, program));
        if let Some((debugger, program)) = gdb.or(self.lldb.as_ref().map(|program| (Debugger::Lldb, program)))
        {
            return with_debugger(&kvm, server, debugger, program);
        }
        let listener = Arc::new(Listener::bind(&self.listen, self.allow_remote)?);
        if self.allow_remote {
            log::warn!("other machines may connect and read all of the image; there is no password");
        }
        let write = |path: &PathBuf| match listener.port() {
            Some(port) => PortFile::write(path, port),
            None => Err(Failure::Usage("--port-file: a unix socket has no port".into())),
        };
        let _port_file = self.port_file.as_ref().map(write).transpose()?;
        eprint!("{}", banner(&kvm, &self.listen, &listener));
        let ended = serve_until_told(&listener, server, self.once);
        listener.close();
        ended
    }
}

/// Serves on a port that nobody else knows while a debugger runs in the foreground.
fn with_debugger(kvm: &Kvm, server: Server, debugger: Debugger, program: &str) -> Outcome {
    let listener = Listener::bind(&Address::Tcp("127.0.0.1".into(), 0), false)?;
    let port = listener.port().unwrap_or(0);
    server.prepare();
    // ^C is the debugger's: it interrupts what the debugger does, and must not end the server.
    ending::on_signal(|| {})?;
    std::thread::spawn(move || listener.serve(&server, false));
    debugger.run(program, kvm, port)
}

/// Serves until the listener ends, or a signal asks for it: files made for this run must go with it.
fn serve_until_told(listener: &Arc<Listener>, server: Server, once: bool) -> Outcome {
    let (told, ended) = mpsc::channel();
    let served = told.clone();
    ending::on_signal(move || drop(told.send(Ok(()))))?;
    let listener = listener.clone();
    std::thread::spawn(move || served.send(listener.serve(&server, once)));
    match ended.recv() {
        Ok(Err(error)) => {
            eprintln!("kgdbserver: {error}");
            Err(Failure::Said)
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Where the server listens, and what to type in each debugger.
fn banner(kvm: &Kvm, address: &Address, listener: &Listener) -> String {
    let (place, connect) = match (address, listener.port()) {
        (Address::Unix(path), _) => {
            let connect = Connect::unix(path);
            (connect.remote.clone(), connect)
        }
        (Address::Tcp(..), port) => {
            let port = port.unwrap_or(0);
            (format!("port {port}"), Connect::port(port))
        }
    };
    let (gdb, lldb) = (connect.gdb(), connect.lldb);
    let kernel = kvm.symbols().file().map(|file| file.source().path());
    let lines = match kernel {
        Some(kernel) => with_kernel(kernel, is_branded(kvm), &gdb, &lldb),
        None if kvm.linux().is_some() => {
            format!(
                "  gdb -ex '{gdb}'\n  lldb -o '{lldb}'\nBoth get the kernel's symbols, and its modules', from here."
            )
        }
        None => format!(
            "  gdb KERNEL -ex '{gdb}'\n  lldb KERNEL -o '{lldb}'\n\
             with the kernel's own file, whose symbols find the threads{}",
            "\n(a FreeBSD kernel in a gdb without FreeBSD support: gdb -ex 'set osabi none' -ex 'file KERNEL' -ex ...)"
        ),
    };
    format!("Listening on {place}\nConnect with\n{lines}\n")
}

fn with_kernel(kernel: &Path, branded: bool, gdb: &str, lldb: &str) -> String {
    let kernel = quoted(kernel);
    // gdb on Linux cuts the pointers of a FreeBSD file to 32 bits unless it is told so before it reads the file.
    let own = match branded {
        true => format!("gdb -ex 'set osabi none' -ex 'file {kernel}' -ex '{gdb}'"),
        false => format!("gdb {kernel} -ex '{gdb}'"),
    };
    format!(
        "  gdb -ex '{gdb}'\n  lldb {kernel} -o '{lldb}'\n\
         gdb gets the kernel's symbols from here; with a kernel file of your own it is\n  {own}"
    )
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,@%".contains(c);
    if text.chars().all(plain) { text } else { format!("\"{}\"", text.replace(['"', '\\', '$', '`'], "?")) }
}

fn is_branded(kvm: &Kvm) -> bool {
    kvm.symbols().file().is_some_and(|file| file.is_freebsds())
}
