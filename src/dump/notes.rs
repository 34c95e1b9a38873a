//! ELF notes of a dump: the image's own, as they are, and what it should have beside them.

use crate::Kvm;
use crate::image::PRSTATUS;

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
    pub(super) fn of(kvm: &Kvm, big_endian: bool) -> Self {
        let mut notes = Self { bytes: Vec::new(), vmcoreinfo: None, cpus: 0, big_endian };
        let image = kvm.image();
        for note in image.notes() {
            if let Some(contents) = image.contents(&note.contents) {
                notes.push(&note.name, note.kind, &contents);
            }
        }
        if let Some(linux) = kvm.linux().filter(|_| notes.vmcoreinfo.is_none()) {
            notes.push(VMCOREINFO, 0, linux.info.text().as_bytes());
        }
        notes
    }

    fn push(&mut self, name: &str, kind: u32, contents: &[u8]) {
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
