//! QEMU's machine protocol, as far as registers of a guest's CPUs are had by it, and the guest is held still: JSON, a line each
//! (docs/interop/qmp-spec of QEMU).

mod pause;
mod registers;

pub use pause::Paused;

use crate::{Error, Result};
use kgdbserver_arch::{Machine, Registers};
use serde_json::{Value, json};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

/// QEMU answers at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longer than the registers of 288 CPUs.
const LINE_LIMIT: u64 = 16 << 20;
/// Lines that are no answer: events, of a guest that does odd things.
const EVENTS: usize = 1000;

/// Where a QEMU can be asked. Its socket serves one client at a time, so it is connected to for each question only.
#[derive(Debug)]
pub struct Qmp {
    path: PathBuf,
    held: Mutex<pause::Held>,
}

impl Qmp {
    /// A QEMU that answers.
    ///
    /// # Errors
    /// Nobody listens on that socket, or who does is no QEMU.
    pub fn new(path: &Path) -> Result<Self> {
        Connection::open(path)?;
        Ok(Self { path: path.to_owned(), held: Mutex::default() })
    }

    /// The registers of each CPU, by its number. The guest is not stopped for it: each CPU tells its own, while the others
    /// go on.
    ///
    /// # Errors
    /// QEMU does not answer, or refuses.
    pub fn registers(&self, machine: Machine) -> Result<Vec<(u32, Registers)>> {
        let mut connection = Connection::open(&self.path)?;
        let arguments = json!({ "command-line": "info registers -a" });
        let answer = connection.run("human-monitor-command", &arguments)?;
        Ok(registers::parse(answer.as_str().unwrap_or_default(), machine))
    }
}

struct Connection<'a> {
    path: &'a Path,
    stream: BufReader<UnixStream>,
}

impl<'a> Connection<'a> {
    fn open(path: &'a Path) -> Result<Self> {
        let stream = UnixStream::connect(path).map_err(Error::io(path))?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(Error::io(path))?;
        stream.set_write_timeout(Some(PATIENCE)).map_err(Error::io(path))?;
        let mut connection = Self { path, stream: BufReader::new(stream) };
        let busy = |error| match error {
            Error::Io { source, .. } if source.kind() == io::ErrorKind::WouldBlock => {
                Error::Unsupported(format!(
                    "{}: no QEMU greets there; if one does, another client is connected to it",
                    path.display()
                ))
            }
            other => other,
        };
        if connection.line().map_err(busy)?.get("QMP").is_none() {
            return Err(connection.odd("no QEMU greets there"));
        }
        connection.run("qmp_capabilities", &json!({}))?;
        Ok(connection)
    }

    /// What a command returns.
    fn run(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let mut request = json!({ "execute": command, "arguments": arguments }).to_string();
        request.push('\n');
        self.stream.get_mut().write_all(request.as_bytes()).map_err(Error::io(self.path))?;
        for _ in 0..EVENTS {
            let mut answer = self.line()?;
            if let Some(error) = answer.pointer("/error/desc") {
                return Err(self.odd(&format!("QEMU refuses {command}: {error}")));
            }
            if let Some(value) = answer.get_mut("return") {
                return Ok(value.take());
            }
        }
        Err(self.odd("QEMU tells of events only"))
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = Vec::new();
        let got =
            (&mut self.stream).take(LINE_LIMIT).read_until(b'\n', &mut line).map_err(Error::io(self.path))?;
        if got == 0 {
            return Err(self.odd("QEMU hung up"));
        }
        serde_json::from_slice(&line).map_err(|error| self.odd(&format!("no QMP: {error}")))
    }

    fn odd(&self, what: &str) -> Error {
        Error::Unsupported(format!("{}: {what}", self.path.display()))
    }
}

#[cfg(test)]
mod tests;
