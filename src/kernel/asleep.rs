//! Registers of a running BSD's threads: those of one that sleeps, all the while that we look.

use crate::Result;
use kgdbserver_arch::{Machine, Registers};

/// How often it is tried. A thread that is switched to and away that often has no registers of interest.
const TRIES: usize = 4;

/// What is read twice alike. `read` gives none of a thread that runs by now, or has ended; then all are unknown.
pub(super) fn registers(machine: Machine, read: impl Fn() -> Result<Option<Registers>>) -> Result<Registers> {
    let mut before = read()?;
    for _ in 0..TRIES {
        let now = read()?;
        match (&before, now) {
            (Some(before), Some(now)) if *before == now => return Ok(now),
            (_, None) => break,
            (_, now) => before = now,
        }
    }
    Ok(Registers::unknown(machine))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kgdbserver_arch::x86_64;
    use std::cell::Cell;

    const MACHINE: Machine = Machine { arch: &x86_64::ARCH, big_endian: false, ptr_bytes: 8 };

    /// The first register, where one reading after the other finds these values.
    fn found(readings: &[Option<u64>]) -> Option<u64> {
        let next = Cell::new(0);
        let read = || {
            let value = readings[next.replace(next.get() + 1)];
            Ok(value.map(|value| {
                let mut registers = Registers::unknown(MACHINE);
                registers.set(0, value);
                registers
            }))
        };
        registers(MACHINE, read).unwrap().get(0)
    }

    #[test]
    fn what_stays_is_believed_and_what_runs_is_unknown() {
        assert_eq!(found(&[Some(1), Some(1)]), Some(1));
        assert_eq!(found(&[Some(1), Some(2), Some(2)]), Some(2), "it ran in between");
        assert_eq!(found(&[Some(1), None]), None);
        assert_eq!(found(&[None, None]), None);
        assert_eq!(found(&[Some(1), Some(2), Some(3), Some(4), Some(5)]), None, "it never stays");
    }
}
