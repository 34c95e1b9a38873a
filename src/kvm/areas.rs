//! What the kernel uses its addresses for.

use super::Kvm;
use crate::regions::Area;
use kgdbserver_arch::Va;

/// Where an area begins, or the address behind its end.
enum Edge {
    /// At a symbol.
    Symbol(&'static str),
    /// At a number of VMCOREINFO's.
    Number(&'static str),
    /// The same, of a kernel that tells another one as well.
    Marked(&'static str, &'static str),
    /// Where a variable points to.
    Variable(&'static str),
    /// Where the kernel's own address space begins.
    Kernel,
    /// So far behind the 2 GiB that the kernel's text lies in (x86-64).
    Behind(&'static str),
    /// At an address.
    At(u64),
}

use Edge::{At, Behind, Kernel, Marked, Number, Symbol, Variable};

/// An area, and its edges. Where one name stands several times, the first counts whose edges are known.
struct Row(&'static str, Edge, Edge);

/// The smaller ones first. Linux tells most of them in VMCOREINFO: arm64 since 5.19, riscv64 since 6.0 (Linux's
/// Documentation/arch/x86/x86_64/mm.rst, .../arm64/memory.rst, .../riscv/vm-layout.rst).
static ROWS: &[Row] = &[
    Row("text", Symbol("_stext"), Symbol("_etext")),
    Row("text", Symbol("btext"), Symbol("etext")),
    Row("read-only data", Symbol("__start_rodata"), Symbol("__end_rodata")),
    Row("data", Symbol("_sdata"), Symbol("_edata")),
    Row("data", Symbol("etext"), Symbol("edata")),
    Row("bss", Symbol("__bss_start"), Symbol("__bss_stop")),
    Row("bss", Symbol("edata"), Symbol("_end")),
    Row("modules", Number("MODULES_VADDR"), Number("MODULES_END")),
    Row("modules", Behind("KERNEL_IMAGE_SIZE"), At(0xffff_ffff_ff00_0000)),
    Row("vmalloc", Number("VMALLOC_START"), Number("VMALLOC_END")),
    Row("vmalloc", Variable("vmalloc_base"), Variable("vmemmap_base")),
    Row("page structures", Number("VMEMMAP_START"), Number("VMEMMAP_END")),
    Row("page structures", Variable("vmemmap_base"), At(0xffff_fe00_0000_0000)),
    Row("direct map", Variable("page_offset_base"), Variable("vmalloc_base")),
    Row("direct map", Number("PAGE_OFFSET"), Variable("high_memory")),
    Row("direct map", Kernel, Marked("kimage_voffset", "MODULES_VADDR")), // arm64
    Row("direct map", Kernel, Variable("high_memory")),
];

impl Kvm {
    /// What the kernel uses parts of its address space for, as far as that is known: its modules, its own sections, the
    /// direct map and so on. Where two overlap, the first one counts.
    pub fn areas(&self) -> Vec<Area> {
        let mut areas = self.module_areas();
        let mut known = Vec::new();
        for Row(name, first, behind) in ROWS {
            let range = || Some((self.edge(first)?, self.edge(behind)?));
            if let Some((first, behind)) =
                range().filter(|(first, behind)| first < behind && !known.contains(name))
            {
                known.push(*name);
                areas.push(Area { name: (*name).into(), first: Va(first), last: Va(behind - 1) });
            }
        }
        let direct_map = self.image.direct_map.as_ref();
        // What is mapped is whole pages.
        let within = (1 << self.image.page_shift) - 1;
        for area in &mut areas {
            (area.first, area.last) = (Va(area.first.0 & !within), Va(area.last.0 | within));
        }
        areas.extend(direct_map.map(|map| Area {
            name: "direct map".into(),
            first: map.first,
            last: map.last,
        }));
        areas
    }

    fn module_areas(&self) -> Vec<Area> {
        let modules = self.modules().map(|list| list.items).unwrap_or_default();
        let ranges = modules.iter().flat_map(|module| {
            let parts = module.parts.iter().map(|part| part.range.clone());
            let whole = module.size.filter(|_| module.parts.is_empty());
            let whole = whole.and_then(|size| Some(module.address.0..module.address.0.checked_add(size)?));
            parts.chain(whole).map(|range| (format!("module {}", module.name), range))
        });
        let area = |(name, range): (String, std::ops::Range<u64>)| {
            Some(Area { name, first: Va(range.start), last: Va(range.end.checked_sub(1)?) })
        };
        ranges.filter_map(area).filter(|area| area.first <= area.last).collect()
    }

    fn edge(&self, edge: &Edge) -> Option<u64> {
        let number = |name: &str| self.linux()?.info.number(name);
        Some(match edge {
            Symbol(name) => self.symbols.address(name)?.0,
            Number(name) => number(name)?,
            Marked(mark, name) => number(mark).and(number(name))?,
            Variable(name) => self.space.pointer(self.symbols.address(name)?).ok()?.0,
            Kernel => self.space.regions().first()?.first.0,
            Behind(name) => {
                let text = self.symbols.address("_stext")?.0;
                (text & !0x7fff_ffff).checked_add(number(name)?)?
            }
            At(address) => *address,
        })
    }
}
