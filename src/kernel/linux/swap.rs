//! Swap files and partitions.

use super::paths;
use crate::Result;
use crate::kernel::Listing;
use crate::kernel::fields::{Fields, bad, offset};
use crate::kernel::state::Swap;
use kgdbserver_arch::Va;

/// A page's entry has 5 bits for the number of its swap file.
const LIMIT: u64 = 32;
/// `swap_info_struct.flags`: in use.
const SWP_USED: u64 = 1;
/// Since 6.13 a bit of the number of used pages says that no room is left (`SWAP_USAGE_OFFLIST_BIT`): at first this one, and
/// later one above the lower 32.
const FULL: u64 = 1 << 30;

/// The files of the array `swap_info`, in the order in which they were added.
pub(super) fn files(fields: &Fields<'_>) -> Result<Listing<Swap>> {
    let array = fields.variable("swap_info")?;
    let count = u64::from(fields.count("nr_swapfiles")?);
    if count > LIMIT {
        return Err(bad("swap_info", array, format!("{count} swap files")));
    }
    let word = u64::from(fields.mem.machine.ptr_bytes);
    let file = |number| match fields.mem.pointer(offset(array, number * word)?)? {
        Va(0) => Ok(None),
        va => file(fields, va),
    };
    Ok(Listing::from_results((0..count).filter_map(|number| file(number).transpose())))
}

/// None of a place that was given up.
fn file(fields: &Fields<'_>, va: Va) -> Result<Option<Swap>> {
    let number = |name| fields.uint(va, "swap_info_struct", name);
    let flags = number("flags")?;
    if flags & SWP_USED == 0 {
        return Ok(None);
    }
    let total = number("pages")?;
    let used = number("inuse_pages")? & u64::from(u32::MAX);
    let path =
        fields.pointer(va, "swap_info_struct", "swap_file").and_then(|file| paths::of_file(fields, file));
    let path = path.unwrap_or_default();
    Ok(Some(Swap {
        name: path.strip_prefix("/dev/").map(str::to_owned).unwrap_or(path),
        used: if used > total { used & !FULL } else { used },
        total,
        flags: flags as u32,
    }))
}
