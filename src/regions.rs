//! What addresses mean: stretches that are mapped alike, found around one address without walking everything.

use crate::cells::{Access, Cell};
use crate::space::Space;
use kgdbserver_arch::Va;

/// Page-table entries that one question may look at above its address, and below it. A large hole is one entry, a page of
/// 4 KiB too: what is longer is answered as far as that. Fewer below, so that asking from the end of one answer to the next,
/// as lldb does, gives each address once.
const ABOVE: usize = 1 << 16;
const BELOW: usize = ABOVE / 2;

/// A part of the kernel's address space that has a purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Area {
    /// What it is for.
    pub name: String,
    /// The lowest address.
    pub first: Va,
    /// The highest address.
    pub last: Va,
}

/// Addresses side by side that are mapped alike, in one area.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The lowest address.
    pub first: Va,
    /// The highest address.
    pub last: Va,
    /// Whether they are mapped.
    pub access: Access,
    /// What they are for; none of what is not mapped, or not known.
    pub name: Option<String>,
}

/// What a debugger sees: the kernel's addresses, and where it has none those of a process.
pub struct View<'a> {
    /// The kernel's address space.
    pub kernel: &'a Space,
    /// The process's, and what it is called.
    pub process: Option<(&'a Space, String)>,
    /// The areas of the kernel's address space; where two overlap, the first one counts.
    pub areas: &'a [Area],
}

impl View<'_> {
    /// The stretch that an address lies in. It may be longer than what is answered.
    pub fn at(&self, va: Va) -> Stretch {
        let (here, kernels) = self.cell(va);
        let (lowest, highest, area) = match here.access {
            Access::Mapped(_) if kernels => area_around(self.areas, va),
            _ => (Va(0), Va(u64::MAX), None),
        };
        let alike = |va: Va| {
            let (cell, of) = self.cell(va);
            ((cell.access, of) == (here.access, kernels)).then_some(cell)
        };
        let mut last = here.last;
        for _ in 0..ABOVE {
            let Some(next) = last.checked_add(1).filter(|_| last < highest).and_then(alike) else { break };
            last = next.last;
        }
        let mut first = here.first;
        let mut steps = 0;
        while let Some(before) =
            first.0.checked_sub(1).filter(|_| first > lowest).and_then(|va| alike(Va(va)))
        {
            first = before.first;
            steps += 1;
            if steps == BELOW {
                first = here.first;
                break;
            }
        }
        let own = || self.process.as_ref().map(|(_, name)| name.clone());
        let name = match (here.access, kernels) {
            (Access::Unmapped, _) => None,
            (_, true) => area.map(|area| area.name.clone()),
            (_, false) => own(),
        };
        Stretch { first: first.max(lowest), last: last.min(highest), access: here.access, name }
    }

    /// All stretches from an address on.
    pub fn from(&self, va: Va) -> impl Iterator<Item = Stretch> {
        let mut next = Some(va);
        std::iter::from_fn(move || {
            let stretch = self.at(next?);
            next = stretch.last.checked_add(1);
            Some(stretch)
        })
    }

    /// What one entry decides, and whether the kernel's does.
    fn cell(&self, va: Va) -> (Cell, bool) {
        let kernels = self.kernel.cell(va);
        match &self.process {
            Some((process, _)) if kernels.access == Access::Unmapped => {
                let own = process.cell(va);
                let (first, last) = (kernels.first.max(own.first), kernels.last.min(own.last));
                (Cell { first, last, access: own.access }, own.access == Access::Unmapped)
            }
            _ => (kernels, true),
        }
    }
}

/// The area that counts at an address, and the lowest and the highest address around it in which that, or none, does.
fn area_around(areas: &[Area], va: Va) -> (Va, Va, Option<&Area>) {
    let (mut first, mut last) = (Va(0), Va(u64::MAX));
    for area in areas {
        if (area.first..=area.last).contains(&va) {
            return (first.max(area.first), last.min(area.last), Some(area));
        }
        if area.last < va {
            first = first.max(Va(area.last.0 + 1));
        } else {
            last = last.min(Va(area.first.0 - 1));
        }
    }
    (first, last, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Addr, Census, Memory};
    use kgdbserver_arch::{Fault, Machine, Pa, Region, Via, x86_64};
    use std::sync::Arc;

    /// Every word of memory is the same entry, of a table of such words.
    struct Endless;

    impl Memory for Endless {
        fn read(&self, _: Addr, buf: &mut [u8]) -> Result<usize, Fault> {
            buf.copy_from_slice(&0x1067u64.to_le_bytes()[..buf.len()]);
            Ok(buf.len())
        }
        fn locate(&self, pa: Pa) -> Result<u64, Fault> {
            Ok(pa.0)
        }
        fn pages(&self) -> Box<dyn Iterator<Item = Pa> + '_> {
            Box::new(std::iter::empty())
        }
        fn census(&self) -> Census {
            Census { dumped: 0, cut_off: 0 }
        }
    }

    const FIRST: u64 = 0xffff_8000_0000_0000;

    fn endless() -> Space {
        let via = Via::Tables { form: x86_64::FOUR_LEVEL, root: Pa(0x1000) };
        let region = Region { first: Va(FIRST), last: Va(u64::MAX), via };
        let machine = Machine { arch: &x86_64::ARCH, big_endian: false, ptr_bytes: 8 };
        Space::new(machine, vec![region], Arc::new(Endless))
    }

    #[test]
    fn an_endless_stretch_is_answered_in_pieces_that_do_not_overlap() {
        let space = endless();
        let view = View { kernel: &space, process: None, areas: &[] };
        let pieces: Vec<Stretch> = view.from(Va(0)).take(4).collect();
        assert_eq!((pieces[0].last, pieces[0].access), (Va(FIRST - 1), Access::Unmapped));
        let page = 4096;
        for (piece, number) in pieces[1..].iter().zip(0..) {
            let first = FIRST + number * page * (1 + ABOVE as u64);
            assert_eq!((piece.first, piece.last), (Va(first), Va(first + page * (1 + ABOVE as u64) - 1)));
        }
    }

    #[test]
    fn a_stretch_ends_where_its_area_does() {
        let area = |name: &str, first, last| Area {
            name: name.into(),
            first: Va(FIRST + first),
            last: Va(FIRST + last),
        };
        let areas = [area("inner", 0x2000, 0x2fff), area("outer", 0x1000, 0x4fff)];
        let space = endless();
        let view = View { kernel: &space, process: None, areas: &areas };
        let found: Vec<_> = view.from(Va(FIRST)).take(4).collect();
        let shown: Vec<_> =
            found.iter().map(|piece| (piece.first.0 - FIRST, piece.name.as_deref())).collect();
        assert_eq!(
            shown,
            [(0, None), (0x1000, Some("outer")), (0x2000, Some("inner")), (0x3000, Some("outer"))]
        );
        assert_eq!(view.at(Va(FIRST + 0x2fff)).first, Va(FIRST + 0x2000));
    }
}
