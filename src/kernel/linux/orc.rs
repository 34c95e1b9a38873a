//! ORC: the unwind tables of x86-64 kernels, which since 4.14 are built without frame pointers
//! (Documentation/arch/x86/orc-unwinder.rst).

mod list;

use self::list::{List, OfModule};
use super::Told;
use crate::kernel::fields::Fields;
use crate::kernel::unwind::{Place, Saved, Table, Trapped, Unwind};
use crate::space::Space;
use crate::symbols::{Member, Symbols, Types};
use crate::{Error, Result};
use kgdbserver_arch::Va;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// The kernel is not built with larger frames.
const FRAME_LIMIT: u64 = 4096;

/// The kernel's table, and those of its modules.
pub(super) struct Orc {
    kernel: List,
    modules: OnceLock<Vec<OfModule>>,
    layout: Layout,
    all: Trapped,
    by_processor: Trapped,
    symbols: Symbols,
    told: Arc<Told>,
}

/// `struct orc_entry`, as the kernel's types describe it.
#[derive(Clone, Copy)]
struct Layout {
    bytes: u64,
    sp_offset: Member,
    bp_offset: Member,
    sp_reg: Member,
    bp_reg: Member,
    kind: Member,
    end: Option<Member>,
    numbering: Numbering,
}

impl Orc {
    /// The table; an error if the kernel has none.
    pub(super) fn find(fields: &Fields<'_>, told: Arc<Told>) -> Result<Self> {
        let kernel = List::of_kernel(fields)?;
        let types = fields.symbols.types();
        let mut layout = Layout::find(types)?;
        layout.numbering = numbering(fields.mem, &layout, kernel)?;
        Ok(Self {
            kernel,
            modules: OnceLock::new(),
            layout,
            symbols: fields.symbols.clone(),
            told,
            all: pt_regs(types)?,
            by_processor: Trapped { pc: 0, sp: 24, fp: None, user: (8, 3), others: Vec::new() },
        })
    }

    /// The modules' tables, read when an address first lies outside the kernel's.
    fn modules(&self, mem: &Space) -> &[OfModule] {
        self.modules.get_or_init(|| list::of_modules(&Fields { symbols: &self.symbols, mem }, &self.told))
    }

    /// The rows of a list in the order of its entries, without those that make no sense.
    fn rows_of(&self, mem: &Space, list: List) -> impl Iterator<Item = (u64, Unwind)> {
        let (ips, entries) = list.all(mem, self.layout.bytes);
        let decode = |entry: &[u8]| self.layout.decode(entry, mem.machine.big_endian);
        let rows: Vec<_> = entries.chunks_exact(self.layout.bytes.max(1) as usize).map(decode).collect();
        ips.into_iter().zip(rows).filter_map(|(ip, unwind)| Some((ip, unwind?)))
    }
}

impl Table for Orc {
    fn find(&self, mem: &Space, pc: Va) -> Option<Unwind> {
        // Behind the kernel's last entry is no code.
        let in_kernel = self.kernel.find(mem, pc).filter(|number| number + 1 < self.kernel.count);
        let (list, number) = in_kernel.map(|number| (self.kernel, number)).or_else(|| {
            let module = self.modules(mem).iter().find(|module| module.holds(pc))?;
            Some((module.list, module.list.find(mem, pc)?))
        })?;
        self.layout.decode(&list.entry(mem, number, self.layout.bytes)?, mem.machine.big_endian)
    }

    /// Nothing is known of a few functions, among them `__crash_kexec`, in which the CPU stands that crashed. The return
    /// address of such a function's frame is one that stands behind a call of this very function.
    fn search(&self, mem: &Space, pc: Va, sp: Va) -> Option<Unwind> {
        const CALL: u8 = 0xe8;
        const CALL_BYTES: u64 = 5;
        let (_, distance) = self.symbols.by_address(pc)?;
        let function = Va(pc.0.checked_sub(distance)?);
        let called_from = |address: u64| {
            let mut call = [0; CALL_BYTES as usize];
            mem.read_exact(Va(address.checked_sub(CALL_BYTES)?), &mut call).ok()?;
            let [opcode, a, b, c, d] = call;
            let target = address.wrapping_add_signed(i32::from_le_bytes([a, b, c, d]).into());
            (opcode == CALL && Va(target) == function).then_some(())
        };
        let mut offsets = (0..FRAME_LIMIT).step_by(8);
        let at = offsets.find(|offset| {
            let word = mem.pointer(Va(sp.0.wrapping_add(*offset)));
            word.is_ok_and(|word| called_from(word.0).is_some())
        })?;
        let cfa = Place { register: 7, dwarf: 7, offset: at.cast_signed() + 8, then: None };
        Some(Unwind::Called { cfa, fp: None })
    }

    fn rows(&self, mem: &Space) -> Vec<(u64, Unwind)> {
        self.rows_of(mem, self.kernel).collect()
    }

    fn module_rows(&self, mem: &Space, module: Va, code: &Range<u64>) -> Vec<(u64, Unwind)> {
        let Some(of) = self.modules(mem).iter().find(|of| of.module == module) else { return Vec::new() };
        let mut rows: Vec<_> = self.rows_of(mem, of.list).filter(|(ip, _)| code.contains(ip)).collect();
        rows.push((code.end, Unwind::End));
        rows
    }

    fn trapped(&self, all: bool) -> &Trapped {
        if all { &self.all } else { &self.by_processor }
    }
}

impl Layout {
    fn find(types: &Types) -> Result<Self> {
        let member = |name| types.require("orc_entry", name);
        Ok(Self {
            bytes: types.size_of("orc_entry").unwrap_or(6),
            sp_offset: member("sp_offset")?,
            bp_offset: member("bp_offset")?,
            sp_reg: member("sp_reg")?,
            bp_reg: member("bp_reg")?,
            kind: member("type")?,
            end: member("end").ok(),
            numbering: FIRST,
        })
    }

    /// What an entry says; none if it makes no sense.
    fn decode(&self, entry: &[u8], big_endian: bool) -> Option<Unwind> {
        let value = |member: &Member| {
            let start = usize::try_from(member.offset).ok()?;
            member
                .value(entry.get(start..start.checked_add(usize::try_from(member.size).ok()?)?)?, big_endian)
        };
        if self.end.as_ref().and_then(value).is_some_and(|end| end != 0) {
            return Some(Unwind::End);
        }
        let cfa = cfa(base(self.numbering, value(&self.sp_reg)?)?, value(&self.sp_offset)?.cast_signed());
        // Since 6.4 the type has three bits, and its first two values say that the stack ends here or is not known.
        let called = if self.kind.bits.is_some_and(|bits| bits.width == 3) { 2 } else { 0 };
        let Some((kind, at)) = value(&self.kind)?.checked_sub(called).zip(cfa) else {
            return Some(Unwind::End);
        };
        let offset = value(&self.bp_offset)?.cast_signed();
        Some(match kind {
            0 => Unwind::Called { cfa: at, fp: saved(base(self.numbering, value(&self.bp_reg)?)?, offset) },
            1 => Unwind::Interrupted { at, all: true },
            2 => Unwind::Interrupted { at, all: false },
            _ => return None,
        })
    }
}

/// Tells which numbers the table uses, by its first entries: at the first instruction of a function the caller's stack
/// pointer is 8 above the stack pointer, and nothing else is as common.
fn numbering(mem: &Space, layout: &Layout, list: List) -> Result<Numbering> {
    const SAMPLE: u64 = 4096;
    let (_, sample) = List { count: list.count.min(SAMPLE), ..list }.all(mem, layout.bytes);
    let sample = sample.chunks_exact(layout.bytes.max(1) as usize);
    let at_start = |numbering: Numbering| {
        let layout = Layout { numbering, ..*layout };
        let rules = sample.clone().filter_map(|entry| layout.decode(entry, mem.machine.big_endian));
        let start = Unwind::Called { cfa: Place { register: 7, dwarf: 7, offset: 8, then: None }, fp: None };
        rules.filter(|rule| *rule == start).count()
    };
    let best = [FIRST, SECOND]
        .into_iter()
        .max_by_key(|numbering| at_start(numbering))
        .filter(|best| at_start(best) > 0);
    best.ok_or_else(|| Error::Unsupported("the kernel's unwind table has an unknown form".into()))
}

/// What a number in `sp_reg` or `bp_reg` stands for (`ORC_REG_*`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    /// Nothing: for the stack pointer unknown, for the frame pointer unchanged.
    Undefined,
    /// The caller's stack pointer.
    PrevSp,
    /// A register: ours and DWARF's number.
    Register(usize, u16),
    /// The pointer at an offset from rbp.
    BpIndirect,
    /// An offset from the pointer at rsp.
    SpIndirect,
}

const SP: Base = Base::Register(7, 7);
const BP: Base = Base::Register(6, 6);
const AX: Base = Base::Register(0, 0);
const DX: Base = Base::Register(3, 1);
const DI: Base = Base::Register(5, 5);
const R10: Base = Base::Register(10, 10);
const R13: Base = Base::Register(13, 13);

type Numbering = &'static [Base];

/// The numbers since 4.14.
const FIRST: Numbering =
    &[Base::Undefined, Base::PrevSp, DX, DI, BP, SP, R10, R13, Base::BpIndirect, Base::SpIndirect];
/// The numbers that 7.3 has.
const SECOND: Numbering =
    &[Base::Undefined, AX, DX, SP, BP, DI, R10, R13, Base::PrevSp, Base::SpIndirect, Base::BpIndirect];

fn base(numbering: Numbering, number: u64) -> Option<Base> {
    numbering.get(usize::try_from(number).ok()?).copied()
}

/// Where the canonical frame address is; none if nothing is known of the code.
fn cfa(base: Base, offset: i64) -> Option<Place> {
    let place = |base, offset, then| match base {
        Base::Register(register, dwarf) => Some(Place { register, dwarf, offset, then }),
        _ => None,
    };
    match base {
        Base::BpIndirect => place(BP, offset, Some(0)),
        Base::SpIndirect => place(SP, 0, Some(offset)),
        plain => place(plain, offset, None),
    }
}

/// Where rbp was saved; none if the register still holds it.
fn saved(base: Base, offset: i64) -> Option<Saved> {
    match base {
        Base::PrevSp => Some(Saved::Cfa(offset)),
        BP => Some(Saved::Fp(offset)),
        _ => None,
    }
}

/// What the code by which the kernel is entered leaves on the stack.
fn pt_regs(types: &Types) -> Result<Trapped> {
    // DWARF's numbers.
    const OTHERS: &[(u16, &str)] = &[
        (0, "ax"),
        (1, "dx"),
        (2, "cx"),
        (3, "bx"),
        (4, "si"),
        (5, "di"),
        (8, "r8"),
        (9, "r9"),
        (10, "r10"),
        (11, "r11"),
        (12, "r12"),
        (13, "r13"),
        (14, "r14"),
        (15, "r15"),
    ];
    let offset = |name| Ok::<u64, Error>(types.require("pt_regs", name)?.offset);
    Ok(Trapped {
        pc: offset("ip")?,
        sp: offset("sp")?,
        fp: Some(offset("bp")?),
        // The privilege level in the saved code segment.
        user: (offset("cs")?, 3),
        others: OTHERS.iter().map(|(number, name)| Ok((*number, offset(name)?))).collect::<Result<_>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbols::Bits;

    fn layout(numbering: Numbering, type_bits: u8) -> Layout {
        let number =
            |offset, signed| Member { offset, size: 2, bits: None, signed, elements: None, element_size: 2 };
        let bits = |offset, bit, width| Member {
            offset,
            size: 1,
            bits: Some(Bits { offset: bit, width }),
            signed: false,
            elements: None,
            element_size: 1,
        };
        Layout {
            bytes: 6,
            sp_offset: number(0, true),
            bp_offset: number(2, true),
            sp_reg: bits(4, 0, 4),
            bp_reg: bits(4, 4, 4),
            kind: bits(5, 0, type_bits),
            end: (type_bits == 2).then(|| bits(5, 2, 1)),
            numbering,
        }
    }

    fn place(register: usize, offset: i64, then: Option<i64>) -> Place {
        let dwarf = if register == 3 { 1 } else { register as u16 };
        Place { register, dwarf, offset, then }
    }

    #[test]
    fn entries_of_both_generations_are_read() {
        let called = |register, offset, fp| Some(Unwind::Called { cfa: place(register, offset, None), fp });
        let interrupted =
            |register, offset, all| Some(Unwind::Interrupted { at: place(register, offset, None), all });
        for (numbering, type_bits, entry, expected) in [
            (FIRST, 2, [8, 0, 0, 0, 0x05, 0], called(7, 8, None)),
            (FIRST, 2, [16, 0, 0xf0, 0xff, 0x14, 0], called(6, 16, Some(Saved::Cfa(-16)))),
            (FIRST, 2, [0, 0, 0, 0, 0x05, 1], interrupted(7, 0, true)),
            (FIRST, 2, [0, 0, 0, 0, 0x05, 2], interrupted(7, 0, false)),
            (FIRST, 2, [0, 0, 0, 0, 0x00, 4], Some(Unwind::End)),
            (FIRST, 2, [0, 0, 0, 0, 0x00, 0], Some(Unwind::End)),
            (FIRST, 3, [8, 0, 0, 0, 0x05, 2], called(7, 8, None)),
            (FIRST, 3, [8, 0, 0, 0, 0x05, 1], Some(Unwind::End)),
            (FIRST, 3, [0, 0, 0, 0, 0x02, 3], interrupted(3, 0, true)),
            (FIRST, 3, [8, 0, 0, 0, 0x05, 7], None),
            (FIRST, 3, [8, 0, 0, 0, 0x0a, 2], None),
            (SECOND, 3, [0x88, 0, 0xe0, 0xff, 0x83, 2], called(7, 0x88, Some(Saved::Cfa(-32)))),
            (SECOND, 3, [16, 0, 0, 0, 0x44, 2], called(6, 16, Some(Saved::Fp(0)))),
        ] {
            assert_eq!(layout(numbering, type_bits).decode(&entry, false), expected, "{entry:x?}");
        }
    }

    #[test]
    fn an_indirect_stack_pointer_adds_its_offset_behind_the_pointer() {
        let decode = |entry: [u8; 6]| layout(FIRST, 2).decode(&entry, false);
        assert_eq!(
            decode([0xf8, 0xff, 0, 0, 0x08, 0]),
            Some(Unwind::Called { cfa: place(6, -8, Some(0)), fp: None })
        );
        assert_eq!(
            decode([8, 0, 0, 0, 0x09, 0]),
            Some(Unwind::Called { cfa: place(7, 0, Some(8)), fp: None })
        );
    }

    #[test]
    fn an_entry_that_is_cut_off_is_none() {
        assert_eq!(layout(FIRST, 2).decode(&[8, 0, 0, 0, 5], false), None);
    }
}
