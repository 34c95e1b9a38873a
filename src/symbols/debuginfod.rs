//! A client of debuginfod, elfutils' servers of debugging information: fetches a kernel's vmlinux by its build id.
//!
//! It asks nobody unless `DEBUGINFOD_URLS` names servers, and heeds the variables of elfutils' own clients that matter
//! here. What it fetches lies where they keep it too (debuginfod-client-config(7)): gdb finds what we fetched, and we
//! what gdb did. They also clean it.

use super::vmlinux::{Outcome, Search, Wanted};
use crate::verify::hex;
use rustls::crypto::ring;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};
use ureq::Agent;
use ureq::http::{Response, StatusCode};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Within the time limit at least so many bytes must come, or the server is given up.
const ENOUGH: u64 = 100_000;
/// The time limit, in seconds, where `DEBUGINFOD_TIMEOUT` sets none.
const TIMEOUT: u64 = 90;
/// How large a file may be where `DEBUGINFOD_MAXSIZE` does not say it: the largest vmlinux of a distribution has 1 GiB.
const LIMIT: u64 = 4 << 30;
/// Bytes fetched at a time.
const CHUNK: usize = 256 << 10;

/// Servers, and how they are to be used.
#[derive(Debug, Clone)]
pub struct Debuginfod {
    servers: Vec<String>,
    cache: PathBuf,
    timeout: Duration,
    limit: u64,
}

impl Debuginfod {
    /// What the environment's variables tell; none if it names no server, or no folder for files.
    pub fn from_env() -> Option<Self> {
        Self::from_variables(&|name| std::env::var(name).ok())
    }

    /// What these variables tell: `DEBUGINFOD_URLS`, `DEBUGINFOD_CACHE_PATH`, `DEBUGINFOD_TIMEOUT` in seconds,
    /// `DEBUGINFOD_MAXSIZE` in bytes, `XDG_CACHE_HOME`, `HOME`.
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Option<Self> {
        // `ima:enforcing` and its kin stand between the servers: how far to trust those that follow.
        let urls = variable("DEBUGINFOD_URLS")?;
        let servers: Vec<_> =
            urls.split_whitespace().filter(|word| word.contains("://")).map(Into::into).collect();
        let number =
            |name: &str| variable(name).and_then(|text| text.parse().ok()).filter(|number| *number != 0);
        let folder = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let caches = || folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
        let cache = folder("DEBUGINFOD_CACHE_PATH").or_else(|| Some(caches()?.join("debuginfod_client")))?;
        let timeout = Duration::from_secs(number("DEBUGINFOD_TIMEOUT").unwrap_or(TIMEOUT));
        let limit = number("DEBUGINFOD_MAXSIZE").unwrap_or(LIMIT);
        (!servers.is_empty()).then_some(Self { servers, cache, timeout, limit })
    }

    /// The vmlinux of a build id, from the cache or a server. `progress` is told how many bytes have come and how many
    /// will, or 0 if the server does not say.
    pub fn find(&self, build_id: &[u8], progress: &dyn Fn(u64, u64)) -> Search {
        let wanted = Wanted { build_id: Some(build_id), release: "" };
        let folder = self.cache.join(hex(build_id));
        let kept = folder.join("debuginfo");
        let mut search = Search::default();
        // An empty file says that the servers did not have it lately.
        if std::fs::metadata(&kept).is_ok_and(|meta| meta.len() != 0) && search.look(&wanted, &kept) {
            return search;
        }
        let agent = self.agent();
        for server in &self.servers {
            let url = format!("{}/buildid/{}/debuginfo", server.trim_end_matches('/'), hex(build_id));
            let fetched = self.fetch(&agent, &url, &wanted, &kept, progress);
            let is_fetched = fetched.is_ok();
            search.looked.push((url, fetched.err().unwrap_or(Outcome::Found)));
            if is_fetched && search.look(&wanted, &kept) {
                break;
            }
        }
        search
    }

    fn agent(&self) -> Agent {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("kgdbserver/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(self.timeout))
            .timeout_resolve(Some(self.timeout))
            .timeout_recv_response(Some(self.timeout));
        if self.servers.iter().any(|server| server.starts_with("https:")) {
            config = config.tls_config(tls());
        }
        config.build().into()
    }

    /// Fetches a file, and keeps it if it is the wanted one.
    fn fetch(
        &self,
        agent: &Agent,
        url: &str,
        wanted: &Wanted<'_>,
        kept: &Path,
        progress: &dyn Fn(u64, u64),
    ) -> Result<(), Outcome> {
        let response = agent.get(url).call().map_err(|error| unusable(&error))?;
        let total = match response.status() {
            StatusCode::OK => size(&response).unwrap_or(0),
            StatusCode::NOT_FOUND => return Err(Outcome::Absent),
            status => return Err(Outcome::Unusable(format!("the server answers {status}"))),
        };
        if total > self.limit {
            return Err(self.too_large(total));
        }
        let folder = kept.parent().unwrap_or(kept);
        let failed = |error: std::io::Error| Outcome::Unusable(format!("{}: {error}", folder.display()));
        std::fs::create_dir_all(folder).map_err(failed)?;
        let file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        let (sender, came) = mpsc::channel();
        let target = file.reopen().map_err(failed)?;
        // One byte more tells that it is too large.
        let body = response.into_body().into_reader().take(self.limit.saturating_add(1));
        let copying = thread::spawn(move || copy(body, target, &sender));
        let mut since = (Instant::now(), 0);
        let all = loop {
            match came.recv_timeout(self.timeout) {
                Ok(bytes) if bytes > self.limit => return Err(self.too_large(bytes)),
                Ok(bytes) => {
                    progress(bytes, total);
                    if bytes - since.1 >= ENOUGH {
                        since = (Instant::now(), bytes);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break copying.join(),
            }
            if since.0.elapsed() >= self.timeout {
                let seconds = self.timeout.as_secs();
                return Err(Outcome::Unusable(format!(
                    "hardly anything came within {seconds} s (DEBUGINFOD_TIMEOUT)"
                )));
            }
        };
        all.unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into())).map_err(|error| unusable(&error))?;
        wanted.open(file.path()).map(drop)?;
        file.persist(kept).map(drop).map_err(|error| failed(error.error))
    }

    fn too_large(&self, bytes: u64) -> Outcome {
        Outcome::Unusable(format!(
            "{bytes} bytes or more, and {} are allowed (DEBUGINFOD_MAXSIZE)",
            self.limit
        ))
    }
}

/// Copies, and tells after each step how many bytes have come.
fn copy(mut from: impl Read, mut to: impl Write, came: &Sender<u64>) -> std::io::Result<()> {
    let mut chunk = vec![0; CHUNK];
    let mut bytes = 0;
    loop {
        let got = from.read(&mut chunk)?;
        if got == 0 {
            return to.flush();
        }
        to.write_all(chunk.get(..got).unwrap_or_default())?;
        bytes += got as u64;
        // Nobody listens any more: it took too long.
        if came.send(bytes).is_err() {
            return Ok(());
        }
    }
}

/// How many bytes will come; of a file in an archive, whose length a server does not know before, it tells apart.
fn size<T>(response: &Response<T>) -> Option<u64> {
    let header = |name| response.headers().get(name)?.to_str().ok()?.parse().ok();
    header("content-length").or_else(|| header("x-debuginfod-size"))
}

/// TLS with the system's own certificates.
fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs();
    found.errors.iter().for_each(|error| log::warn!("{error}"));
    let certificates = found.certs.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(certificates.collect())))
        .unversioned_rustls_crypto_provider(Arc::new(ring::default_provider()))
        .build()
}

fn unusable(error: &dyn std::error::Error) -> Outcome {
    Outcome::Unusable(error.to_string())
}
