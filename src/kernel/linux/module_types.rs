//! The types that modules add to the kernel's: their BTF. A module loses its own when it is initialised; the kernel has a
//! copy of each that can be loaded with it (`CONFIG_DEBUG_INFO_BTF_MODULES`, since 5.11).

use super::tasks::list;
use crate::Result;
use crate::kernel::fields::{Fields, bad};
use crate::kernel::state::Module;

/// The largest modules have a few hundred KiB.
const LIMIT: u64 = 16 << 20;

/// A module's BTF; none if the kernel has none of it.
///
/// # Errors
/// No symbol leads to the list (a table of functions only has none), or something of it cannot be read.
pub(super) fn read(fields: &Fields<'_>, module: &Module) -> Result<Option<Vec<u8>>> {
    let member = fields.member("btf_module", "list")?.offset;
    for entry in list(fields.mem, "btf_module", fields.variable("btf_modules")?, member) {
        let entry = entry?;
        if fields.pointer(entry, "btf_module", "module")? != module.va {
            continue;
        }
        let btf = fields.pointer(entry, "btf_module", "btf")?;
        let size = fields.uint(btf, "btf", "data_size")?;
        let bytes = usize::try_from(size).ok().filter(|_| size <= LIMIT);
        let mut bytes = vec![0; bytes.ok_or_else(|| bad("btf", btf, format!("it has {size} bytes")))?];
        fields.mem.read_exact(fields.pointer(btf, "btf", "data")?, &mut bytes)?;
        return Ok(Some(bytes));
    }
    Ok(None)
}
