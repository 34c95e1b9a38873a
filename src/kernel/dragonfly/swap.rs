//! Swap devices.

use super::{Fields, Listing};
use crate::Result;
use crate::kernel::fields::{bad, offset};
use crate::kernel::state::Swap;
use kgdbserver_arch::Va;

/// `NSWAPDEV` is 4 unless the kernel was built with another.
const DEVICE_LIMIT: u32 = 1 << 10;

/// The devices in use: those of the array `swdevt` that have any room.
pub(super) fn devices(fields: &Fields<'_>) -> Result<Listing<Swap>> {
    let (first, count) = (fields.head("swdevt")?, fields.count("nswdev")?);
    if count > DEVICE_LIMIT {
        return Err(bad("variable", fields.variable("nswdev")?, format!("{count} swap devices")));
    }
    let step = fields.size_of("swdevt")?;
    // The first stripe of each device is never used, so that a disk label there survives.
    let reserved = u64::from(fields.count("dmmax")?);
    let devices = (0..u64::from(count)).map(|number| device(fields, offset(first, number * step)?, reserved));
    Ok(Listing::from_results(devices.filter_map(Result::transpose)))
}

fn device(fields: &Fields<'_>, va: Va, reserved: u64) -> Result<Option<Swap>> {
    let number = |name| fields.uint(va, "swdevt", name);
    let total = number("sw_nblks")?.saturating_sub(reserved);
    if total == 0 {
        return Ok(None);
    }
    Ok(Some(Swap {
        name: name(fields, va).unwrap_or_default(),
        used: number("sw_nused")?,
        total,
        flags: fields.u32(va, "swdevt", "sw_flags")?,
    }))
}

/// A swap file has no device; libkvm's words for it.
fn name(fields: &Fields<'_>, va: Va) -> Result<String> {
    match fields.pointer(va, "swdevt", "sw_device")? {
        Va(0) => Ok("[NFS swap]".into()),
        device => fields.text(device, "cdev", "si_name"),
    }
}
