//! How a debugger reaches a server.

use kgdbserver::stub::serve::Address;
use std::path::Path;

/// A server's place, in the words of each debugger.
pub(super) struct Connect {
    /// What gdb's `target remote` takes.
    pub(super) remote: String,
    /// lldb's whole command.
    pub(super) lldb: String,
    /// The host and the port, if it has one.
    pub(super) tcp: Option<(String, u16)>,
}

impl Connect {
    /// None if the address leaves the port open.
    pub(super) fn to(address: &Address) -> Option<Self> {
        match address {
            Address::Unix(path) => Some(Self::unix(path)),
            Address::Tcp(_, 0) => None,
            Address::Tcp(host, port) if host.contains(':') => Some(Self::tcp(&format!("[{host}]"), *port)),
            Address::Tcp(host, port) => Some(Self::tcp(host, *port)),
        }
    }

    /// On this machine.
    pub(super) fn port(port: u16) -> Self {
        Self { lldb: format!("gdb-remote {port}"), ..Self::tcp("", port) }
    }

    /// On a socket in the file system. lldb's `gdb-remote` knows hosts and ports only.
    pub(super) fn unix(path: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let path = path.display();
        let lldb = format!("process connect unix-connect://{path}");
        Self { remote: path.to_string(), lldb, tcp: None }
    }

    fn tcp(host: &str, port: u16) -> Self {
        let remote = format!("{host}:{port}");
        Self { lldb: format!("gdb-remote {remote}"), remote, tcp: Some((host.to_owned(), port)) }
    }

    /// gdb's whole command.
    pub(super) fn gdb(&self) -> String {
        format!("target remote {}", self.remote)
    }
}
