//! `ps`.

use super::*;

#[test]
fn processes_and_threads_as_text() {
    let saved = files();
    check(
        &saved,
        "ps kernel vmcore",
        "PID  PPID  S  THREADS  COMMAND
        800     -  R        1  sysctl
        28     -  -        3  pagedaemon
        11     -  R        4  idle
        1     -  -        1  init
        0     -  -        2  kernel",
    );
    check(
        &saved,
        "ps --threads kernel vmcore",
        "TID  PID  CPU  S  WAIT  NAME
        *  100670  800    2  R  -     sysctl
        100089   28    -  -  -     pagedaemon/dom0
        100094   28    -  -  -     pagedaemon/laundry: dom0
        100095   28    -  -  -     pagedaemon/uma
        100003   11    0  R  -     idle/idle: cpu0
        100004   11    1  R  -     idle/idle: cpu1
        100005   11    -  -  -     idle/idle: cpu2
        100006   11    3  R  -     idle/idle: cpu3
        100002    1    -  -  -     init
        100000    0    -  -  -     kernel/swapper
        100011    0    -  -  -     kernel/softirq_0",
    );
}

#[test]
fn processes_as_json() {
    let saved = files();
    let facts = &saved.built.facts;
    let row = |pid: &u32| {
        let own: Vec<_> = facts.threads.iter().filter(|thread| thread.pid == *pid).collect();
        let state = own.iter().any(|thread| thread.on_cpu.is_some()).then_some("R");
        json!({ "pid": pid, "ppid": null, "comm": own[0].comm, "state": state, "threads": own.len() })
    };
    let rows: Vec<Value> = facts.pids.iter().map(row).collect();
    assert_eq!(json_of(&saved, "ps kernel vmcore --json"), json!({ "schema": 1, "processes": rows }));
}

#[test]
fn threads_as_json_with_the_registers_that_were_saved() {
    let saved = Saved::new(System { stopped_cpus: vec![0, 3], ..System::small() }.build());
    let found = json_of(&saved, "ps --json --threads kernel vmcore");
    let found = found["threads"].as_array().unwrap();
    assert_eq!(found.len(), saved.built.facts.threads.len());
    for (thread, facts) in found.iter().zip(&saved.built.facts.threads) {
        let registers: serde_json::Map<_, _> = known_registers(facts)
            .into_iter()
            .map(|(name, value)| (name.into(), format!("{value:#x}").into()))
            .collect();
        let expected = json!({
            "tid": facts.tid,
            "pid": facts.pid,
            "comm": facts.name,
            "name": shown_name(facts),
            "cpu": facts.on_cpu,
            "state": facts.on_cpu.map(|_| "R"),
            "wait": null,
            "crashed": facts.crashed,
            "pcb": facts.pcb.map(|va| format!("{va:#x}")),
            "registers": registers,
        });
        assert_eq!(*thread, expected);
    }
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_is_printed() {
    let mut system = System::small();
    system.process(1).thread_list_end = synth::freebsd::ListEnd::Hole;
    system.thread(100_011).pcb_unreadable = true;
    let saved = Saved::new(system.build());
    let output = run(&saved, "ps --json --threads kernel vmcore");
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0));
    assert!(errors.lines().any(|line| line.starts_with("[WARN ] thread at 0x")), "{errors}");
    assert!(errors.lines().any(|line| line.starts_with("[WARN ] registers of thread 100011: ")), "{errors}");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let threads = found["threads"].as_array().unwrap();
    assert_eq!(threads.len(), saved.built.facts.threads.len());
    let lost = threads.iter().find(|thread| thread["tid"] == 100_011).unwrap();
    assert_eq!(lost["registers"], json!({}));
}
