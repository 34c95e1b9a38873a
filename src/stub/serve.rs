//! What is served, and where.

pub use super::listener::Listener;

use super::brand;
use super::connection::{self, Crowd, DEBUGGERS, Socket};
use super::front::Session;
use super::transport::{Greeting, Stream, Transport};
use super::writes::Writes;
use crate::patch::Patch;
use crate::symbols::served::SymbolFile;
use crate::{Kvm, Result};
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A TCP port; port 0 is any that is free.
    Tcp(String, u16),
    /// A socket in the file system, for its owner only.
    Unix(PathBuf),
}

impl Default for Address {
    fn default() -> Self {
        Self::Tcp("127.0.0.1".into(), 1234)
    }
}

impl FromStr for Address {
    type Err = String;

    /// `HOST:PORT`, `:PORT` or `PORT` (of this machine), or `unix:PATH`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
        let port =
            port.parse().map_err(|_| format!("{port:?} is not a port; expected HOST:PORT or unix:PATH"))?;
        let host = host.trim_matches(['[', ']']);
        Ok(Self::Tcp(if host.is_empty() { "127.0.0.1".into() } else { host.into() }, port))
    }
}

/// Standard input and output as one stream.
struct Stdio(io::Stdin, io::Stdout);

impl Read for Stdio {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Stdio {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.1.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.1.flush()
    }
}

impl Stream for Stdio {
    // The transport reads more at a time than standard input has room for, so nothing waits there.
    fn is_ready(&self) -> io::Result<bool> {
        connection::is_ready(&self.0)
    }
}

/// What debuggers may write.
#[derive(Debug, Clone)]
pub enum Writing {
    /// Nothing.
    Nothing,
    /// What they see: each has an overlay of its own.
    Overlay {
        /// How many bytes it may hold.
        limit: usize,
        /// What it begins with.
        patch: Option<Arc<Patch>>,
    },
    /// The image itself, if it was opened for that.
    Image {
        /// Without a further step; else each debugger's user must confirm it by `monitor write on`.
        confirmed: bool,
    },
}

/// An image to be served, and the symbol file that goes with it.
#[derive(Clone)]
pub struct Server {
    kvm: Arc<Kvm>,
    symbol_file: Arc<SymbolFile>,
    serve_files: bool,
    writing: Writing,
}

impl Server {
    /// Prepares an image for debuggers.
    pub fn new(kvm: Arc<Kvm>) -> Self {
        let symbol_file = Arc::new(SymbolFile::new(kvm.clone()));
        Self { symbol_file, kvm, serve_files: false, writing: Writing::Nothing }
    }

    /// Lets debuggers read the files that they are told of over the connection, as gdb then does. Without that they open them
    /// where they are, which works on the same machine.
    #[must_use]
    pub fn serve_files(self, serve_files: bool) -> Self {
        Self { serve_files, ..self }
    }

    /// The same, and what debuggers may write.
    ///
    /// # Errors
    /// A patch that is not this image's.
    pub fn with_writing(self, writing: Writing) -> Result<Self> {
        let server = Self { writing, ..self };
        server.view().map(|_| server)
    }

    /// The image as a new debugger sees it.
    fn view(&self) -> Result<Arc<Kvm>> {
        let Writing::Overlay { limit, patch } = &self.writing else { return Ok(self.kvm.clone()) };
        let kvm = self.kvm.with_overlay(*limit);
        patch.as_ref().map_or(Ok(0), |patch| kvm.apply(patch))?;
        Ok(Arc::new(kvm))
    }

    /// Makes the symbol files at once. lldb waits a few seconds for them, which may be too short on a busy machine; gdb is kept
    /// waiting.
    pub fn prepare(&self) {
        self.symbol_file.make();
    }

    /// Serves one debugger on standard input and output.
    pub fn stdio(&self) {
        let mut wire = Transport::new(Stdio(io::stdin(), io::stdout()));
        if greeted(&mut wire, "standard input") {
            self.session(wire, "standard input");
        }
    }

    /// Serves one debugger on a connection that is there already, to its end. `peer` is what the log calls it.
    pub fn connected(&self, stream: UnixStream, peer: &str) {
        self.attend(&Arc::new(Socket::Unix(stream)), peer, &Crowd::default());
    }

    /// Serves a connection to its end; whether it was a debugger's.
    pub(super) fn attend(&self, socket: &Arc<Socket>, peer: &str, crowd: &Crowd) -> bool {
        crowd.enter(socket);
        let mut wire = Transport::new(&**socket);
        let spoke = socket.expect_greeting().is_ok() && greeted(&mut wire, peer);
        crowd.heard(socket);
        if !spoke {
            return false;
        }
        let Some(_seat) = crowd.seat() else {
            log::warn!("{peer}: hung up on, {DEBUGGERS} debuggers are connected already");
            return false;
        };
        match socket.expect_debugger() {
            Ok(()) => self.session(wire, peer),
            Err(error) => log::info!("debugger lost: {error}"),
        }
        true
    }

    fn session(&self, wire: Transport<impl Stream>, who: &str) {
        log::info!("debugger connected");
        let kvm = match self.view() {
            Ok(kvm) => kvm,
            Err(error) => return log::error!("no overlay for the debugger: {error}"),
        };
        let writes = Writes::new(&self.writing, who);
        let mut session = Session::new(kvm, self.symbol_file.clone(), self.serve_files, writes);
        let ended = session.run(wire);
        brand::explain(&session);
        match ended {
            Ok(()) => log::info!("debugger left"),
            Err(error) => log::info!("debugger lost: {error}"),
        }
    }
}

/// Whether a client begins as debuggers do. A browser does not, nor does who scans for open ports.
fn greeted(wire: &mut Transport<impl Stream>, peer: &str) -> bool {
    match wire.greeting() {
        Ok(Greeting::Packet) => return true,
        Ok(Greeting::Other(begin)) => {
            log::warn!("{peer}: hung up on, no debugger begins with \"{}\"", begin.escape_ascii());
        }
        Ok(Greeting::Nothing) => log::info!("{peer}: left without a word"),
        Err(error) => log::info!("{peer}: hung up on, it said nothing: {error}"),
    }
    false
}
