//! debuginfod: elfutils' own, and servers that behave badly.

use crate::{HEX, ID, RELEASE, kernel, show};
use kgdbserver::symbols::debuginfod::Debuginfod;
use kgdbserver::symbols::vmlinux::Search;
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server that gives every client the same answer, then closes the connection or keeps it open.
fn serve(answer: Vec<u8>, keep: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            let mut request = BufReader::new(&stream).lines().map_while(Result::ok);
            assert_eq!(request.next().unwrap(), format!("GET /buildid/{HEX}/debuginfo HTTP/1.1"));
            assert!(request.any(|line| line.is_empty()));
            (&stream).write_all(&answer).unwrap();
            kept.extend(keep.then_some(stream));
        }
    });
    url
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").as_bytes(), body].concat()
}

fn ok(body: &[u8]) -> Vec<u8> {
    answer(&format!("200 OK\r\nContent-Length: {}", body.len()), body)
}

/// A client of its own cache.
struct Client {
    cache: TempDir,
    urls: String,
    timeout: &'static str,
    limit: &'static str,
}

impl Client {
    fn new(urls: &str) -> Self {
        Self { cache: tempfile::tempdir().unwrap(), urls: urls.into(), timeout: "30", limit: "1000000" }
    }

    fn find(&self, id: &[u8], progress: &dyn Fn(u64, u64)) -> Search {
        let variable = |name: &str| match name {
            "DEBUGINFOD_URLS" => Some(self.urls.clone()),
            "DEBUGINFOD_CACHE_PATH" => Some(self.cache.path().display().to_string()),
            "DEBUGINFOD_TIMEOUT" => Some(self.timeout.into()),
            "DEBUGINFOD_MAXSIZE" => Some(self.limit.into()),
            _ => None,
        };
        Debuginfod::from_variables(&variable).expect("servers").find(id, progress)
    }

    /// The boundary: what was looked at, and what was found.
    #[track_caller]
    fn check(&self, expected: &[&str]) {
        let found = show(&self.find(ID, &|_, _| ()), &self.cache.path().display().to_string());
        let found: Vec<_> = found.iter().map(|line| line.replace(&self.urls, "URL")).collect();
        assert_eq!(found, expected);
    }

    fn is_clean(&self) -> bool {
        let folder = self.cache.path().join(HEX);
        std::fs::read_dir(folder).map_or(0, Iterator::count) == 0
    }
}

#[test]
fn a_kernel_is_fetched_once() {
    let mut client = Client::new(&serve(ok(&kernel(Some(ID), RELEASE)), false));
    let kept = format!("{HEX}/debuginfo");
    let url = format!("URL/buildid/{HEX}/debuginfo: found");
    client.check(&[&url, &format!("{kept}: found"), &kept]);
    // Nobody listens there any more; it is not asked either.
    client.urls = "http://127.0.0.1:1".into();
    client.check(&[&format!("{kept}: found"), &kept]);
}

#[test]
fn progress_is_told() {
    let bytes = kernel(Some(ID), RELEASE);
    let client = Client::new(&serve(ok(&bytes), false));
    let told = RefCell::new(Vec::new());
    client.find(ID, &|bytes, total| told.borrow_mut().push((bytes, total)));
    let all = bytes.len() as u64;
    assert_eq!(told.borrow().last(), Some(&(all, all)));
}

#[test]
fn a_server_without_the_kernel_is_followed_by_the_next() {
    let [lacks, has] =
        [answer("404 Not Found", b""), ok(&kernel(Some(ID), RELEASE))].map(|answer| serve(answer, false));
    let mut client = Client::new(&format!("ima:enforcing {lacks}/ {has}"));
    let search = client.find(ID, &|_, _| ());
    assert_eq!(search.looked[0].0, format!("{lacks}/buildid/{HEX}/debuginfo"));
    assert_eq!(search.looked[0].1.to_string(), "not there");
    assert!(search.found.is_some());
    client = Client::new(&lacks);
    client.check(&[&format!("URL/buildid/{HEX}/debuginfo: not there"), "nothing"]);
}

/// What a bad answer leads to: words, and nothing in the cache.
#[track_caller]
fn check_bad(answer: Vec<u8>, expected: &str) {
    let client = Client::new(&serve(answer, false));
    client.check(&[&format!("URL/buildid/{HEX}/debuginfo: {expected}"), "nothing"]);
    assert!(client.is_clean());
}

#[test]
fn bad_answers_are_told_and_not_kept() {
    check_bad(answer("503 Service Unavailable", b"later"), "the server answers 503 Service Unavailable");
    check_bad(ok(&kernel(Some(&[1, 2, 3]), RELEASE)), "another kernel's (build id 010203)");
    check_bad(ok(&kernel(None, RELEASE)), "it has no build id");
}

#[test]
fn what_is_too_large_is_not_fetched() {
    let limit = "1000000 are allowed (DEBUGINFOD_MAXSIZE)";
    check_bad(
        answer("200 OK\r\nContent-Length: 1000001", b""),
        &format!("1000001 bytes or more, and {limit}"),
    );
    // Not told before.
    check_bad(answer("200 OK", &vec![0; 1_200_000]), &format!("1000001 bytes or more, and {limit}"));
    check_bad(
        answer("200 OK\r\nX-DEBUGINFOD-SIZE: 2000000", b""),
        &format!("2000000 bytes or more, and {limit}"),
    );
}

/// The same for what is not in our words.
#[track_caller]
fn check_failure(client: &Client) -> String {
    let search = client.find(ID, &|_, _| ());
    assert!(search.found.is_none() && client.is_clean());
    search.looked[0].1.to_string()
}

#[test]
fn half_a_file_is_none() {
    let bytes = kernel(Some(ID), RELEASE);
    let half = answer(&format!("200 OK\r\nContent-Length: {}", bytes.len()), &bytes[..bytes.len() / 2]);
    check_failure(&Client::new(&serve(half, false)));
    check_failure(&Client::new(&serve(b"no HTTP at all\r\n\r\n".to_vec(), false)));
    check_failure(&Client::new("http://127.0.0.1:1"));
    check_failure(&Client::new("gopher://127.0.0.1:1"));
}

#[test]
fn a_server_that_stalls_is_given_up() {
    let stalls = answer("200 OK\r\nContent-Length: 500000", &[0; 1000]);
    for answer in [stalls, Vec::new()] {
        let client = Client { timeout: "1", ..Client::new(&serve(answer, true)) };
        let start = Instant::now();
        let why = check_failure(&client);
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        assert!(why.contains("within 1 s (DEBUGINFOD_TIMEOUT)") || why.contains("timeout"), "{why}");
    }
}

#[test]
fn what_the_servers_lacked_lately_is_asked_again() {
    let client = Client::new(&serve(ok(&kernel(Some(ID), RELEASE)), false));
    let folder = client.cache.path().join(HEX);
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("debuginfo"), b"").unwrap();
    assert!(client.find(ID, &|_, _| ()).found.is_some());
}

#[test]
fn nobody_is_asked_unless_servers_are_named() {
    let with = |urls: &'static str| {
        let variable = move |name: &str| match name {
            "DEBUGINFOD_URLS" => Some(urls.to_owned()).filter(|urls| !urls.is_empty()),
            "HOME" => Some("/nonexistent".to_owned()),
            _ => None,
        };
        Debuginfod::from_variables(&variable)
    };
    assert!(with("").is_none());
    assert!(with(" ").is_none());
    assert!(with("ima:ignore").is_none());
    assert!(with("https://debuginfod.example").is_some());
}

/// elfutils' server over a folder.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// None if it is not installed.
    fn start(folder: &Path) -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("debuginfod");
        command
            .args(["-d", ":memory:", "-p", &port.to_string(), "-F"])
            .arg(folder)
            .env_remove("DEBUGINFOD_URLS");
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().ok()?;
        Some(Self { child, url: format!("http://127.0.0.1:{port}") })
    }

    /// Whether it has looked at all files.
    fn is_ready(&self) -> bool {
        let address = self.url.strip_prefix("http://").unwrap();
        let Ok(mut stream) = TcpStream::connect(address) else { return false };
        let mut text = String::new();
        let _ = stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n");
        stream.read_to_string(&mut text).is_ok()
            && text.lines().any(|line| line.starts_with("thread_work_total{role=\"traverse\"} 1"))
            && text.lines().any(|line| line.starts_with("thread_work_pending") && line.ends_with(" 0"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn elfutils_own_server_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("kernel.c");
    std::fs::write(&source, "int main(void) { return 0; }\n").unwrap();
    let mut gcc = Command::new("gcc");
    gcc.args(["-g", "-no-pie", &format!("-Wl,--build-id=0x{HEX}"), "-o"]);
    let made =
        gcc.arg(folder.path().join("kernel")).arg(&source).status().is_ok_and(|status| status.success());
    let Some(server) = made.then(|| Server::start(folder.path())).flatten() else {
        eprintln!("skipped: no gcc and debuginfod here");
        return;
    };
    let start = Instant::now();
    while !server.is_ready() {
        assert!(start.elapsed() < Duration::from_secs(120), "debuginfod does not look at its files");
        std::thread::sleep(Duration::from_millis(100));
    }
    let client = Client::new(&server.url);
    let kept = format!("{HEX}/debuginfo");
    client.check(&[&format!("URL/buildid/{HEX}/debuginfo: found"), &format!("{kept}: found"), &kept]);
    let bytes = std::fs::read(client.cache.path().join(&kept)).unwrap();
    assert_eq!(bytes, std::fs::read(folder.path().join("kernel")).unwrap());
    let other = client.find(&[9; 20], &|_, _| ());
    assert_eq!(other.looked[0].1.to_string(), "not there");
}
