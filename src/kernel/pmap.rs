//! The address space of a BSD process, by its `struct pmap`.

use super::fields::Fields;
use crate::image::Addr;
use crate::space::{self, Space};
use crate::{Error, Result};
use kgdbserver_arch::{Pa, Radix, Region, Va, Via};

/// How a pmap says where its top page table is.
struct Root {
    member: &'static str,
    place: Place,
    /// The bytes of an entry: a kernel that chooses the kind of table when it starts has a member for each.
    entry_bytes: u8,
}

/// What such a member holds.
enum Place {
    /// A physical address, with other things in the bits that a page's address leaves free.
    Physical,
    /// The address in the kernel's space.
    Virtual,
}

const fn root(member: &'static str, place: Place, entry_bytes: u8) -> Root {
    Root { member, place, entry_bytes }
}

/// The members of `struct pmap`, by processor and release; the first one that the kernel's types know counts.
static ROOTS: &[Root] = &[
    root("pm_cr3", Place::Physical, 8),       // amd64
    root("pm_l0_paddr", Place::Physical, 8),  // arm64 since 13
    root("pm_l0", Place::Virtual, 8),         // arm64 before
    root("pm_top", Place::Virtual, 8),        // riscv64 since 14
    root("pm_l1", Place::Virtual, 8),         // riscv64 before
    root("pm_pdpt_pae", Place::Virtual, 8),   // i386 since 13, with PAE
    root("pm_pdir_nopae", Place::Virtual, 4), // i386 since 13, without
    root("pm_pdpt", Place::Virtual, 8),       // i386 before, built for PAE
    root("pm_pdir", Place::Virtual, 4),       // i386 before
    root("pm_pt1", Place::Virtual, 4),        // arm, v6 and later
    root("pm_pml1", Place::Virtual, 8),       // powerpc64, radix tree
    root("pm_pml4", Place::Virtual, 8),       // DragonFly
];

/// The space of the process at `proc`, by page tables of a form, up to its last address.
///
/// # Errors
/// It has none, no type information tells where its tables are, or they cannot be reached.
pub(super) fn space(fields: &Fields<'_>, proc: Va, form: Radix, last: Va) -> Result<Space> {
    let Va(vmspace @ 1..) = fields.pointer(proc, "proc", "p_vmspace")? else {
        return Err(Error::Unsupported("the process has none: it is exiting".into()));
    };
    let pmap = fields.at(Va(vmspace), "vmspace", "vm_pmap")?;
    let root = top(fields, pmap, &form)?;
    Ok(fields.mem.over(vec![Region { first: Va(0), last, via: Via::Tables { form, root } }]))
}

/// The top page table.
fn top(fields: &Fields<'_>, pmap: Va, form: &Radix) -> Result<Pa> {
    let fits = |root: &&Root| root.entry_bytes == form.entry_bytes && fields.has("pmap", root.member);
    let none = || Error::Unsupported("the kernel's types know no top page table in struct pmap".into());
    let Root { member, place, .. } = ROOTS.iter().find(fits).ok_or_else(none)?;
    let value = fields.uint(pmap, "pmap", member)?;
    match place {
        Place::Physical => Ok(Pa(value & 0x000f_ffff_ffff_f000)),
        Place::Virtual => match fields.mem.translate(Va(value)) {
            Ok(space::Place { at: Addr::Phys(pa), .. }) => Ok(pa),
            Ok(_) => Err(none()),
            Err(why) => Err(Error::Fault { va: Va(value), why }),
        },
    }
}
