//! Where kernel modules are described.

use super::offsets::exported;
use crate::Result;
use crate::kernel::fields::Fields;
use crate::kernel::modules::Offsets;

/// The offsets that the kernel exports since 8, or that its types tell.
pub(super) fn offsets(fields: &Fields<'_>) -> Result<Offsets> {
    let find = |name: &str, member| exported(fields.symbols, fields.mem, name, "linker_file", member);
    Ok(Offsets {
        next: find("kld_off_next", "link.tqe_next")?,
        filename: find("kld_off_filename", "filename")?,
        pathname: Some(find("kld_off_pathname", "pathname")?),
        address: find("kld_off_address", "address")?,
    })
}
