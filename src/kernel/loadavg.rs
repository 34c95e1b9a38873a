//! The load average, which all BSDs keep alike.

use super::fields::{Fields, bad, offset};
use crate::Result;

/// `averunnable`: three 32-bit fixed-point numbers, then their scale as a `long`. Kernels before 4 kept the scale in a
/// variable of its own, `fscale`.
pub(super) fn read(fields: &Fields<'_>) -> Result<[f64; 3]> {
    let at = fields.variable("averunnable")?;
    let long = u64::from(fields.mem.machine.ptr_bytes);
    let scale = match fields.mem.uint(offset(at, 12_u64.next_multiple_of(long))?, long as usize)? {
        0 => fields.count("fscale")?.into(),
        scale => scale,
    };
    if scale == 0 {
        return Err(bad("averunnable", at, "its scale is 0"));
    }
    let one = |number: u64| Ok(fields.mem.uint(offset(at, 4 * number)?, 4)? as f64 / scale as f64);
    Ok([one(0)?, one(1)?, one(2)?])
}
