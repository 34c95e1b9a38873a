//! Swap devices.

use crate::Result;
use crate::kernel::Listing;
use crate::kernel::fields::Fields;
use crate::kernel::lists;
use crate::kernel::state::Swap;
use kgdbserver_arch::Va;

/// The devices of `swtailq`, a TAILQ, in the kernel's order.
pub(super) fn devices(fields: &Fields<'_>) -> Result<Listing<Swap>> {
    let first = fields.head("swtailq")?;
    let next = fields.member("swdevt", "sw_list.tqe_next")?.offset;
    let reserved = reserved(fields);
    let devices = lists::walk(fields.mem, "swdevt", first, next);
    Ok(Listing::from_results(devices.map(|va| device(fields, va?, reserved))))
}

/// Blocks at the front of each device that are never used. Since 11 `dmmax` is only the name of a sysctl, and the variable
/// behind it is `nsw_cluster_max`.
fn reserved(fields: &Fields<'_>) -> u64 {
    let value = fields.count("dmmax").or_else(|_| fields.count("nsw_cluster_max"));
    value.unwrap_or(0).into()
}

fn device(fields: &Fields<'_>, va: Va, reserved: u64) -> Result<Swap> {
    let number = |name| fields.u32(va, "swdevt", name);
    Ok(Swap {
        name: name(fields, va).unwrap_or_default(),
        used: number("sw_used")?.into(),
        total: u64::from(number("sw_nblks")?).saturating_sub(reserved),
        flags: number("sw_flags")?,
    })
}

/// The name of the device behind the vnode. libkvm asks the host for it, by the device's number; in a dump that number
/// means nothing to anyone else.
fn name(fields: &Fields<'_>, va: Va) -> Result<String> {
    let vnode = fields.pointer(va, "swdevt", "sw_vp")?;
    let device = fields
        .pointer(vnode, "vnode", "v_rdev")
        .or_else(|_| fields.pointer(vnode, "vnode", "v_un.vu_cdev"))?;
    fields.text(device, "cdev", "si_name")
}
