//! drgn, in a process of its own. What Python takes for calling it is not counted.

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// `scripts/bench` puts the Python that has drgn here.
const PYTHON: &str = "KGDBSERVER_DRGN";

pub(crate) struct Drgn {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Drgn {
    /// None where there is no drgn.
    pub(crate) fn start() -> Option<Self> {
        let mut python = Command::new(std::env::var_os(PYTHON).filter(|path| !path.is_empty())?);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/figures/ask_drgn.py");
        // The servers of debug files have nothing to do with what is measured.
        python.arg(script).env_remove("DEBUGINFOD_URLS").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = python.spawn().ok()?;
        let (questions, answers) = (child.stdin.take()?, BufReader::new(child.stdout.take()?));
        Some(Self { child, questions, answers })
    }

    fn ask(&mut self, question: &Value) -> Value {
        writeln!(self.questions, "{question}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("drgn does not answer {question}"))
    }

    /// Seconds that it takes to open an image and to list its tasks, and how many there are.
    pub(crate) fn tasks(&mut self, image: &Path, vmlinux: &Path) -> (f64, u64) {
        let answer = self.ask(&json!(["tasks", image, vmlinux]));
        (answer["seconds"].as_f64().unwrap(), answer["count"].as_u64().unwrap())
    }

    /// Opens an image to read so many bytes at each of the addresses in a file; returns the CRC-32 of all of them.
    pub(crate) fn reader(&mut self, image: &Path, addresses: &Path, length: usize) -> u64 {
        self.ask(&json!(["reader", image, addresses, length]))["checksum"].as_u64().unwrap()
    }

    /// Seconds for one of these reads.
    pub(crate) fn seconds(&mut self) -> f64 {
        self.ask(&json!(["seconds"]))["seconds"].as_f64().unwrap()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Drgn {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}
