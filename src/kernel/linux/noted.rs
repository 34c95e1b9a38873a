//! Registers of running tasks, in the image's notes.

use super::Linux;
use crate::space::Space;
use kgdbserver_arch::{Machine, Registers};

/// Which of the image's notes is that of a CPU, and of the task that it runs.
pub(super) fn find(linux: &Linux, mem: &Space, pid: u32, cpu: u32) -> Option<usize> {
    if linux.told.prstatus.is_empty() {
        return None;
    }
    let at = linux.table.prstatus.pid;
    let machine = in_notes(linux);
    let pid_of = |note: &Vec<u8>| note.get(at..at + 4).map_or(0, |bytes| machine.uint(bytes) as u32);
    let pids: Vec<u32> = linux.told.prstatus.iter().map(pid_of).collect();
    let present = linux.present.get_or_init(|| linux.present_cpus(mem).map_or(1, |cpus| cpus.len()));
    position(&pids, pids.len() >= *present, pid, cpu)
}

/// QEMU writes a note for every CPU, and the CPU's number plus one for a pid (on s390x least significant byte first, on
/// 32-bit x86 and on PowerPC no number). A kernel that crashed leaves out CPUs that did not answer, and writes pids: those
/// of idle tasks are all 0, and only count if no CPU is missing.
fn position(pids: &[u32], of_all: bool, pid: u32, cpu: u32) -> Option<usize> {
    let mut by_cpu = pids.iter().zip(1..);
    let numbered = by_cpu.all(|(pid, number): (&u32, u32)| [number, number.swap_bytes()].contains(pid));
    let unnumbered = of_all && (pid == 0 || pids.iter().all(|pid| *pid == 0));
    if numbered || unnumbered {
        return Some(cpu as usize).filter(|index| *index < pids.len());
    }
    pids.iter().position(|own| *own == pid).filter(|_| pid != 0)
}

/// What a note holds.
pub(super) fn read(linux: &Linux, index: usize) -> Registers {
    let mut noted = Registers::unknown(in_notes(linux));
    if let Some(note) = linux.told.prstatus.get(index) {
        linux.table.prstatus.load(note, &mut noted);
    }
    let regs = linux.machine.arch.regs;
    for row in linux.table.noted {
        let reg = regs.iter().position(|reg| reg.name.eq_ignore_ascii_case(row.name));
        let value = linux.told.control(in_notes(linux), index, row);
        if let (Some(reg), Some(value)) = (reg, value) {
            noted.set(reg, value);
        }
    }
    let mut registers = Registers::unknown(linux.machine);
    registers.take(&noted);
    registers
}

/// The machine in the byte order of the notes.
fn in_notes(linux: &Linux) -> Machine {
    let big_endian = linux.told.notes_big_endian.unwrap_or(linux.machine.big_endian);
    Machine { big_endian, ..linux.machine }
}

#[cfg(test)]
mod tests {
    use super::position;

    #[test]
    fn qemus_notes_are_in_the_order_of_cpus() {
        assert_eq!(position(&[1, 2], true, 1, 1), Some(1), "not the note that has init's pid");
        assert_eq!(position(&[1, 2], true, 0, 0), Some(0));
        assert_eq!(position(&[1, 2], true, 700, 2), None);
        // s390x, whose numbers have the wrong byte order, and i386, which has none
        assert_eq!(position(&[0x0100_0000, 0x0200_0000], true, 700, 1), Some(1));
        assert_eq!(position(&[0, 0], true, 700, 1), Some(1));
    }

    #[test]
    fn a_crashed_kernels_notes_are_found_by_pid() {
        assert_eq!(position(&[0, 700, 0], true, 700, 1), Some(1));
        assert_eq!(position(&[0, 700, 0], true, 0, 2), Some(2));
        // one CPU did not answer: whose note is the idle task's?
        assert_eq!(position(&[700, 0], false, 700, 1), Some(0));
        assert_eq!(position(&[700, 0], false, 0, 2), None);
        assert_eq!(position(&[0, 0], false, 0, 1), None);
        assert_eq!(position(&[700, 0], true, 800, 0), None);
        assert_eq!(position(&[], false, 0, 0), None);
    }
}
