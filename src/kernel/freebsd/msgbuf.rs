//! Where the message buffer is.

use crate::Result;
use crate::kernel::fields::{Fields, bad, offset};
use crate::kernel::msgbuf::{Ring, checked_size};

/// `MSG_MAGIC`.
const MAGIC: u64 = 0x06_3062;

/// `struct msgbuf`: a pointer to the text, then 32-bit words. The same since 4, so it needs no types.
pub(super) fn ring(fields: &Fields<'_>) -> Result<Ring> {
    let at = fields.head("msgbufp")?;
    let word = |number: u64| {
        let at = offset(at, u64::from(fields.mem.machine.ptr_bytes) + 4 * number)?;
        fields.mem.uint(at, 4)
    };
    let magic = word(0)?;
    if magic != MAGIC {
        return Err(bad("msgbuf", at, format!("its magic number is {magic:#x}")));
    }
    let size = checked_size(at, word(1)?)?;
    let (written, read, modulus) = (word(2)?, word(3)?, word(5)?);
    Ok(Ring { text: fields.mem.pointer(at)?, size, written, read, modulus: modulus.max(size) })
}
