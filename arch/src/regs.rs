use crate::{Arch, Machine, uint};
use std::ops::Range;

/// One register as a debugger sees it.
#[derive(Debug)]
pub struct Reg {
    /// Its name in the target description.
    pub name: &'static str,
    /// Its width in bytes.
    pub bytes: u8,
    /// Its type in the target description.
    pub gdb_type: &'static str,
    /// The target description's feature that it belongs to.
    pub feature: &'static str,
}

/// Register number `reg` (an index into [`Arch::regs`]) lies at byte `offset` of some saved structure, as wide as the
/// register is.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// Index into the register table.
    pub reg: usize,
    /// Bytes from the start of the structure.
    pub offset: usize,
}

/// So many registers of consecutive numbers, `size` bytes each, side by side from byte `offset` of some saved structure on.
pub(crate) struct Run {
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) offset: usize,
    pub(crate) size: usize,
}

/// The slots of all `N` registers of some runs.
#[allow(clippy::indexing_slicing, reason = "the compiler evaluates it, and refuses an index beyond the end")]
pub(crate) const fn slots<const N: usize>(runs: &[Run]) -> [Slot; N] {
    let mut slots = [Slot { reg: 0, offset: 0 }; N];
    let (mut at, mut run) = (0, 0);
    while run < runs.len() {
        let Run { first, count, offset, size } = runs[run];
        let mut nth = 0;
        while nth < count {
            slots[at] = Slot { reg: first + nth, offset: offset + size * nth };
            (at, nth) = (at + 1, nth + 1);
        }
        run += 1;
    }
    assert!(at == N);
    slots
}

/// Register values in the order of the `g` packet and in the target's byte order. A register that was not saved is
/// unknown, never zero.
#[derive(Debug, Clone, PartialEq)]
pub struct Registers {
    arch: &'static Arch,
    big_endian: bool,
    bytes: Vec<Option<u8>>,
}

impl Registers {
    /// All registers of a machine, none known.
    pub fn unknown(machine: Machine) -> Self {
        let total = machine.arch.regs.iter().map(|reg| usize::from(reg.bytes)).sum();
        Self { arch: machine.arch, big_endian: machine.big_endian, bytes: vec![None; total] }
    }

    /// Takes from `saved` what `slots` say is there. A slot past the end of `saved` stays unknown.
    pub fn load(&mut self, slots: &[Slot], saved: &[u8]) {
        for slot in slots {
            let at = self.range(slot.reg);
            let from = saved.get(slot.offset..slot.offset.saturating_add(at.len()));
            let (Some(to), Some(from)) = (self.bytes.get_mut(at), from) else { continue };
            to.iter_mut().zip(from).for_each(|(to, from)| *to = Some(*from));
        }
    }

    /// Gives register `reg` a value; what does not fit its width is cut off. One that is no register is ignored.
    pub fn set(&mut self, reg: usize, value: u64) {
        let at = self.range(reg);
        let width = at.len();
        let bytes = if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() };
        let from = if self.big_endian { bytes.get(8 - width.min(8)..) } else { bytes.get(..width.min(8)) };
        let (Some(to), Some(from)) = (self.bytes.get_mut(at), from) else { return };
        to.iter_mut().zip(from).for_each(|(to, from)| *to = Some(*from));
    }

    /// Whether values are stored most significant byte first.
    pub fn big_endian(&self) -> bool {
        self.big_endian
    }

    /// Takes all values that another set knows, whatever its byte order; not those of more than 64 bits.
    pub fn take(&mut self, other: &Self) {
        for reg in 0..self.arch.regs.len() {
            if let Some(value) = other.get(reg) {
                self.set(reg, value);
            }
        }
    }

    /// The value of register `reg`; none if it is unknown, wider than 64 bits, or not a register.
    pub fn get(&self, reg: usize) -> Option<u64> {
        let bytes = self.raw(reg)?;
        (bytes.len() <= 8).then(|| uint(&bytes, self.big_endian))
    }

    /// The bytes of register `reg` in target order; none if it is unknown or not a register.
    pub fn raw(&self, reg: usize) -> Option<Vec<u8>> {
        self.arch.regs.get(reg)?;
        self.bytes.get(self.range(reg))?.iter().copied().collect()
    }

    /// The program counter, if known.
    pub fn pc(&self) -> Option<u64> {
        self.get(self.arch.pc)
    }

    /// The names and values of all registers that are known and at most 64 bits wide.
    pub fn known(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.arch.regs.iter().enumerate().filter_map(|(i, reg)| Some((reg.name, self.get(i)?)))
    }

    /// Every byte, in `g` packet order.
    pub fn bytes(&self) -> &[Option<u8>] {
        &self.bytes
    }

    fn range(&self, reg: usize) -> Range<usize> {
        let width = |reg: &Reg| usize::from(reg.bytes);
        let start = self.arch.regs.iter().take(reg).map(width).sum();
        start..start + self.arch.regs.get(reg).map_or(0, width)
    }
}
