//! ELF notes of a dump: the image's own, as they are, and what it should have beside them.

use crate::Kvm;
use crate::image::PRSTATUS;
use kgdbserver_arch::{Prstatus, Registers};

const VMCOREINFO: &str = "VMCOREINFO";

/// Notes, one behind the other.
pub(super) struct Notes {
    pub(super) bytes: Vec<u8>,
    /// Where in it VMCOREINFO's text lies, and its length.
    pub(super) vmcoreinfo: Option<(usize, usize)>,
    /// How many CPUs have registers in it.
    pub(super) cpus: usize,
    big_endian: bool,
}

impl Notes {
    pub(super) fn none(big_endian: bool) -> Self {
        Self { bytes: Vec::new(), vmcoreinfo: None, cpus: 0, big_endian }
    }

    pub(super) fn of(kvm: &Kvm, big_endian: bool) -> Self {
        let mut notes = Self::none(big_endian);
        let image = kvm.image();
        for note in image.notes() {
            if let Some(contents) = image.contents(&note.contents) {
                notes.push(&note.name, note.kind, &contents);
            }
        }
        if notes.bytes.is_empty() {
            notes.push_running(kvm);
        }
        if let Some(linux) = kvm.linux().filter(|_| notes.vmcoreinfo.is_none()) {
            notes.push(VMCOREINFO, 0, linux.info.text().as_bytes());
        }
        notes
    }

    /// The registers of threads that run, in the order of their CPUs, as a kernel that crashes notes them. A CPU of which some
    /// are not known has no note, as one that does not answer.
    fn push_running(&mut self, kvm: &Kvm) {
        let Some(linux) = kvm.space().machine.arch.linux else { return };
        let mut threads = kvm.threads().map(|list| list.items).unwrap_or_default();
        threads.sort_by_key(|thread| thread.on_cpu);
        for thread in threads.iter().filter(|thread| thread.on_cpu.is_some()) {
            // Idle tasks of all CPUs have the number 0.
            let pid = if thread.pid == 0 { 0 } else { thread.tid as u32 };
            let mut note = vec![0; linux.prstatus.bytes];
            let registers = kvm.running_registers(thread);
            if registers.is_some_and(|registers| fill(&mut note, &linux.prstatus, pid, &registers)) {
                self.push("CORE", PRSTATUS, &note);
            }
        }
    }

    pub(super) fn push(&mut self, name: &str, kind: u32, contents: &[u8]) {
        let words = [name.len() as u32 + 1, contents.len() as u32, kind];
        let word = |word: u32| if self.big_endian { word.to_be_bytes() } else { word.to_le_bytes() };
        words.into_iter().for_each(|number| self.bytes.extend(word(number)));
        self.bytes.extend(name.bytes().chain([0]));
        self.pad();
        match (name, kind) {
            (VMCOREINFO, _) => self.vmcoreinfo = Some((self.bytes.len(), contents.len())),
            ("CORE", PRSTATUS) => self.cpus += 1,
            _ => {}
        }
        self.bytes.extend(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Puts a thread's number and its registers into a note; false if a register that the note holds is not known.
pub(super) fn fill(note: &mut [u8], layout: &Prstatus, pid: u32, registers: &Registers) -> bool {
    let big_endian = registers.big_endian();
    let behind = if big_endian { 4 } else { 0 };
    let narrow = layout.narrow.iter().map(|slot| (slot.reg, slot.offset + behind));
    let slots = layout.slots.iter().map(|slot| (slot.reg, slot.offset)).chain(narrow);
    let mut put = |at: usize, bytes: &[u8]| {
        note.get_mut(at..at + bytes.len()).map(|place| place.copy_from_slice(bytes)).is_some()
    };
    let mut whole = put(layout.pid, &if big_endian { pid.to_be_bytes() } else { pid.to_le_bytes() });
    for (reg, offset) in slots {
        whole &= registers.raw(reg).is_some_and(|bytes| put(offset, &bytes));
    }
    whole
}
