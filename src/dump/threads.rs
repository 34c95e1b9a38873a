//! Notes of all threads, as debuggers look for them in a core.

use super::Abi;
use super::notes::{self, Notes};
use super::words::Words;
use crate::image::PRSTATUS;
use crate::kernel::Thread;
use crate::{Error, Kvm, Result};
use kgdbserver_arch::{Machine, Prstatus, Registers};

/// FreeBSD's names of its notes' types (sys/elf_common.h).
const PRPSINFO: u32 = 3;
const THRMISC: u32 = 7;
const PROCSTAT_AUXV: u32 = 16;
const FREEBSD: &str = "FreeBSD";

/// `PRFNAMESZ + 1`, `PRARGSZ + 1`, `MAXCOMLEN + 1` (sys/procfs.h).
const FNAME: usize = 17;
const ARGS: usize = 81;
const TNAME: usize = 20;

/// A note, or two, for each thread, that of the crashed one first: debuggers begin with it. A note has no way to say that a
/// register is not known: it is 0.
pub(super) fn notes(kvm: &Kvm, machine: Machine, abi: Abi) -> Result<Notes> {
    let mut notes = Notes::none(machine.big_endian);
    let layout = match abi {
        Abi::FreeBsd => machine.arch.freebsd.and_then(|freebsd| freebsd.prstatus),
        Abi::Linux => machine.arch.linux.map(|linux| &linux.prstatus),
    };
    let unknown = || {
        Error::Unsupported(format!("how {abi:?}'s cores of {} note threads is not known", machine.arch.name))
    };
    let layout = layout.ok_or_else(unknown)?;
    let threads = match kvm.threads() {
        Ok(list) => {
            list.problems.iter().for_each(|problem| log::warn!("{problem}"));
            list.items
        }
        Err(error) => {
            log::warn!("the dump has no notes of threads: {error}");
            Vec::new()
        }
    };
    if abi == Abi::FreeBsd {
        notes.push(FREEBSD, PRPSINFO, &prpsinfo(machine));
        if let Some(file) = kvm.symbols().file() {
            let entry = file.entry().0.wrapping_add(kvm.image().kerndisp);
            notes.push(FREEBSD, PROCSTAT_AUXV, &auxv(entry, machine));
        }
    }
    for thread in &threads {
        let failed = |error: &Error| log::warn!("registers of thread {}: {error}", thread.tid);
        let registers = kvm.registers(thread).inspect_err(failed);
        let registers = registers.unwrap_or_else(|_| Registers::unknown(machine));
        let mut note = if abi == Abi::FreeBsd { head(layout, machine) } else { Vec::new() };
        note.resize(layout.bytes, 0);
        notes::fill(&mut note, layout, thread.tid as u32, &registers);
        match abi {
            Abi::FreeBsd => {
                notes.push(FREEBSD, PRSTATUS, &note);
                notes.push(FREEBSD, THRMISC, &thrmisc(thread, machine));
            }
            Abi::Linux => notes.push("CORE", PRSTATUS, &note),
        }
    }
    Ok(notes)
}

/// `struct prpsinfo`, without which gdb 16 crashes. It compares the name with the kernel file's.
fn prpsinfo(machine: Machine) -> Vec<u8> {
    let mut words = Words::new(machine.big_endian);
    let size = 2 * u64::from(machine.ptr_bytes) + (FNAME + ARGS + 2 + 4) as u64;
    words.u32(1).word(size, machine.ptr_bytes);
    words.text("kernel", FNAME).text("kernel", ARGS);
    words.bytes.extend([0; 2]);
    words.u32(0);
    words.bytes
}

/// `Elf_Auxinfo`, behind its size: where the program was entered, by which lldb knows that the kernel runs where its file says.
fn auxv(entry: u64, machine: Machine) -> Vec<u8> {
    const AT_NULL: u64 = 0;
    const AT_ENTRY: u64 = 9;
    let mut words = Words::new(machine.big_endian);
    for word in [AT_ENTRY, entry, AT_NULL, 0] {
        words.word(word, machine.ptr_bytes);
    }
    let mut sized = Words::new(machine.big_endian);
    sized.u32(2 * u32::from(machine.ptr_bytes));
    [sized.bytes, words.bytes].concat()
}

/// The head of `struct prstatus`: the version, and the sizes of the whole, of the registers, and of those for floating point.
fn head(layout: &Prstatus, machine: Machine) -> Vec<u8> {
    let registers_at = (layout.pid + 4).next_multiple_of(machine.ptr_bytes.into());
    let mut words = Words::new(machine.big_endian);
    words.u32(1);
    for size in [layout.bytes, layout.bytes.saturating_sub(registers_at), 0] {
        words.word(size as u64, machine.ptr_bytes);
    }
    words.bytes
}

/// `struct thrmisc`: a thread's name.
fn thrmisc(thread: &Thread, machine: Machine) -> Vec<u8> {
    let name = if thread.name.len() < TNAME { &thread.name } else { &thread.comm };
    let mut words = Words::new(machine.big_endian);
    words.text(name, TNAME).u32(0);
    words.bytes
}
