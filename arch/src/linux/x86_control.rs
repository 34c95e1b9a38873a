//! A kernel's page tables on x86, by what QEMU's notes tell of a CPU: without a symbol, and without VMCOREINFO.

use super::Noted;
use super::root::Shape;
use crate::{Facts, Fault, Lost, Pa, ReadPhys, Va};

/// Of QEMU's `QEMUCPUState` (target/i386/arch_dump.c), the same for 32 and 64 bits.
pub(super) const NOTED: &[Noted] = &[
    Noted { name: "IDT", note: "QEMU", kind: 0, offset: 384 },
    Noted { name: "CR0", note: "QEMU", kind: 0, offset: 392 },
    Noted { name: "CR2", note: "QEMU", kind: 0, offset: 408 },
    Noted { name: "CR3", note: "QEMU", kind: 0, offset: 416 },
    Noted { name: "CR4", note: "QEMU", kind: 0, offset: 424 },
    Noted { name: "K_GS_BASE", note: "QEMU", kind: 0, offset: 432 },
];

/// A tree of page tables that leads to the kernel's code.
pub(super) struct Proved {
    pub(super) root: Pa,
    /// An address in the kernel's code.
    pub(super) text: Va,
    /// Where that lies.
    pub(super) pa: Pa,
}

/// The tree at the first of these places by which the table of interrupts leads to code of the kernel. With page-table
/// isolation (PTI) a process has two, side by side: the one in use in user space, at the higher place, has little of the
/// kernel but this, so the lower place comes first.
pub(super) fn prove(facts: &dyn Facts, shape: &Shape, places: &[u64], gate: &Gate) -> Result<Proved, Lost> {
    let idt = Va(facts.number("IDT").ok_or(Lost::NoSymbol("IDT"))?);
    let proved = |root: &Pa| {
        let text = gate.handler(facts, shape, *root, idt).ok()?;
        let mapped = shape.kernel.walk(facts, *root, text).ok()?;
        (text.0 >= shape.first && mapped.rights.execute).then_some((text, mapped.pa))
    };
    let mut roots = places.iter().map(|place| Pa(*place));
    let found = roots.find_map(|root| Some((root, proved(&root)?)));
    let (root, (text, pa)) = found.ok_or(Lost::Nowhere("IDT"))?;
    Ok(Proved { root, text, pa })
}

/// How an entry of the table of interrupts holds the address of its handler.
pub(super) struct Gate {
    /// Where its parts of 16 bits lie, the least significant one first.
    pub(super) parts: &'static [usize],
}

impl Gate {
    /// The handler of the first interrupt, the one for divisions by zero, which every kernel has.
    fn handler(&self, mem: &dyn ReadPhys, shape: &Shape, root: Pa, idt: Va) -> Result<Va, Fault> {
        const KIND: usize = 5;
        const PRESENT_INTERRUPT_GATE: u8 = 0x8e;
        let mut entry = [0; 16];
        mem.read_phys(shape.kernel.walk(mem, root, idt)?.pa, &mut entry)?;
        if entry.get(KIND) != Some(&PRESENT_INTERRUPT_GATE) {
            return Err(Fault::NotMapped);
        }
        let part = |at: usize| entry.get(at..at + 2).map_or(0, |bytes| crate::uint(bytes, false));
        Ok(Va(self.parts.iter().rev().fold(0, |value, at| value << 16 | part(*at))))
    }
}
