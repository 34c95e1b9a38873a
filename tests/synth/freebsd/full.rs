//! All of the machine's memory, with the page tables that its processor walks.

use super::super::machine::{Header, Machine};
use super::super::tables::{Physical, Tables};
use super::kernel::Kernel;
use super::memory::Memory;
use std::ops::Range;

const HUGEPAGE: u64 = 1 << 30;
/// Nothing else lies there: a page for each root, then all other tables.
const ROOTS: u64 = 0x300_0000;

/// How the kernel is loaded, and what it knows of that.
#[derive(Clone, Debug)]
pub struct Full {
    /// The physical address of the text, a multiple of 2 MiB.
    pub loaded_at: u64,
    pub kernphys: Kernphys,
    pub five_levels: bool,
    /// Whether the machine has memory above 4 GiB.
    pub high_memory: bool,
}

/// What the symbol `kernphys` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernphys {
    Missing,
    /// The link-time load address, as in 12.1.
    Absolute,
    /// The load address, since 13.1.
    Variable,
}

impl Full {
    /// The variables that such a kernel has, all of 8 bytes.
    pub(super) fn variables(&self, machine: &Machine) -> Vec<&'static str> {
        let kernphys = (self.kernphys == Kernphys::Variable).then_some("kernphys");
        let roots: &[&str] = match machine.header {
            Header::Amd64 => &["KPML4phys", "KPML5phys"],
            // Both kinds of page tables in one kernel, as since 13.
            Header::I386 => &["IdlePDPT", "IdlePTD_nopae"],
            Header::Arm => &["kernel_l1pa"],
            _ => panic!("{} has no dumps of all memory", machine.name),
        };
        roots.iter().copied().chain(kernphys).collect()
    }

    /// Memory as it was written, the tables, and the variables that lead to them.
    pub(super) fn memory(&self, machine: &Machine, memory: &Memory, kernel: &Kernel) -> Physical {
        let dump = &memory.dump;
        let mut physical = Physical { pages: dump.physical().clone() };
        let root = machine.ram + ROOTS;
        let (mut tables, variable) = match (machine.header, machine.mode) {
            (Header::Amd64, _) => (Tables::amd64(4, root, root + 0x2000), "KPML4phys"),
            (Header::I386, 0) => (Tables::i386(root, root + 0x2000), "IdlePTD_nopae"),
            (Header::I386, _) => (Tables::pae(root, root + 0x2000), "IdlePDPT"),
            _ => (Tables::arm(root, root + 0x4000), "kernel_l1pa"),
        };
        for (virt, phys) in dump.mapped() {
            tables.map_range(&mut physical, virt, phys);
        }
        let mut values = vec![(variable, tables.root), ("kernphys", self.loaded_at)];
        if machine.has_dmap() {
            let end = dump.memory.last().expect("memory").end.next_multiple_of(HUGEPAGE);
            let dmap = dump.dmap.start..dump.dmap.start + end;
            values.extend(self.map_directly(&mut physical, &mut tables, dmap));
        }
        for (name, value) in values {
            if self.variables(machine).contains(&name) {
                let at = dump.translated(kernel.variable(name)).expect("a mapped variable");
                physical.write(at, &value.to_le_bytes());
            }
        }
        physical
    }

    /// Maps amd64's direct map; under five levels by a top table of its own, which leads to the other one as well.
    fn map_directly(
        &self,
        physical: &mut Physical,
        tables: &mut Tables,
        dmap: Range<u64>,
    ) -> Option<(&'static str, u64)> {
        if !self.five_levels {
            tables.map_range(physical, dmap, 0);
            return None;
        }
        let mut wide = Tables::amd64(5, tables.root + 0x1000, tables.next + 0x10_0000);
        wide.map_range(physical, dmap, 0);
        wide.enter(physical, wide.place(wide.root, u64::MAX, 0), tables.root | 0x63);
        Some(("KPML5phys", wide.root))
    }
}
