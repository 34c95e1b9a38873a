//! Where kernel modules are described.

use super::Fields;
use crate::Result;
use crate::kernel::modules::Offsets;

/// The kernel keeps only the last part of each file's path.
pub(super) fn offsets(fields: &Fields<'_>) -> Result<Offsets> {
    let offset = |member| fields.member("linker_file", member).map(|member| member.offset);
    Ok(Offsets {
        next: offset("link.tqe_next")?,
        filename: offset("filename")?,
        pathname: None,
        address: offset("address")?,
    })
}
