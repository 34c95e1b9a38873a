//! Where debuggers come from, and one thread for each.

use super::connection::{Crowd, Socket};
use super::serve::{Address, Server};
use crate::{Error, Result};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

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
        let crowd = Arc::new(Crowd::default());
        loop {
            let (socket, peer) = match self.accept() {
                Ok((socket, peer)) => (Arc::new(socket), peer),
                Err(error) if is_passing(&error) => {
                    log::warn!("cannot take in a debugger: {error}");
                    std::thread::sleep(Duration::from_millis(100));
                    continue;
                }
                Err(error) => return Err(error),
            };
            if once {
                match server.attend(&socket, &peer, &crowd) {
                    true => return Ok(()),
                    false => continue,
                }
            }
            let (server, crowd) = (server.clone(), crowd.clone());
            let thread = std::thread::Builder::new().name(peer.clone());
            let attended = thread.spawn(move || server.attend(&socket, &peer, &crowd));
            if let Err(error) = attended {
                log::warn!("cannot take in a debugger: {error}");
            }
        }
    }

    /// Removes what the listener left in the file system.
    pub fn close(&self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path); // someone else may have removed it
        }
    }

    fn accept(&self) -> io::Result<(Socket, String)> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                (Socket::Tcp(stream), peer.to_string())
            }
            Self::Unix(listener, path) => (Socket::Unix(listener.accept()?.0), path.display().to_string()),
        })
    }
}

/// Whether it is about one connection, or will be better when another one has ended.
fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let passing = [Errno::CONNABORTED, Errno::INTR, Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    Errno::from_io_error(error).is_some_and(|errno| passing.contains(&errno))
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
