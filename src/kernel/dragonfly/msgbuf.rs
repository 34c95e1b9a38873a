//! Where the message buffer is.

use super::Fields;
use crate::Result;
use crate::kernel::fields::bad;
use crate::kernel::msgbuf::{Ring, checked_size};

/// A release's `MSG_MAGIC`, and how it counts (sys/msgbuf.h).
struct Form {
    magic: u64,
    /// Where the log daemon goes on reading.
    read: &'static str,
    /// Where the counters begin again; None at the size.
    modulus: Option<u64>,
}

static FORMS: &[Form] = &[
    Form { magic: 0x06_3064, read: "msg_bufl", modulus: Some(1 << 32) },
    Form { magic: 0x06_3062, read: "msg_bufr", modulus: None },
];

/// `struct msgbuf` has FreeBSD's names, in another order.
pub(super) fn ring(fields: &Fields<'_>) -> Result<Ring> {
    let at = fields.head("msgbufp")?;
    let word = |name| fields.uint(at, "msgbuf", name);
    let magic = word("msg_magic")?;
    let unknown = || bad("msgbuf", at, format!("its magic number is {magic:#x}"));
    let form = FORMS.iter().find(|form| form.magic == magic).ok_or_else(unknown)?;
    let size = checked_size(at, word("msg_size")?)?;
    Ok(Ring {
        text: fields.pointer(at, "msgbuf", "msg_ptr")?,
        size,
        written: word("msg_bufx")?,
        read: word(form.read)?,
        modulus: form.modulus.unwrap_or(size),
    })
}
