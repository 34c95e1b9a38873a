//! The load average.

use crate::Result;
use crate::kernel::fields::{Fields, offset};

/// `avenrun` has 11 bits behind the point (`FSHIFT`).
const ONE: f64 = 2048.0;

pub(super) fn read(fields: &Fields<'_>) -> Result<[f64; 3]> {
    let at = fields.variable("avenrun")?;
    let long = fields.mem.machine.ptr_bytes;
    let load =
        |number: u64| Ok(fields.mem.uint(offset(at, number * u64::from(long))?, long.into())? as f64 / ONE);
    Ok([load(0)?, load(1)?, load(2)?])
}
