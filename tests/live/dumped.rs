//! Dumps that are written of a running kernel, in its own guest.

use crate::STEADY;
use crate::answers::by_pid;
use crate::guest::Guest;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// What is asked, and what the answer is a list of.
const QUESTIONS: [(&str, &str); 4] =
    [("ps", "processes"), ("args", "processes"), ("env", "processes"), ("files", "files")];

/// Of a dump everything comes from memory; of the kernel that runs some of it does not.
pub(crate) fn dumps_answer_as_the_kernel_does(guest: &mut Guest) {
    guest.run("mkdir /tmp/disk; mount -t xfs /dev/vda /tmp/disk");
    let live = QUESTIONS.map(|(question, list)| told(&guest.json(question), list));
    let info = guest.json("info");
    let steady = live[0].iter().filter(|(_, rows)| STEADY.iter().any(|name| rows[0]["comm"] == *name));
    let steady: Vec<u64> = steady.map(|(pid, _)| *pid).collect();
    assert_eq!(steady.len(), STEADY.len(), "{:#?}", live[0]);
    for format in ["kdump-zstd", "elf"] {
        let write = format!("kgdbserver dump --live --user root --format {format} -o /tmp/disk/dump");
        let said = guest.run(&format!("{write} 2>/tmp/said; cat /tmp/said"));
        assert!(said.contains("MiB of memory in"), "{format}: {said}");
        let dump = guest.folder.path().join("dump");
        guest.fetch("/tmp/disk/dump", &dump);
        guest.run("rm /tmp/disk/dump");
        for ((question, list), live) in QUESTIONS.iter().zip(&live) {
            let dumped = told(&ask(question, &dump), list);
            for pid in &steady {
                assert_eq!(dumped[pid], live[pid], "{question} of {pid} in {format}");
            }
        }
        let dumped = ask("info", &dump);
        for same in ["release", "build_id", "slide", "page_tables", "symbols", "types"] {
            assert_eq!(dumped["linux"][same], info["linux"][same], "{same} in {format}");
        }
        if guest.machine.names_data {
            assert_eq!(dumped["swap"][0]["total"], info["swap"][0]["total"], "{format}: {dumped:#}");
            assert!(dumped["loadavg"][0].as_f64() > Some(0.0), "{format}: {dumped:#}");
        }
    }
}

/// The rows of an answer, but for what changes with others: who shares an open file moves on in it.
fn told(answer: &Value, list: &str) -> BTreeMap<u64, Vec<Value>> {
    let mut told = by_pid(answer, list);
    for row in told.values_mut().flatten().filter_map(Value::as_object_mut) {
        row.retain(|name, _| !["count", "offset"].contains(&name.as_str()));
    }
    told
}

fn ask(question: &str, dump: &Path) -> Value {
    let mut program = Command::new(env!("CARGO_BIN_EXE_kgdbserver"));
    let output = program.args([question, "--json"]).arg(dump).output().expect("run it");
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{question}: {error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    })
}
