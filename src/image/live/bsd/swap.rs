//! Swap devices, as sysctl(3) gives them: `struct xswdev`.

use super::system::{self, System, refused, uint};
use crate::kernel::state::Swap;
use crate::{Error, Result};

/// No system has more devices.
const DEVICES: i32 = 1 << 10;
/// libkvm's words for a device that is none.
const NO_DEVICE: &str = "[NFS swap]";

/// FreeBSD has a node for each device, by number, below `vm.swap_info`.
pub(super) fn by_number(system: &dyn System) -> Result<Vec<Swap>> {
    const NODE: &str = "vm.swap_info";
    let fail = |error| refused(NODE, &error);
    let mut mib = system.mib(NODE).map_err(fail)?;
    let (last, reserved) = (mib.len(), reserved(system));
    let mut devices = Vec::new();
    for number in 0..DEVICES {
        mib.truncate(last);
        mib.push(number);
        match system::read(system, &mib) {
            Ok(bytes) => devices.push(numbered(system, &bytes, reserved)?),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => break,
            Err(error) => return Err(fail(error)),
        }
    }
    Ok(devices)
}

/// sys/vm/vm_param.h: the number of a device has 64 bits since 12, which is version 2.
fn numbered(system: &dyn System, bytes: &[u8], reserved: u64) -> Result<Swap> {
    let number = |at: usize, len: usize| uint(bytes.get(at..at + len).unwrap_or_default());
    let (device, flags) = match (number(0, 4), bytes.len()) {
        (1, 20) => (u64::from_ne_bytes(i64::from((number(4, 4) as u32).cast_signed()).to_ne_bytes()), 8),
        (2, 32) => (number(8, 8), 16),
        (version, len) => return Err(unknown(version, len)),
    };
    Ok(Swap {
        name: name(system, device),
        used: number(flags + 8, 4),
        total: number(flags + 4, 4).saturating_sub(reserved),
        flags: number(flags, 4) as u32,
    })
}

/// DragonFly gives all devices at once; of those that are not in use it gives no blocks.
pub(super) fn by_array(system: &dyn System) -> Result<Vec<Swap>> {
    let array = system::named(system, "vm.swap_info_array")?;
    let reserved = reserved(system);
    let device = |bytes: &[u8]| {
        let number = |at: usize, len: usize| uint(bytes.get(at..at + len).unwrap_or_default());
        if (number(0, 8), number(8, 4)) != (48, 1) {
            return Err(unknown(number(8, 4), bytes.len()));
        }
        // All ones in 32 bits are NODEV too.
        let device = Some(number(16, 4)).filter(|device| *device != u64::from(u32::MAX));
        let total = number(32, 8).saturating_sub(reserved);
        let name = name(system, device.unwrap_or(u64::MAX));
        Ok(Swap { name, used: number(40, 8), total, flags: number(12, 4) as u32 })
    };
    let devices =
        array.chunks(48).map(device).filter(|device| !device.as_ref().is_ok_and(|device| device.total == 0));
    devices.collect()
}

/// Blocks at the front of each device that are never used, so that a disk label there survives.
fn reserved(system: &dyn System) -> u64 {
    system::number(system, "vm.dmmax").unwrap_or(0)
}

fn name(system: &dyn System, device: u64) -> String {
    match device {
        u64::MAX => NO_DEVICE.into(),
        device => system.device_name(device).unwrap_or_default(),
    }
}

fn unknown(version: u64, len: usize) -> Error {
    Error::Unsupported(format!("struct xswdev version mismatch: version {version}, {len} bytes"))
}
