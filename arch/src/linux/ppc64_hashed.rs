//! Linux's own page tables where the processor has a hashed one.

use super::ppc64::{USER_LAST, all_memory, big_endian, linear, page_size, read};
use super::{Paging, UserPaging};
use crate::full::tables;
use crate::ppc64::{RADIX, entry};
use crate::{Entry, Facts, Lost, Pa, Radix, Region, Va, Via, uint};

/// A form of these tables. Their entries are those of the radix tree.
struct Hashed {
    /// Its pages and tables.
    form: Radix,
    /// What they map of the kernel's addresses; both bounds are inclusive. The rest is not in the tables.
    first: u64,
    last: u64,
}

const fn hashed_form<const PAGE_SHIFT: u8, const PMD_SHIFT: u8, const PUD_SHIFT: u8>(
    index_bits: &'static [u8],
    first: u64,
    last: u64,
) -> Hashed {
    let decode = hashed_entry::<PAGE_SHIFT, PMD_SHIFT, PUD_SHIFT>;
    Hashed { form: Radix { page_shift: PAGE_SHIFT, index_bits, decode, ..RADIX }, first, last }
}

/// Newest first for either size of pages.
static HASHED: [Hashed; 6] = [
    hashed_form::<16, 24, 34>(&[8, 10, 10, 8], 0xc008_0000_0000_0000, 0xc00b_ffff_ffff_ffff), // 5.2
    hashed_form::<16, 24, 34>(&[8, 10, 10, 8], 0xd000_0000_0000_0000, 0xd001_ffff_ffff_ffff), // 4.17
    hashed_form::<16, 24, 34>(&[8, 10, 7, 8], 0xd000_0000_0000_0000, 0xd001_ffff_ffff_ffff),  // 4.12
    hashed_form::<16, 24, 29>(&[8, 5, 5, 12], 0xd000_0000_0000_0000, 0xd000_3fff_ffff_ffff),  // 4.7
    hashed_form::<12, 21, 28>(&[9, 7, 9, 9], 0xc000_3d00_0000_0000, 0xc000_3eff_ffff_ffff),   // 5.2
    hashed_form::<12, 21, 28>(&[9, 7, 9, 9], 0xd000_0000_0000_0000, 0xd000_3fff_ffff_ffff),   // 4.7
];

/// The upper bits of an address are the hashed table's. A leaf at the top is none: there, kernels before 4.7 have pointers
/// that look like one. With pages of 4 KiB no larger one fits a level: what is there leads to tables of other sizes.
fn hashed_entry<const PAGE_SHIFT: u8, const PMD_SHIFT: u8, const PUD_SHIFT: u8>(
    raw: u64,
    level: usize,
) -> Entry {
    const HASH: u64 = 0x00e0_0000_0000_0000;
    const OTHER_SIZE: u64 = 0xff;
    let shift = [PAGE_SHIFT, PMD_SHIFT, PUD_SHIFT].get(level).copied().unwrap_or(PUD_SHIFT);
    match entry(raw & !HASH, level, shift) {
        Entry::Leaf { .. } if level > 2 || level > 0 && PAGE_SHIFT == 12 => Entry::Absent,
        Entry::Table(_) if raw & OTHER_SIZE != 0 => Entry::Absent,
        other => other,
    }
}

/// The form is told by variables, where the kernel's names are known; otherwise by the size of pages, and the kernel is one
/// since 5.2.
pub(super) fn hashed(facts: &dyn Facts, root: Pa) -> Result<Paging, Lost> {
    const SIZES: [&str; 4] = ["__pte_index_size", "__pmd_index_size", "__pud_index_size", "__pgd_index_size"];
    let variable = |name| read(facts, linear(facts.symbol(name)?));
    let page = page_size(facts);
    let start = variable("__kernel_virt_start");
    let is = |row: &&Hashed| {
        let mut sizes = SIZES.iter().zip(row.form.index_bits);
        let told = |value: Option<[u64; 2]>, is| value.is_none_or(|either| either.contains(&is));
        1 << row.form.page_shift == page
            && told(start, row.first)
            && sizes.all(|(name, bits)| told(variable(*name), u64::from(*bits)))
    };
    let row = HASHED.iter().find(is).ok_or(Lost::Unproved("swapper_pg_dir", root))?;
    let most = [all_memory(row.first.saturating_sub(1)), tables(row.first, row.last, row.form, root)];
    let kernel = most.into_iter().chain(page_structures(facts)).collect();
    let user = UserPaging { form: row.form, last: USER_LAST, levels: None };
    Ok(Paging { kernel, user, big_endian: big_endian(facts) })
}

/// The array of page structures (vmemmap), which is mapped by the hashed table alone. Linux has a list of its pieces: of
/// structures with the address of the next, the piece's physical address, and its virtual one.
fn page_structures(facts: &dyn Facts) -> Vec<Region> {
    /// More than there can be: of 16 MiB each, for 128 TiB of memory.
    const LIMIT: usize = 1 << 13;
    let first = || read(facts, linear(facts.symbol("vmemmap_list")?));
    let Some(((size, [big, little]), big_endian)) = piece_size(facts).zip(first()).zip(big_endian(facts))
    else {
        return Vec::new();
    };
    let mut next = linear(if big_endian { big } else { little });
    let mut pieces = Vec::new();
    let mut node = [0; 24];
    while next.0 != 0 && pieces.len() < LIMIT && facts.read_phys(next, &mut node).is_ok() {
        let word = |at: usize| node.get(at..at + 8).map_or(0, |word| uint(word, big_endian));
        let (first, last) = (Va(word(16)), Va(word(16).saturating_add(size - 1)));
        pieces.push(Region { first, last, via: Via::Linear(Pa(word(8))) });
        next = linear(word(0));
    }
    pieces
}

/// How large the pieces are: pages of a size that Linux has a number for.
fn piece_size(facts: &dyn Facts) -> Option<u64> {
    let mut number = [0; 4];
    facts.read_phys(linear(facts.symbol("mmu_vmemmap_psize")?), &mut number).ok()?;
    match u32::from_be_bytes(number).min(u32::from_le_bytes(number)) {
        0 => Some(4 << 10),
        2 => Some(64 << 10),
        10 => Some(16 << 20),
        _ => None,
    }
}
