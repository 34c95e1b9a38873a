//! `nlist`.

use super::*;

#[test]
fn as_json_with_what_was_not_found() {
    let saved = files();
    let row = |name: &str, real: &str, kind: &str, size: u64| {
        let address = format!("{:#x}", saved.built.facts.symbol(real));
        json!({ "name": name, "address": address, "type": kind, "size": size })
    };
    let expected = json!({ "schema": 1, "symbols": [row("hz", "hz", "B", 4), row("_panic", "panic", "T", 0x50)], "unresolved": [] });
    assert_eq!(json_of(&saved, "nlist kernel vmcore hz _panic --json"), expected);
    let output = run(&saved, "nlist --json kernel vmcore nonsense hz _absent");
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), ""));
    let expected =
        json!({ "schema": 1, "symbols": [row("hz", "hz", "B", 4)], "unresolved": ["nonsense", "_absent"] });
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), expected);
}

#[test]
fn as_text_with_what_was_not_found() {
    let saved = files();
    check(&saved, "nlist kernel vmcore", &usage("nlist takes [KERNEL] IMAGE NAME..."));
    check(
        &saved,
        "nlist kernel vmcore nonsense hz",
        &format!(
            "{:016x} B hz\n! kgdbserver: nonsense: no such symbol\nstatus 1",
            saved.built.facts.symbol("hz")
        ),
    );
}
