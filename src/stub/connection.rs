//! Connections, and how many of them there may be.

use super::transport::Stream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A debugger says something at once.
const SILENCE: Duration = Duration::from_secs(10);
/// One that takes none of a reply for so long will not take the rest.
const STALL: Duration = Duration::from_secs(60);
/// When a debugger says nothing, it is asked whether its machine is still there, and so often.
const KEEPALIVE: (Duration, u32) = (Duration::from_secs(60), 4);
/// Connections that have said nothing yet.
const SILENT: usize = 64;
/// Debuggers at once.
pub(super) const DEBUGGERS: usize = 64;

/// A connection.
pub(super) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Ends it, whoever waits for it.
    fn hang_up(&self) {
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        }; // it may be gone
    }

    /// Nobody may keep it without saying anything.
    pub(super) fn expect_greeting(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                // Each packet waits for its answer, so none may wait for the next one.
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(SILENCE))?;
                stream.set_write_timeout(Some(STALL))
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(SILENCE))?;
                stream.set_write_timeout(Some(STALL))
            }
        }
    }

    /// A debugger may be silent for days, as long as its machine is there.
    pub(super) fn expect_debugger(&self) -> io::Result<()> {
        let (idle, probes) = KEEPALIVE;
        match self {
            Self::Tcp(stream) => {
                stream.set_read_timeout(None)?;
                rustix::net::sockopt::set_socket_keepalive(stream, true)?;
                rustix::net::sockopt::set_tcp_keepidle(stream, idle)?;
                rustix::net::sockopt::set_tcp_keepintvl(stream, idle)?;
                Ok(rustix::net::sockopt::set_tcp_keepcnt(stream, probes)?)
            }
            Self::Unix(stream) => stream.set_read_timeout(None),
        }
    }
}

impl Read for &Socket {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => (&mut &*stream).read(buf),
            Socket::Unix(stream) => (&mut &*stream).read(buf),
        }
    }
}

impl Write for &Socket {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(stream) => (&mut &*stream).write(buf),
            Socket::Unix(stream) => (&mut &*stream).write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // a socket keeps nothing back
    }
}

impl Stream for &Socket {
    fn is_ready(&self) -> io::Result<bool> {
        match self {
            Socket::Tcp(stream) => is_ready(stream),
            Socket::Unix(stream) => is_ready(stream),
        }
    }
}

/// Whether something can be read from a stream without waiting, be it its end.
pub(super) fn is_ready(stream: &impl AsFd) -> io::Result<bool> {
    let mut fds = [PollFd::new(stream, PollFlags::IN)];
    Ok(poll(&mut fds, Some(&Timespec::default()))? > 0)
}

/// Who is connected.
#[derive(Default)]
pub(super) struct Crowd {
    silent: Mutex<VecDeque<Arc<Socket>>>,
    debuggers: AtomicUsize,
}

impl Crowd {
    /// Takes in a connection that has not said anything yet. If there are too many of these, the oldest is ended: they cannot
    /// keep out who comes later.
    pub(super) fn enter(&self, socket: &Arc<Socket>) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.push_back(socket.clone());
        if silent.len() > SILENT {
            silent.pop_front().inspect(|oldest| oldest.hang_up());
        }
    }

    /// The connection has said something, or ended.
    pub(super) fn heard(&self, socket: &Arc<Socket>) {
        let mut silent = self.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.retain(|other| !Arc::ptr_eq(other, socket));
    }

    /// A place among the debuggers, until it is dropped; none if all are taken.
    pub(super) fn seat(&self) -> Option<Seat<'_>> {
        let seat = Seat(&self.debuggers);
        (self.debuggers.fetch_add(1, Ordering::Relaxed) < DEBUGGERS).then_some(seat)
    }
}

pub(super) struct Seat<'a>(&'a AtomicUsize);

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Arc<Socket>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (Arc::new(Socket::Unix(ours)), theirs)
    }

    #[test]
    fn of_too_many_silent_connections_the_oldest_ends() {
        let crowd = Crowd::default();
        let mut pairs: Vec<_> = (0..=SILENT).map(|_| pair()).collect();
        let (heard, _) = &pairs[1];
        crowd.enter(heard);
        crowd.heard(heard);
        pairs.iter().for_each(|(socket, _)| crowd.enter(socket));
        let (_, oldest) = &mut pairs[0];
        assert_eq!(oldest.read(&mut [0]).unwrap(), 0);
        let (_, next) = &mut pairs[1];
        next.set_nonblocking(true).unwrap();
        assert_eq!(next.read(&mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_place_is_free_again_when_a_debugger_leaves() {
        let crowd = Crowd::default();
        let mut seats: Vec<_> = (0..DEBUGGERS).map(|_| crowd.seat().unwrap()).collect();
        assert!(crowd.seat().is_none());
        assert!(crowd.seat().is_none());
        seats.pop();
        assert!(crowd.seat().is_some());
    }
}
