//! How large a process's memory is.

use super::percpu::PerCpu;
use crate::Result;
use crate::kernel::fields::Fields;
use crate::kernel::kinfo::KinfoProc;
use kgdbserver_arch::Va;

/// Kinds of pages that are resident. Shared memory counted as files until 4.5.
const RESIDENT: [&str; 3] = ["MM_FILEPAGES", "MM_ANONPAGES", "MM_SHMEMPAGES"];

/// Fills in what a row says of memory.
pub(super) fn fill(fields: &Fields<'_>, mm: Va, page_size: u64, row: &mut KinfoProc) {
    let number = |name| fields.uint(mm, "mm_struct", name).ok();
    row.vmspace = Some(mm);
    row.size = number("total_vm").map(|pages| pages.wrapping_mul(page_size));
    row.rssize = resident(fields, mm).ok();
    row.tsize = number("start_code")
        .zip(number("end_code"))
        .map(|(start, end)| end.div_ceil(page_size).saturating_sub(start / page_size));
    row.dsize = number("data_vm");
    row.ssize = number("stack_vm");
}

/// Pages in memory. A counter that is updated late may be below 0 for a while.
fn resident(fields: &Fields<'_>, mm: Va) -> Result<u64> {
    let types = fields.symbols.types();
    let kinds = RESIDENT.iter().filter_map(|name| types.enumerator(name)).map(i64::cast_unsigned);
    let mut counts = kinds.map(|kind| count(fields, mm, kind).map(|count| count.max(0).cast_unsigned()));
    counts.try_fold(0_u64, |sum, count| Ok(sum.saturating_add(count?)))
}

/// Since 6.2 every CPU counts for itself what it has not yet added to the common count.
fn count(fields: &Fields<'_>, mm: Va, kind: u64) -> Result<i64> {
    let word = usize::from(fields.mem.machine.ptr_bytes);
    if fields.has("mm_struct", "rss_stat.count") {
        let count = fields.mem.uint(fields.element(mm, "mm_struct", "rss_stat.count", kind)?, word)?;
        return Ok(if word == 4 { i64::from((count as u32).cast_signed()) } else { count.cast_signed() });
    }
    let counter = fields.element(mm, "mm_struct", "rss_stat", kind)?;
    let count = fields.int(counter, "percpu_counter", "count")?;
    let own = fields.pointer(counter, "percpu_counter", "counters")?;
    let one = |sum: i64, (_, at): (usize, Va)| Ok(sum.wrapping_add(fields.mem.int(at)?.into()));
    PerCpu::find(fields)?.all(own).into_iter().try_fold(count, one)
}
