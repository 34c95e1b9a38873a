//! Page tables as text: entries in physical memory, and where addresses lead.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test may fail by panicking"
)]

mod bsd;
mod linux;
#[path = "../text/mod.rs"]
mod text;
mod x86_64;

use kgdbserver_arch::{Fault, Mapped, Pa, Radix, ReadPhys, Va};
use std::collections::BTreeMap;
use text::{hex, lines, same_lines};

/// Physical memory that holds page-table entries of one form, and nothing else.
struct Tables<'a>(&'a Radix, BTreeMap<u64, u64>);

impl<'a> Tables<'a> {
    /// Lines of `ADDRESS: ENTRY`.
    fn new(form: &'a Radix, text: &str) -> Self {
        let entry = |line: &str| line.split_once(':').map(|(pa, raw)| (hex(pa), hex(raw.trim())));
        Self(form, lines(text).map(|line| entry(line).expect(line)).collect())
    }
}

impl ReadPhys for Tables<'_> {
    fn read_phys(&self, pa: Pa, buf: &mut [u8]) -> Result<(), Fault> {
        let raw = self.1.get(&pa.0).ok_or(Fault::NotInImage(pa))?;
        assert_eq!(buf.len(), usize::from(self.0.entry_bytes));
        let bytes = if self.0.big_endian { raw.to_be_bytes() } else { raw.to_le_bytes() };
        let at = if self.0.big_endian { 8 - buf.len() } else { 0 };
        buf.copy_from_slice(&bytes[at..at + buf.len()]);
        Ok(())
    }
}

/// `a123 rwx ddd`, with as many bytes left, or the fault.
fn show(walked: Result<Mapped, Fault>) -> String {
    match walked {
        Ok(Mapped { pa, bytes, rights }) => {
            let (w, x) = (if rights.write { "w" } else { "-" }, if rights.execute { "x" } else { "-" });
            format!("{:x} r{w}{x} {bytes:x}", pa.0)
        }
        Err(fault) => format!("{fault:?}"),
    }
}

/// Walks from the table at 0 for each line of `expected`, which has the form `ADDRESS: PA RIGHTS BYTES-LEFT`.
#[track_caller]
fn check(form: &Radix, tables: &str, expected: &str) {
    let memory = Tables::new(form, tables);
    let walk = |line: &str| {
        let va = line.split(':').next().unwrap_or(line);
        format!("{va}: {}\n", show(form.walk(&memory, Pa(0), Va(hex(va)))))
    };
    same_lines(&lines(expected).map(walk).collect::<String>(), expected);
}
