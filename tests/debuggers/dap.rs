//! A debug adapter, as an IDE sees it: the Debug Adapter Protocol over a program's standard input and output.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;
use tempfile::TempDir;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running adapter, killed when it goes.
pub(crate) struct Adapter {
    child: Child,
    requests: ChildStdin,
    messages: Receiver<Value>,
    /// What has come, and nobody has asked for yet.
    waiting: Vec<Value>,
    /// The number of the last request.
    last: u64,
    _home: TempDir,
}

impl Adapter {
    pub(crate) fn start(mut command: Command) -> Self {
        let home = tempfile::tempdir().expect("a folder");
        command.env("HOME", home.path()).env("XDG_CACHE_HOME", home.path()).env("TERM", "dumb");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let requests = child.stdin.take().expect("a pipe");
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            while let Some(message) = receive(&mut output) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Self { child, requests, messages, waiting: Vec::new(), last: 0, _home: home }
    }

    /// Sends a request; returns its number.
    pub(crate) fn send(&mut self, command: &str, arguments: Value) -> u64 {
        self.last += 1;
        let request =
            json!({ "seq": self.last, "type": "request", "command": command, "arguments": arguments });
        let text = request.to_string();
        write!(self.requests, "Content-Length: {}\r\n\r\n{text}", text.len()).expect("write a request");
        self.requests.flush().expect("write a request");
        self.last
    }

    /// The response to a request, whether it succeeded or not.
    #[track_caller]
    pub(crate) fn response(&mut self, number: u64) -> Value {
        let is_it = |message: &Value| message["type"] == "response" && message["request_seq"] == number;
        self.wait(is_it, &format!("response {number}"))
    }

    /// Sends a request that must succeed; returns what the response tells.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: &str, arguments: Value) -> Value {
        let number = self.send(command, arguments.clone());
        let mut response = self.response(number);
        assert!(response["success"] == true, "{command} {arguments}: {response}");
        response["body"].take()
    }

    /// Waits for an event; returns what it tells.
    #[track_caller]
    pub(crate) fn event(&mut self, name: &str) -> Value {
        self.wait(|message| message["type"] == "event" && message["event"] == name, name)["body"].take()
    }

    /// Events of a kind that have come already, and were not waited for.
    pub(crate) fn events(&self, name: &str) -> Vec<&Value> {
        self.waiting
            .iter()
            .filter(|message| message["event"] == name)
            .map(|message| &message["body"])
            .collect()
    }

    #[track_caller]
    fn wait(&mut self, is_it: impl Fn(&Value) -> bool, what: &str) -> Value {
        if let Some(at) = self.waiting.iter().position(&is_it) {
            return self.waiting.remove(at);
        }
        loop {
            match self.messages.recv_timeout(PATIENCE) {
                Ok(message) if is_it(&message) => return message,
                Ok(message) => self.waiting.push(message),
                Err(why) => panic!("no {what} ({why}) after {:#?}", self.waiting),
            }
        }
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may be gone
        let _ = self.child.wait();
    }
}

/// The next message; none at the end.
fn receive(output: &mut BufReader<ChildStdout>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut header = String::new();
        output.read_line(&mut header).ok().filter(|read| *read > 0)?;
        match header.trim_end().split_once(": ") {
            Some(("Content-Length", digits)) => length = digits.parse().ok()?,
            Some(_) => {}
            None => break,
        }
    }
    let mut text = vec![0; length];
    output.read_exact(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
