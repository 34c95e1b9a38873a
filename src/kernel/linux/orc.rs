//! ORC: the unwind tables of x86-64 kernels, which since 4.14 are built without frame pointers
//! (Documentation/arch/x86/orc-unwinder.rst).

use crate::Result;
use crate::kernel::fields::Fields;
use crate::kernel::unwind::{Place, Saved, Table, Trapped, Unwind};
use crate::space::Space;
use crate::symbols::{Member, Symbols, Types};
use kgdbserver_arch::Va;

/// Real kernels have half a million entries.
const LIMIT: u64 = 1 << 24;
/// Bytes of an entry in the table of addresses.
const IP_BYTES: u64 = 4;

/// The kernel is not built with larger frames.
const FRAME_LIMIT: u64 = 4096;

const RSP: usize = 7;
const RBP: usize = 6;

/// The kernel's table: addresses of code, ascending, and how that code is unwound.
pub(super) struct Orc {
    ips: Va,
    entries: Va,
    count: u64,
    layout: Layout,
    all: Trapped,
    by_processor: Trapped,
    symbols: Symbols,
}

/// `struct orc_entry`, as the kernel's types describe it.
struct Layout {
    bytes: u64,
    sp_offset: Member,
    bp_offset: Member,
    sp_reg: Member,
    bp_reg: Member,
    kind: Member,
    end: Option<Member>,
}

impl Orc {
    /// The table; an error if the kernel has none.
    pub(super) fn find(fields: &Fields<'_>) -> Result<Self> {
        let ips = fields.variable("__start_orc_unwind_ip")?;
        let end = fields.variable("__stop_orc_unwind_ip")?;
        let types = fields.symbols.types();
        Ok(Self {
            ips,
            entries: fields.variable("__start_orc_unwind")?,
            count: (end.0.saturating_sub(ips.0) / IP_BYTES).min(LIMIT),
            layout: Layout::find(types)?,
            symbols: fields.symbols.clone(),
            all: pt_regs(types)?,
            by_processor: Trapped { pc: 0, sp: 24, fp: None, user: (8, 3), others: Vec::new() },
        })
    }

    /// The address that the entry at an index is for. It is stored relative to the place where it stands.
    fn ip(&self, mem: &Space, index: u64) -> Option<u64> {
        let at = Va(self.ips.0.checked_add(index * IP_BYTES)?);
        mem.int(at).ok().map(|distance| at.0.wrapping_add_signed(distance.into()))
    }
}

impl Table for Orc {
    fn find(&self, mem: &Space, pc: Va) -> Option<Unwind> {
        let (mut low, mut high) = (0, self.count);
        while low < high {
            let middle = low.midpoint(high);
            if self.ip(mem, middle)? <= pc.0 { low = middle + 1 } else { high = middle }
        }
        // Behind the last entry is no code.
        let index = low.checked_sub(1).filter(|_| low < self.count)?;
        let mut entry = vec![0; usize::try_from(self.layout.bytes).ok()?];
        mem.read_exact(Va(self.entries.0.checked_add(index * self.layout.bytes)?), &mut entry).ok()?;
        self.layout.decode(&entry, mem.machine.big_endian)
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
        let cfa = Place { register: RSP, dwarf: 7, offset: at.cast_signed() + 8, then: None };
        Some(Unwind::Called { cfa, fp: None })
    }

    fn rows(&self, mem: &Space) -> Vec<(u64, Unwind)> {
        let size = |bytes: u64| usize::try_from(self.count.saturating_mul(bytes)).unwrap_or(0);
        let (mut ips, mut entries) = (vec![0; size(IP_BYTES)], vec![0; size(self.layout.bytes)]);
        let (got_ips, _) = mem.read_prefix(self.ips, &mut ips);
        let (got_entries, _) = mem.read_prefix(self.entries, &mut entries);
        let (ips, _) = ips.get(..got_ips).unwrap_or_default().as_chunks();
        let entries =
            entries.get(..got_entries).unwrap_or_default().chunks_exact(self.layout.bytes.max(1) as usize);
        let places = (self.ips.0..).step_by(IP_BYTES as usize);
        let rows = places.zip(ips).zip(entries).filter_map(|((at, distance), entry)| {
            let ip = at.wrapping_add_signed(i32::from_le_bytes(*distance).into());
            Some((ip, self.layout.decode(entry, mem.machine.big_endian)?))
        });
        rows.collect()
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
        let cfa = cfa(value(&self.sp_reg)?, value(&self.sp_offset)?.cast_signed());
        // Since 6.4 the type has three bits, and its first two values say that the stack ends here or is not known.
        let called = if self.kind.bits.is_some_and(|bits| bits.width == 3) { 2 } else { 0 };
        let Some((kind, at)) = value(&self.kind)?.checked_sub(called).zip(cfa) else {
            return Some(Unwind::End);
        };
        let offset = value(&self.bp_offset)?.cast_signed();
        Some(match kind {
            0 => Unwind::Called { cfa: at, fp: saved(value(&self.bp_reg)?, offset) },
            1 => Unwind::Interrupted { at, all: true },
            2 => Unwind::Interrupted { at, all: false },
            _ => return None,
        })
    }
}

/// `ORC_REG_*` as a base of the canonical frame address; none if nothing is known of the code.
fn cfa(base: u64, offset: i64) -> Option<Place> {
    let (register, dwarf) = match base {
        2 => (3, 1), // rdx
        3 => (5, 5), // rdi
        4 | 8 => (RBP, 6),
        5 | 9 => (RSP, 7),
        6 => (10, 10),
        7 => (13, 13),
        _ => return None,
    };
    let (offset, then) = match base {
        8 => (offset, Some(0)),
        9 => (0, Some(offset)),
        _ => (offset, None),
    };
    Some(Place { register, dwarf, offset, then })
}

/// `ORC_REG_*` as a base of the place where rbp was saved.
fn saved(base: u64, offset: i64) -> Option<Saved> {
    match base {
        1 => Some(Saved::Cfa(offset)),
        4 => Some(Saved::Fp(offset)),
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
    let offset = |name| Ok::<u64, crate::Error>(types.require("pt_regs", name)?.offset);
    Ok(Trapped {
        pc: offset("ip")?,
        sp: offset("sp")?,
        fp: Some(offset("bp")?),
        // The privilege level in the saved code segment.
        user: (offset("cs")?, 3),
        others: OTHERS.iter().map(|(number, name)| Ok((*number, offset(name)?))).collect::<Result<_>>()?,
    })
}
