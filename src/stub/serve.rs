//! Connections: where debuggers come from, and one thread for each.

use super::front::Session;
use crate::symbols::served::SymbolFile;
use crate::{Error, Kvm, Result};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
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

/// A bound address.
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// A socket in the file system.
    Unix(UnixListener, PathBuf),
}

impl Listener {
    /// Binds an address. One that other machines can reach is refused unless `remote` allows it: who connects reads all
    /// of the image.
    ///
    /// # Errors
    /// The address cannot be bound, or is not this machine's own.
    pub fn bind(address: &Address, remote: bool) -> Result<Self> {
        match address {
            Address::Tcp(host, port) => bind_tcp(host, *port, remote).map(Self::Tcp),
            Address::Unix(path) => bind_unix(path).map(|listener| Self::Unix(listener, path.clone())),
        }
    }

    /// The TCP port.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok().map(|address| address.port()),
            Self::Unix(..) => None,
        }
    }

    /// Accepts debuggers and serves each on a thread of its own; with `once` only the first, and returns when it left.
    ///
    /// # Errors
    /// The listener failed.
    pub fn serve(&self, server: &Server, once: bool) -> io::Result<()> {
        loop {
            let (stream, peer) = self.accept()?;
            log::info!("debugger connected: {peer}");
            if once {
                server.session(stream);
                return Ok(());
            }
            let server = server.clone();
            std::thread::Builder::new().name(peer).spawn(move || server.session(stream))?;
        }
    }

    /// Removes what the listener left in the file system.
    pub fn close(&self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path); // someone else may have removed it
        }
    }

    fn accept(&self) -> io::Result<(Box<dyn Stream>, String)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                stream.set_nodelay(true)?;
                Ok((Box::new(stream), peer.to_string()))
            }
            Self::Unix(listener, path) => Ok((Box::new(listener.accept()?.0), path.display().to_string())),
        }
    }
}

fn bind_tcp(host: &str, port: u16, remote: bool) -> Result<TcpListener> {
    let name = format!("{host}:{port}");
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(Error::io(&name))?.collect();
    let reachable = |address: &SocketAddr| !is_loopback(address.ip());
    if !remote && addresses.iter().any(reachable) {
        return Err(Error::Usage(format!(
            "{host} can be reached from other machines, and the protocol has no password: whoever connects reads all of \
             the image. Listen on this machine only and forward the port (ssh -L), or allow it with --allow-remote"
        )));
    }
    TcpListener::bind(addresses.as_slice()).map_err(Error::io(&name))
}

fn is_loopback(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.to_ipv4_mapped().is_some_and(|v4: Ipv4Addr| v4.is_loopback())
        }
        IpAddr::V4(v4) => v4.is_loopback(),
    }
}

fn bind_unix(path: &Path) -> Result<UnixListener> {
    // The socket is made under a name that nobody knows, so that nobody connects before its mode is set.
    let hidden = path.with_extension(format!("{}.new", std::process::id()));
    let listener = UnixListener::bind(&hidden).map_err(Error::io(path))?;
    let ready = std::fs::set_permissions(&hidden, std::fs::Permissions::from_mode(0o600))
        .and_then(|()| if path.exists() { Err(io::ErrorKind::AlreadyExists.into()) } else { Ok(()) })
        .and_then(|()| std::fs::rename(&hidden, path));
    if let Err(error) = ready {
        let _ = std::fs::remove_file(&hidden);
        return Err(Error::io(path)(error));
    }
    Ok(listener)
}

/// A byte stream to a debugger.
trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

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

/// An image to be served, and the symbol file that goes with it.
#[derive(Clone)]
pub struct Server {
    kvm: Arc<Kvm>,
    symbol_file: Arc<SymbolFile>,
}

impl Server {
    /// Prepares an image for debuggers.
    pub fn new(kvm: Arc<Kvm>) -> Self {
        Self { symbol_file: Arc::new(SymbolFile::new(kvm.clone())), kvm }
    }

    /// Makes the symbol files at once. Debuggers wait a few seconds for them, which may be too short on a busy machine.
    pub fn prepare(&self) {
        self.symbol_file.path();
        self.symbol_file.modules();
    }

    /// Serves one debugger on standard input and output.
    pub fn stdio(&self) {
        self.session(Stdio(io::stdin(), io::stdout()));
    }

    fn session(&self, stream: impl Read + Write) {
        let mut session = Session::new(self.kvm.clone(), self.symbol_file.clone());
        match session.run(stream) {
            Ok(()) => log::info!("debugger left"),
            Err(error) => log::info!("debugger lost: {error}"),
        }
    }
}
