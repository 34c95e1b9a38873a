//! Text in, text out: what every boundary's `check` is made of.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::panic,
    reason = "each test program uses a part of this, and a helper that cannot go on should stop the test"
)]

/// The lines of a text without their indentation, empty ones and comments (`//`) left out.
pub fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"))
}

/// Compares texts line by line, whatever their indentation.
#[track_caller]
pub fn same_lines(found: &str, expected: &str) {
    let tidy = |text| lines(text).collect::<Vec<_>>().join("\n");
    let (found, expected) = (tidy(found), tidy(expected));
    assert!(found == expected, "\nfound:\n{found}\n\nexpected:\n{expected}\n");
}

/// A number in hexadecimal digits, with or without `0x`.
#[track_caller]
pub fn hex(text: &str) -> u64 {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{text:?} is not a number"))
}
