use super::Failure;
use kgdbserver::Error;
use std::io::Write;
use std::path::{Path, PathBuf};

/// A file that holds the port, for the program that started the server and chose port 0. It goes with the server.
pub(super) struct PortFile(PathBuf);

impl PortFile {
    /// Writes it. Who sees it sees all of it, and can connect.
    pub(super) fn write(path: &Path, port: u16) -> Result<Self, Failure> {
        let failed = |source: std::io::Error| Error::Io { path: path.to_owned(), source };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        writeln!(file, "{port}").map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for PortFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // someone else may have removed it
    }
}
